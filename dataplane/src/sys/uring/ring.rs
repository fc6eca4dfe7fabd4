//! The rings themselves: entering the kernel, pushing requests, popping completions.
//!
//! It knows no request from another; [`super::Uring`] keeps what they point to alive.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use io_uring::{IoUring, cqueue, squeue};

/// `struct io_uring_rsrc_update` (`linux/io_uring.h`).
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// `struct io_uring_getevents_arg` (`linux/io_uring.h`).
#[repr(C)]
struct GetEventsArg {
    sigmask: u64,
    sigmask_len: u32,
    min_wait_usec: u32,
    timespec: u64,
}

/// `struct __kernel_timespec` (`linux/time_types.h`).
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

const REGISTER_RING_FDS: libc::c_uint = 20;
const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;

/// A ring that one thread uses, which gets its completions only when it enters
/// the kernel (`IORING_SETUP_DEFER_TASKRUN`): nothing interrupts a worker, and
/// what the kernel has to do for it is done in batches.
///
/// Multishot reads need Linux 6.7, where these flags (6.1) always exist; there is
/// no variant for older kernels.
pub(super) struct Ring {
    inner: IoUring,
    /// The ring's index among the thread's registered rings, or its descriptor.
    enter_fd: libc::c_int,
    enter_flags: u32,
    system_calls: u64,
}

impl Ring {
    pub(super) fn new(submissions: u32, completions: u32) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .dontfork()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(completions);
        let inner: IoUring = builder.build(submissions)?;
        let (enter_fd, enter_flags) = match register_ring_fd(&inner) {
            Ok(index) => (index, ENTER_REGISTERED_RING),
            // A thread has room for 16 of them; the descriptor does as well.
            Err(_) => (inner.as_raw_fd(), 0),
        };
        Ok(Self {
            inner,
            enter_fd,
            enter_flags,
            system_calls: 0,
        })
    }

    pub(super) fn inner(&self) -> &IoUring {
        &self.inner
    }

    /// Whether the thread registered the ring, saving a descriptor lookup a call.
    pub(super) fn is_registered(&self) -> bool {
        self.enter_flags != 0
    }

    /// Queues a request; enters the kernel first if there is no room for it.
    ///
    /// # Safety
    ///
    /// What `entry` points to must stay valid, and free of conflicting references,
    /// until its last completion was popped.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller's promise.
        while unsafe { self.inner.submission().push(entry) }.is_err() {
            self.submit()?;
        }
        Ok(())
    }

    /// Requests that the kernel has not seen.
    pub(super) fn queued(&mut self) -> usize {
        self.inner.submission().len()
    }

    /// Whether entering the kernel would bring completions that are not in the
    /// ring yet.
    pub(super) fn has_deferred(&mut self) -> bool {
        let queue = self.inner.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    pub(super) fn has_completions(&mut self) -> bool {
        !self.inner.completion().is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<cqueue::Entry> {
        self.inner.completion().next()
    }

    /// Hands over all queued requests and collects deferred completions.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        loop {
            match self.enter(0, ptr::null(), 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) if self.queued() == 0 => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::ResourceBusy.into()),
                Ok(_) => {}
            }
        }
    }

    /// Hands over all queued requests and waits for a completion or the end of
    /// `timeout`; may return early.
    pub(super) fn submit_and_wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let result = match timeout {
            None => self.enter(1, ptr::null(), 0),
            Some(timeout) => {
                let timespec = Timespec {
                    seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                    nanoseconds: i64::from(timeout.subsec_nanos()),
                };
                let arg = GetEventsArg {
                    sigmask: 0,
                    sigmask_len: 0,
                    min_wait_usec: 0,
                    timespec: (&raw const timespec) as u64,
                };
                self.enter(1, (&raw const arg).cast(), ENTER_EXT_ARG)
            }
        };
        match result.err().and_then(|error| error.raw_os_error()) {
            None | Some(libc::ETIME | libc::EINTR) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// System calls since this was last asked.
    pub(super) fn take_system_calls(&mut self) -> u64 {
        std::mem::take(&mut self.system_calls)
    }

    /// `io_uring_enter(2)`, always collecting completions. `arg` is null, or with
    /// ENTER_EXT_ARG a `GetEventsArg` that is valid for the call.
    fn enter(
        &mut self,
        min_complete: u32,
        arg: *const GetEventsArg,
        flags: u32,
    ) -> io::Result<usize> {
        let to_submit = self.queued() as libc::c_uint;
        let len = if arg.is_null() {
            0
        } else {
            size_of::<GetEventsArg>()
        };
        self.system_calls += 1;
        // SAFETY: `enter_fd` is this ring, by index or descriptor as the flag says.
        // The queued requests are sound by the contract of `push`; `arg` is valid,
        // as the only two callers above see to.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                to_submit,
                min_complete,
                ENTER_GETEVENTS | self.enter_flags | flags,
                arg,
                len,
            )
        };
        usize::try_from(rc).map_err(|_| io::Error::last_os_error())
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.inner.as_raw_fd())
            .field("registered", &self.is_registered())
            .finish_non_exhaustive()
    }
}

/// Registers the ring with this thread and returns its index. The `io-uring`
/// crate keeps the index in a value that borrows the ring, hence our own call.
fn register_ring_fd(ring: &IoUring) -> io::Result<libc::c_int> {
    let fd = ring.as_raw_fd();
    let mut update = ResourceUpdate {
        offset: u32::MAX,
        reserved: 0,
        data: fd as u64,
    };
    // SAFETY: IORING_REGISTER_RING_FDS reads and writes one `ResourceUpdate`.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            fd,
            REGISTER_RING_FDS,
            &raw mut update,
            1,
        )
    };
    if rc == 1 {
        Ok(update.offset as libc::c_int)
    } else {
        Err(io::Error::last_os_error())
    }
}
