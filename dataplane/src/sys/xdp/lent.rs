//! Which slots of an arena the kernel has.
//!
//! The kernel names memory by its distance from the arena's start (`linux/if_xdp.h`), and slots are
//! chunks. What comes back is turned into a slot only if that slot was lent: a wrong address is
//! nobody's memory.

use super::CHUNK;
use crate::sys::arena::Slot;

/// The slots that one socket has lent, by their number.
#[derive(Debug, Default)]
pub(super) struct Lent {
    slots: Box<[Option<Slot>]>,
    count: usize,
}

impl Lent {
    /// Nothing, of an arena with so many slots.
    pub(super) fn new(slots: u32) -> Self {
        Self {
            slots: (0..slots).map(|_| None).collect(),
            count: 0,
        }
    }

    /// Keeps a slot of the arena until it is [taken](Self::take), and says where it starts.
    #[inline]
    pub(super) fn keep(&mut self, slot: Slot) -> u64 {
        let index = slot.index();
        self.slots[index as usize] = Some(slot);
        self.count += 1;
        u64::from(index) * CHUNK as u64
    }

    /// The slot around an address, and how far into it that is.
    #[inline]
    pub(super) fn take(&mut self, address: u64) -> Option<(Slot, usize)> {
        let address = usize::try_from(address).ok()?;
        let slot = self.slots.get_mut(address / CHUNK)?.take()?;
        self.count -= 1;
        Some((slot, address % CHUNK))
    }

    /// How many slots the kernel has.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arena::Arena;

    #[test]
    fn only_what_was_lent_comes_back_and_once() {
        let arena = Arena::new(3, CHUNK).unwrap();
        let mut lent = Lent::new(3);
        let addresses = [(); 2].map(|()| lent.keep(arena.take().unwrap()));
        assert_eq!((lent.count(), arena.available()), (2, 1));
        let behind = 3 * CHUNK as u64;
        for address in [behind, u64::MAX, 2 * CHUNK as u64, behind - 1] {
            assert!(lent.take(address).is_none(), "{address:#x}");
        }
        let (slot, at) = lent.take(addresses[1] + 300).unwrap();
        assert_eq!(at, 300);
        drop(slot);
        assert!(lent.take(addresses[1] + 300).is_none());
        assert_eq!((lent.count(), arena.available()), (1, 2));
        drop(lent);
        assert_eq!(arena.available(), 3);
    }
}
