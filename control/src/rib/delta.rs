//! What a change did to the objects in force.

use std::collections::BTreeMap;

use super::Rib;
use crate::object::{FdbEntry, Key, Neighbour, Network, Object, Port, Route, Vtep};

/// One object that appeared, changed, or went.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<T> {
    /// As it was, if it was.
    pub before: Option<T>,
    /// As it is, if it is.
    pub after: Option<T>,
}

impl<T> Change<T> {
    /// The object as it is, or else as it was.
    ///
    /// # Panics
    ///
    /// If it is neither, which [`Delta`] never holds.
    pub fn latest(&self) -> &T {
        self.after
            .as_ref()
            .or(self.before.as_ref())
            .expect("a change has a before or an after")
    }
}

/// What a change did to the objects in force, by kind and key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Networks.
    pub networks: Vec<Change<Network>>,
    /// Ports.
    pub ports: Vec<Change<Port>>,
    /// VTEPs.
    pub vteps: Vec<Change<Vtep>>,
    /// Routes.
    pub routes: Vec<Change<Route>>,
    /// Neighbours.
    pub neighbours: Vec<Change<Neighbour>>,
    /// FDB entries.
    pub fdb: Vec<Change<FdbEntry>>,
}

impl Delta {
    /// Compares the objects that were in force with those that are.
    pub(super) fn new(before: BTreeMap<Key, Option<Object>>, rib: &Rib) -> Self {
        let mut delta = Self::default();
        for (key, before) in before {
            let after = rib.object(&key);
            if before != after {
                delta.push(before, after);
            }
        }
        delta
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
            && self.ports.is_empty()
            && self.vteps.is_empty()
            && self.routes.is_empty()
            && self.neighbours.is_empty()
            && self.fdb.is_empty()
    }

    /// Every change, by kind and key.
    pub fn iter(&self) -> impl Iterator<Item = Change<Object>> {
        fn objects<T: Clone + Into<Object>>(
            changes: &[Change<T>],
        ) -> impl Iterator<Item = Change<Object>> {
            changes.iter().map(|change| Change {
                before: change.before.clone().map(Into::into),
                after: change.after.clone().map(Into::into),
            })
        }
        objects(&self.networks)
            .chain(objects(&self.ports))
            .chain(objects(&self.vteps))
            .chain(objects(&self.routes))
            .chain(objects(&self.neighbours))
            .chain(objects(&self.fdb))
    }

    fn push(&mut self, before: Option<Object>, after: Option<Object>) {
        macro_rules! push {
            ($($kind:ident => $field:ident,)*) => {
                match (before, after) {
                    $(
                        (Some(Object::$kind(before)), Some(Object::$kind(after))) => self
                            .$field
                            .push(Change { before: Some(before), after: Some(after) }),
                        (Some(Object::$kind(before)), None) => {
                            self.$field.push(Change { before: Some(before), after: None });
                        }
                        (None, Some(Object::$kind(after))) => {
                            self.$field.push(Change { before: None, after: Some(after) });
                        }
                    )*
                    (before, after) => unreachable!("one key, two kinds: {before:?}, {after:?}"),
                }
            };
        }
        push! {
            Network => networks,
            Port => ports,
            Vtep => vteps,
            Route => routes,
            Neighbour => neighbours,
            FdbEntry => fdb,
        }
    }
}
