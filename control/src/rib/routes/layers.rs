//! Prefixes of one IP version and one network, from several sources. Does not know where they
//! lead.

use std::{collections::BTreeMap, ops::Bound};

use super::paths::PathId;
use crate::object::Source;

/// Where one source's route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathId,
    pub(super) source: Source,
}

/// Routes by prefix; under each prefix one a source, of which the one with the highest precedence
/// is in force.
#[derive(Clone, Debug)]
pub(super) struct Layers<P> {
    pub(super) in_force: BTreeMap<P, Entry>,
    /// By descending precedence, never empty. Few prefixes have any.
    pub(super) overridden: BTreeMap<P, Vec<Entry>>,
}

impl<P: Copy + Ord> Layers<P> {
    /// Sets a source's route; returns where the one it had led.
    pub(super) fn put(&mut self, prefix: P, entry: Entry) -> Option<PathId> {
        let Some(top) = self.in_force.get_mut(&prefix) else {
            self.in_force.insert(prefix, entry);
            return None;
        };
        if top.source == entry.source {
            return Some(std::mem::replace(top, entry).path);
        }
        if entry.source < top.source {
            let below = std::mem::replace(top, entry);
            return self.put_below(prefix, below);
        }
        self.put_below(prefix, entry)
    }

    /// The same among those that are not in force.
    pub(super) fn put_below(&mut self, prefix: P, entry: Entry) -> Option<PathId> {
        let below = self.overridden.entry(prefix).or_default();
        match below.binary_search_by_key(&entry.source, |other| other.source) {
            Ok(at) => Some(std::mem::replace(&mut below[at], entry).path),
            Err(at) => {
                below.insert(at, entry);
                None
            }
        }
    }

    /// Removes a source's route; returns where it led.
    pub(super) fn remove(&mut self, prefix: P, source: Source) -> Option<PathId> {
        let top = *self.in_force.get(&prefix)?;
        if top.source != source {
            return self.take_below(prefix, |other| other.source == source);
        }
        let next = self.pop_below(prefix);
        match next {
            Some(next) => self.in_force.insert(prefix, next),
            None => self.in_force.remove(&prefix),
        };
        Some(top.path)
    }

    /// Takes out the one that comes next in precedence after the one in force.
    pub(super) fn pop_below(&mut self, prefix: P) -> Option<Entry> {
        let mut taken = None;
        self.take_below(prefix, |other| {
            taken = Some(*other);
            true
        });
        taken
    }

    /// Takes out the first of those that are not in force which fits.
    pub(super) fn take_below(
        &mut self,
        prefix: P,
        fits: impl FnMut(&Entry) -> bool,
    ) -> Option<PathId> {
        let below = self.overridden.get_mut(&prefix)?;
        let at = below.iter().position(fits)?;
        let taken = below.remove(at);
        if below.is_empty() {
            self.overridden.remove(&prefix);
        }
        Some(taken.path)
    }

    /// A source's route.
    pub(super) fn of(&self, prefix: P, source: Source) -> Option<PathId> {
        let mut all = self.at(prefix);
        all.find(|entry| entry.source == source)
            .map(|entry| entry.path)
    }

    /// The route in force.
    pub(super) fn get(&self, prefix: P) -> Option<Entry> {
        self.in_force.get(&prefix).copied()
    }

    /// The routes in force from a prefix on.
    pub(super) fn from(&self, first: Bound<P>) -> impl Iterator<Item = (P, Entry)> {
        let range = self.in_force.range((first, Bound::Unbounded));
        range.map(|(prefix, entry)| (*prefix, *entry))
    }

    /// All routes from a prefix on, by prefix and precedence.
    pub(super) fn all_from(&self, first: Bound<P>) -> impl Iterator<Item = (P, Entry)> {
        self.from(first).flat_map(|(prefix, top)| {
            let below = self.overridden.get(&prefix).into_iter().flatten().copied();
            std::iter::once(top)
                .chain(below)
                .map(move |entry| (prefix, entry))
        })
    }

    fn at(&self, prefix: P) -> impl Iterator<Item = Entry> {
        let below = self.overridden.get(&prefix).into_iter().flatten().copied();
        self.get(prefix).into_iter().chain(below)
    }
}

impl<P> Default for Layers<P> {
    fn default() -> Self {
        Self {
            in_force: BTreeMap::new(),
            overridden: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::paths::Paths, *};
    use crate::object::{Path, Target};

    #[test]
    fn the_source_of_highest_precedence_wins_and_uncovers_the_next() {
        let mut paths = Paths::default();
        let mut id = |via| {
            let path = Path {
                target: Target::Drop,
                via: Some([192, 0, 2, via].into()),
                direct: false,
            };
            paths.name(&path)
        };
        let entry = |source, path| Entry { path, source };
        let [first, second, third] = [id(1), id(2), id(3)];
        let mut layers = Layers::default();
        assert_eq!(layers.put(7, entry(Source::Cni, third)), None);
        assert_eq!(layers.put(7, entry(Source::Static, first)), None);
        assert_eq!(layers.put(7, entry(Source::Grpc, first)), None);
        assert_eq!(layers.put(7, entry(Source::Grpc, second)), Some(first));
        assert_eq!(layers.of(7, Source::Grpc), Some(second));
        assert_eq!(layers.all_from(Bound::Unbounded).count(), 3);
        assert_eq!(layers.remove(7, Source::Cluster), None);
        for (source, path) in [
            (Source::Static, first),
            (Source::Grpc, second),
            (Source::Cni, third),
        ] {
            assert_eq!(layers.get(7), Some(entry(source, path)));
            assert_eq!(layers.remove(7, source), Some(path));
        }
        assert_eq!(layers.get(7), None);
        assert!(layers.overridden.is_empty());
    }
}
