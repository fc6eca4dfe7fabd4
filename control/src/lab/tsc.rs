//! How fast the processor's time-stamp counter runs, which turns CPU time into cycles.
//!
//! It reads no performance counters: virtual machines often have none. These are cycles of the
//! counter's constant rate, whatever the clock rate of the moment.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use serde::Serialize;

/// The counter's rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tsc {
    /// Ticks a second.
    pub hertz: f64,
    /// Who says so.
    pub source: &'static str,
}

impl Tsc {
    /// Asks the kernel: its log, where it noted what it measured at the start, or what it tells of
    /// the first processor. Nothing where there is no such counter.
    pub fn look() -> Option<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if !has_constant_tsc(&cpuinfo) {
            return None;
        }
        let found = |megahertz: f64, source| Self {
            hertz: megahertz * 1e6,
            source,
        };
        from_log(&kernel_log())
            .map(|megahertz| found(megahertz, "kernel log"))
            .or_else(|| Some(found(from_cpuinfo(&cpuinfo)?, "/proc/cpuinfo")))
    }
}

fn has_constant_tsc(cpuinfo: &str) -> bool {
    let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags.next().is_some_and(|line| {
        line.split_ascii_whitespace()
            .any(|flag| flag == "constant_tsc")
    })
}

/// The last of lines such as `tsc: Detected 2596.130 MHz processor` and, later and more exact,
/// `tsc: Refined TSC clocksource calibration: 2596.104 MHz` (arch/x86/kernel/tsc.c).
fn from_log(log: &str) -> Option<f64> {
    let megahertz = |line: &str| {
        let (_, line) = line.split_once("tsc: ")?;
        if !line.starts_with("Detected") && !line.starts_with("Refined") {
            return None;
        }
        let (before, _) = line.split_once(" MHz")?;
        before.rsplit(' ').next()?.parse().ok()
    };
    log.lines().filter_map(megahertz).next_back()
}

/// `cpu MHz` of the first processor: the counter's rate where the clock rate cannot be told, as in
/// most virtual machines, otherwise the clock rate of the moment.
fn from_cpuinfo(cpuinfo: &str) -> Option<f64> {
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// What is left of the kernel's log, if this process may read it: one record a read.
fn kernel_log() -> String {
    let mut log = Vec::new();
    let mut record = [0; 8192];
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open("/dev/kmsg");
    if let Ok(mut file) = file {
        while let Ok(length @ 1..) = file.read(&mut record) {
            log.extend_from_slice(&record[..length]);
        }
    }
    String::from_utf8_lossy(&log).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_the_refined_rate() {
        let detected = "6,31,63,-;tsc: Detected 2596.130 MHz processor\n";
        let refined = "6,99,1063,-;tsc: Refined TSC clocksource calibration: 2596.104 MHz\n";
        assert_eq!(from_log(detected), Some(2596.130));
        assert_eq!(from_log(&(detected.to_owned() + refined)), Some(2596.104));
        let others =
            "6,1,2,-;clocksource: tsc: mask: 0xff max_cycles: 0x25\n6,1,3,-;eth0: 10 MHz\n";
        assert_eq!(from_log(others), None);
    }

    #[test]
    fn cpuinfo_tells_the_first_processors_rate() {
        let text = "processor\t: 0\ncpu MHz\t\t: 2596.130\nflags\t\t: fpu tsc constant_tsc\n\
                    processor\t: 1\ncpu MHz\t\t: 1200.000\n";
        assert_eq!(from_cpuinfo(text), Some(2596.130));
        assert!(has_constant_tsc(text));
        assert!(!has_constant_tsc("flags\t\t: fpu tsc\n"));
        assert_eq!(from_cpuinfo("Processor : ARMv8\n"), None);
    }
}
