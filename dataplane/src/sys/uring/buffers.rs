//! A ring of slots lent to the kernel, which picks one for each frame it receives.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::sys::arena::Slot;
use crate::sys::mapping::Mapping;
use crate::sys::uring::ring::Ring;

/// The slots of one receiving request, as its buffer group.
pub(super) struct BufferRing {
    group: u16,
    /// What the kernel reads entries from: `lent.len()` of them and, in the padding of the
    /// first, the tail.
    entries: NonNull<BufRingEntry>,
    /// Where they lie. The kernel keeps the pages of a registered ring itself.
    _memory: Mapping,
    /// What the kernel may write to, by buffer number. A slot leaves only when the
    /// kernel has said, by a completion, that it is done with it.
    lent: Box<[Option<Slot>]>,
    /// Buffer numbers that nothing is lent under.
    free: Vec<u16>,
    tail: u16,
    /// Where in a slot the kernel starts to write.
    offset: usize,
}

impl BufferRing {
    /// Registers an empty ring for `count` slots, a power of two, as `group`.
    pub(super) fn new(ring: &Ring, group: u16, count: u16, offset: usize) -> io::Result<Self> {
        if !count.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let memory = Mapping::anonymous(usize::from(count) * size_of::<BufRingEntry>())?;
        let entries = memory.places(0, count.into());
        let entries = entries.ok_or(io::ErrorKind::InvalidInput)?;
        let buffers = Self {
            group,
            entries,
            _memory: memory,
            lent: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
            tail: 0,
            offset,
        };
        // SAFETY: the mapping is page-aligned, zeroed, has room for `count` entries
        // and lives until `drop`, before which `unregister` was called or the ring
        // has gone idle (see `Uring`).
        unsafe {
            let submitter = ring.inner().submitter();
            submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, count, group, 0)?;
        }
        Ok(buffers)
    }

    pub(super) fn group(&self) -> u16 {
        self.group
    }

    /// Slots the kernel may still fill.
    pub(super) fn lent(&self) -> usize {
        self.lent.len() - self.free.len()
    }

    /// Lends a slot to the kernel; gives it back if all numbers are taken.
    #[inline]
    pub(super) fn lend(&mut self, slot: Slot) -> Result<(), Slot> {
        let Some(id) = self.free.pop() else {
            return Err(slot);
        };
        let index = usize::from(self.tail) & (self.lent.len() - 1);
        // SAFETY: `index` is below the number of entries that the mapping was made
        // for. The kernel reads an entry only once the tail is beyond it, and then
        // has consumed it before its number is in `free` again. The tail, in the
        // last two bytes of the first entry, is not touched by the setters.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(slot.as_ptr() as u64 + self.offset as u64);
        entry.set_len((slot.bytes().len() - self.offset) as u32);
        entry.set_bid(id);
        self.lent[usize::from(id)] = Some(slot);
        self.tail = self.tail.wrapping_add(1);
        let first = self.entries.as_ptr();
        // SAFETY: the first entry of the mapping, initialised with zeroes; the tail
        // in it is aligned and shared with the kernel, which reads it atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(first).cast_mut()) };
        // Pairs with the acquire load in the kernel: it sees the entry before the tail.
        tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Takes back the slot that a completion names.
    #[inline]
    pub(super) fn take(&mut self, id: u16) -> Option<Slot> {
        let slot = self.lent.get_mut(usize::from(id))?.take()?;
        self.free.push(id);
        Some(slot)
    }

    /// Ends the kernel's access; no request may use the group any more.
    pub(super) fn unregister(&self, ring: &Ring) -> io::Result<()> {
        ring.inner().submitter().unregister_buf_ring(self.group)
    }
}

impl std::fmt::Debug for BufferRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BufferRing")
            .field("group", &self.group)
            .field("lent", &self.lent())
            .finish_non_exhaustive()
    }
}
