//! The table: the public operations over both structures. Publishing a snapshot is not its business.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::eras::Token;
use crate::iter::Iter;
use crate::position::Position;
use crate::rib::{self, NOWHERE};
use crate::values::{NONE, Values};
use crate::words::Words;
use crate::writer::Writer;
use crate::{Address, Prefix, kernel};

/// A longest-prefix match table from [`Prefix`] to `V`.
///
/// `clone` is O(1) and takes a snapshot: it shares all memory, and an update of the original copies
/// what it changes. Readers take `&self`, never wait, and never see an update made to another
/// clone. A clone can be updated too, but the first update of it copies everything: so let one table
/// be the writer's, and its clones the readers'. A table is `Send` and `Sync` if `V` is.
///
/// Values are numbered internally, which is why an update asks for `Hash`. They should be small: an
/// index or an `Arc`. A value that no route had before costs time in proportion to the number of
/// distinct values, if it is the first such since the last clone.
pub struct Table<A, V> {
    /// Where the routes' node for the first octet is.
    pub(crate) root: u32,
    /// Where the lookup node for the first octet is; zero if there is none.
    pub(crate) top: u32,
    pub(crate) len: usize,
    pub(crate) lookup: Words,
    pub(crate) routes: Words,
    /// By number; the default route's is at zero.
    pub(crate) values: Values<V>,
    /// What tells the writer that this snapshot lives; `None` before the first update.
    pub(crate) token: Option<Token>,
    /// What only updates need; `None` in a clone and before the first update.
    pub(crate) writer: Option<Box<Writer<V>>>,
    family: PhantomData<A>,
}

impl<A: Address, V> Table<A, V> {
    /// An empty table. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            root: NOWHERE,
            top: 0,
            len: 0,
            lookup: Words::default(),
            routes: Words::default(),
            values: Values::default(),
            token: None,
            writer: None,
            family: PhantomData,
        }
    }

    /// The value of the longest prefix that covers `addr`. Allocates nothing.
    #[inline]
    pub fn lookup(&self, addr: A) -> Option<&V> {
        let id = match self.top {
            0 => NONE,
            top => kernel::lookup(&self.lookup, top, addr),
        };
        self.values.get(id as usize)?.as_ref()
    }

    /// The longest prefix that covers `addr`, and its value. Slower than [`Self::lookup`].
    pub fn lookup_prefix(&self, addr: A) -> Option<(Prefix<A>, &V)> {
        let mut longest = None;
        let mut node = rib::Node::new(&self.routes, self.root);
        for octet in 0..A::OCTETS {
            let Some(present) = node else { break };
            if let Some(entry) = present.longest(addr.octet(octet)) {
                longest = Some((octet, entry));
            }
            let child = present.child(addr.octet(octet));
            node = child.and_then(|at| rib::Node::new(&self.routes, at));
        }
        let Some((octet, entry)) = longest else {
            return Some((Prefix::DEFAULT, self.default_value()?));
        };
        let index = entry.index();
        let prefix = Position { octet, index }.prefix(addr);
        Some((prefix, self.values[entry.id() as usize].as_ref()?))
    }

    /// The value of exactly this prefix.
    pub fn get(&self, prefix: &Prefix<A>) -> Option<&V> {
        let Some(position) = Position::of(prefix) else {
            return self.default_value();
        };
        let mut node = rib::Node::new(&self.routes, self.root)?;
        for octet in 0..position.octet {
            node = rib::Node::new(&self.routes, node.child(prefix.addr().octet(octet))?)?;
        }
        let id = node.route(position.index)?;
        self.values[id as usize].as_ref()
    }

    /// How many prefixes the table holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the table holds no prefix.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All prefixes with their values, ordered by address and then by length.
    pub fn iter(&self) -> Iter<'_, A, V> {
        Iter::new(self)
    }

    /// Removes all prefixes. Clones keep theirs.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn default_value(&self) -> Option<&V> {
        self.values.first()?.as_ref()
    }
}

impl<A: Address, V: Clone + Eq + Hash> Table<A, V> {
    /// Sets the value of a prefix; returns the one it had.
    pub fn insert(&mut self, prefix: Prefix<A>, value: V) -> Option<V> {
        let old = match Position::of(&prefix) {
            None => self.begin().set_default(Some(value)),
            Some(position) => self.begin().insert(prefix.addr(), position, value),
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes exactly this prefix; returns its value.
    pub fn remove(&mut self, prefix: &Prefix<A>) -> Option<V> {
        if self.len == 1 {
            let value = self.get(prefix)?.clone();
            self.clear();
            return Some(value);
        }
        if self.writer.is_none() {
            // A clone that loses nothing stays one.
            self.get(prefix)?;
        }
        let old = match Position::of(prefix) {
            None => self.begin().set_default(None),
            Some(position) => self.begin().remove(prefix.addr(), position),
        };
        self.len -= usize::from(old.is_some());
        old
    }
}

impl<A: Address, V> Default for Table<A, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// O(1): the clone shares all memory with the original.
impl<A, V> Clone for Table<A, V> {
    fn clone(&self) -> Self {
        Self {
            lookup: self.lookup.clone(),
            routes: self.routes.clone(),
            values: self.values.clone(),
            token: self.token.clone(),
            writer: None,
            ..*self
        }
    }
}

impl<A: Address, V: PartialEq> PartialEq for Table<A, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<A: Address, V: Eq> Eq for Table<A, V> {}

impl<A: Address, V: fmt::Debug> fmt::Debug for Table<A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// A later value of the same prefix replaces an earlier one. If there are many, compared with what
/// the table has, it is built anew, which takes a fraction of the time of as many inserts.
impl<A: Address, V: Clone + Eq + Hash> Extend<(Prefix<A>, V)> for Table<A, V> {
    fn extend<I: IntoIterator<Item = (Prefix<A>, V)>>(&mut self, routes: I) {
        let mut routes = routes.into_iter();
        let few: Vec<_> = routes.by_ref().take(self.len / 4 + FEW).collect();
        if few.len() < self.len / 4 + FEW {
            for (prefix, value) in few {
                self.insert(prefix, value);
            }
            return;
        }
        let old = self.iter().map(|(prefix, value)| (prefix, value.clone()));
        let built = Self::built(old.chain(few).chain(routes));
        *self = built;
    }
}

/// A later value of the same prefix replaces an earlier one.
impl<A: Address, V: Clone + Eq + Hash> FromIterator<(Prefix<A>, V)> for Table<A, V> {
    fn from_iter<I: IntoIterator<Item = (Prefix<A>, V)>>(routes: I) -> Self {
        Self::built(routes.into_iter())
    }
}

impl<'t, A: Address, V> IntoIterator for &'t Table<A, V> {
    type Item = (Prefix<A>, &'t V);
    type IntoIter = Iter<'t, A, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// So many inserts are no bulk.
const FEW: usize = 16;
