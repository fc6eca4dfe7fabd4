//! AF_XDP sockets (`linux/if_xdp.h`), as far as it takes to tell whether this
//! host has them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// Bytes of a chunk, and of the whole probe memory.
const CHUNK: usize = 4096;
const UMEM: usize = 16 * CHUNK;

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
    // SAFETY: a new anonymous mapping overlaps no memory that Rust knows of.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(
            ptr::null_mut(),
            UMEM,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `xdp_umem_reg` consists of integers.
    let mut umem: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
    umem.addr = memory as u64;
    umem.len = UMEM as u64;
    umem.chunk_size = CHUNK as u32;
    // SAFETY: the kernel reads one `xdp_umem_reg`. It pins the pages for as long
    // as the socket lives and never writes to them, since no ring refers to them.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_UMEM_REG,
            (&raw const umem).cast(),
            size_of::<libc::xdp_umem_reg>() as libc::socklen_t,
        )
    };
    let result = if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    };
    // SAFETY: the mapping made above, which nothing in this process refers to.
    unsafe { libc::munmap(memory, UMEM) };
    result
}
