//! One mapping cut into equal slots, each owned by at most one [`Slot`] handle.
//!
//! It knows nothing of frames: [`crate::mempool`] gives the slots their layout.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::mapping::Mapping;

/// An anonymous private mapping of `count` slots, `stride` bytes apart.
///
/// Memory is committed by the kernel on first touch, in huge pages where it has them,
/// so that slots that were never used cost nothing.
pub struct Arena {
    memory: Mapping,
    stride: usize,
    count: u32,
    /// Indices of the slots that no [`Slot`] owns; used as a stack so that the
    /// most recently used, still cached, slot is the next one taken.
    free: RefCell<Vec<u32>>,
}

impl Arena {
    /// Maps `count` slots of `stride` bytes.
    ///
    /// # Errors
    ///
    /// The error of `mmap(2)`, or `InvalidInput` when the size is zero or overflows.
    pub fn new(count: u32, stride: usize) -> io::Result<Rc<Self>> {
        let len = (count as usize).checked_mul(stride);
        let len = len.ok_or(io::ErrorKind::InvalidInput)?;
        let memory = Mapping::anonymous(len)?;
        // A super-frame otherwise lies in 17 pages, each of which the kernel's copies look up.
        memory.prefer_huge_pages();
        let free = RefCell::new((0..count).rev().collect());
        Ok(Rc::new(Self {
            memory,
            stride,
            count,
            free,
        }))
    }

    /// Takes a slot, or `None` when all are owned.
    #[inline]
    pub fn take(self: &Rc<Self>) -> Option<Slot> {
        let index = self.free.borrow_mut().pop()?;
        Some(Slot {
            index,
            arena: Rc::clone(self),
        })
    }

    /// The number of slots that nobody owns.
    pub fn available(&self) -> usize {
        self.free.borrow().len()
    }

    /// The number of slots in the arena.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes from slot to slot.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The address of the first slot.
    pub(in crate::sys) fn base(&self) -> *mut u8 {
        self.memory.base().as_ptr()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("stride", &self.stride)
            .field("count", &self.count)
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// Exclusive ownership of one slot; dropping it returns the slot to the arena.
pub struct Slot {
    index: u32,
    arena: Rc<Arena>,
}

impl Slot {
    /// The slot's bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `index < count`, so the range lies inside the mapping, which is
        // zero-initialised by the kernel. Indices leave `free` only through
        // `Arena::take`, so this is the only handle to the range, and whoever
        // lends the memory to the kernel keeps the handle and does not read it.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.arena.stride) }
    }

    /// The slot's bytes, writable.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.arena.stride) }
    }

    /// The slot's number in its arena.
    #[inline]
    pub(in crate::sys) fn index(&self) -> u32 {
        self.index
    }

    /// Whether it is one of `arena`.
    #[inline]
    pub(crate) fn is_of(&self, arena: &Rc<Arena>) -> bool {
        Rc::ptr_eq(&self.arena, arena)
    }

    /// The address of the slot's first byte, to lend to the kernel.
    #[inline]
    pub(in crate::sys) fn as_ptr(&self) -> *mut u8 {
        // SAFETY: `index < count` (it came from `free`), so the offset stays
        // inside the one mapping.
        unsafe {
            self.arena
                .base()
                .add(self.index as usize * self.arena.stride)
        }
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        // Never grows the vector: it was made with room for every index.
        self.arena.free.borrow_mut().push(self.index);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_exclusive_and_return_on_drop() {
        let arena = Arena::new(3, 4096).unwrap();
        let mut a = arena.take().unwrap();
        let mut b = arena.take().unwrap();
        a.bytes_mut().fill(1);
        b.bytes_mut().fill(2);
        assert!(a.bytes().iter().all(|&x| x == 1));
        assert!(b.bytes().iter().all(|&x| x == 2));
        let c = arena.take().unwrap();
        assert!(arena.take().is_none());
        drop(c);
        assert_eq!(arena.available(), 1);
        drop((a, b));
        assert_eq!(arena.available(), 3);
    }

    #[test]
    fn a_slot_outlives_the_arena_handle() {
        let mut slot = Arena::new(1, 64).unwrap().take().unwrap();
        slot.bytes_mut()[63] = 7;
        assert_eq!(slot.bytes()[63], 7);
    }

    #[test]
    fn empty_and_huge_arenas_are_refused() {
        assert!(Arena::new(0, 64).is_err());
        assert!(Arena::new(u32::MAX, usize::MAX).is_err());
    }
}
