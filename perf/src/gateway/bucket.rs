//! How many frames are due: a rate, without bursts that make up for lost time.

use std::time::Duration;

/// A token bucket. It begins empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bucket {
    /// Frames a second; as many as go where there is none.
    rate: Option<f64>,
    /// Frames that may be sent at once.
    burst: f64,
    tokens: f64,
    last: Duration,
}

impl Bucket {
    /// For a rate in frames a second, and bursts of so many frames at most.
    pub(super) fn new(rate: Option<f64>, burst: usize) -> Self {
        Self {
            rate,
            burst: burst as f64,
            tokens: 0.0,
            last: Duration::ZERO,
        }
    }

    /// Frames that may be sent at this time since the start, of which the caller sends all.
    pub(super) fn take(&mut self, now: Duration) -> usize {
        let Some(rate) = self.rate else {
            return self.burst as usize;
        };
        let earned = now.saturating_sub(self.last).as_secs_f64() * rate;
        self.last = now;
        self.tokens = (self.tokens + earned).min(self.burst);
        let due = self.tokens.floor();
        self.tokens -= due;
        due as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_whenever_it_is_asked() {
        let mut bucket = Bucket::new(Some(1e6), 32);
        let mut sent = 0;
        let mut now = 0;
        while now < 1_000_000_000 {
            sent += bucket.take(Duration::from_nanos(now));
            now += 700 + now % 13 * 900;
        }
        assert!((999_000..=1_000_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut bucket = Bucket::new(Some(1e6), 32);
        assert_eq!(bucket.take(Duration::from_millis(5)), 32);
        assert_eq!(bucket.take(Duration::from_millis(5)), 0);
    }

    #[test]
    fn without_a_rate_a_burst_is_always_due() {
        let mut bucket = Bucket::new(None, 32);
        assert_eq!([(); 2].map(|()| bucket.take(Duration::ZERO)), [32, 32]);
    }
}
