//! Answers of a lookup node in order, while it is put together. Knows no formats.

use std::ops::Deref;

use crate::compile::Keys;
use crate::node::{Run, Slot};

/// Runs in order, no two neighbours alike.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// From `start` on, which is no less than where the last run starts, the answer is `slot`.
    pub(crate) fn push(&mut self, start: u32, slot: Slot) {
        if let Some(last) = self.0.last_mut()
            && last.start == start
        {
            last.slot = slot;
            // It may have become like the one before.
            if let [.., before, last] = &self.0[..]
                && before.slot == last.slot
            {
                self.0.pop();
            }
        } else if self.0.last().is_none_or(|last| last.slot != slot) {
            self.0.push(Run { start, slot });
        }
    }

    /// Becomes `old`, which goes up to `limit`, with the answers of `new` for some keys.
    pub(crate) fn splice(&mut self, old: &[Run], new: &[Run], (first, end): Keys, limit: u32) {
        self.0.clear();
        let kept = old.partition_point(|run| run.start < first);
        self.0.extend_from_slice(&old[..kept]);
        for run in new {
            self.push(run.start, run.slot);
        }
        if end < limit {
            let next = old.partition_point(|run| run.start <= end);
            self.push(end, old[next - 1].slot);
            self.0.extend_from_slice(&old[next..]);
        }
    }

    /// The runs, each with where it ends, the last at `end`.
    pub(crate) fn with_ends(&self, end: u32) -> impl Iterator<Item = (Run, u32)> {
        let ends = self.0.iter().skip(1).map(|run| run.start).chain([end]);
        self.0.iter().copied().zip(ends)
    }
}

impl Deref for Runs {
    type Target = [Run];

    fn deref(&self) -> &[Run] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(of: &[(u32, Slot)]) -> Vec<Run> {
        let run = |&(start, slot)| Run { start, slot };
        of.iter().map(run).collect()
    }

    fn spliced(new: &[(u32, Slot)], keys: Keys) -> Vec<Run> {
        let old = runs(&[(0, 1), (10, 2), (20, 1), (30, 3)]);
        let mut all = Runs::default();
        all.splice(&old, &runs(new), keys, 40);
        all.to_vec()
    }

    #[test]
    fn neighbours_that_become_alike_become_one() {
        assert_eq!(spliced(&[(10, 1)], (10, 20)), runs(&[(0, 1), (30, 3)]));
        assert_eq!(spliced(&[(0, 3)], (0, 30)), runs(&[(0, 3)]));
        assert_eq!(spliced(&[(0, 7)], (0, 40)), runs(&[(0, 7)]));
    }

    #[test]
    fn what_is_around_stays() {
        let expected = runs(&[(0, 1), (10, 2), (12, 5), (14, 2), (20, 1), (30, 3)]);
        assert_eq!(spliced(&[(12, 5)], (12, 14)), expected);
        let expected = runs(&[(0, 1), (10, 2), (20, 1), (30, 3), (39, 4)]);
        assert_eq!(spliced(&[(39, 4)], (39, 40)), expected);
        let expected = runs(&[(0, 4), (1, 1), (10, 2), (20, 1), (30, 3)]);
        assert_eq!(spliced(&[(0, 4)], (0, 1)), expected);
    }
}
