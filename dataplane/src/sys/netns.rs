//! Network namespaces, entered by threads of their own or on short visits.
//!
//! A descriptor opened in a namespace keeps working from any other, so what has
//! to happen inside is short.

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
    on_own_thread(|| enter(&namespace).map(|()| action()))
}

/// Runs `action` on this thread inside the network namespace at `path`, and
/// returns with it. Spares the time that a new thread takes to start and to end,
/// which is longer than that of most actions.
///
/// Ends the process if the thread cannot go back: it would do its further work in
/// the wrong namespace. The kernel lets out whom it let in.
///
/// # Errors
///
/// As [`run_in`].
///
/// # Panics
///
/// If `action` does.
pub fn visit<T>(path: &Path, action: impl FnOnce() -> T) -> io::Result<T> {
    visit_open(&File::open(path)?, action)
}

/// The same where a namespace is at hand that no path may lead to.
///
/// # Errors
///
/// As [`run_in`].
///
/// # Panics
///
/// If `action` does.
pub fn visit_open<T>(namespace: &File, action: impl FnOnce() -> T) -> io::Result<T> {
    let _home = Home(File::open("/proc/thread-self/ns/net")?);
    enter(namespace)?;
    Ok(action())
}

/// Takes its thread back when it goes.
struct Home(File);

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = enter(&self.0) {
            tracing::error!(%error, "cannot return from a network namespace");
            std::process::abort();
        }
    }
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

fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: `setns` takes no pointers, the descriptor is open during the call, and
    // CLONE_NEWNET affects this thread only.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
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
        for enter in [run_in, visit] {
            let error = enter(Path::new("/dev/null"), || ()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn a_visitor_comes_home_also_from_a_panic() {
        let read = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let home = read();
        let visits = || {
            let elsewhere = read();
            assert_ne!(elsewhere, home);
            let path = Path::new("/proc/self/ns/net"); // that of the process's first thread
            assert_eq!(visit(path, read).unwrap(), home);
            assert_eq!(read(), elsewhere);
            let panics = || visit(path, || panic!("inside"));
            assert!(std::panic::catch_unwind(panics).is_err());
            assert_eq!(read(), elsewhere);
        };
        run_in_new(visits).unwrap();
    }

    #[test]
    fn a_new_namespace_is_another_one() {
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let read = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        assert_ne!(run_in_new(read).unwrap(), own);
        assert_eq!(run_in(Path::new("/proc/self/ns/net"), read).unwrap(), own);
    }
}
