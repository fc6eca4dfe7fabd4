//! Waits until a device is out of sight.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long to look elsewhere in between.
pub(super) const PAUSE: Duration = Duration::from_micros(100);

/// A device that is there for longer has somebody else who holds on to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns when `is_there` says no, or when there is no more hope of that.
pub fn wait(is_there: impl Fn() -> bool) {
    let begun = Instant::now();
    while is_there() && begun.elapsed() < PATIENCE {
        thread::sleep(PAUSE);
    }
}
