//! Ends what runs beside a test, also when the test fails.

use std::sync::atomic::{AtomicBool, Ordering};

/// Raises the flag when dropped.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
