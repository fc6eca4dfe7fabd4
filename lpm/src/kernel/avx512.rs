//! Batches of lookups without bounds checks, with the compares and bit counts of AVX-512.
//!
//! Sixteen addresses take each step together, so that their memory accesses overlap. The first
//! steps have no branches: an address that has its answer goes through the empty node at zero
//! meanwhile. What is left then, rarely anything, goes down one by one.

#![allow(unsafe_code, reason = "a third of the time of the checked form")]

use std::arch::x86_64::{
    _bzhi_u32, _mm512_mask_cmple_epu16_mask, _mm512_maskz_loadu_epi16, _mm512_set1_epi16,
};
use std::sync::atomic::AtomicU32;

use super::{LANES, descend, two_octets};
use crate::Address;
use crate::compile::formats;
use crate::node::{CHILD, ESCAPE, HEADER, RANGES, RANKS, Slot, node_of};

/// Whether the processor has all that is needed here.
#[inline]
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
}

/// See [`super::lookup_batch`]. The processor must be [`available`].
#[inline]
pub(super) fn lookup_batch<A: Address, V: Copy>(
    words: &[AtomicU32],
    top: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    debug_assert!(available());
    // SAFETY: the one caller has asked for the instructions.
    unsafe { lookup_all(words, top, values, addrs, out) };
}

#[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
fn lookup_all<A: Address, V: Copy>(
    words: &[AtomicU32],
    top: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    let (chunks, rest) = addrs.as_chunks::<LANES>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
    for (addrs, out) in chunks.iter().zip(out_chunks) {
        let slots = lookup_lanes(words, top, addrs);
        for (slot, out) in slots.into_iter().zip(out) {
            *out = values[slot as usize];
        }
    }
    for (addr, out) in rest.iter().zip(out_rest) {
        *out = values[descend(words, CHILD | top, 0, *addr) as usize];
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
fn lookup_lanes<A: Address>(words: &[AtomicU32], top: u32, addrs: &[A; LANES]) -> [Slot; LANES] {
    let nodes = Nodes(words.as_ptr().cast());
    let formats = const { formats::<A>() };
    let mut slots = [CHILD | top; LANES];
    for (slot, addr) in slots.iter_mut().zip(addrs) {
        for at in 0..formats.plain {
            // SAFETY: the slot leads to a plain node or to zero, see `Nodes`.
            let next = unsafe { nodes.plain(node_or_zero(*slot, CHILD), addr.octet(at)) };
            *slot = if *slot & CHILD == 0 { *slot } else { next };
        }
    }
    for (slot, addr) in slots.iter_mut().zip(addrs) {
        let node = node_or_zero(*slot, CHILD);
        // SAFETY: behind the plain nodes a slot leads to a bitmap node or to zero.
        let next = unsafe { nodes.bitmap::<A>(node, addr.octet(formats.plain)) };
        *slot = if *slot & CHILD == 0 { *slot } else { next };
    }
    let at = formats.plain + 1;
    if A::OCTETS == 4 {
        descend_rest(words, &mut slots, addrs, at, CHILD);
        return slots;
    }
    // Bitmap nodes are rare here.
    descend_rest(words, &mut slots, addrs, at, RANGES);
    for (slot, addr) in slots.iter_mut().zip(addrs) {
        let node = node_or_zero(*slot, RANGES);
        // SAFETY: the slot leads to a ranges node or to zero.
        let next = unsafe { nodes.ranges(node, two_octets(*addr, at)) };
        *slot = if *slot & RANGES == 0 { *slot } else { next };
    }
    descend_rest(words, &mut slots, addrs, at + 2, CHILD);
    slots
}

/// Finds the answers of addresses one by one, if there are any without: of all that have not, if
/// `mark` is [`CHILD`], or of those that are not at a ranges node, if it is [`RANGES`].
#[inline(always)]
fn descend_rest<A: Address>(
    words: &[AtomicU32],
    slots: &mut [Slot; LANES],
    addrs: &[A; LANES],
    at: usize,
    mark: Slot,
) {
    let is_left = |slot: Slot| match mark {
        CHILD => slot & CHILD != 0,
        _ => slot & (CHILD | RANGES) == CHILD,
    };
    if slots.iter().fold(false, |any, slot| any | is_left(*slot)) {
        for (slot, addr) in slots.iter_mut().zip(addrs) {
            if is_left(*slot) {
                *slot = descend(words, *slot, at, *addr);
            }
        }
    }
}

/// The node of a slot if `mark` is set in it, else the empty node.
#[inline(always)]
fn node_or_zero(slot: Slot, mark: Slot) -> u32 {
    if slot & mark == 0 { 0 } else { node_of(slot) }
}

/// The words, by address.
///
/// Invariant: every slot that can be reached from a table's top leads to a node that
/// `node::encode` wrote into these words, and whose words are not written any more; `Editor` puts
/// no other slot into a node, and the writer gives no words back to its `Space` before all
/// snapshots that reach them are gone. The words before the first extent stay zero, which is a
/// bitmap and a ranges node without any answer but zero; a block is large enough for a plain node.
#[derive(Clone, Copy)]
struct Nodes(*const u8);

impl Nodes {
    #[inline(always)]
    unsafe fn read<T: Copy>(self, offset: usize) -> T {
        // SAFETY: the callers stay within a node, or its escaped slots.
        unsafe { self.0.add(offset).cast::<T>().read_unaligned() }
    }

    /// # Safety
    ///
    /// `node` is a plain node, or zero.
    #[inline(always)]
    unsafe fn plain(self, node: u32, octet: u8) -> Slot {
        // SAFETY: a plain node has a word for each octet.
        unsafe { self.read(4 * (node as usize + usize::from(octet))) }
    }

    /// # Safety
    ///
    /// `node` is a bitmap node, or zero.
    #[inline(always)]
    unsafe fn bitmap<A: Address>(self, node: u32, octet: u8) -> Slot {
        let (base, octet) = (4 * node as usize, usize::from(octet));
        // SAFETY: the header has a word and an octet for each group of 32.
        let (bits, before) = unsafe {
            (
                self.read::<u32>(base + 4 * (octet / 32)),
                self.read::<u8>(base + 4 * RANKS as usize + octet / 32),
            )
        };
        let upto = bits << (31 - octet % 32);
        let rank = usize::from(before) + upto.count_ones() as usize;
        // SAFETY: the first bit is set, so the rank counts one of the answers behind the header;
        // at zero it is zero and meets the header.
        let short = unsafe { self.read::<u16>(base + 4 * HEADER as usize + 2 * rank - 2) };
        if A::OCTETS == 4 && short & ESCAPE == 0 {
            return short.into();
        }
        // SAFETY: the answer is this node's.
        unsafe { self.widen(node, short) }
    }

    /// # Safety
    ///
    /// `node` is a ranges node, or zero; the processor is [`available`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    unsafe fn ranges(self, node: u32, octets: u16) -> Slot {
        let base = 4 * node as usize;
        // SAFETY: the node begins with the number of its boundaries.
        let boundaries = u32::from(unsafe { self.read::<u16>(base) });
        let octets = _mm512_set1_epi16(octets as i16);
        let mut rank = 0;
        let mut done = 0;
        loop {
            // Vectors of 32; two of them without a branch, for few nodes need more.
            for _ in 0..2 {
                let mask = _bzhi_u32(u32::MAX, boundaries.saturating_sub(done).min(32));
                // SAFETY: the mask leaves out what is behind the last boundary.
                let keys = unsafe {
                    _mm512_maskz_loadu_epi16(mask, self.0.add(base + 2 + 2 * done as usize).cast())
                };
                rank += _mm512_mask_cmple_epu16_mask(mask, keys, octets).count_ones();
                done += 32;
            }
            if done >= boundaries {
                break;
            }
        }
        // SAFETY: there is one answer more than boundaries, right behind them.
        let short = unsafe { self.read::<u16>(base + 2 * (1 + boundaries + rank) as usize) };
        // SAFETY: the answer is this node's.
        unsafe { self.widen(node, short) }
    }

    /// # Safety
    ///
    /// `short` is an answer of `node`.
    #[inline(always)]
    unsafe fn widen(self, node: u32, short: u16) -> Slot {
        let escaped = node.wrapping_sub(1 + u32::from(short & !ESCAPE));
        let at = if short & ESCAPE == 0 { 0 } else { escaped };
        // SAFETY: an escaped answer counts words in front of its node.
        let slot = unsafe { self.read(4 * at as usize) };
        if short & ESCAPE == 0 { short.into() } else { slot }
    }
}
