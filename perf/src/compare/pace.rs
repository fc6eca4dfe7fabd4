//! How long a run takes, told at its start and as it goes.

use std::fmt;
use std::time::{Duration, Instant};

use ringlay_control::lab::leg::Plan;

use super::measure::Measure;

/// Counts the turns of the legs.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    turns: usize,
    done: usize,
    expected_turn: Duration,
}

impl Pace {
    /// For `turns` turns, each with all of `measures`.
    pub(super) fn new(turns: usize, measures: &[Measure], plan: &Plan) -> Self {
        let sum: Duration = measures.iter().map(|measure| measure.expected(plan)).sum();
        Self {
            start: Instant::now(),
            turns,
            done: 0,
            expected_turn: sum + SET_UP,
        }
    }

    /// One more is done.
    pub(super) fn turn(&mut self) {
        self.done += 1;
    }

    /// What is left, from what the turns so far took.
    fn left(&self) -> Duration {
        let left = self.turns.saturating_sub(self.done) as f64;
        let turn = if self.done == 0 {
            self.expected_turn
        } else {
            self.start.elapsed().div_f64(self.done as f64)
        };
        turn.mul_f64(left)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left().as_secs();
        let (minutes, seconds) = (left / 60, left % 60);
        let (done, turns) = (self.done, self.turns);
        write!(f, "[{done}/{turns}, about {minutes}:{seconds:02} min left]")
    }
}

/// Making hosts and an overlay, and taking them back.
const SET_UP: Duration = Duration::from_millis(700);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_tells_the_whole_length() {
        let plan = Plan {
            duration: Duration::from_secs(2),
            iperf3: None,
        };
        let pace = Pace::new(100, &[Measure::RoundTrips], &plan);
        // A second of round trips and the rest, a hundred times.
        assert_eq!(pace.to_string(), "[0/100, about 2:50 min left]");
    }

    #[test]
    fn the_turns_so_far_tell_what_is_left() {
        let plan = Plan {
            duration: Duration::from_secs(3600),
            iperf3: None,
        };
        let mut pace = Pace::new(2, &[Measure::RoundTrips], &plan);
        pace.turn();
        assert!(pace.left() < Duration::from_secs(60));
        pace.turn();
        assert_eq!(pace.to_string(), "[2/2, about 0:00 min left]");
    }
}
