//! Network namespaces, entered by threads of their own.
//!
//! A descriptor opened in a namespace keeps working from any other, so what has
//! to happen inside is short and the calling thread never leaves its own.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Runs `action` on a new thread inside the network namespace at `path`, such as
/// `/run/netns/blue` or `/proc/4711/ns/net`, and returns its result.
///
/// # Errors
///
/// When the path cannot be opened, is no network namespace (`EINVAL`), or
/// `CAP_SYS_ADMIN` is lacking (`EPERM`).
///
/// # Panics
///
/// If `action` does.
pub fn run_in<T: Send>(path: &Path, action: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(path)?;
    on_own_thread(|| {
        // SAFETY: `setns` takes no pointers; the descriptor is open until the end
        // of this function. Only this new thread changes its namespace.
        let rc = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        check(rc).map(|()| action())
    })
}

/// Runs `action` on a new thread inside a new, empty network namespace, which
/// lasts as long as something opened in it.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`.
///
/// # Panics
///
/// If `action` does.
pub fn run_in_new<T: Send>(action: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_own_thread(|| {
        // SAFETY: `unshare` takes no pointers and CLONE_NEWNET affects this new
        // thread only.
        let rc = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        check(rc).map(|()| action())
    })
}

fn on_own_thread<T: Send>(action: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| match scope.spawn(action).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_namespace_is_an_error() {
        assert_eq!(
            run_in(Path::new("/nonexistent"), || ())
                .unwrap_err()
                .raw_os_error(),
            Some(2)
        );
        let error = run_in(Path::new("/dev/null"), || ()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_new_namespace_is_another_one() {
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let read = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        assert_ne!(run_in_new(read).unwrap(), own);
        assert_eq!(run_in(Path::new("/proc/self/ns/net"), read).unwrap(), own);
    }
}
