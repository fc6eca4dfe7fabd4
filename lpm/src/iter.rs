//! Iteration over a table in prefix order. Does not change the table.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use crate::position::Position;
use crate::rib::{Entry, Node};
use crate::{Address, Prefix, Table};

/// The prefixes of a [`Table`] with their values, ordered by address and then by length.
pub struct Iter<'t, A, V> {
    table: &'t Table<A, V>,
    default: Option<(Prefix<A>, &'t V)>,
    /// For each octet on the way to the next prefix, what is left of its node.
    path: Vec<vec::IntoIter<Item>>,
    /// The octets on the way.
    addr: A,
    left: usize,
}

/// What a node holds.
#[derive(Clone, Copy)]
enum Item {
    Route(Entry),
    /// The node for the next octet, behind this one.
    Child(u8, u32),
}

impl Item {
    /// In prefix order: by the first address, then the shorter, then what lies below.
    fn key(&self) -> (u32, u32) {
        match self {
            Self::Route(entry) => (entry.range().0, entry.index()),
            Self::Child(octet, _) => (u32::from(*octet), u32::MAX),
        }
    }
}

impl<'t, A: Address, V> Iter<'t, A, V> {
    pub(crate) fn new(table: &'t Table<A, V>) -> Self {
        let mut iter = Self {
            table,
            default: table.default_value().map(|value| (Prefix::DEFAULT, value)),
            path: Vec::with_capacity(A::OCTETS),
            addr: A::ZERO,
            left: table.len(),
        };
        iter.enter(table.root);
        iter
    }

    fn enter(&mut self, at: u32) {
        let Some(node) = Node::new(&self.table.routes, at) else {
            return;
        };
        let routes = node.routes().map(Item::Route);
        let mut items: Vec<Item> = routes.collect();
        items.extend(node.children().map(|(octet, at)| Item::Child(octet, at)));
        items.sort_unstable_by_key(Item::key);
        self.path.push(items.into_iter());
    }
}

impl<'t, A: Address, V> Iterator for Iter<'t, A, V> {
    type Item = (Prefix<A>, &'t V);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(default) = self.default.take() {
            self.left -= 1;
            return Some(default);
        }
        while let Some(items) = self.path.last_mut() {
            match items.next() {
                None => {
                    self.path.pop();
                }
                Some(Item::Child(octet, at)) => {
                    self.addr = self.addr.with_octet(self.path.len() - 1, octet);
                    self.enter(at);
                }
                Some(Item::Route(entry)) => {
                    let octet = self.path.len() - 1;
                    let index = entry.index();
                    let prefix = Position { octet, index }.prefix(self.addr);
                    self.left -= 1;
                    return Some((prefix, self.table.values[entry.id() as usize].as_ref()?));
                }
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<A: Address, V> ExactSizeIterator for Iter<'_, A, V> {}

impl<A: Address, V> FusedIterator for Iter<'_, A, V> {}

impl<A: Copy, V> Clone for Iter<'_, A, V> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            ..*self
        }
    }
}

impl<A: Address, V: fmt::Debug> fmt::Debug for Iter<'_, A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
