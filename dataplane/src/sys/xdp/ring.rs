//! One ring shared with the kernel, of which one side writes entries and the other takes them
//! (`net/xdp/xsk_queue.h`): fill and transmit rings are written here, receive and completion
//! rings by the kernel.
//!
//! Indices run freely and wrap; an entry's place is its index modulo the size. Each side
//! publishes its own index by a release store and reads the other's by an acquire load, once a
//! batch rather than once an entry.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys::mapping::Mapping;

/// Set by a kernel that is to be entered before it goes on with the ring.
const NEED_WAKEUP: u32 = libc::XDP_RING_NEED_WAKEUP;

/// A mapping with both indices, the flags and the entries in it.
#[derive(Debug)]
struct Shared<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
    /// Where all of it lies.
    _memory: Mapping,
}

impl<T: Copy> Shared<T> {
    /// A ring of `size` entries, a power of two, with its parts at `offsets`.
    fn new(memory: Mapping, offsets: &libc::xdp_ring_offset, size: u32) -> io::Result<Self> {
        let parts = || {
            Some(Self {
                producer: memory.place(usize::try_from(offsets.producer).ok()?)?,
                consumer: memory.place(usize::try_from(offsets.consumer).ok()?)?,
                flags: memory.place(usize::try_from(offsets.flags).ok()?)?,
                entries: memory.places(usize::try_from(offsets.desc).ok()?, size as usize)?,
                size,
                _memory: memory,
            })
        };
        let parts = size.is_power_of_two().then(parts).flatten();
        parts.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        // SAFETY: `new` found it whole and aligned in the mapping, which lives as long as
        // `self`; the kernel and we touch it atomically only.
        unsafe { self.producer.as_ref() }
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    #[inline]
    fn needs_wakeup(&self) -> bool {
        // SAFETY: as for `producer`.
        let flags = unsafe { self.flags.as_ref() };
        flags.load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// The address of the entry with this index.
    #[inline]
    fn entry(&self, index: u32) -> NonNull<T> {
        // SAFETY: less than `size`, and so many entries lie in the mapping: see `new`.
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }
    }
}

/// The writing side.
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Shared<T>,
    /// The index of the next entry; the kernel learns of it by [`Self::publish`].
    next: u32,
    /// Entries that can be written before the kernel's index must be read again.
    vacant: u32,
}

impl<T: Copy> Producer<T> {
    /// The writing side of an unused ring.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the ring does not lie in the mapping.
    pub(super) fn new(
        memory: Mapping,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let ring = Shared::new(memory, offsets, size)?;
        Ok(Self {
            next: ring.producer().load(Ordering::Relaxed),
            ring,
            vacant: 0,
        })
    }

    /// Writes an entry; false if the ring is full.
    #[inline]
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.is_full() {
            return false;
        }
        // SAFETY: the place is in the mapping, and the kernel does not read it before the
        // index is published, nor any more since its own index is beyond.
        unsafe { self.ring.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
        self.vacant -= 1;
        true
    }

    /// Whether there is no place for another entry.
    #[inline]
    pub(super) fn is_full(&mut self) -> bool {
        if self.vacant == 0 {
            // Pairs with the kernel's release: it has read what is written over next.
            let taken = self.ring.consumer().load(Ordering::Acquire);
            self.vacant = self.ring.size - self.next.wrapping_sub(taken).min(self.ring.size);
        }
        self.vacant == 0
    }

    /// Shows the kernel all entries that were written.
    #[inline]
    pub(super) fn publish(&self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Published entries that the kernel has not taken.
    pub(super) fn waiting(&self) -> u32 {
        let published = self.ring.producer().load(Ordering::Relaxed);
        published.wrapping_sub(self.ring.consumer().load(Ordering::Relaxed))
    }

    /// Whether the kernel goes on only when it is entered.
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// The taking side.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Shared<T>,
    /// The index of the next entry; the kernel learns of it by [`Self::release`].
    next: u32,
    /// Entries that can be taken before the kernel's index must be read again.
    present: u32,
}

impl<T: Copy> Consumer<T> {
    /// The taking side of an unused ring.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the ring does not lie in the mapping.
    pub(super) fn new(
        memory: Mapping,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let ring = Shared::new(memory, offsets, size)?;
        Ok(Self {
            next: ring.consumer().load(Ordering::Relaxed),
            ring,
            present: 0,
        })
    }

    /// Takes the oldest entry.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.present == 0 {
            self.present = self.count();
            if self.present == 0 {
                return None;
            }
        }
        // SAFETY: the place is in the mapping; the kernel wrote it before it published its
        // index, and does not write it again before ours is beyond.
        let entry = unsafe { self.ring.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        self.present -= 1;
        Some(entry)
    }

    /// Entries that the kernel has published and nobody has taken.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        // Pairs with the kernel's release: the entries are there.
        let published = self.ring.producer().load(Ordering::Acquire);
        published.wrapping_sub(self.next).min(self.ring.size)
    }

    /// Gives the kernel back the places of all entries that were taken.
    #[inline]
    pub(super) fn release(&self) {
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SIZE: u32 = 4;
    const OFFSETS: libc::xdp_ring_offset = libc::xdp_ring_offset {
        producer: 0,
        consumer: 64,
        desc: 192,
        flags: 128,
    };

    fn memory() -> Mapping {
        Mapping::anonymous(4096).unwrap()
    }

    /// Both sides of one ring: ours, and what the kernel would be.
    fn pair() -> (Producer<u64>, Consumer<u64>) {
        pair_of(SIZE)
    }

    /// Such a pair with `size` entries; the first has the memory.
    pub(in crate::sys::xdp) fn pair_of(size: u32) -> (Producer<u64>, Consumer<u64>) {
        let producer = Producer::new(memory(), &OFFSETS, size).unwrap();
        let mut consumer = Consumer::new(memory(), &OFFSETS, size).unwrap();
        let Shared {
            producer: index,
            consumer: taken,
            flags,
            entries,
            ..
        } = producer.ring;
        consumer.ring.producer = index;
        consumer.ring.consumer = taken;
        consumer.ring.flags = flags;
        consumer.ring.entries = entries;
        (producer, consumer)
    }

    /// Has the kernel's side ask to be entered, or no more.
    pub(in crate::sys::xdp) fn set_wakeup(ring: &Producer<u64>, on: bool) {
        let flags = if on { NEED_WAKEUP } else { 0 };
        // SAFETY: the flags of a mapping that a test owns.
        unsafe { ring.ring.flags.as_ref() }.store(flags, Ordering::Relaxed);
    }

    #[test]
    fn entries_come_out_in_order_and_only_once_published() {
        let (mut producer, mut consumer) = pair();
        assert!(producer.push(1) && producer.push(2));
        assert_eq!(consumer.pop(), None);
        producer.publish();
        assert_eq!((producer.waiting(), consumer.count()), (2, 2));
        assert_eq!(
            (consumer.pop(), consumer.pop(), consumer.pop()),
            (Some(1), Some(2), None)
        );
        consumer.release();
        assert_eq!(producer.waiting(), 0);
    }

    #[test]
    fn a_full_ring_takes_more_once_places_are_released() {
        let (mut producer, mut consumer) = pair();
        let filled = (0..).take_while(|&entry| producer.push(entry)).count();
        assert_eq!(filled, SIZE as usize);
        producer.publish();
        assert_eq!(consumer.pop(), Some(0));
        assert!(!producer.push(9), "taken, but not released");
        consumer.release();
        assert!(producer.push(9));
        assert!(!producer.push(10));
    }

    #[test]
    fn indices_wrap() {
        let (mut producer, mut consumer) = pair();
        for index in [&mut producer.next, &mut consumer.next] {
            *index = u32::MAX - 1;
        }
        producer.publish();
        consumer.release();
        for entry in 0..100 {
            assert!(producer.push(entry));
            producer.publish();
            assert_eq!(consumer.pop(), Some(entry));
            consumer.release();
        }
        assert_eq!(consumer.pop(), None);
    }

    #[test]
    fn a_peer_that_lies_about_its_index_reaches_no_other_memory() {
        let (mut producer, mut consumer) = pair();
        producer.ring.consumer().store(1000, Ordering::Relaxed);
        assert!(!producer.push(1), "more was taken than was there");
        consumer.ring.producer().store(1 << 30, Ordering::Relaxed);
        let taken = std::iter::from_fn(|| consumer.pop()).take(SIZE as usize + 1);
        assert!(taken.count() <= SIZE as usize + 1);
    }

    #[test]
    fn the_kernel_asks_to_be_entered_by_a_flag() {
        let (producer, _) = pair();
        assert!(!producer.needs_wakeup());
        set_wakeup(&producer, true);
        assert!(producer.needs_wakeup());
    }

    #[test]
    fn a_ring_must_lie_in_its_mapping() {
        let beyond = libc::xdp_ring_offset {
            desc: 4096 - 24,
            ..OFFSETS
        };
        assert!(Producer::<u64>::new(memory(), &beyond, SIZE).is_err());
        assert!(
            Consumer::<u64>::new(memory(), &OFFSETS, 3).is_err(),
            "no power of two"
        );
        assert!(Consumer::<u64>::new(memory(), &OFFSETS, 1 << 20).is_err());
    }
}
