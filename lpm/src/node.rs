//! A node of the trie: up to 63 prefixes and 64 children, each found by a bitmap and a popcount.
//! Knows one node and its children; the walk over a whole path is the table's.

use std::mem;

use crate::block::Block;
use crate::position::{COVERING, Position, STRIDE, depth_within};
use crate::{Address, Prefix};

/// Six bits of an address, with all prefixes that end among them.
///
/// Children lie side by side in one allocation, so a step down is one dependent load. Paths are
/// compressed: a child may lie more than one stride below, and `path` tells which bits lie between.
pub(crate) struct Node<A, V> {
    /// Bit `i`: the prefix of index `i` (see [`Position`]) has a value.
    prefixes: u64,
    /// Bit `c`: there is a child for chunk `c`.
    children: u64,
    /// The values, in the order of the bits in `prefixes`.
    values: Block<V>,
    /// The children, in the order of the bits in `children`.
    nodes: Block<Self>,
    /// The address bits above the node, the rest zero.
    path: A,
    /// How many address bits are above the node.
    depth: u8,
}

/// The longest prefix in a node that covers an address.
pub(crate) struct Hit<'t, A, V> {
    node: &'t Node<A, V>,
    index: u8,
}

impl<A: Address, V> Node<A, V> {
    const NOWHERE: Self = Self::vacant(A::ZERO, 0);

    /// A node without prefixes and children.
    pub(crate) const fn vacant(path: A, depth: u8) -> Self {
        let (values, nodes) = (Block::EMPTY, Block::EMPTY);
        Self {
            prefixes: 0,
            children: 0,
            values,
            nodes,
            path,
            depth,
        }
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.prefixes == 0 && self.children == 0
    }

    /// Whether the bits above the node are those of `addr`.
    #[inline]
    pub(crate) fn is_above(&self, addr: A) -> bool {
        self.path.common_len(addr) >= self.depth
    }

    /// The longest prefix among this node's own that covers `addr`, which the node is above.
    #[inline]
    pub(crate) fn hit(&self, addr: A) -> Option<Hit<'_, A, V>> {
        let hits = self.prefixes & COVERING[usize::from(addr.chunk(self.depth))];
        let index = hits.checked_ilog2()? as u8;
        Some(Hit { node: self, index })
    }

    /// The child on the way to `addr`; it may turn out not to be above `addr`.
    #[inline]
    pub(crate) fn child(&self, addr: A) -> Option<&Self> {
        self.child_at(addr.chunk(self.depth))
    }

    #[inline]
    pub(crate) fn child_at(&self, chunk: u8) -> Option<&Self> {
        let at = slot(self.children, chunk)?;
        self.nodes.get(at)
    }

    /// The value at `index`, if that prefix has one.
    #[inline]
    pub(crate) fn value_at(&self, index: u8) -> Option<&V> {
        let at = slot(self.prefixes, index)?;
        self.values.get(at)
    }

    /// The prefix of `index` in this node.
    pub(crate) fn prefix_at(&self, index: u8) -> Prefix<A> {
        Position {
            depth: self.depth,
            index,
        }
        .prefix(self.path)
    }

    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    /// Bytes of the allocations below this node.
    pub(crate) fn heap_size(&self) -> usize {
        self.values.heap_size() + self.nodes.deep_heap_size(Self::heap_size)
    }

    /// Moves the node out of a slot that is not used again.
    fn take(&mut self) -> Self {
        mem::replace(self, Self::NOWHERE)
    }
}

impl<A: Address, V: Clone> Node<A, V> {
    /// Puts a value at `index` of this node; returns the one that was there.
    pub(crate) fn set(&mut self, index: u8, value: V) -> Option<V> {
        let at = rank(self.prefixes, index);
        let old = self
            .values
            .put(at, self.prefixes & (1 << index) != 0, value);
        self.prefixes |= 1 << index;
        old
    }

    /// The node below this one at the depth `target` on the way to `addr`; or, if the
    /// path has no node there, the next above it. Nodes that `target` needs are made.
    pub(crate) fn descend(&mut self, addr: A, target: u8) -> Option<&mut Self> {
        let chunk = addr.chunk(self.depth);
        let at = rank(self.children, chunk);
        if slot(self.children, chunk).is_none() {
            let leaf = Self::vacant(addr.masked(target), target);
            self.nodes.insert(at, leaf, Self::take);
            self.children |= 1 << chunk;
            return self.nodes.get_mut(at);
        }
        let child = self.nodes.get_mut(at)?;
        let shared = depth_within(child.path.common_len(addr));
        let meeting = shared.min(target);
        if meeting < child.depth {
            child.split(meeting);
        }
        Some(child)
    }

    /// Puts a new node at `depth` above this one.
    fn split(&mut self, depth: u8) {
        let lower = self.take();
        *self = Self::vacant(lower.path.masked(depth), depth);
        self.children = 1 << lower.path.chunk(depth);
        self.nodes = Block::single(lower);
    }

    /// Removes the prefix `addr` at `position`, which exists in this node or below, and the nodes
    /// that nothing needs any more.
    pub(crate) fn unset(&mut self, addr: A, position: Position) -> Option<V> {
        if position.depth == self.depth {
            let at = slot(self.prefixes, position.index)?;
            self.prefixes &= !(1 << position.index);
            return self.values.remove(at, |v| v.clone());
        }
        let chunk = addr.chunk(self.depth);
        let at = slot(self.children, chunk)?;
        let child = self.nodes.get_mut(at)?;
        let value = child.unset(addr, position);
        if child.prefixes == 0 && child.children.is_power_of_two() {
            let only = child.nodes.remove(0, Self::take);
            *child = only.expect("a bit in `children` has a node");
        } else if child.is_vacant() {
            self.nodes.remove(at, Self::take);
            self.children &= !(1 << chunk);
        }
        value
    }
}

impl<'t, A: Address, V> Hit<'t, A, V> {
    #[inline]
    pub(crate) fn value(&self) -> Option<&'t V> {
        self.node.value_at(self.index)
    }

    pub(crate) fn prefix(&self) -> Prefix<A> {
        self.node.prefix_at(self.index)
    }
}

impl<A: Copy, V> Clone for Node<A, V> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            nodes: self.nodes.clone(),
            ..*self
        }
    }
}

/// How many bits of `bitmap` are set below `bit`.
#[inline]
fn rank(bitmap: u64, bit: u8) -> usize {
    (bitmap & ((1 << bit) - 1)).count_ones() as usize
}

/// The place of `bit` among the set bits of `bitmap`, if it is set.
#[inline]
fn slot(bitmap: u64, bit: u8) -> Option<usize> {
    (bitmap & (1 << bit) != 0).then(|| rank(bitmap, bit))
}

const _: () = assert!(
    1 << STRIDE == u64::BITS,
    "the bitmaps have a bit for each chunk"
);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::Ipv6Table;

    /// A step down touches one or two cache lines, however large the value is.
    #[test]
    fn nodes_have_the_size_they_are_said_to_have() {
        assert_eq!(size_of::<Node<Ipv4Addr, u32>>(), 56);
        assert_eq!(size_of::<Node<Ipv4Addr, [u64; 8]>>(), 56);
        assert_eq!(size_of::<Node<Ipv6Addr, u32>>(), 72);
        assert_eq!(size_of::<Ipv6Table<u32>>(), 64);
    }
}
