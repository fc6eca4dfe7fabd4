//! Lookups without bounds checks, with the compares and bit counts of AVX-512.
//!
//! A batch takes each step with 64 addresses before the next step, and gathers their words by
//! sixteen: so many memory accesses are under way at the same time, and there are no branches but
//! for the few addresses that need more steps than most.

#![allow(unsafe_code, reason = "a third of the time of the checked form")]

use std::arch::x86_64::*;
use std::sync::atomic::AtomicU32;

use super::two_octets;
use crate::Address;
use crate::compile::formats;
use crate::node::{CHILD, ESCAPE, HEADER, RANGES, RANKS, Slot, node_of};

/// Words in a vector.
const LANES: usize = 16;

/// Addresses that are too few for a vector, of which some lanes go to waste.
const FEW: usize = 4;

/// Vectors that go down side by side.
const VECTORS: usize = 4;

/// Slots, or what else there is one of for each address.
type Vectors<const N: usize> = [__m512i; N];

/// Whether the processor has all that is needed here.
#[inline]
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vpopcntdq")
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
    // SAFETY: the one caller has asked for the instructions.
    unsafe { lookup_all(Nodes::of(words), top, values, addrs, out) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
fn lookup_all<A: Address, V: Copy>(
    nodes: Nodes,
    top: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    let (lines, rest) = addrs.as_chunks::<LANES>();
    let (out_lines, out_rest) = out.as_chunks_mut::<LANES>();
    let (groups, lines) = lines.as_chunks::<VECTORS>();
    let (out_groups, out_lines) = out_lines.as_chunks_mut::<VECTORS>();
    for (addrs, out) in groups.iter().zip(out_groups) {
        resolve(values, lookup_group(nodes, top, addrs), out);
    }
    for (addrs, out) in lines
        .as_chunks::<1>()
        .0
        .iter()
        .zip(out_lines.as_chunks_mut::<1>().0)
    {
        resolve(values, lookup_group(nodes, top, addrs), out);
    }
    if rest.len() < FEW {
        for (addr, out) in rest.iter().zip(out_rest) {
            *out = values[descend(nodes, CHILD | top, 0, *addr) as usize];
        }
        return;
    }
    let (mut addrs, mut out) = ([rest[0]; LANES], [None; LANES]);
    addrs[..rest.len()].copy_from_slice(rest);
    resolve(
        values,
        lookup_group(nodes, top, &[addrs]),
        std::array::from_mut(&mut out),
    );
    out_rest.copy_from_slice(&out[..rest.len()]);
}

#[inline(always)]
fn resolve<V: Copy, const N: usize>(
    values: &[Option<V>],
    found: [[Slot; LANES]; N],
    out: &mut [[Option<V>; LANES]; N],
) {
    for (out, slot) in out.as_flattened_mut().iter_mut().zip(found.as_flattened()) {
        *out = values[*slot as usize];
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
fn lookup_group<A: Address, const N: usize>(
    nodes: Nodes,
    top: u32,
    addrs: &[[A; LANES]; N],
) -> [[Slot; LANES]; N] {
    let at = const { formats::<A>() }.plain;
    let octets = first_octets(addrs);
    let slots = nodes.through_plain(top, &octets, at);
    let (slots, escaped) = nodes.through_bitmap(&slots, &octets, at);
    let any = escaped.iter().fold(0, |any, mask| any | mask);
    let mut found = [[0; LANES]; N];
    let mut left = [0; N];
    for i in 0..N {
        let slots = if any == 0 {
            slots[i]
        } else {
            nodes.widen_all(slots[i], escaped[i])
        };
        left[i] = children(slots);
        // SAFETY: sixteen slots are a vector.
        unsafe { _mm512_storeu_si512(found[i].as_mut_ptr().cast(), slots) };
    }
    let found_flat = found.as_flattened_mut();
    let addrs = addrs.as_flattened();
    if A::OCTETS == 4 {
        // Few addresses, if any, end behind the octet of the bitmap nodes.
        for (i, mask) in left.into_iter().enumerate() {
            nodes.descend_rest(found_flat, i * LANES, mask, at + 1, addrs);
        }
    } else {
        nodes.through_ranges(found_flat, at + 1, addrs);
    }
    found
}

/// The first four octets of each address.
#[inline]
#[target_feature(enable = "avx512f")]
fn first_octets<A: Address, const N: usize>(addrs: &[[A; LANES]; N]) -> Vectors<N> {
    let stride = size_of::<A>() as i32 / 4;
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let index = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(stride));
    let mut octets = [_mm512_setzero_si512(); N];
    for (octets, addrs) in octets.iter_mut().zip(addrs) {
        // SAFETY: there is an address every `stride` words, and it has four octets at least.
        *octets = unsafe {
            match stride {
                1 => _mm512_loadu_si512(addrs.as_ptr().cast()),
                _ => _mm512_i32gather_epi32::<4>(index, addrs.as_ptr().cast()),
            }
        };
    }
    octets
}

/// The octet number `at` of each address, of which there are the first four.
#[inline]
#[target_feature(enable = "avx512f")]
fn octet(octets: __m512i, at: usize) -> __m512i {
    let shifted = _mm512_srlv_epi32(octets, _mm512_set1_epi32(8 * at as i32));
    _mm512_and_si512(shifted, _mm512_set1_epi32(0xff))
}

/// Where the nodes are that slots lead to.
#[inline]
#[target_feature(enable = "avx512f")]
fn node_of_each(slots: __m512i) -> __m512i {
    _mm512_and_si512(slots, _mm512_set1_epi32((RANGES - 1) as i32))
}

/// All bits if the slot leads to a node, else none: a mask for what would be a branch.
#[inline(always)]
fn is_child(slot: Slot) -> u32 {
    (slot as i32 >> 31) as u32
}

/// Which slots lead to nodes.
#[inline]
#[target_feature(enable = "avx512f")]
fn children(slots: __m512i) -> __mmask16 {
    _mm512_cmplt_epi32_mask(slots, _mm512_setzero_si512())
}

/// Follows a slot for the octet number `at` to the number of a value.
#[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
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

    /// The words at `index`, or `otherwise` where the mask is not set.
    ///
    /// # Safety
    ///
    /// Where it is set, `SCALE` times the index, in octets, is within a node or in front of it.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn gather<const SCALE: i32>(
        self,
        otherwise: __m512i,
        mask: __mmask16,
        index: __m512i,
    ) -> __m512i {
        // SAFETY: by the invariant the words are there and nobody writes them.
        unsafe { _mm512_mask_i32gather_epi32::<SCALE>(otherwise, mask, index, self.0.cast()) }
    }

    /// Asks for the cache line `offset` octets from the first word.
    #[inline(always)]
    fn prefetch(self, offset: usize) {
        // SAFETY: a prefetch reads nothing that could be told, wherever it points.
        unsafe { _mm_prefetch(self.0.wrapping_add(offset).cast(), _MM_HINT_T0) };
    }

    /// Through the nodes for the first `count` octets.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn through_plain<const N: usize>(
        self,
        top: u32,
        octets: &Vectors<N>,
        count: usize,
    ) -> Vectors<N> {
        let mut slots = [_mm512_set1_epi32((CHILD | top) as i32); N];
        for at in 0..count {
            for (slots, octets) in slots.iter_mut().zip(octets) {
                let index = _mm512_add_epi32(node_of_each(*slots), octet(*octets, at));
                // SAFETY: for these octets a slot leads to a plain node, with a word for each.
                *slots = unsafe { self.gather::<4>(*slots, children(*slots), index) };
            }
        }
        slots
    }

    /// Through bitmap nodes for the octet number `at`. Returns the slots, and which of them are
    /// escaped: these say where the slot is instead.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn through_bitmap<const N: usize>(
        self,
        slots: &Vectors<N>,
        octets: &Vectors<N>,
        at: usize,
    ) -> (Vectors<N>, [__mmask16; N]) {
        let mut ends = [_mm512_setzero_si512(); N];
        for i in 0..N {
            ends[i] = self.bitmap_answers(slots[i], octet(octets[i], at));
        }
        let (mut found, mut escaped) = (*slots, [0; N]);
        for i in 0..N {
            let left = children(slots[i]);
            // SAFETY: that is where the answers are.
            let answers = unsafe { self.gather::<1>(ends[i], left, ends[i]) };
            let answers = _mm512_srli_epi32::<16>(answers);
            let escape = _mm512_set1_epi32(ESCAPE.into());
            escaped[i] = _mm512_mask_test_epi32_mask(left, answers, escape);
            let place = _mm512_andnot_si512(escape, answers);
            let before = _mm512_sub_epi32(node_of_each(slots[i]), _mm512_set1_epi32(1));
            found[i] = _mm512_mask_mov_epi32(slots[i], left, answers);
            found[i] = _mm512_mask_sub_epi32(found[i], escaped[i], before, place);
        }
        (found, escaped)
    }

    /// How many octets from the first word, less two, the answers of bitmap nodes are.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn bitmap_answers(self, slots: __m512i, octets: __m512i) -> __m512i {
        let (zero, constant) = (_mm512_setzero_si512(), |n: u32| _mm512_set1_epi32(n as i32));
        let (left, nodes) = (children(slots), node_of_each(slots));
        let group = _mm512_srli_epi32::<5>(octets);
        // SAFETY: behind the plain nodes a slot leads to a bitmap node, with a word for each group.
        let bits = unsafe { self.gather::<4>(zero, left, _mm512_add_epi32(nodes, group)) };
        let base = _mm512_slli_epi32::<2>(nodes);
        let ranks = _mm512_add_epi32(_mm512_add_epi32(base, group), constant(4 * RANKS));
        // SAFETY: behind them there is an octet for each group, and an answer follows.
        let before = unsafe { self.gather::<1>(zero, left, ranks) };
        let before = _mm512_and_si512(before, constant(0xff));
        // What is above the octet is shifted out.
        let above = _mm512_andnot_si512(octets, constant(31));
        let rank = _mm512_popcnt_epi32(_mm512_sllv_epi32(bits, above));
        let rank = _mm512_add_epi32(rank, before);
        // The first bit is set, so there is one at least. The answer is the upper half of what will
        // be gathered, lest that reach beyond the node.
        let end = _mm512_add_epi32(base, constant(4 * HEADER - 4));
        _mm512_add_epi32(end, _mm512_add_epi32(rank, rank))
    }

    /// The slots, of which those that are escaped are where [`Self::through_bitmap`] says.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn widen_all(self, slots: __m512i, escaped: __mmask16) -> __m512i {
        // SAFETY: there is a slot.
        unsafe { self.gather::<4>(slots, escaped, slots) }
    }

    /// Through ranges nodes for the octet number `at`, and on to the end.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
    fn through_ranges<A: Address>(self, found: &mut [Slot], at: usize, addrs: &[A]) {
        for slot in &*found {
            self.prefetch(4 * node_of(*slot & is_child(*slot)) as usize);
        }
        let mut answers = [0; LANES * VECTORS];
        for ((slot, answer), addr) in found.iter_mut().zip(&mut answers).zip(addrs) {
            if *slot & (CHILD | RANGES) == CHILD {
                // Bitmap nodes are rare here.
                *slot = descend(self, *slot, at, *addr);
            }
            let node = node_of(*slot & is_child(*slot));
            // SAFETY: the slot leads to a ranges node, or the node is zero.
            *answer = unsafe { self.ranges_answer(node, two_octets(*addr, at)) };
            self.prefetch(*answer);
        }
        for ((slot, answer), addr) in found.iter_mut().zip(answers).zip(addrs) {
            let here = is_child(*slot);
            // SAFETY: it was put there right above.
            let short = unsafe { self.read::<u16>(answer) };
            if short & ESCAPE != 0 {
                // SAFETY: only nodes have such answers, and this is its.
                let below = unsafe { self.widen(node_of(*slot), short) };
                *slot = descend(self, below, at + 2, *addr);
            } else {
                *slot = (u32::from(short) & here) | (*slot & !here);
            }
        }
    }

    /// Goes on one by one where the mask is set, from lane `first` and the octet number `at` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
    fn descend_rest<A: Address>(
        self,
        found: &mut [Slot],
        first: usize,
        mut mask: __mmask16,
        at: usize,
        addrs: &[A],
    ) {
        while mask != 0 {
            let lane = first + mask.trailing_zeros() as usize;
            found[lane] = descend(self, found[lane], at, addrs[lane]);
            mask &= mask - 1;
        }
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
    unsafe fn ranges(self, node: u32, octets: u16) -> u16 {
        // SAFETY: that is where the answer is.
        unsafe { self.read(self.ranges_answer(node, octets)) }
    }

    /// # Safety
    ///
    /// `node` is a ranges node, or zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt,bmi1,bmi2")]
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
