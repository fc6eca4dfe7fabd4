//! The three formats of lookup nodes, and one step down in each. Knows no routes: those are in
//! `rib`; the loops over steps are in `kernel`.
//!
//! A node answers for the next octet of the address, or for the next two. Its answer is a [`Slot`]:
//! the number of a value, or the next node. Every prefix is pushed down to the slots it answers
//! for, so that a lookup ends with the first number it meets.
//!
//! - A plain node has a word for each of 256 octets. Those of the first octets are plain.
//! - A bitmap node answers for an octet. Equal neighbours share an answer: eight words of bitmap
//!   mark where answers begin to differ, two words hold the ranks (an octet for each word of bitmap:
//!   how many bits are set in the words before), then come the answers.
//! - A ranges node answers for two octets, if there are few different answers: how many boundaries
//!   there are, the boundaries in order, then the answers.
//!
//! Answers in bitmap and ranges nodes have 16 bits: a number below 2^15, or with the highest bit set
//! which of the words in front of the node holds the slot, counted backwards. So values and nodes
//! share one small format, and the nodes that are hit most are the ones that stay small.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::words::load;

/// The number of a value; or, with [`CHILD`] set, where the next node is.
pub(crate) type Slot = u32;

/// Marks a slot that leads on to a node.
pub(crate) const CHILD: Slot = 1 << 31;

/// Marks, with [`CHILD`], that the node is of ranges. A node that is not is plain or a bitmap,
/// which depends on its octet alone.
pub(crate) const RANGES: Slot = 1 << 30;

/// Where the node of a slot is.
#[inline(always)]
pub(crate) fn node_of(slot: Slot) -> u32 {
    slot & (RANGES - 1)
}

/// The answer from here on up to where the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) slot: Slot,
}

/// How a node is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Bitmap,
    Ranges,
}

impl Kind {
    /// How many keys a node answers for.
    pub(crate) fn keys(self) -> u32 {
        match self {
            Self::Ranges => 1 << 16,
            _ => 1 << 8,
        }
    }
}

/// Words before the answers of a bitmap node.
pub(crate) const HEADER: u32 = 10;
/// Where in the header the ranks are.
pub(crate) const RANKS: u32 = 8;
/// Marks an answer whose slot is in front of the node.
pub(crate) const ESCAPE: u16 = 1 << 15;

/// The answer of a plain node.
#[inline(always)]
pub(crate) fn plain(words: &[AtomicU32], node: u32, octet: u8) -> Slot {
    load(words, node + u32::from(octet))
}

/// The answer of a bitmap node.
#[inline(always)]
pub(crate) fn bitmap(words: &[AtomicU32], node: u32, octet: u8) -> Slot {
    let short = bitmap_answer(words, node, octet);
    widen(words, node, short)
}

/// The answer of a ranges node for two octets.
#[inline(always)]
pub(crate) fn ranges(words: &[AtomicU32], node: u32, octets: u16) -> Slot {
    widen(words, node, ranges_answer(words, node, octets))
}

#[inline(always)]
fn widen(words: &[AtomicU32], node: u32, short: u16) -> Slot {
    if short & ESCAPE == 0 {
        u32::from(short)
    } else {
        load(words, escaped(node, short))
    }
}

/// Which word holds the slot of an escaped answer.
fn escaped(node: u32, short: u16) -> u32 {
    node - 1 - u32::from(short & !ESCAPE)
}

#[inline(always)]
fn half(words: &[AtomicU32], node: u32, index: u32) -> u16 {
    (load(words, node + index / 2) >> (index % 2 * 16)) as u16
}

#[inline(always)]
fn bitmap_answer(words: &[AtomicU32], node: u32, octet: u8) -> u16 {
    let rank = bitmap_rank(words, node, octet.into());
    half(words, node, 2 * HEADER - 1 + rank as u32)
}

/// How many answers of a bitmap node begin at an octet or before.
#[inline(always)]
fn bitmap_rank(words: &[AtomicU32], node: u32, octet: u32) -> usize {
    let upto = load(words, node + octet / 32) << (31 - octet % 32);
    let ranks = load(words, node + RANKS + octet / 128);
    let before = (ranks >> (octet / 32 % 4 * 8)) & 0xff;
    (before + upto.count_ones()) as usize
}

fn ranges_answer(words: &[AtomicU32], node: u32, octets: u16) -> u16 {
    let boundaries = u32::from(half(words, node, 0));
    let (mut low, mut high) = (1, boundaries + 1);
    while low < high {
        let middle = low.midpoint(high);
        if half(words, node, middle) <= octets {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    half(words, node, boundaries + low)
}

/// Takes the answers of a bitmap or ranges node apart, in order; returns the words of the node, as
/// [`extent`] does.
pub(crate) fn decode(words: &[AtomicU32], slot: Slot, runs: &mut Vec<Run>) -> (u32, u32) {
    let node = node_of(slot);
    runs.clear();
    let mut halves = [0u16; HALVES];
    let len = if slot & RANGES != 0 {
        let boundaries = usize::from(half(words, node, 0));
        let len = (2 + 2 * boundaries).div_ceil(2);
        read_halves(words, node, len, &mut halves);
        let (starts, slots) = halves[..2 * boundaries + 2].split_at(boundaries + 1);
        let pairs = starts.iter().zip(slots).map(|(start, slot)| Run {
            start: (*start).into(),
            slot: (*slot).into(),
        });
        runs.extend(pairs);
        runs[0].start = 0;
        len
    } else {
        for group in 0..8 {
            let mut bits = load(words, node + group);
            while bits != 0 {
                let start = group * 32 + bits.trailing_zeros();
                runs.push(Run { start, slot: 0 });
                bits &= bits - 1;
            }
        }
        let len = runs.len().div_ceil(2);
        read_halves(words, node + HEADER, len, &mut halves);
        for (run, half) in runs.iter_mut().zip(&halves) {
            run.slot = (*half).into();
        }
        HEADER as usize + len
    };
    let before = widen_all(words, node, runs);
    (node - before, before + len as u32)
}

/// Replaces what escaped answers of a node say by the slots; returns how many words are in front.
fn widen_all(words: &[AtomicU32], node: u32, runs: &mut [Run]) -> u32 {
    if runs.iter().fold(0, |any, run| any | run.slot) < ESCAPE.into() {
        return 0;
    }
    let mut before = 0;
    for run in runs {
        let short = run.slot as u16;
        if short & ESCAPE != 0 {
            before = before.max(u32::from(short & !ESCAPE) + 1);
            run.slot = load(words, escaped(node, short));
        }
    }
    before
}

/// More than any node but a plain one has.
const HALVES: usize = 2 * HEADER as usize + 256;

fn read_halves(words: &[AtomicU32], at: u32, len: usize, halves: &mut [u16; HALVES]) {
    let words = &words[at as usize..][..len];
    for (word, halves) in words.iter().zip(halves.as_chunks_mut().0) {
        let word = word.load(Relaxed);
        *halves = [word as u16, (word >> 16) as u16];
    }
}

/// The word in which a node has the slot of a child: the node for the octet number `at`, which is
/// plain or a bitmap, has one for `octet`.
pub(crate) fn child_word(words: &[AtomicU32], slot: Slot, plain: bool, octet: u8) -> u32 {
    let node = node_of(slot);
    if plain {
        return node + u32::from(octet);
    }
    let short = bitmap_answer(words, node, octet);
    debug_assert!(short & ESCAPE != 0, "nodes do not fit in an answer");
    escaped(node, short)
}

/// The words of a node: where they begin, and how many there are.
pub(crate) fn extent(words: &[AtomicU32], slot: Slot, plain: bool) -> (u32, u32) {
    let node = node_of(slot);
    if plain {
        return (node, 256);
    }
    let (first, count) = if slot & RANGES != 0 {
        let boundaries = u32::from(half(words, node, 0));
        (boundaries + 1, boundaries + 1)
    } else {
        let ranks = load(words, node + RANKS + 1);
        (
            2 * HEADER,
            (ranks >> 24) + load(words, node + 7).count_ones(),
        )
    };
    let answers = (first..first + count).map(|index| half(words, node, index));
    let escapes = answers.filter(|short| short & ESCAPE != 0);
    let before = escapes.map(|short| u32::from(short & !ESCAPE) + 1).max();
    let before = before.unwrap_or(0);
    (node - before, before + (first + count).div_ceil(2))
}

/// Writes the words of a node; returns how many are in front of it. The first run starts at 0.
pub(crate) fn encode(kind: Kind, runs: &[Run], words: &mut Vec<u32>) -> u32 {
    words.clear();
    if kind == Kind::Plain {
        let ends = runs[1..].iter().map(|run| run.start).chain([256]);
        for (run, end) in runs.iter().zip(ends) {
            words.resize(end as usize, run.slot);
        }
        return 0;
    }
    let mut halves = Halves::new();
    if kind == Kind::Ranges {
        halves.extend(&[(runs.len() - 1) as u16]);
        halves.extend_by(runs[1..].iter().map(|run| run.start as u16));
    }
    let first = halves.len;
    halves.extend_by(runs.iter().map(|run| run.slot as u16));
    if runs.iter().fold(0, |any, run| any | run.slot) >= ESCAPE.into() {
        escape(runs, &mut halves.halves[first..], words);
    }
    let before = words.len() as u32;
    if kind == Kind::Bitmap {
        let mut bitmap = [0; 8];
        runs.iter().for_each(|run| set(&mut bitmap, run.start));
        extend_bitmap(&bitmap, words);
    }
    halves.write(words);
    before
}

/// Moves the slots that do not fit in answers to the front.
fn escape(runs: &[Run], answers: &mut [u16], words: &mut Vec<u32>) {
    for (run, answer) in runs.iter().zip(answers) {
        if run.slot >= ESCAPE.into() {
            *answer = ESCAPE | words.len() as u16;
            words.push(run.slot);
        }
    }
    words.reverse();
}

/// Writes the words of a bitmap node of which some octets have one answer from now on; returns how
/// many words it has had. Not if an answer is escaped.
pub(crate) fn with_answer(
    words: &[AtomicU32],
    slot: Slot,
    (first, end): (u32, u32),
    answer: Slot,
    out: &mut Vec<u32>,
) -> Option<u32> {
    let node = node_of(slot);
    let rank = |octet| bitmap_rank(words, node, octet);
    let (all, until) = (rank(255), rank(end.min(255)));
    let kept = first.checked_sub(1).map_or(0, rank);
    let (mut halves, mut old) = (Halves::new(), [0u16; HALVES]);
    let len = all.div_ceil(2);
    read_halves(words, node + HEADER, len, &mut old);
    let escapes = old[..all].iter().fold(0, |any, half| any | half) & ESCAPE;
    if escapes != 0 || answer >= ESCAPE.into() {
        return None;
    }
    let mut bitmap = std::array::from_fn(|group| load(words, node + group as u32));
    (first..=end.min(255)).for_each(|octet| clear(&mut bitmap, octet));
    halves.extend(&old[..kept]);
    if kept == 0 || old[kept - 1] != answer as u16 {
        set(&mut bitmap, first);
        halves.extend(&[answer as u16]);
    }
    if end < 256 {
        let next = old[until - 1];
        if next != answer as u16 {
            set(&mut bitmap, end);
            halves.extend(&[next]);
        }
        halves.extend(&old[until..all]);
    }
    out.clear();
    extend_bitmap(&bitmap, out);
    halves.write(out);
    Some(HEADER + len as u32)
}

fn set(bitmap: &mut [u32; 8], octet: u32) {
    bitmap[octet as usize / 32] |= 1 << (octet % 32);
}

fn clear(bitmap: &mut [u32; 8], octet: u32) {
    bitmap[octet as usize / 32] &= !(1 << (octet % 32));
}

/// A bitmap and the ranks in it.
fn extend_bitmap(bitmap: &[u32; 8], words: &mut Vec<u32>) {
    let (mut ranks, mut rank) = ([0; 2], 0);
    for (group, bits) in bitmap.iter().enumerate() {
        ranks[group / 4] |= rank << (group % 4 * 8);
        rank += bits.count_ones();
    }
    words.extend(bitmap);
    words.extend(ranks);
}

/// Halves of words, up to as many as a node can have.
struct Halves {
    halves: [u16; HALVES],
    len: usize,
}

impl Halves {
    fn new() -> Self {
        Self {
            halves: [0; HALVES],
            len: 0,
        }
    }

    fn extend(&mut self, halves: &[u16]) {
        self.halves[self.len..][..halves.len()].copy_from_slice(halves);
        self.len += halves.len();
    }

    fn extend_by(&mut self, halves: impl ExactSizeIterator<Item = u16>) {
        let len = halves.len();
        let room = &mut self.halves[self.len..][..len];
        room.iter_mut()
            .zip(halves)
            .for_each(|(room, half)| *room = half);
        self.len += len;
    }

    /// Appends words of two halves each, the lower first.
    fn write(&self, words: &mut Vec<u32>) {
        let (pairs, _) = self.halves[..self.len.next_multiple_of(2)].as_chunks();
        words.extend(
            pairs
                .iter()
                .map(|[low, high]| u32::from(*low) | u32::from(*high) << 16),
        );
    }
}
