//! A row of 64-bit numbers that BPF programs and this process share: a map of one value, mapped
//! into memory (`BPF_F_MMAPABLE`, Linux 5.5), so that reading it enters no kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bpf;
use super::mapping::Mapping;

/// The numbers, all 0 at first.
#[derive(Debug)]
pub struct Cells {
    map: OwnedFd,
    first: NonNull<AtomicU64>,
    count: usize,
    /// Where they lie.
    _memory: Mapping,
}

// SAFETY: the memory stays mapped as long as `Cells` lives, whoever has it, and is touched by
// atomic operations only.
unsafe impl Send for Cells {}
// SAFETY: as above.
unsafe impl Sync for Cells {}

impl Cells {
    /// So many numbers.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_BPF`, `EINVAL` before Linux 5.5 or for no number at all.
    pub fn new(count: usize) -> io::Result<Self> {
        let len = count * size_of::<u64>();
        let map = bpf::mapped_array(u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?)?;
        let memory = Mapping::shared(map.as_fd(), len, 0)?;
        let first = memory.places(0, count).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            map,
            first,
            count,
            _memory: memory,
        })
    }

    /// The number at a place.
    pub fn load(&self, place: usize) -> u64 {
        self.cell(place).load(Ordering::Acquire)
    }

    /// Changes the number at a place.
    pub fn store(&self, place: usize, value: u64) {
        self.cell(place).store(value, Ordering::Release);
    }

    fn cell(&self, place: usize) -> &AtomicU64 {
        assert!(place < self.count, "{place} of {} cells", self.count);
        // SAFETY: `new` found so many in the mapping, aligned, and the place is one of them. The
        // kernel changes them atomically: see `Cells`.
        unsafe { self.first.add(place).as_ref() }
    }
}

impl AsFd for Cells {
    /// The map, as programs name it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_apart_and_begin_with_nothing() {
        let cells = Cells::new(3).expect("these tests need root");
        cells.store(1, u64::MAX);
        assert_eq!([0, 1, 2].map(|place| cells.load(place)), [0, u64::MAX, 0]);
    }

    #[test]
    #[should_panic(expected = "3 of 3 cells")]
    fn there_is_none_beyond_the_last() {
        Cells::new(3).expect("these tests need root").load(3);
    }
}
