//! `bpf(2)`: loading a classifier and hanging it on what a device receives (TCX, Linux 6.6).
//!
//! Which instructions make a program is the caller's business; the kernel's verifier is the
//! judge of them. Layouts: `linux/bpf.h`.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub opcode: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub registers: u8,
    /// Offset of a memory access or jump.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` needs.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` needs.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target_index: u32,
    attach_type: u32,
    flags: u32,
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_INGRESS: u32 = 46;

/// Loads a classifier (`BPF_PROG_TYPE_SCHED_CLS`).
///
/// # Errors
///
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`, `EINVAL` or `EACCES` when the verifier
/// refuses it, `ENOSYS` without `bpf(2)`.
pub fn load_classifier(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"MIT";
    let attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_SCHED_CLS,
        count: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: `attributes` is what BPF_PROG_LOAD reads, with zeroes for what is left out; it
    // points to `count` instructions and to a zero-terminated string that outlive the call.
    unsafe { call(BPF_PROG_LOAD, &attributes) }
}

/// Runs `program` on all that the device with this index receives, until the returned
/// descriptor is closed.
///
/// # Errors
///
/// `EINVAL` before Linux 6.6, `ENODEV` when there is no such device.
pub fn attach_ingress(program: BorrowedFd<'_>, device: u32) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        target_index: device,
        attach_type: BPF_TCX_INGRESS,
        flags: 0,
    };
    // SAFETY: `attributes` is what BPF_LINK_CREATE reads, with zeroes for what is left out; it
    // contains no pointers.
    unsafe { call(BPF_LINK_CREATE, &attributes) }
}

/// Runs a command that returns a descriptor.
///
/// # Safety
///
/// `attributes` must be the beginning of a `union bpf_attr` as the command wants it, and the
/// pointers in it must be valid.
unsafe fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let size = size_of::<T>() as c_long;
    // SAFETY: the kernel reads `size` bytes of `attributes`; the caller vouches for their meaning.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands return a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
