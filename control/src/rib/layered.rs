//! Objects of one kind, from several sources. Does not know what the objects mean.

use std::{collections::BTreeMap, ops::RangeBounds};

use crate::object::{Kind, Source};

/// Objects by key; under each key one object a source, of which the one with the highest
/// precedence is in force.
#[derive(Debug)]
pub(crate) struct Layered<T: Kind> {
    map: BTreeMap<T::Key, Layers<T>>,
}

/// Objects under one key. Nearly always there is one, which takes no allocation of its own.
#[derive(Debug)]
struct Layers<T> {
    in_force: (Source, T),
    /// By descending precedence.
    overridden: Vec<(Source, T)>,
}

impl<T: Kind> Layered<T> {
    /// Sets a source's object; returns the one it had under this key.
    pub(crate) fn put(&mut self, source: Source, object: T) -> Option<T> {
        let Some(layers) = self.map.get_mut(&object.key()) else {
            let layers = Layers {
                in_force: (source, object),
                overridden: Vec::new(),
            };
            let key = layers.in_force.1.key();
            self.map.insert(key, layers);
            return None;
        };
        layers.put(source, object)
    }

    /// Removes a source's object under this key.
    pub(crate) fn remove(&mut self, source: Source, key: &T::Key) -> Option<T> {
        let layers = self.map.get_mut(key)?;
        if layers.in_force.0 != source {
            let at = layers
                .overridden
                .iter()
                .position(|(other, _)| *other == source)?;
            return Some(layers.overridden.remove(at).1);
        }
        if layers.overridden.is_empty() {
            return self.map.remove(key).map(|layers| layers.in_force.1);
        }
        let next = layers.overridden.remove(0);
        Some(std::mem::replace(&mut layers.in_force, next).1)
    }

    /// A source's object under this key.
    pub(crate) fn of(&self, source: Source, key: &T::Key) -> Option<&T> {
        let found = self
            .map
            .get(key)?
            .iter()
            .find(|(other, _)| *other == source);
        found.map(|(_, object)| object)
    }

    /// The object in force under this key.
    pub(crate) fn get(&self, key: &T::Key) -> Option<&T> {
        self.entry(key).map(|(_, object)| object)
    }

    /// The object in force under this key, and whose it is.
    pub(crate) fn entry(&self, key: &T::Key) -> Option<(Source, &T)> {
        self.map
            .get(key)
            .map(|layers| (layers.in_force.0, &layers.in_force.1))
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The objects in force, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Source, &T)> {
        self.map
            .values()
            .map(|layers| (layers.in_force.0, &layers.in_force.1))
    }

    /// The objects in force whose keys are in a range, by key.
    pub(crate) fn range(&self, range: impl RangeBounds<T::Key>) -> impl Iterator<Item = &T> {
        self.map.range(range).map(|(_, layers)| &layers.in_force.1)
    }

    /// All objects, by key and precedence.
    pub(crate) fn iter_all(&self) -> impl Iterator<Item = (Source, &T)> {
        let all = self.map.values().flat_map(Layers::iter);
        all.map(|(source, object)| (*source, object))
    }
}

impl<T> Layers<T> {
    fn iter(&self) -> impl Iterator<Item = &(Source, T)> {
        std::iter::once(&self.in_force).chain(&self.overridden)
    }

    fn put(&mut self, source: Source, object: T) -> Option<T> {
        if self.in_force.0 == source {
            return Some(std::mem::replace(&mut self.in_force.1, object));
        }
        if source < self.in_force.0 {
            let below = std::mem::replace(&mut self.in_force, (source, object));
            self.overridden.insert(0, below);
            return None;
        }
        match self
            .overridden
            .binary_search_by_key(&source, |(other, _)| *other)
        {
            Ok(at) => Some(std::mem::replace(&mut self.overridden[at].1, object)),
            Err(at) => {
                self.overridden.insert(at, (source, object));
                None
            }
        }
    }
}

impl<T: Kind> Default for Layered<T> {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::object::Vtep;

    fn vtep(mac_end: u8) -> Vtep {
        Vtep {
            network: "blue".parse().unwrap(),
            address: IpAddr::from([192, 0, 2, 1]),
            mac: Some([2, 0, 0, 0, 0, mac_end].into()),
        }
    }

    #[test]
    fn the_source_of_highest_precedence_wins_and_uncovers_the_next() {
        let key = vtep(0).key();
        let mut layered = Layered::default();
        assert_eq!(layered.put(Source::Cni, vtep(3)), None);
        assert_eq!(layered.put(Source::Cluster, vtep(4)), None);
        assert_eq!(layered.put(Source::Static, vtep(1)), None);
        assert_eq!(layered.put(Source::Grpc, vtep(2)), None);
        assert_eq!(layered.put(Source::Grpc, vtep(5)), Some(vtep(2)));
        assert_eq!(layered.iter_all().count(), 4);
        for (source, end) in [
            (Source::Static, 1),
            (Source::Grpc, 5),
            (Source::Cni, 3),
            (Source::Cluster, 4),
        ] {
            assert_eq!(layered.entry(&key), Some((source, &vtep(end))));
            assert_eq!(layered.remove(source, &key), Some(vtep(end)));
        }
        assert_eq!(layered.get(&key), None);
    }

    #[test]
    fn removing_an_overridden_object_changes_nothing_in_force() {
        let key = vtep(0).key();
        let mut layered = Layered::default();
        layered.put(Source::Grpc, vtep(2));
        layered.put(Source::Cni, vtep(3));
        assert_eq!(layered.remove(Source::Static, &key), None);
        assert_eq!(layered.remove(Source::Cni, &key), Some(vtep(3)));
        assert_eq!(layered.entry(&key), Some((Source::Grpc, &vtep(2))));
    }
}
