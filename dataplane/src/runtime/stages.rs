//! Has the workers measure their stages, and remembers how long, by two clocks.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::Runtime;
use crate::stats::Measured;
use crate::sys::tsc;
use crate::worker::Command;

/// When the workers' stages were measured.
#[derive(Debug)]
pub(super) struct Measurement {
    begun: Moment,
    /// None while it goes on.
    ended: Option<Moment>,
}

/// By the clock, and by the counter that stages are measured with.
#[derive(Clone, Copy, Debug)]
struct Moment {
    time: Instant,
    cycles: u64,
}

impl Moment {
    fn now() -> Self {
        Self {
            time: Instant::now(),
            cycles: tsc::now(),
        }
    }
}

impl Runtime {
    /// Has every worker measure where its time goes, from zero, or no more; when it returns all do.
    /// Nothing changes if they are told what they do already. What was measured stays until it begins
    /// anew.
    pub fn measure_stages(&self, on: bool) {
        let mut measurement = self.measurement();
        let running = measurement.as_ref().is_some_and(|it| it.ended.is_none());
        if on == running {
            return;
        }
        let begun = Moment::now();
        self.broadcast(|done| Command::MeasureStages { on, done });
        match &mut *measurement {
            Some(measurement) if !on => measurement.ended = Some(Moment::now()),
            other => *other = Some(Measurement { begun, ended: None }),
        }
    }

    pub(super) fn measured(&self) -> Option<Measured> {
        self.measurement().as_ref().map(Measurement::so_far)
    }

    fn measurement(&self) -> MutexGuard<'_, Option<Measurement>> {
        self.measurement
            .lock()
            .expect("no holder of this lock panics")
    }
}

impl Measurement {
    fn so_far(&self) -> Measured {
        let end = self.ended.unwrap_or_else(Moment::now);
        let duration = end.time - self.begun.time;
        let cycles = end.cycles.saturating_sub(self.begun.cycles);
        // Two looks at a clock are some time apart, but it may be too coarse to tell.
        let duration = duration.max(Duration::from_nanos(1));
        Measured {
            running: self.ended.is_none(),
            duration,
            hertz: cycles as f64 / duration.as_secs_f64(),
        }
    }
}
