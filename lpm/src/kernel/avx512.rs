//! Lookups without bounds checks, with the compares and bit counts of AVX-512.
//!
//! A batch takes each step with many addresses before the next step, and each step asks for the
//! cache lines of the next, so that many memory accesses are under way at once. The steps that most
//! addresses take have no branches: an address that has its answer goes through the empty node at
//! zero meanwhile. The few that need more steps go down one by one.

#![allow(unsafe_code, reason = "a third of the time of the checked form")]

use std::arch::x86_64::{
    _MM_HINT_T0, _bzhi_u64, _mm_prefetch, _mm512_mask_cmple_epu16_mask, _mm512_maskz_loadu_epi16,
    _mm512_set1_epi16,
};
use std::sync::atomic::AtomicU32;

use super::two_octets;
use crate::Address;
use crate::compile::formats;
use crate::node::{CHILD, ESCAPE, HEADER, RANGES, RANKS, Slot, node_of};

/// How many addresses go down side by side.
const LANES: usize = 32;

/// Whether the processor has all that is needed here.
#[inline]
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
}

/// See [`super::lookup`]. The processor must be [`available`].
#[inline]
pub(super) fn lookup<A: Address>(words: &[AtomicU32], top: u32, addr: A) -> Slot {
    debug_assert!(available());
    // SAFETY: the one caller has asked for the instructions.
    unsafe { descend(Nodes::of(words), CHILD | top, 0, addr) }
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
    let nodes = Nodes::of(words);
    for (addrs, out) in addrs.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let mut lanes = Lanes {
            slots: [0; LANES],
            answers: [0; LANES],
        };
        // SAFETY: the one caller has asked for the instructions.
        unsafe {
            match A::OCTETS {
                4 => lanes.look_up_short(nodes, top, addrs),
                _ => lanes.look_up_long(nodes, top, addrs),
            }
        }
        for (slot, out) in lanes.slots.iter().zip(out) {
            *out = values[*slot as usize];
        }
    }
}

/// Follows a slot for the octet number `at` to the number of a value.
#[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
fn descend<A: Address>(nodes: Nodes, mut slot: Slot, mut at: usize, addr: A) -> Slot {
    let formats = const { formats::<A>() };
    while slot & CHILD != 0 {
        let node = node_of(slot);
        if slot & RANGES != 0 {
            // SAFETY: the slot leads to a ranges node.
            slot = unsafe { nodes.widen(node, nodes.ranges(node, two_octets(addr, at))) };
            at += 2;
        } else if at < formats.plain {
            // SAFETY: for these octets nodes are plain.
            slot = unsafe { nodes.plain(node, addr.octet(at)) };
            at += 1;
        } else {
            // SAFETY: the slot leads to a bitmap node.
            slot = unsafe { nodes.widen(node, nodes.bitmap(node, addr.octet(at))) };
            at += 1;
        }
    }
    slot
}

/// Addresses on their way down.
struct Lanes {
    /// What each has found.
    slots: [Slot; LANES],
    /// How far from the first word the next answer is.
    answers: [usize; LANES],
}

impl Lanes {
    /// Addresses whose bits mostly end in one octet behind the plain nodes.
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    fn look_up_short<A: Address>(&mut self, nodes: Nodes, top: u32, addrs: &[A]) {
        self.step_plain(nodes, top, addrs);
        self.step_bitmap(nodes, addrs);
        let at = const { formats::<A>() }.plain + 1;
        for ((slot, answer), addr) in self.slots.iter_mut().zip(&self.answers).zip(addrs) {
            // SAFETY: `step_bitmap` has put it there.
            let short = unsafe { nodes.read::<u16>(*answer) };
            let found = is_child(*slot);
            if short & ESCAPE != 0 {
                // SAFETY: only nodes have such answers, and this is its.
                *slot = unsafe { nodes.widen(node_of(*slot), short) };
                *slot = descend(nodes, *slot, at, *addr);
            } else {
                *slot = (u32::from(short) & found) | (*slot & !found);
            }
        }
    }

    /// Addresses whose bits mostly end three octets behind the plain nodes.
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    fn look_up_long<A: Address>(&mut self, nodes: Nodes, top: u32, addrs: &[A]) {
        self.step_plain(nodes, top, addrs);
        self.step_bitmap(nodes, addrs);
        let at = const { formats::<A>() }.plain + 1;
        for ((slot, answer), addr) in self.slots.iter_mut().zip(&self.answers).zip(addrs) {
            let found = is_child(*slot);
            // SAFETY: `step_bitmap` has put it there, and it is the node's.
            let next = unsafe { nodes.widen(node_of(*slot & found), nodes.read(*answer)) };
            *slot = (next & found) | (*slot & !found);
            if *slot & (CHILD | RANGES) == CHILD {
                *slot = descend(nodes, *slot, at, *addr);
            }
            nodes.prefetch(4 * node_of(*slot & is_child(*slot)) as usize);
        }
        self.step_ranges(nodes, at, addrs);
    }

    /// Goes through the plain nodes.
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    fn step_plain<A: Address>(&mut self, nodes: Nodes, top: u32, addrs: &[A]) {
        for (slot, addr) in self.slots.iter_mut().zip(addrs) {
            *slot = CHILD | top;
            for at in 0..const { formats::<A>() }.plain {
                let found = is_child(*slot);
                // SAFETY: for these octets a slot leads to a plain node or to zero.
                let next = unsafe { nodes.plain(node_of(*slot & found), addr.octet(at)) };
                *slot = (next & found) | (*slot & !found);
            }
            nodes.prefetch(4 * node_of(*slot & is_child(*slot)) as usize);
        }
    }

    /// Finds where the answers of bitmap nodes are.
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    fn step_bitmap<A: Address>(&mut self, nodes: Nodes, addrs: &[A]) {
        let at = const { formats::<A>() }.plain;
        for ((slot, answer), addr) in self.slots.iter().zip(&mut self.answers).zip(addrs) {
            let node = node_of(*slot & is_child(*slot));
            // SAFETY: behind the plain nodes a slot leads to a bitmap node or to zero.
            *answer = unsafe { nodes.bitmap_answer(node, addr.octet(at)) };
            nodes.prefetch(*answer);
        }
    }

    /// Goes through ranges nodes for the octet number `at`, and on to the end.
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    fn step_ranges<A: Address>(&mut self, nodes: Nodes, at: usize, addrs: &[A]) {
        for ((slot, answer), addr) in self.slots.iter().zip(&mut self.answers).zip(addrs) {
            let node = node_of(*slot & is_child(*slot));
            // SAFETY: every slot that is left leads to a ranges node or to zero.
            *answer = unsafe { nodes.ranges_answer(node, two_octets(*addr, at)) };
            nodes.prefetch(*answer);
        }
        for ((slot, answer), addr) in self.slots.iter_mut().zip(&self.answers).zip(addrs) {
            // SAFETY: it was put there right above.
            let short = unsafe { nodes.read::<u16>(*answer) };
            let found = is_child(*slot);
            if short & ESCAPE != 0 {
                // SAFETY: only nodes have such answers, and this is its.
                *slot = unsafe { nodes.widen(node_of(*slot), short) };
                *slot = descend(nodes, *slot, at + 2, *addr);
            } else {
                *slot = (u32::from(short) & found) | (*slot & !found);
            }
        }
    }
}

/// All bits if the slot leads to a node, else none: a mask for what would be a branch.
#[inline(always)]
fn is_child(slot: Slot) -> u32 {
    (slot as i32 >> 31) as u32
}

/// The words, by address.
///
/// Invariant: every slot that can be reached from a table's top leads to a node that
/// `node::encode` wrote into these words, and whose words are not written any more: `Editor` puts
/// no other slot into a node, and `Space` hands out no words again before all snapshots that reach
/// them are gone. The words before the first extent stay zero, which is a bitmap and a ranges node
/// with no answer but zero; a block with a node has room for a plain one.
#[derive(Clone, Copy)]
struct Nodes(*const u8);

impl Nodes {
    fn of(words: &[AtomicU32]) -> Self {
        Self(words.as_ptr().cast())
    }

    /// Asks for the cache line `offset` octets from the first word.
    #[inline(always)]
    fn prefetch(self, offset: usize) {
        // SAFETY: a prefetch reads nothing that could be told, wherever it points.
        unsafe { _mm_prefetch(self.0.wrapping_add(offset).cast(), _MM_HINT_T0) };
    }

    /// Reads what is `offset` octets from the first word. Volatile, or else the compiler puts
    /// vectors together octet by octet to compute on many lanes at once, which takes three times as
    /// long.
    ///
    /// # Safety
    ///
    /// `offset` is within a node or the slots in front of it, and a multiple of `T`'s size.
    #[inline(always)]
    unsafe fn read<T: Copy>(self, offset: usize) -> T {
        // SAFETY: by the invariant the words are there and nobody writes them; they are aligned.
        unsafe { self.0.add(offset).cast::<T>().read_volatile() }
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
    unsafe fn bitmap(self, node: u32, octet: u8) -> u16 {
        // SAFETY: that is where the answer is.
        unsafe { self.read(self.bitmap_answer(node, octet)) }
    }

    /// # Safety
    ///
    /// `node` is a bitmap node, or zero.
    #[inline(always)]
    unsafe fn bitmap_answer(self, node: u32, octet: u8) -> usize {
        let (base, octet) = (4 * node as usize, usize::from(octet));
        // SAFETY: the header has a word for each group of 32.
        let bits = unsafe { self.read::<u32>(base + 4 * (octet / 32)) };
        // SAFETY: and an octet behind them.
        let before = unsafe { self.read::<u8>(base + 4 * RANKS as usize + octet / 32) };
        let upto = bits << (31 - octet % 32);
        // The first bit is set, so there is one at least; at zero there is none, and the answer is
        // the end of the header.
        let rank = usize::from(before) + upto.count_ones() as usize;
        base + 4 * HEADER as usize + 2 * rank - 2
    }

    /// # Safety
    ///
    /// `node` is a ranges node, or zero.
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    unsafe fn ranges(self, node: u32, octets: u16) -> u16 {
        // SAFETY: that is where the answer is.
        unsafe { self.read(self.ranges_answer(node, octets)) }
    }

    /// # Safety
    ///
    /// `node` is a ranges node, or zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    unsafe fn ranges_answer(self, node: u32, octets: u16) -> usize {
        let base = 4 * node as usize;
        // SAFETY: the node begins with the number of its boundaries.
        let boundaries = usize::from(unsafe { self.read::<u16>(base) });
        // SAFETY: these are the boundaries, up to 64 of them.
        let mut rank = unsafe { self.not_above(base + 2, boundaries, octets) };
        if boundaries > 64 {
            // SAFETY: and these the rest, for `compile` makes no node with more than 126.
            rank += unsafe { self.not_above(base + 2 + 128, boundaries - 64, octets) };
        }
        // There is one answer more than boundaries, right behind them.
        base + 2 * (1 + boundaries + rank)
    }

    /// How many of the first `len` boundaries from `offset` on, but at most of 64, are not above
    /// `octets`.
    ///
    /// # Safety
    ///
    /// There are so many boundaries.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1,bmi2")]
    unsafe fn not_above(self, offset: usize, len: usize, octets: u16) -> usize {
        let octets = _mm512_set1_epi16(octets as i16);
        let mask = _bzhi_u64(u64::MAX, len as u32);
        let at = self.0.wrapping_add(offset).cast::<i16>();
        let (low, high) = (mask as u32, (mask >> 32) as u32);
        // SAFETY: the masks leave out what is behind the last boundary.
        let keys = unsafe {
            [
                _mm512_maskz_loadu_epi16(low, at),
                _mm512_maskz_loadu_epi16(high, at.wrapping_add(32)),
            ]
        };
        let low = _mm512_mask_cmple_epu16_mask(low, keys[0], octets);
        let high = _mm512_mask_cmple_epu16_mask(high, keys[1], octets);
        (u64::from(low) | u64::from(high) << 32).count_ones() as usize
    }

    /// # Safety
    ///
    /// `short` is an answer of `node`.
    #[inline(always)]
    unsafe fn widen(self, node: u32, short: u16) -> Slot {
        let escaped = (i32::from(short as i16) >> 31) as u32;
        let at = node.wrapping_sub(1 + u32::from(short & !ESCAPE)) & escaped;
        // SAFETY: an escaped answer counts words in front of its node.
        let slot = unsafe { self.read::<u32>(4 * at as usize) };
        (slot & escaped) | (u32::from(short) & !escaped)
    }
}
