//! Waking a worker that waits in its driver, through `eventfd(2)`.
//!
//! The drivers watch the descriptor for edges and never read it: each write is
//! an edge, so that waking costs one system call on one side only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

/// Wakes one worker, from any thread. Clones wake the same worker.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<File>,
}

impl Waker {
    /// A waker for a driver that does not exist yet.
    ///
    /// # Errors
    ///
    /// The error of `eventfd(2)`: no descriptors or no memory left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: `eventfd` takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just returned to us and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            event: Arc::new(File::from(fd)),
        })
    }

    /// Makes the driver's present or next wait return.
    pub fn wake(&self) {
        let mut event = &*self.event;
        if event.write(&1u64.to_ne_bytes()).is_err() {
            // The counter is at its maximum. Emptying it first makes this an edge.
            let _ = event.read(&mut [0; 8]);
            let _ = event.write(&1u64.to_ne_bytes());
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
