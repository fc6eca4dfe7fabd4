//! The list of everything made, and how to take it back.
//!
//! It knows nothing about what the steps do. Making a thing and noting how to undo it happen
//! under one lock, so that a clean-up started by a signal never misses a thing that another
//! thread is just making.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LabError;

/// Shared handle to the list. Clones refer to the same list; the last one to go cleans up.
#[derive(Clone, Debug, Default)]
pub struct Cleanup {
    list: Arc<List>,
}

impl Cleanup {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a thing with `make`, whose `undo` is run when the returned guard is dropped or the
    /// whole list is cleaned up, whichever comes first.
    ///
    /// # Errors
    /// [`LabError::Interrupted`] once the clean-up has begun; otherwise what `make` fails with.
    pub fn acquire<T, U>(
        &self,
        make: impl FnOnce() -> Result<(T, U), LabError>,
    ) -> Result<(T, Guard), LabError>
    where
        U: FnOnce() + Send + 'static,
    {
        let mut steps = self.list.lock();
        if steps.closed {
            return Err(LabError::Interrupted);
        }
        let (thing, undo) = make()?;
        steps.next += 1;
        let id = steps.next;
        steps.undo.push((id, Box::new(undo)));
        Ok((
            thing,
            Guard {
                cleanup: self.clone(),
                id,
            },
        ))
    }

    /// Undoes everything, newest first, and refuses to make anything from now on.
    pub fn close(&self) {
        self.list.close();
    }

    /// Leaves everything as it is: nothing of the list will be undone.
    pub fn keep(&self) {
        self.list.lock().undo.clear();
    }

    /// Whether [`Self::close`] has been called.
    pub fn is_closed(&self) -> bool {
        self.list.lock().closed
    }

    fn undo(&self, id: u64) {
        let mut steps = self.list.lock();
        if let Some(at) = steps.undo.iter().position(|(step, _)| *step == id) {
            let (_, undo) = steps.undo.remove(at);
            undo();
        }
    }
}

/// Undoes its step when dropped.
#[derive(Debug)]
pub struct Guard {
    cleanup: Cleanup,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cleanup.undo(self.id);
    }
}

#[derive(Default)]
struct List {
    steps: Mutex<Steps>,
}

#[derive(Default)]
struct Steps {
    closed: bool,
    next: u64,
    undo: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

impl List {
    /// A panic inside a step leaves the list itself whole, and cleaning up matters most then.
    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut steps = self.lock();
        steps.closed = true;
        while let Some((_, undo)) = steps.undo.pop() {
            undo();
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.lock();
        f.debug_struct("List")
            .field("closed", &steps.closed)
            .field("steps", &steps.undo.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(log: &Arc<Mutex<Vec<u8>>>, value: u8) -> impl FnOnce() + Send + 'static {
        let log = Arc::clone(log);
        move || log.lock().unwrap().push(value)
    }

    #[test]
    fn closing_undoes_newest_first_and_once() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let cleanup = Cleanup::new();
        let guards: Vec<_> = (1..=3)
            .map(|value| cleanup.acquire(|| Ok(((), note(&log, value)))).unwrap().1)
            .collect();
        cleanup.close();
        assert_eq!(*log.lock().unwrap(), [3, 2, 1]);
        drop(guards);
        assert_eq!(log.lock().unwrap().len(), 3);
    }

    #[test]
    fn nothing_is_made_after_closing() {
        let cleanup = Cleanup::new();
        cleanup.close();
        let mut made = false;
        let refused = cleanup.acquire(|| {
            made = true;
            Ok(((), || {}))
        });
        assert!(matches!(refused, Err(LabError::Interrupted)));
        assert!(!made);
    }

    #[test]
    fn a_panic_still_cleans_up() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let inner = Arc::clone(&log);
        let panicked = std::panic::catch_unwind(move || {
            let cleanup = Cleanup::new();
            let _guard = cleanup.acquire(|| Ok(((), note(&inner, 7)))).unwrap();
            panic!("a step failed");
        });
        assert!(panicked.is_err());
        assert_eq!(*log.lock().unwrap(), [7]);
    }

    #[test]
    fn kept_things_stay() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let cleanup = Cleanup::new();
        let guard = cleanup.acquire(|| Ok(((), note(&log, 1)))).unwrap();
        cleanup.keep();
        drop(guard);
        drop(cleanup);
        assert!(log.lock().unwrap().is_empty());
    }
}
