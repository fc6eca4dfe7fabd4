//! The memory a table's nodes live in: 32-bit words, shared by a writer and its snapshots. Knows no
//! nodes, and not which words are free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Words that readers read while a writer fills others.
///
/// They are atomics not because anything races, but because nothing else may be written behind a
/// shared reference without unsafe code: a relaxed access is a plain load or store. A word that a
/// snapshot can reach is never written; what orders the writes before the snapshot's reads is the
/// channel through which the snapshot gets to its reader.
pub(crate) type Words = Arc<[AtomicU32]>;

/// The word at `at`.
#[inline(always)]
pub(crate) fn load(words: &[AtomicU32], at: u32) -> u32 {
    words[at as usize].load(Relaxed)
}

/// Changes the word at `at`. The caller knows that no snapshot reaches it.
#[inline]
pub(crate) fn store(words: &[AtomicU32], at: u32, word: u32) {
    words[at as usize].store(word, Relaxed);
}

/// Writes `source` from `at` on, under the terms of [`store`].
pub(crate) fn write(words: &[AtomicU32], at: u32, source: &[u32]) {
    let words = &words[at as usize..][..source.len()];
    let ((words, last), (source, rest)) = (words.as_chunks::<STEP>(), source.as_chunks::<STEP>());
    for (words, source) in words.iter().zip(source) {
        each(words, source.iter().copied());
    }
    each(last, rest.iter().copied());
}

/// Copies `len` words, under the terms of [`store`].
pub(crate) fn copy(words: &[AtomicU32], from: u32, to: u32, len: u32) {
    let part = |at: u32| words[at as usize..][..len as usize].as_chunks::<STEP>();
    let ((words, last), (source, rest)) = (part(to), part(from));
    for (words, source) in words.iter().zip(source) {
        each(words, source.iter().map(|word| word.load(Relaxed)));
    }
    each(last, rest.iter().map(|word| word.load(Relaxed)));
}

/// Words that are written without a loop: the compiler leaves loops over atomics as they are.
const STEP: usize = 8;

#[inline(always)]
fn each(words: &[AtomicU32], values: impl Iterator<Item = u32>) {
    for (word, value) in words.iter().zip(values) {
        word.store(value, Relaxed);
    }
}

/// As many words, of which the first are those of `words`, the rest zero.
pub(crate) fn grown(words: &[AtomicU32], len: usize) -> Words {
    let old = words.iter().map(|word| word.load(Relaxed));
    let mut old = old.fuse();
    (0..len)
        .map(|_| AtomicU32::new(old.next().unwrap_or(0)))
        .collect()
}
