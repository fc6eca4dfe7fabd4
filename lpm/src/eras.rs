//! When memory that snapshots may read can be used again. Knows only how long snapshots live.

use std::collections::VecDeque;

use primitive::Arc;

#[cfg(not(loom))]
mod primitive {
    pub(super) use std::sync::Arc;
}

#[cfg(loom)]
mod primitive {
    pub(super) use loom::sync::Arc;
}

/// What a snapshot holds as long as it lives.
#[derive(Clone, Debug)]
pub(crate) struct Token(Arc<()>);

impl Token {
    pub(crate) fn new() -> Self {
        Self(Arc::new(()))
    }

    /// Whether nobody else holds this token; then all that others did with what it stood for has
    /// happened before.
    fn is_sole(&mut self) -> bool {
        // Not `strong_count`: `get_mut` acquires what the last drop of a clone released, so that
        // the reads of that snapshot happen before the words are written again.
        Arc::get_mut(&mut self.0).is_some()
    }
}

/// The eras that may still have snapshots, oldest first. An era ends with the first change after a
/// snapshot was taken.
#[derive(Debug, Default)]
pub(crate) struct Eras(VecDeque<Token>);

impl Eras {
    /// Ends the present era if snapshots of it were taken; returns whether.
    pub(crate) fn advance(&mut self, present: &mut Token) -> bool {
        if present.is_sole() {
            return false;
        }
        self.0.push_back(std::mem::replace(present, Token::new()));
        true
    }

    /// Forgets the oldest era if its last snapshot is gone; returns whether. What was given up
    /// during the era after it can then be used again, for older eras have no snapshots either.
    pub(crate) fn retire(&mut self) -> bool {
        let gone = self.0.front_mut().is_some_and(Token::is_sole);
        if gone {
            self.0.pop_front();
        }
        gone
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    /// Run with `RUSTFLAGS="--cfg loom" cargo test -p ringlay-lpm --lib model`.
    ///
    /// A snapshot names one of two cells. The writer moves on to the other cell only when the eras
    /// say that nobody reads it; the cells are relaxed, as a table's words are.
    #[test]
    fn no_word_changes_while_a_snapshot_reads_it() {
        loom::model(|| {
            let cells = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
            let mut present = Token::new();
            let published = Arc::new(Mutex::new((0, 0, present.clone())));
            let reader = {
                let (cells, published) = (Arc::clone(&cells), Arc::clone(&published));
                move || {
                    let (cell, value, token) = published.lock().unwrap().clone();
                    assert_eq!(cells[cell].load(Relaxed), value);
                    assert_eq!(cells[cell].load(Relaxed), value);
                    drop(token);
                }
            };
            let reader = loom::thread::spawn(reader);
            let mut eras = Eras::default();
            let mut retired = VecDeque::new();
            let mut free = vec![1];
            let mut current = 0;
            for value in 1..=2 {
                if eras.advance(&mut present) {
                    retired.push_back(Vec::new());
                }
                while eras.retire() {
                    free.extend(retired.pop_front().into_iter().flatten());
                }
                // Without a free cell a table would grow.
                let Some(cell) = free.pop() else { break };
                cells[cell].store(value, Relaxed);
                match retired.back_mut() {
                    Some(era) => era.push(current),
                    None => free.push(current),
                }
                current = cell;
                *published.lock().unwrap() = (cell, value, present.clone());
            }
            reader.join().unwrap();
        });
    }
}
