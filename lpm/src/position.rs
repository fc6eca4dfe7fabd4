//! Where a prefix lives in the trie: at which depth, and at which bit of that node. Holds no nodes.
//!
//! The root consumes [`ROOT_STRIDE`] bits of the address and each node below it [`STRIDE`], which
//! puts the node boundaries at bits 7, 13, 19, 25, 31, 37, 43, ...: an IPv4 /24 (19 + 5) and an
//! IPv6 /48 (43 + 5), by far the most frequent lengths of the internet's tables, then share a node
//! with up to 31 of their neighbours, and no frequent length falls on a boundary, where each
//! prefix would need a node to itself.
//!
//! Inside a node a prefix of `r` bits has the index `2^r + bits`: the numbering of a binary heap,
//! in which longer prefixes have higher indices. Index 0 is never used.

use crate::{Address, Prefix};

/// Bits of the address the root consumes.
pub(crate) const ROOT_STRIDE: u8 = 7;

/// Bits of the address a node below the root consumes.
pub(crate) const STRIDE: u8 = 6;

/// Nodes on the longest path below the root, for either family.
pub(crate) const MAX_NODES: usize = (128 - ROOT_STRIDE as usize) / STRIDE as usize + 1;

/// The indices of all prefixes in a node that cover a chunk, as a bitmap, by chunk.
pub(crate) const COVERING: [u64; 1 << STRIDE] = covering();

/// The place of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Address bits above the node: zero for the root.
    pub(crate) depth: u8,
    /// Bit of the prefix in the node's bitmap: 1 to 127 in the root, else 1 to 63.
    pub(crate) index: u8,
}

impl Position {
    #[inline]
    pub(crate) fn of<A: Address>(prefix: &Prefix<A>) -> Self {
        let (addr, len) = (prefix.addr(), prefix.len());
        if len < ROOT_STRIDE {
            let bits = addr.first_chunk() >> (ROOT_STRIDE - len);
            return Self {
                depth: 0,
                index: (1 << len) | bits,
            };
        }
        let depth = depth_within(len);
        let rest = len - depth;
        let bits = addr.chunk(depth) >> (STRIDE - rest);
        Self {
            depth,
            index: (1 << rest) | bits,
        }
    }

    /// The prefix at this place in or below a node whose own bits are `path`.
    pub(crate) fn prefix<A: Address>(self, path: A) -> Prefix<A> {
        let rest = self.index.ilog2() as u8;
        let len = self.depth + rest;
        let bits = self.index - (1 << rest);
        Prefix::from_masked(path.with_tail(bits, len), len)
    }
}

/// The depth of the deepest node that the first `len` bits of an address lead to. `len` is at
/// least [`ROOT_STRIDE`].
#[inline]
pub(crate) fn depth_within(len: u8) -> u8 {
    len - (len - ROOT_STRIDE) % STRIDE
}

const fn covering() -> [u64; 1 << STRIDE] {
    let mut table = [0; 1 << STRIDE];
    let mut chunk = 0;
    while chunk < table.len() {
        let mut rest = 0;
        while rest < STRIDE {
            table[chunk] |= 1 << ((1 << rest) | (chunk >> (STRIDE - rest)));
            rest += 1;
        }
        chunk += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn returns<A: Address>(addr: A) {
        for len in 0..=A::BITS {
            let prefix = Prefix::masking(addr, len).unwrap();
            let position = Position::of(&prefix);
            assert_eq!(position.depth == 0, len < ROOT_STRIDE);
            assert!(position.depth == 0 || position.depth % STRIDE == 1);
            let end = if position.depth == 0 { 128 } else { 64 };
            assert!((1..end).contains(&position.index), "{prefix} {position:?}");
            let path = addr.masked(position.depth);
            assert_eq!(position.prefix(path), prefix);
        }
    }

    #[test]
    fn every_length_has_a_position_that_leads_back() {
        returns(Ipv4Addr::from_bits(u32::MAX));
        returns(Ipv4Addr::new(10, 130, 77, 201));
        returns(Ipv6Addr::from_bits(u128::MAX));
        returns(Ipv6Addr::from_bits(
            0x2001_0db8_a5a5_5a5a_c3c3_3c3c_0ff0_f00f,
        ));
    }

    #[test]
    fn a_chunk_is_covered_by_one_prefix_of_each_length() {
        assert_eq!(COVERING[0], 0b1_0000_0000_0000_0001_0000_0001_0001_0110);
        for mask in COVERING {
            assert_eq!(mask.count_ones(), 6);
        }
        assert_eq!(COVERING[63] >> 63, 1);
    }
}
