//! The routes as they were told, in nodes parallel to those of lookup. Answers no lookups of its
//! own, but the exact ones and those that ask for the prefix.
//!
//! A node holds the routes that end within one octet of the address (with 1 to 8 of its bits), and
//! the nodes for the next octet. Its words are: the numbers of routes and of children; the value
//! that shorter prefixes gave the whole node, and the lookup node that was made of that, if there is
//! one of its own; how many routes and children its children have; if there are children, a bitmap
//! of 256 bits and where they are; then the routes, a word each, ordered. Nodes without a route
//! below them are left out.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::node::Slot;
use crate::values::Id;
use crate::words::load;

/// Stands for a node that is not there.
pub(crate) const NOWHERE: u32 = 0;

/// Words before the children.
const HEADER: u32 = 4;
/// Which word of a node is the value that shorter prefixes gave it.
pub(crate) const INHERITED: u32 = 1;
/// Which word of a node is the slot that leads to its lookup node.
pub(crate) const LOOKUP: u32 = 2;
/// Which word of a node counts the routes and children of its children.
pub(crate) const BELOW: u32 = 3;
const BITMAP: u32 = 8;

/// A route within a node: its index and the number of its value.
///
/// Indices are those of a binary heap: a prefix of `r` bits of the octet has `2^r` and these bits.
/// So a node's routes are ordered by length first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u32);

impl Entry {
    pub(crate) fn new(index: u32, id: Id) -> Self {
        Self(index << 23 | id)
    }

    pub(crate) fn index(self) -> u32 {
        self.0 >> 23
    }

    pub(crate) fn id(self) -> Id {
        self.0 & ((1 << 23) - 1)
    }

    pub(crate) fn word(self) -> u32 {
        self.0
    }

    /// The octets it covers: the first, and how many.
    pub(crate) fn range(self) -> (u32, u32) {
        let bits = self.index().ilog2();
        ((self.index() << (8 - bits)) & 0xff, 1 << (8 - bits))
    }
}

/// A node, to be read where it is.
#[derive(Clone, Copy)]
pub(crate) struct Node<'t> {
    words: &'t [AtomicU32],
    at: u32,
}

impl<'t> Node<'t> {
    /// The node at `at`, if that is somewhere.
    pub(crate) fn new(words: &'t [AtomicU32], at: u32) -> Option<Self> {
        (at != NOWHERE).then_some(Self { words, at })
    }

    #[inline]
    fn word(self, index: u32) -> u32 {
        load(self.words, self.at + index)
    }

    /// The words from one index up to another.
    fn words(self, first: u32, end: u32) -> impl Iterator<Item = u32> {
        let (first, end) = (self.at + first, self.at + end);
        let words = &self.words[first as usize..end as usize];
        words.iter().map(|word| word.load(Relaxed))
    }

    pub(crate) fn routes_len(self) -> u32 {
        self.word(0) & 0xffff
    }

    pub(crate) fn children_len(self) -> u32 {
        self.word(0) >> 16
    }

    pub(crate) fn inherited(self) -> Id {
        self.word(INHERITED)
    }

    /// What leads to the lookup node; zero if an ancestor's answers for it.
    pub(crate) fn lookup(self) -> Slot {
        self.word(LOOKUP)
    }

    /// How many routes and children the children have.
    pub(crate) fn below(self) -> u32 {
        self.word(BELOW)
    }

    /// How much the node adds to its parent's `below`.
    pub(crate) fn weight(self) -> u32 {
        self.routes_len() + self.children_len()
    }

    /// Words of the node.
    pub(crate) fn len(self) -> u32 {
        self.routes_at() + self.routes_len()
    }

    fn routes_at(self) -> u32 {
        match self.children_len() {
            0 => HEADER,
            children => HEADER + BITMAP + children,
        }
    }

    /// Which word says where the child for `octet` is, if there is one.
    pub(crate) fn child_word(self, octet: u8) -> Option<u32> {
        if self.children_len() == 0 {
            return None;
        }
        let (group, bit) = (u32::from(octet) / 64, octet % 64);
        let bits = self.octets(group);
        if bits >> bit & 1 == 0 {
            return None;
        }
        let before = (0..group).map(|group| self.octets(group).count_ones());
        let rank = before.sum::<u32>() + (bits & ((1 << bit) - 1)).count_ones();
        Some(HEADER + BITMAP + rank)
    }

    /// 64 bits that say for which octets there are children.
    fn octets(self, group: u32) -> u64 {
        let word = |index| u64::from(self.word(HEADER + 2 * group + index));
        word(0) | word(1) << 32
    }

    /// Where the child for `octet` is, if there is one.
    pub(crate) fn child(self, octet: u8) -> Option<u32> {
        Some(self.word(self.child_word(octet)?))
    }

    /// The children's octets and where they are.
    pub(crate) fn children(self) -> impl Iterator<Item = (u8, u32)> {
        let groups = if self.children_len() == 0 { 0 } else { BITMAP };
        let octets = (0..groups).flat_map(move |group| {
            let mut bitmap = self.word(HEADER + group);
            std::iter::from_fn(move || {
                let bit = bitmap.trailing_zeros();
                bitmap &= bitmap.wrapping_sub(1);
                (bit < 32).then_some((group * 32 + bit) as u8)
            })
        });
        octets.zip((HEADER + BITMAP..).map(move |index| self.word(index)))
    }

    /// Those of them for some octets: where these begin, and where they end.
    pub(crate) fn children_within(
        self,
        (first, end): (u32, u32),
    ) -> impl Iterator<Item = (u8, u32)> {
        let one = (end == first + 1).then(|| {
            let octet = first as u8;
            self.child(octet).map(|child| (octet, child))
        });
        let all = one.is_none().then(|| self.children());
        let among = move |(octet, _): &(u8, u32)| (first..end).contains(&u32::from(*octet));
        let all = all.into_iter().flatten().filter(among);
        one.flatten().into_iter().chain(all)
    }

    /// The routes, ordered by index.
    pub(crate) fn routes(self) -> impl Iterator<Item = Entry> {
        self.words(self.routes_at(), self.len()).map(Entry)
    }

    /// The routes that cover some octets or lie within: where these begin, and where they end.
    pub(crate) fn routes_within(self, (first, end): (u32, u32)) -> impl Iterator<Item = Entry> {
        let (low, high) = (256 | first, 256 | (end - 1));
        self.routes().filter(move |entry| {
            // As many bits of both as the route has.
            let up = 8 - entry.index().ilog2();
            (low >> up..=high >> up).contains(&entry.index())
        })
    }

    /// Which word holds the route of this index, if there is one, or else where it would be.
    pub(crate) fn search(self, index: u32) -> Result<u32, u32> {
        let (mut low, mut high) = (self.routes_at(), self.len());
        while low < high {
            let middle = low.midpoint(high);
            let entry = Entry(self.word(middle));
            if entry.index() == index {
                return Ok(middle);
            }
            if entry.index() < index {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Err(low)
    }

    /// Whether a word of the node is `value`.
    pub(crate) fn says(self, word: u32, value: u32) -> bool {
        self.word(word) == value
    }

    /// The route in a word.
    pub(crate) fn entry(self, word: u32) -> Entry {
        Entry(self.word(word))
    }

    /// The words of the node with one more route, which is to be in the word `at`.
    pub(crate) fn with_route(self, at: u32, entry: Entry, words: &mut Vec<u32>) {
        words.clear();
        words.extend(self.words(0, at));
        words.push(entry.0);
        words.extend(self.words(at, self.len()));
        words[0] += 1;
    }

    /// The words of the node with one more child, or without the one that is there for `octet`.
    /// `below` is what it counts below it then.
    pub(crate) fn with_child(
        self,
        octet: u8,
        child: Option<u32>,
        below: u32,
        words: &mut Vec<u32>,
    ) {
        let mut bitmap = [0; BITMAP as usize];
        if self.children_len() != 0 {
            bitmap = std::array::from_fn(|group| self.word(HEADER + group as u32));
        }
        let (group, bit) = (usize::from(octet / 32), 1 << (octet % 32));
        let before = bitmap[..group].iter().map(|bits| bits.count_ones());
        let rank = before.sum::<u32>() + (bitmap[group] & (bit - 1)).count_ones();
        bitmap[group] ^= bit;
        let children = self.children_len() + 1 - 2 * u32::from(child.is_none());
        words.clear();
        words.extend(self.words(0, HEADER));
        words[0] = self.routes_len() | children << 16;
        words[BELOW as usize] = below;
        if children != 0 {
            words.extend(bitmap);
        }
        let first = self.routes_at() - self.children_len();
        words.extend(self.words(first, first + rank));
        words.extend(child);
        let gone = u32::from(child.is_none());
        words.extend(self.words(first + rank + gone, self.len()));
    }

    /// The words of the node without the route in the word `at`.
    pub(crate) fn without_route(self, at: u32, words: &mut Vec<u32>) {
        words.clear();
        words.extend(self.words(0, at));
        words.extend(self.words(at + 1, self.len()));
        words[0] -= 1;
    }

    /// The number of the value of the route of this index.
    pub(crate) fn route(self, index: u32) -> Option<Id> {
        let at = self.search(index).ok()?;
        Some(Entry(self.word(at)).id())
    }

    /// The longest route within the node that covers `octet`.
    pub(crate) fn longest(self, octet: u8) -> Option<Entry> {
        if self.routes_len() == 0 {
            return None;
        }
        let indices = (0..8).map(|up| (256 | u32::from(octet)) >> up);
        indices
            .into_iter()
            .find_map(|index| Some(Entry::new(index, self.route(index)?)))
    }
}

/// A new node, to be written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) below: u32,
    pub(crate) children: Vec<(u8, u32)>,
    pub(crate) routes: Vec<Entry>,
}

impl Draft {
    /// The words of the node.
    pub(crate) fn encode(&self, words: &mut Vec<u32>) {
        words.clear();
        words.push(self.routes.len() as u32 | (self.children.len() as u32) << 16);
        words.extend([0, 0, self.below]);
        if !self.children.is_empty() {
            let mut bitmap = [0u32; BITMAP as usize];
            for (octet, _) in &self.children {
                bitmap[usize::from(octet / 32)] |= 1 << (octet % 32);
            }
            words.extend(bitmap);
            words.extend(self.children.iter().map(|(_, child)| child));
        }
        words.extend(self.routes.iter().map(|entry| entry.0));
    }
}
