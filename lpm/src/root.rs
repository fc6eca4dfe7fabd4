//! The root of the trie: the prefixes shorter than [`ROOT_STRIDE`], and a node for each value of
//! the first [`ROOT_STRIDE`] bits. Unlike other nodes it has all its children or none, so that a
//! lookup finds the first by an index alone.

use crate::block::Block;
use crate::node::Node;
use crate::position::{Position, ROOT_STRIDE};
use crate::{Address, Prefix};

/// How many children the root has, if it has any.
const CHILDREN: u8 = 1 << ROOT_STRIDE;

/// The first bits of an address, with all prefixes that end among them.
pub(crate) struct Root<A, V> {
    /// Bit `i`: the prefix of index `i` (see [`Position`]) has a value.
    prefixes: u128,
    /// The values, in the order of the bits in `prefixes`.
    values: Block<V>,
    /// A node for each first chunk, or nothing if all of them would be vacant.
    nodes: Block<Node<A, V>>,
}

impl<A: Address, V> Root<A, V> {
    pub(crate) const EMPTY: Self = Self {
        prefixes: 0,
        values: Block::EMPTY,
        nodes: Block::EMPTY,
    };

    /// The node for the first bits of `addr`; it is above `addr`.
    #[inline]
    pub(crate) fn child(&self, addr: A) -> Option<&Node<A, V>> {
        self.child_at(addr.first_chunk())
    }

    #[inline]
    pub(crate) fn child_at(&self, chunk: u8) -> Option<&Node<A, V>> {
        self.nodes.get(usize::from(chunk))
    }

    /// The index of the longest prefix among the root's own that covers `addr`. Looked at last in
    /// a lookup, and seldom.
    pub(crate) fn hit(&self, addr: A) -> Option<u8> {
        let longest_first = (1..=ROOT_STRIDE).map(|up| (CHILDREN | addr.first_chunk()) >> up);
        longest_first
            .into_iter()
            .find(|index| self.prefixes & (1 << index) != 0)
    }

    /// The value at `index`, if that prefix has one.
    pub(crate) fn value_at(&self, index: u8) -> Option<&V> {
        let at = rank(self.prefixes, index);
        self.values
            .get(at)
            .filter(|_| self.prefixes & (1 << index) != 0)
    }

    /// The prefix of `index` in the root.
    pub(crate) fn prefix_at(&self, index: u8) -> Prefix<A> {
        Position { depth: 0, index }.prefix(A::ZERO)
    }

    /// Bytes of the allocations below the root.
    pub(crate) fn heap_size(&self) -> usize {
        self.values.heap_size() + self.nodes.deep_heap_size(Node::heap_size)
    }
}

impl<A: Address, V: Clone> Root<A, V> {
    /// Puts a value at `index` of the root; returns the one that was there.
    pub(crate) fn set(&mut self, index: u8, value: V) -> Option<V> {
        let at = rank(self.prefixes, index);
        let old = self
            .values
            .put(at, self.prefixes & (1 << index) != 0, value);
        self.prefixes |= 1 << index;
        old
    }

    /// The node for the first bits of `addr`, for changing. Makes the nodes if there are none.
    pub(crate) fn child_mut(&mut self, addr: A) -> Option<&mut Node<A, V>> {
        if self.nodes.as_slice().is_empty() {
            let path = |chunk| A::ZERO.with_tail(chunk, ROOT_STRIDE);
            self.nodes = (0..CHILDREN)
                .map(|c| Node::vacant(path(c), ROOT_STRIDE))
                .collect();
        }
        self.nodes.get_mut(usize::from(addr.first_chunk()))
    }

    /// Removes the prefix `addr` at `position`, which exists.
    pub(crate) fn unset(&mut self, addr: A, position: Position) -> Option<V> {
        if position.depth == 0 {
            let at = rank(self.prefixes, position.index);
            self.prefixes &= !(1 << position.index);
            return self.values.remove(at, |v| v.clone());
        }
        let child = self.child_mut(addr)?;
        let value = child.unset(addr, position);
        if child.is_vacant() && self.nodes.as_slice().iter().all(Node::is_vacant) {
            self.nodes = Block::EMPTY;
        }
        value
    }
}

impl<A, V> Clone for Root<A, V> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            nodes: self.nodes.clone(),
            ..*self
        }
    }
}

/// How many bits of `bitmap` are set below `bit`.
fn rank(bitmap: u128, bit: u8) -> usize {
    (bitmap & ((1 << bit) - 1)).count_ones() as usize
}
