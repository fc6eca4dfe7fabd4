//! What a measurement was made on; printed beside every number.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::LabError;
use super::cpu::CpuMeter;

/// The machine and the moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Processors this process may use.
    pub cores: usize,
    /// Time of the measurement, UTC.
    pub date: String,
    /// Processors that others kept busy just before the measurement.
    pub background_cores: f64,
    /// Whether this program was built without full optimisation.
    pub is_debug_build: bool,
}

impl Machine {
    /// Looks at this machine for a moment.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn look() -> Result<Self, LabError> {
        let meter = CpuMeter::start(&[])?;
        thread::sleep(BACKGROUND_SAMPLE);
        Ok(Self {
            kernel: kernel_release(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            date: utc_date(SystemTime::now()),
            background_cores: meter.stop()?.cores(),
            is_debug_build: cfg!(debug_assertions),
        })
    }

    /// Writes a line for each reason to doubt what was measured on it.
    ///
    /// # Errors
    /// Those of the formatter.
    pub fn write_cautions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_debug_build {
            writeln!(
                f,
                "caution: this is a debug build, much slower than a release build"
            )?;
        }
        if self.background_cores > BUSY {
            let busy = self.background_cores;
            writeln!(f, "caution: other programs kept {busy:.1} cores busy")?;
        }
        Ok(())
    }
}

/// Release of the running kernel.
pub fn kernel_release() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim_end().to_owned()
}

fn utc_date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Year, month and day of a count of days since 1970-01-01 (Hinnant, "chrono-compatible
/// low-level date algorithms", civil_from_days, for days past the epoch only).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

const BACKGROUND_SAMPLE: Duration = Duration::from_millis(300);

/// Background load from which on figures are in doubt, in processors.
pub const BUSY: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| utc_date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_795_305_599), "2026-11-21 23:59 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00 UTC");
    }
}
