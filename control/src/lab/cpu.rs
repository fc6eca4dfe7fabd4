//! Processor time: of the whole machine, interrupts included, and of single processes.
//!
//! An overlay in the kernel spends its time in softirq, on whatever process happens to run; to
//! compare it with one in userspace the whole machine has to be counted, not a process.

use std::fs;
use std::ops::Sub;
use std::time::Instant;

use serde::Serialize;

use super::LabError;

/// Busy time of all processors since boot, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CpuTime {
    /// Programs, niced ones included.
    pub user: f64,
    /// The kernel on behalf of programs.
    pub system: f64,
    /// Hardware interrupts.
    pub irq: f64,
    /// Deferred interrupt work: most of the network stack.
    pub softirq: f64,
}

impl CpuTime {
    /// The present state of `/proc/stat`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn now() -> Result<Self, LabError> {
        let text = fs::read_to_string("/proc/stat").map_err(LabError::io("read /proc/stat"))?;
        Ok(Self::parse(&text))
    }

    /// All of it together, in seconds.
    pub fn total(&self) -> f64 {
        self.user + self.system + self.irq + self.softirq
    }

    /// Fields of the first line, proc_stat(5): user nice system idle iowait irq softirq steal.
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let fields: Vec<f64> = line
            .split_ascii_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .map(|ticks: f64| ticks / USER_HZ)
            .collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        Self {
            user: field(0) + field(1),
            system: field(2),
            irq: field(5),
            softirq: field(6),
        }
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
            irq: self.irq - earlier.irq,
            softirq: self.softirq - earlier.softirq,
        }
    }
}

/// Counts from its making on.
#[derive(Debug)]
pub struct CpuMeter {
    start: Instant,
    machine: CpuTime,
    processes: Vec<(u32, f64)>,
}

/// What a [`CpuMeter`] counted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CpuUse {
    /// Length of the measurement in seconds.
    pub seconds: f64,
    /// Busy time of the machine in CPU-seconds.
    pub machine: CpuTime,
    /// Part of it that the named processes spent, in CPU-seconds.
    pub processes: f64,
}

impl CpuMeter {
    /// Starts counting the machine and, of it, `processes`.
    ///
    /// # Errors
    /// If `/proc/stat` cannot be read.
    pub fn start(processes: &[u32]) -> Result<Self, LabError> {
        Ok(Self {
            start: Instant::now(),
            machine: CpuTime::now()?,
            processes: processes
                .iter()
                .map(|pid| (*pid, process_time(*pid)))
                .collect(),
        })
    }

    /// What was spent since.
    ///
    /// # Errors
    /// If `/proc/stat` cannot be read.
    pub fn stop(self) -> Result<CpuUse, LabError> {
        let spent = |(pid, before): &(u32, f64)| (process_time(*pid) - before).max(0.0);
        Ok(CpuUse {
            seconds: self.start.elapsed().as_secs_f64(),
            machine: CpuTime::now()? - self.machine,
            processes: self.processes.iter().map(spent).sum(),
        })
    }
}

impl CpuUse {
    /// Processors busy on average.
    pub fn cores(&self) -> f64 {
        if self.seconds > 0.0 {
            self.machine.total() / self.seconds
        } else {
            0.0
        }
    }
}

/// Time that the threads of a process whose names begin with `name` ran so far, in seconds; 0 once
/// they are gone. Finer than the ticks of the others: first field of `/proc/PID/task/TID/schedstat`,
/// nanoseconds (Documentation/scheduler/sched-stats.rst).
pub fn threads_time(pid: u32, name: &str) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let ran = |task: fs::DirEntry| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).ok();
        read("comm")?.starts_with(name).then_some(())?;
        let nanoseconds: f64 = read("schedstat")?.split(' ').next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    };
    tasks.flatten().flatten().filter_map(ran).sum()
}

/// User and system time of the threads of a process whose names begin with `name`, in seconds; 0 once
/// they are gone. In ticks, unlike [`threads_time`].
pub fn threads_split(pid: u32, name: &str) -> [f64; 2] {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let ran = |task: fs::DirEntry| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).ok();
        read("comm")?.starts_with(name).then_some(())?;
        Some(parse_split(&read("stat")?))
    };
    let ran = tasks.flatten().flatten().filter_map(ran);
    ran.fold([0.0; 2], |[user, system], [more_user, more_system]| {
        [user + more_user, system + more_system]
    })
}

/// User and system time of a process in seconds; 0 once it is gone.
fn process_time(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    parse_process(&text)
}

/// Fields 14 and 15 of proc_pid_stat(5), counted after the parenthesised name, which may itself
/// contain spaces and parentheses.
fn parse_process(text: &str) -> f64 {
    parse_split(text).iter().sum()
}

fn parse_split(text: &str) -> [f64; 2] {
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = after_name
        .split_ascii_whitespace()
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap_or_default() / USER_HZ);
    [(); 2].map(|()| ticks.next().unwrap_or_default())
}

/// Ticks a second in /proc; part of the ABI, and 100 on every architecture that has io_uring.
const USER_HZ: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_machine_line() {
        let time = CpuTime::parse("cpu  100 20 300 4000 50 6 700 8 0 0\ncpu0 1 2 3\n");
        assert_eq!(
            time,
            CpuTime {
                user: 1.2,
                system: 3.0,
                irq: 0.06,
                softirq: 7.0
            }
        );
        assert!((time.total() - 11.26).abs() < 1e-9);
    }

    #[test]
    fn parses_a_process_with_an_awkward_name() {
        let text = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert!((parse_process(text) - 2.0).abs() < 1e-9);
        assert_eq!(parse_split(text), [1.5, 0.5]);
    }

    #[test]
    fn a_missing_process_spent_nothing() {
        assert!(parse_process("").abs() < 1e-9);
    }
}
