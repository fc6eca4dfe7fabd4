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

use std::sync::atomic::AtomicU32;

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
    let octet = u32::from(octet);
    let upto = load(words, node + octet / 32) << (31 - octet % 32);
    let ranks = load(words, node + RANKS + octet / 128);
    let before = (ranks >> (octet / 32 % 4 * 8)) & 0xff;
    half(words, node, 2 * HEADER - 1 + before + upto.count_ones())
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
    let first = if slot & RANGES != 0 {
        let boundaries = u32::from(half(words, node, 0));
        let starts = (0..=boundaries).map(|index| match index {
            0 => 0,
            index => half(words, node, index).into(),
        });
        runs.extend(starts.map(|start| Run { start, slot: 0 }));
        boundaries + 1
    } else {
        for group in 0..8 {
            let mut bits = load(words, node + group);
            while bits != 0 {
                let start = group * 32 + bits.trailing_zeros();
                runs.push(Run { start, slot: 0 });
                bits &= bits - 1;
            }
        }
        2 * HEADER
    };
    let mut before = 0;
    for (run, index) in runs.iter_mut().zip(first..) {
        let short = half(words, node, index);
        run.slot = short.into();
        if short & ESCAPE != 0 {
            before = before.max(u32::from(short & !ESCAPE) + 1);
            run.slot = load(words, escaped(node, short));
        }
    }
    let len = (first + runs.len() as u32).div_ceil(2);
    (node - before, before + len)
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
    let escapes = runs.iter().filter(|run| run.slot >= ESCAPE.into());
    words.extend(escapes.map(|run| run.slot).rev());
    let before = words.len();
    let first = if kind == Kind::Bitmap {
        bitmap_header(runs, words);
        2 * HEADER as usize
    } else {
        runs.len()
    };
    words.resize(before + (first + runs.len()).div_ceil(2), 0);
    let node = &mut words[before..];
    let mut put = |index: usize, half: u32| node[index / 2] |= half << (index % 2 * 16);
    if kind == Kind::Ranges {
        put(0, runs.len() as u32 - 1);
        for (run, index) in runs.iter().zip(0..).skip(1) {
            put(index, run.start);
        }
    }
    let mut escapes = 0;
    for (run, index) in runs.iter().zip(first..) {
        let escape = run.slot >= ESCAPE.into();
        put(
            index,
            if escape {
                u32::from(ESCAPE) | escapes
            } else {
                run.slot
            },
        );
        escapes += u32::from(escape);
    }
    before as u32
}

fn bitmap_header(runs: &[Run], words: &mut Vec<u32>) {
    let mut bitmap = [0u32; 8];
    for run in runs {
        bitmap[run.start as usize / 32] |= 1 << (run.start % 32);
    }
    let (mut ranks, mut rank) = ([0; 2], 0);
    for (group, bits) in bitmap.iter().enumerate() {
        ranks[group / 4] |= rank << (group % 4 * 8);
        rank += bits.count_ones();
    }
    words.extend(bitmap);
    words.extend(ranks);
}
