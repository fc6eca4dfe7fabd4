//! Descriptors that are watched as one (`epoll(7)`): the set's own descriptor is readable as long as
//! one of them is.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// See the module's documentation. A descriptor leaves the set when it is closed.
#[derive(Debug)]
pub struct WatchSet {
    epoll: OwnedFd,
}

impl WatchSet {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: `epoll_create1` takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just returned to us and nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll })
    }

    /// Adds a descriptor.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is in the set, `EPERM` if it cannot be waited for.
    pub fn add(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 0,
        };
        self.control(libc::EPOLL_CTL_ADD, fd, &raw mut event)
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not in the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, ptr::null_mut())
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        event: *mut libc::epoll_event,
    ) -> io::Result<()> {
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: `event` is a live event of the caller's, or null for an operation that reads
        // none: the callers are in this file.
        let rc = unsafe { libc::epoll_ctl(epoll, operation, fd, event) };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsFd for WatchSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::eventfd::Waker;

    fn is_readable(set: &WatchSet) -> bool {
        let mut poll = libc::pollfd {
            fd: set.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one `pollfd`, which lives for the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn a_set_is_readable_when_a_member_is() {
        let set = WatchSet::new().unwrap();
        let wakers = [(); 2].map(|()| Waker::new().unwrap());
        for waker in &wakers {
            set.add(waker.as_fd()).unwrap();
        }
        assert!(!is_readable(&set));
        wakers[1].wake();
        assert!(is_readable(&set));
        set.remove(wakers[1].as_fd()).unwrap();
        assert!(!is_readable(&set));
        assert!(set.remove(wakers[1].as_fd()).is_err());
        wakers[0].wake();
        assert!(is_readable(&set));
        drop(wakers);
        assert!(!is_readable(&set), "what is closed leaves");
    }
}
