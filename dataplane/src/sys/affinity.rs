//! Which CPUs a thread may run on. It chooses none: that is configuration.

use std::io;

/// The CPUs that this thread may run on, in ascending order; at least CPU 0.
pub fn allowed_cpus() -> Vec<usize> {
    let mut set = empty_set();
    // SAFETY: `set` is a writable `cpu_set_t` of the size passed; 0 is this thread.
    let rc = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if rc != 0 {
        return vec![0];
    }
    (0..libc::CPU_SETSIZE as usize)
        // SAFETY: `CPU_ISSET` reads inside `set` for every index below CPU_SETSIZE.
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect()
}

/// Lets this thread run on `cpu` only.
///
/// # Errors
///
/// `EINVAL` when the CPU does not exist or the process may not use it.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut set = empty_set();
    // SAFETY: `cpu` is below CPU_SETSIZE, checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is an initialised `cpu_set_t` of the size passed; 0 is this thread.
    let rc = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: `cpu_set_t` is a bit array; all-zero is its empty set.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_is_allowed_one_cpu() {
        std::thread::spawn(|| {
            let last = *allowed_cpus().last().unwrap();
            pin(last).unwrap();
            assert_eq!(allowed_cpus(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_refused() {
        for cpu in [libc::CPU_SETSIZE as usize - 1, usize::MAX] {
            assert_eq!(pin(cpu).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }
}
