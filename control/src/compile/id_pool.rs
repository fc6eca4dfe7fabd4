//! Identifiers for objects of the dataplane. Does not know what they stand for.

use std::collections::VecDeque;

/// Hands out numbers from zero on, and a returned one again only after [`QUARANTINE`] others were
/// returned: what still carries it, such as a frame that waits in a worker, must not meet another
/// object.
#[derive(Clone, Debug, Default)]
pub(super) struct IdPool {
    next: u32,
    returned: VecDeque<u32>,
}

const QUARANTINE: usize = 64;

impl IdPool {
    /// A number that nobody has.
    pub(super) fn take(&mut self) -> u32 {
        if self.returned.len() > QUARANTINE
            && let Some(id) = self.returned.pop_front()
        {
            return id;
        }
        let id = self.next;
        self.next += 1;
        id
    }

    /// Gives a number back.
    pub(super) fn give_back(&mut self, id: u32) {
        self.returned.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returned_numbers_rest_before_they_come_back() {
        let mut pool = IdPool::default();
        assert_eq!((pool.take(), pool.take()), (0, 1));
        pool.give_back(0);
        for fresh in 2..=QUARANTINE as u32 + 1 {
            assert_eq!(pool.take(), fresh);
            pool.give_back(fresh);
        }
        assert_eq!(pool.take(), 0);
    }
}
