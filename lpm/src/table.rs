//! The table: the public operations over the trie. Publishing a snapshot is not its business.

use std::fmt;

use crate::iter::Iter;
use crate::node::{Hit, Node};
use crate::position::Position;
use crate::root::Root;
use crate::{Address, Prefix};

/// A longest-prefix match table from [`Prefix`] to `V`.
///
/// A persistent trie: `clone` is O(1) and shares every node; an update copies the shared nodes on
/// its path, one block of 128 nodes and at most 4 (IPv4) or 20 (IPv6) of 64, and changes unshared
/// ones in place. A table is `Send` and `Sync` if `V` is. Readers take `&self`, never wait, and never see
/// an update made to another clone.
///
/// `V` is cloned when values beside it are inserted or removed, so it should be small: an index or
/// an `Arc`.
pub struct Table<A, V> {
    root: Root<A, V>,
    len: usize,
}

impl<A: Address, V> Table<A, V> {
    /// An empty table. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            root: Root::EMPTY,
            len: 0,
        }
    }

    /// The value of the longest prefix that covers `addr`. Allocates nothing.
    #[inline]
    pub fn lookup(&self, addr: A) -> Option<&V> {
        match self.longest(addr) {
            Some(hit) => hit.value(),
            None => self.root.value_at(self.root.hit(addr)?),
        }
    }

    /// The longest prefix that covers `addr`, and its value.
    pub fn lookup_prefix(&self, addr: A) -> Option<(Prefix<A>, &V)> {
        if let Some(hit) = self.longest(addr) {
            return Some((hit.prefix(), hit.value()?));
        }
        let index = self.root.hit(addr)?;
        Some((self.root.prefix_at(index), self.root.value_at(index)?))
    }

    /// The value of exactly this prefix.
    pub fn get(&self, prefix: &Prefix<A>) -> Option<&V> {
        let position = Position::of(prefix);
        if position.depth == 0 {
            return self.root.value_at(position.index);
        }
        let mut node = self.root.child(prefix.addr())?;
        while node.depth() < position.depth {
            node = node.child(prefix.addr())?;
        }
        let found = node.depth() == position.depth && node.is_above(prefix.addr());
        found.then(|| node.value_at(position.index))?
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
        Iter::new(&self.root, self.len)
    }

    /// Bytes the table takes: itself and its nodes and values, without what a value owns
    /// elsewhere. Nodes shared with other clones count in full. Walks the whole table.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.root.heap_size()
    }

    /// Removes all prefixes. Clones keep theirs.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The longest prefix that covers `addr`, but for those of the root.
    #[inline]
    fn longest(&self, addr: A) -> Option<Hit<'_, A, V>> {
        let mut longest = None;
        let mut next = self.root.child(addr);
        while let Some(node) = next.filter(|node| node.is_above(addr)) {
            longest = node.hit(addr).or(longest);
            next = node.child(addr);
        }
        longest
    }
}

impl<A: Address, V: Clone> Table<A, V> {
    /// Sets the value of a prefix; returns the one it had.
    pub fn insert(&mut self, prefix: Prefix<A>, value: V) -> Option<V> {
        let position = Position::of(&prefix);
        let old = match position.depth {
            0 => self.root.set(position.index, value),
            _ => self
                .node(prefix.addr(), position.depth)
                .set(position.index, value),
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes exactly this prefix; returns its value. An absent prefix copies no shared node.
    pub fn remove(&mut self, prefix: &Prefix<A>) -> Option<V> {
        self.get(prefix)?;
        self.len -= 1;
        self.root.unset(prefix.addr(), Position::of(prefix))
    }

    /// The node at `depth`, not the root's, on the way to `addr`. Makes it if need be.
    fn node(&mut self, addr: A, depth: u8) -> &mut Node<A, V> {
        let mut node = self
            .root
            .child_mut(addr)
            .expect("the root has a node for each chunk");
        while node.depth() < depth {
            node = node
                .descend(addr, depth)
                .expect("a bit in `children` has a node");
        }
        node
    }
}

impl<A: Address, V> Default for Table<A, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// O(1): the clone shares all nodes with the original.
impl<A: Address, V> Clone for Table<A, V> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
            len: self.len,
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

/// A later value of the same prefix replaces an earlier one.
impl<A: Address, V: Clone> Extend<(Prefix<A>, V)> for Table<A, V> {
    fn extend<I: IntoIterator<Item = (Prefix<A>, V)>>(&mut self, routes: I) {
        for (prefix, value) in routes {
            self.insert(prefix, value);
        }
    }
}

/// A later value of the same prefix replaces an earlier one.
impl<A: Address, V: Clone> FromIterator<(Prefix<A>, V)> for Table<A, V> {
    fn from_iter<I: IntoIterator<Item = (Prefix<A>, V)>>(routes: I) -> Self {
        let mut table = Self::new();
        table.extend(routes);
        table
    }
}

impl<'t, A: Address, V> IntoIterator for &'t Table<A, V> {
    type Item = (Prefix<A>, &'t V);
    type IntoIter = Iter<'t, A, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
