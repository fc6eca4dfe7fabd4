//! Opening an AF_XDP socket, and as much more as it takes to tell whether this host has them.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use super::socket::{CHUNK, register_umem};
use crate::sys::arena::Arena;

/// The memory to try.
const SLOTS: u32 = 16;

/// Opens an AF_XDP socket.
///
/// # Errors
///
/// `EAFNOSUPPORT` when the kernel has none, `EPERM` without `CAP_NET_RAW`.
pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just returned to us and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Registers a little memory for packets with the socket and gives it up at once.
///
/// # Errors
///
/// `ENOBUFS` when RLIMIT_MEMLOCK is too small.
pub fn register_probe_umem(socket: &OwnedFd) -> io::Result<()> {
    // The kernel pins the pages for as long as the socket lives, and never writes to them, since
    // no ring refers to them.
    let arena = Arena::new(SLOTS, CHUNK)?;
    register_umem(socket.as_fd(), &arena)
}
