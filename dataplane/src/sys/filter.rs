//! Classic BPF filters of sockets (`SO_ATTACH_FILTER`, the kernel's
//! `Documentation/networking/filter.rst`). What they do is the caller's business.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// Instructions to skip if the condition holds.
    pub yes: u8,
    /// Instructions to skip if it does not.
    pub no: u8,
    /// The constant operand.
    pub constant: u32,
}

/// Lets `program` decide on each packet before the socket takes it, in place of the program
/// before.
///
/// # Errors
///
/// `EINVAL` when the kernel refuses the program, `EPERM` when the filter is locked.
pub fn attach(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        // The kernel does not write to it, although its type says so.
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `filter` describes `program`, whose instructions have the layout of the
    // kernel's; the kernel copies both.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    match rc {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
