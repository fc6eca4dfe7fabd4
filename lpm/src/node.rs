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

/// The answers of a bitmap node, in order.
pub(crate) fn bitmap_runs(words: &[AtomicU32], slot: Slot) -> impl Iterator<Item = Run> {
    let node = node_of(slot);
    let starts = (0..8).flat_map(move |group| {
        let mut bits = load(words, node + group);
        std::iter::from_fn(move || {
            let bit = bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
            (bit < 32).then_some(group * 32 + bit)
        })
    });
    starts.zip(2 * HEADER..).map(move |(start, index)| Run {
        start,
        slot: widen(words, node, half(words, node, index)),
    })
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
    let before = words.len() as u32;
    let mut halves = Halves::default();
    if kind == Kind::Bitmap {
        bitmap_header(runs, words);
    } else {
        halves.push(words, (runs.len() - 1) as u16);
        for run in &runs[1..] {
            halves.push(words, run.start as u16);
        }
    }
    let mut escapes = 0;
    for run in runs {
        let escape = run.slot >= ESCAPE.into();
        halves.push(
            words,
            if escape {
                ESCAPE | escapes
            } else {
                run.slot as u16
            },
        );
        escapes += u16::from(escape);
    }
    before
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

/// Fills words with two halves each, the lower first.
#[derive(Default)]
struct Halves {
    odd: bool,
}

impl Halves {
    fn push(&mut self, words: &mut Vec<u32>, half: u16) {
        match words.last_mut().filter(|_| self.odd) {
            Some(word) => *word |= u32::from(half) << 16,
            None => words.push(half.into()),
        }
        self.odd = !self.odd;
    }
}
