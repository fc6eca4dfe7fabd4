//! Which words of a writer's memory are free, which are in use, and which no snapshot has seen.
//! Knows no nodes.

use std::collections::VecDeque;

use crate::words::{self, Words};

/// Words are handed out in multiples of these.
const GRANULE: u32 = 4;

/// Where the first extent begins. The words before stay zero: a node that no address finds, for
/// lookups that are at their end while others go on. Allocations of the size that matters come from
/// the kernel page by page, with 16 bytes of the allocator's and 16 of the reference count in front,
/// so that here a cache line begins.
const FIRST: u32 = 24;

/// A run of words in use: where it begins, and how many words were asked for.
#[derive(Clone, Copy, Debug)]
struct Extent {
    at: u32,
    len: u32,
}

/// The writer's account of one block of [`Words`].
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Free extents by granules.
    free: Vec<Vec<u32>>,
    /// From here on nothing was ever handed out.
    end: u32,
    /// A bit for each granule: whether an extent begins there that no snapshot can reach.
    fresh: Vec<u64>,
    /// Which words of `fresh` may have bits set; incomplete if as long as `fresh`.
    touched: Vec<u32>,
    /// For each era that has snapshots, the extents given up while it was the last such.
    retired: VecDeque<Vec<Extent>>,
}

impl Space {
    /// Bytes of the account itself.
    pub(crate) fn heap_size(&self) -> usize {
        let lists = self.free.iter().map(|list| list.capacity() * 4);
        let retired = self.retired.iter().map(|list| list.capacity() * 8);
        lists.sum::<usize>()
            + retired.sum::<usize>()
            + self.fresh.capacity() * 8
            + self.touched.capacity() * 4
    }

    /// Makes room for `len` words; the caller writes them before a snapshot is taken.
    fn take(&mut self, memory: &mut Words, len: u32) -> u32 {
        let granules = granules(len);
        let at = self
            .reuse(granules)
            .or_else(|| self.extend(memory, granules))
            .or_else(|| self.split(granules))
            .unwrap_or_else(|| self.grow(memory, granules));
        self.mark_fresh(at);
        at
    }

    /// Puts these words somewhere.
    pub(crate) fn put(&mut self, memory: &mut Words, words: &[u32]) -> u32 {
        let at = self.take(memory, words.len() as u32);
        words::write(memory, at, words);
        at
    }

    /// Gives up `len` words: at once if no snapshot reaches them, else when none does any more.
    pub(crate) fn give_back(&mut self, at: u32, len: u32) {
        if self.is_fresh(at) {
            self.unmark_fresh(at);
            self.release(Extent { at, len });
        } else {
            match self.retired.back_mut() {
                Some(era) => era.push(Extent { at, len }),
                None => self.release(Extent { at, len }),
            }
        }
    }

    /// Makes the words at `at` say `words`, in place if nobody else reads them and the size
    /// allows; returns where they are.
    pub(crate) fn replace(
        &mut self,
        memory: &mut Words,
        (at, len): (u32, u32),
        words: &[u32],
    ) -> u32 {
        let new_len = words.len() as u32;
        let mut to = at;
        if granules(len) != granules(new_len) || !self.is_fresh(at) {
            to = self.take(memory, new_len);
            self.give_back(at, len);
        }
        words::write(memory, to, words);
        to
    }

    /// Makes an extent the writer's alone, by a copy if a snapshot reads it; returns where it is.
    pub(crate) fn own(&mut self, memory: &mut Words, (at, len): (u32, u32)) -> u32 {
        if self.is_fresh(at) {
            return at;
        }
        let to = self.take(memory, len);
        words::copy(memory, at, to, len);
        self.give_back(at, len);
        to
    }

    /// Changes one word of an extent, in a copy if a snapshot reads it; returns where it is.
    pub(crate) fn patch(
        &mut self,
        memory: &mut Words,
        extent: (u32, u32),
        index: u32,
        word: u32,
    ) -> u32 {
        let at = self.own(memory, extent);
        words::store(memory, at + index, word);
        at
    }

    /// A snapshot was taken: all there is may be read by it.
    pub(crate) fn begin_era(&mut self) {
        if self.touched.len() < self.fresh.len() {
            self.touched
                .iter()
                .for_each(|word| self.fresh[*word as usize] = 0);
        } else {
            self.fresh.fill(0);
        }
        self.touched.clear();
        self.retired.push_back(Vec::new());
    }

    /// The snapshots of the oldest era are gone.
    pub(crate) fn end_oldest_era(&mut self) {
        for extent in self.retired.pop_front().unwrap_or_default() {
            self.release(extent);
        }
    }

    fn release(&mut self, extent: Extent) {
        let granules = granules(extent.len) as usize;
        if self.free.len() <= granules {
            self.free.resize_with(granules + 1, Vec::new);
        }
        self.free[granules].push(extent.at);
    }

    fn reuse(&mut self, granules: u32) -> Option<u32> {
        self.free.get_mut(granules as usize)?.pop()
    }

    fn extend(&mut self, memory: &Words, granules: u32) -> Option<u32> {
        let at = self.end.max(FIRST);
        let end = at + granules * GRANULE;
        (end as usize + SLACK <= memory.len()).then(|| {
            self.end = end;
            at
        })
    }

    /// Takes the front of a larger free extent.
    fn split(&mut self, granules: u32) -> Option<u32> {
        let wanted = granules as usize;
        let larger = (wanted + 1..self.free.len()).find(|size| !self.free[*size].is_empty())?;
        let at = self.free[larger].pop()?;
        let rest = Extent {
            at: at + granules * GRANULE,
            len: (larger - wanted) as u32 * GRANULE,
        };
        self.release(rest);
        Some(at)
    }

    /// Moves everything to a larger block; snapshots keep the old one.
    fn grow(&mut self, memory: &mut Words, granules: u32) -> u32 {
        let len = memory.len();
        let wanted = len
            + (len / 8)
                .max(MIN_GROWTH)
                .max((granules * GRANULE + FIRST) as usize + SLACK);
        assert!(wanted <= LIMIT, "a table's nodes take less than 2 GiB");
        *memory = words::grown(memory, wanted);
        self.extend(memory, granules)
            .expect("the new block has room")
    }

    fn is_fresh(&self, at: u32) -> bool {
        let granule = at / GRANULE;
        let bits = self.fresh.get(granule as usize / 64);
        bits.is_some_and(|bits| bits >> (granule % 64) & 1 != 0)
    }

    fn mark_fresh(&mut self, at: u32) {
        let granule = at / GRANULE;
        let word = granule as usize / 64;
        if self.fresh.len() <= word {
            self.fresh.resize(word + 1, 0);
        }
        if self.fresh[word] == 0 && self.touched.len() < self.fresh.len() {
            self.touched.push(word as u32);
        }
        self.fresh[word] |= 1 << (granule % 64);
    }

    fn unmark_fresh(&mut self, at: u32) {
        let granule = at / GRANULE;
        self.fresh[granule as usize / 64] &= !(1 << (granule % 64));
    }
}

/// Bytes that `len` words take.
pub(crate) fn size(len: u32) -> usize {
    (granules(len) * GRANULE) as usize * size_of::<u32>()
}

fn granules(len: u32) -> u32 {
    len.div_ceil(GRANULE)
}

/// Words at the end that are never handed out, so that whole vectors can be read at the last.
const SLACK: usize = 16;

/// Words a block grows by at least.
const MIN_GROWTH: usize = 1 << 10;

/// Words a block may have: so an offset in octets fits in an `i32`, as gathers want it.
const LIMIT: usize = 1 << 29;
