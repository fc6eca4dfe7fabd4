//! Durations as the configuration file writes them: a whole number and its unit.

use std::time::Duration;

/// Units with their nanoseconds, the largest first.
const UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads `"50us"`, or `"0"`, which needs no unit.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(unit.unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    if unit.is_empty() && number == 0 {
        return Some(Duration::ZERO);
    }
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*nanoseconds).map(Duration::from_nanos)
}

/// Writes a duration so that [`parse`] reads it, in the largest unit that needs no fraction.
pub(super) fn print(duration: Duration) -> String {
    let all = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if all == 0 {
        return "0".to_owned();
    }
    let fitting = UNITS.iter().find(|(_, of)| all.is_multiple_of(*of));
    let (name, of) = fitting.expect("every number is a multiple of one");
    format!("{}{name}", all / of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        for text in ["0", "1ns", "50us", "1500us", "1ms", "2s"] {
            assert_eq!(print(parse(text).unwrap()), text);
        }
        assert_eq!(parse("0us"), Some(Duration::ZERO));
        assert_eq!(print(parse("1000us").unwrap()), "1ms");
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            "us",
            "50",
            "50 us",
            "-1us",
            "1.5ms",
            "1m",
            "99999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
