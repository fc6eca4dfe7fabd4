//! The two formats of lookup nodes, and one step down. Knows no routes: those are in `rib`.
//!
//! A node answers for the 256 values of one octet of the address. Its answer is a [`Slot`]: the
//! number of a value, or the node for the next octet. Every prefix is pushed down to the slots it
//! answers for, so that a lookup ends with the first number it meets.
//!
//! - For the first octets a node is plain: 256 slots. There are at most 257 such nodes.
//! - Below, a node is compressed: equal neighbours share a slot. Eight words of bitmap mark where
//!   slots begin to differ; two words hold, an octet for each word of bitmap, how many bits are
//!   set in the words before; then come the slots. The last octets of the header and the first
//!   slots share a cache line.

use std::sync::atomic::AtomicU32;

use crate::words::load;

/// An answer of a node: the number of a value, or with [`CHILD`] set, where the next node is.
pub(crate) type Slot = u32;

/// Marks a slot that leads on to a node.
pub(crate) const CHILD: Slot = 1 << 31;

/// Slots of a node before compression.
pub(crate) type Painted = [Slot; 256];

/// Octets whose nodes are plain.
pub(crate) const PLAIN_OCTETS: usize = 2;

/// Words before the slots of a compressed node.
const HEADER: u32 = 10;
/// Where in the header the ranks are.
const RANKS: u32 = 8;

/// The answer of a plain node.
#[inline(always)]
pub(crate) fn plain(words: &[AtomicU32], node: u32, octet: u8) -> Slot {
    load(words, node + u32::from(octet))
}

/// The answer of a compressed node.
#[inline(always)]
pub(crate) fn compressed(words: &[AtomicU32], node: u32, octet: u8) -> Slot {
    load(words, node + slot_index(words, node, octet))
}

/// The answer of the node for the octet number `at`.
#[inline(always)]
pub(crate) fn answer(words: &[AtomicU32], node: u32, at: usize, octet: u8) -> Slot {
    if at < PLAIN_OCTETS {
        plain(words, node, octet)
    } else {
        compressed(words, node, octet)
    }
}

/// Which word of the node for the octet number `at` holds the slot of `octet`.
pub(crate) fn slot_word(words: &[AtomicU32], node: u32, at: usize, octet: u8) -> u32 {
    if at < PLAIN_OCTETS {
        u32::from(octet)
    } else {
        slot_index(words, node, octet)
    }
}

#[inline(always)]
fn slot_index(words: &[AtomicU32], node: u32, octet: u8) -> u32 {
    let octet = u32::from(octet);
    let upto = load(words, node + octet / 32) << (31 - octet % 32);
    let ranks = load(words, node + RANKS + octet / 128);
    let before = (ranks >> (octet / 32 % 4 * 8)) & 0xff;
    HEADER - 1 + before + upto.count_ones()
}

/// Words of the node for the octet number `at`.
pub(crate) fn len(words: &[AtomicU32], node: u32, at: usize) -> u32 {
    if at < PLAIN_OCTETS {
        256
    } else {
        slot_index(words, node, 255) + 1
    }
}

/// All answers of the node for the octet number `at`.
pub(crate) fn paint(words: &[AtomicU32], node: u32, at: usize) -> Painted {
    let mut painted = [0; 256];
    if at < PLAIN_OCTETS {
        for (slot, octet) in painted.iter_mut().zip(0..=u8::MAX) {
            *slot = plain(words, node, octet);
        }
        return painted;
    }
    let mut next = node + HEADER;
    let mut slot = 0;
    for (group, octets) in painted.chunks_exact_mut(32).enumerate() {
        let bitmap = load(words, node + group as u32);
        for (bit, octet) in octets.iter_mut().enumerate() {
            if bitmap >> bit & 1 != 0 {
                slot = load(words, next);
                next += 1;
            }
            *octet = slot;
        }
    }
    painted
}

/// The words of the node for the octet number `at` that gives these answers.
pub(crate) fn encode(painted: &Painted, at: usize, words: &mut Vec<u32>) {
    words.clear();
    if at < PLAIN_OCTETS {
        words.extend_from_slice(painted);
        return;
    }
    words.resize(HEADER as usize, 0);
    let mut last = !painted[0];
    for (group, octets) in painted.chunks_exact(32).enumerate() {
        let before = (words.len() - HEADER as usize) as u32;
        words[RANKS as usize + group / 4] |= before << (group % 4 * 8);
        let mut bitmap = 0;
        for (bit, slot) in octets.iter().enumerate() {
            if *slot != last {
                bitmap |= 1 << bit;
                words.push(*slot);
                last = *slot;
            }
        }
        words[group] = bitmap;
    }
}
