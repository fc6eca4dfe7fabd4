//! Publication of immutable values to workers.
//!
//! The publisher swaps in a new value and raises a generation number. A reader
//! compares that number once a batch, one relaxed load while nothing changes,
//! and takes the lock only when it differs. Readers confirm what they run on,
//! so the publisher knows when a change is in force everywhere, and the
//! publisher, not a reader, frees what nobody uses any more.

use crate::snapshot::primitive::{Arc, AtomicU64, Mutex, Ordering};

#[cfg(not(loom))]
mod primitive {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
    pub(super) use std::sync::{Arc, Mutex};
}

#[cfg(loom)]
mod primitive {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(super) use loom::sync::{Arc, Mutex};
}

/// Written by the publisher, read by all readers.
#[derive(Debug)]
struct Shared<T> {
    /// Number of the latest value. Stored (release) after `current` is replaced.
    generation: AtomicU64,
    current: Mutex<(u64, Arc<T>)>,
}

/// Replaces the value that readers see.
#[derive(Debug)]
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    /// One confirmation for each reader, written by that reader only.
    confirmed: Vec<Arc<AtomicU64>>,
    /// Values that a reader may still hold, with their generations, oldest first.
    retired: Vec<(u64, Arc<T>)>,
}

impl<T> Publisher<T> {
    /// Starts with `value` as generation zero.
    pub fn new(value: T) -> Self {
        let value = Arc::new(value);
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            current: Mutex::new((0, Arc::clone(&value))),
        });
        Self {
            shared,
            confirmed: Vec::new(),
            retired: vec![(0, value)],
        }
    }

    /// A new reader, to be given to a worker.
    pub fn reader(&mut self) -> Reader<T> {
        let (generation, value) = self.shared.latest();
        let confirmed = Arc::new(AtomicU64::new(generation));
        self.confirmed.push(Arc::clone(&confirmed));
        Reader {
            shared: Arc::clone(&self.shared),
            value,
            generation,
            confirmed,
        }
    }

    /// Makes `value` the one that readers pick up next and returns its generation.
    ///
    /// Values that every reader has moved beyond are freed here.
    pub fn publish(&mut self, value: T) -> u64 {
        let value = Arc::new(value);
        let generation = self.generation() + 1;
        self.retired.push((generation, Arc::clone(&value)));
        *self
            .shared
            .current
            .lock()
            .expect("no holder of this lock panics") = (generation, value);
        // Pairs with the acquire load in `Reader::refresh`.
        self.shared.generation.store(generation, Ordering::Release);
        let oldest = self.confirmed();
        self.retired.retain(|&(number, _)| number >= oldest);
        generation
    }

    /// The generation of the latest value.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Relaxed)
    }

    /// The oldest generation that a reader may still use.
    pub fn confirmed(&self) -> u64 {
        let confirmed = self
            .confirmed
            .iter()
            .map(|reader| reader.load(Ordering::Acquire));
        confirmed.min().unwrap_or_else(|| self.generation())
    }
}

impl<T> Shared<T> {
    fn latest(&self) -> (u64, Arc<T>) {
        let current = self.current.lock().expect("no holder of this lock panics");
        (current.0, Arc::clone(&current.1))
    }
}

/// A worker's view of the published value.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    value: Arc<T>,
    generation: u64,
    confirmed: Arc<AtomicU64>,
}

impl<T> Reader<T> {
    /// Moves on to the latest value; returns whether it changed. Call it between
    /// batches: the previous value may be freed at once.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        if self.shared.generation.load(Ordering::Acquire) == self.generation {
            return false;
        }
        (self.generation, self.value) = self.shared.latest();
        // Pairs with the acquire load in `Publisher::confirmed`: the publisher
        // sees this only after the previous value was let go of here, so this
        // thread never is the last owner of a value.
        self.confirmed.store(self.generation, Ordering::Release);
        true
    }

    /// The value of the last [`Self::refresh`].
    #[inline]
    pub fn value(&self) -> &T {
        &self.value
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn readers_move_on_only_when_they_refresh() {
        let mut publisher = Publisher::new(1);
        let mut reader = publisher.reader();
        assert_eq!(publisher.publish(2), 1);
        assert_eq!(*reader.value(), 1);
        assert_eq!(publisher.confirmed(), 0);
        assert!(reader.refresh());
        assert!(!reader.refresh());
        assert_eq!(*reader.value(), 2);
        assert_eq!(publisher.confirmed(), 1);
    }

    #[test]
    fn the_publisher_frees_what_no_reader_holds() {
        let mut publisher = Publisher::new(());
        let mut slow = publisher.reader();
        let mut fast = publisher.reader();
        let first = Arc::downgrade(&publisher.retired[0].1);
        publisher.publish(());
        fast.refresh();
        publisher.publish(());
        assert!(first.upgrade().is_some());
        slow.refresh();
        publisher.publish(());
        assert!(first.upgrade().is_none());
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;

    /// Run with `RUSTFLAGS="--cfg loom" cargo test -p ringlay-dataplane --lib model`.
    #[test]
    fn a_reader_sees_generations_in_order_and_never_frees() {
        loom::model(|| {
            let mut publisher = Publisher::new(0u64);
            let mut reader = publisher.reader();
            let worker = loom::thread::spawn(move || {
                let mut last = 0;
                for _ in 0..2 {
                    reader.refresh();
                    assert!(*reader.value() >= last);
                    assert_eq!(*reader.value(), reader.generation);
                    // The publisher still owns what this reader runs on.
                    assert!(Arc::strong_count(&reader.value) >= 2);
                    last = *reader.value();
                }
            });
            publisher.publish(1);
            publisher.publish(2);
            worker.join().unwrap();
        });
    }
}
