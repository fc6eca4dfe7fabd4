//! Which CPUs a thread may run on, and how it ranks on them. It chooses none: that is
//! configuration.

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

/// Ranks this thread by `nice(1)` values: -20 goes first, 19 last, 0 is usual.
///
/// # Errors
///
/// `EACCES` without CAP_SYS_NICE when the rank rises.
pub fn rank(nice: i32) -> io::Result<()> {
    // SAFETY: takes no memory. On Linux, 0 is this thread rather than its process.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
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
    fn a_rank_is_of_one_thread() {
        // SAFETY: takes no memory.
        let own = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = own();
        let ranked = std::thread::spawn(move || {
            rank(before + 3).unwrap();
            own()
        });
        assert_eq!(ranked.join().unwrap(), before + 3);
        assert_eq!(own(), before);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_refused() {
        for cpu in [libc::CPU_SETSIZE as usize - 1, usize::MAX] {
            assert_eq!(pin(cpu).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }
}
