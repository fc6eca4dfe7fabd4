//! Which slots of an arena the kernel has.
//!
//! The kernel names memory by its distance from the arena's start, in the lower bits of an
//! address, and says in the upper ones how far into a chunk a packet is (`linux/if_xdp.h`, the mode
//! of unaligned chunks). What comes back is turned into a slot only if that slot was lent: a wrong
//! address is nobody's memory.

use crate::sys::arena::Slot;

/// Which bits of an address are an offset into the chunk (`XSK_UNALIGNED_BUF_OFFSET_SHIFT`).
const OFFSET_SHIFT: u32 = libc::XSK_UNALIGNED_BUF_OFFSET_SHIFT as u32;

/// The slots that one socket has lent, by their number.
#[derive(Debug)]
pub(super) struct Lent {
    slots: Box<[Option<Slot>]>,
    /// Bytes from slot to slot.
    stride: u64,
    count: usize,
}

impl Lent {
    /// Nothing, of an arena with so many slots.
    pub(super) fn new(slots: u32, stride: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| None).collect(),
            stride: stride as u64,
            count: 0,
        }
    }

    /// Keeps a slot of the arena until it is [taken](Self::take), and says where it starts.
    #[inline]
    pub(super) fn keep(&mut self, slot: Slot) -> u64 {
        let index = slot.index();
        self.slots[index as usize] = Some(slot);
        self.count += 1;
        u64::from(index) * self.stride
    }

    /// The slot around an address, and how far into it that is.
    #[inline]
    pub(super) fn take(&mut self, address: u64) -> Option<(Slot, usize)> {
        let chunk = address & ((1 << OFFSET_SHIFT) - 1);
        let address = chunk + (address >> OFFSET_SHIFT);
        let index = usize::try_from(address / self.stride).ok()?;
        let slot = self.slots.get_mut(index)?.take()?;
        self.count -= 1;
        Some((slot, (address % self.stride) as usize))
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
        const STRIDE: usize = 4096 + 64;
        let arena = Arena::new(3, STRIDE).unwrap();
        let mut lent = Lent::new(3, STRIDE);
        let addresses = [(); 2].map(|()| lent.keep(arena.take().unwrap()));
        assert_eq!((lent.count(), arena.available()), (2, 1));
        let behind = 3 * STRIDE as u64;
        for address in [behind, u64::MAX, 2 * STRIDE as u64, (behind - 1) | 1 << 48] {
            assert!(lent.take(address).is_none(), "{address:#x}");
        }
        let (slot, at) = lent.take((addresses[1] + 44) | 256 << 48).unwrap();
        assert_eq!(at, 300);
        drop(slot);
        assert!(lent.take(addresses[1] + 300).is_none());
        assert_eq!((lent.count(), arena.available()), (1, 2));
        drop(lent);
        assert_eq!(arena.available(), 3);
    }
}
