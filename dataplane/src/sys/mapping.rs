//! Memory mappings: where they are made, and where they end.
//!
//! What lies in them, and who may touch it when, is their owner's business.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

/// A mapping of this process alone, page-aligned and writable, until it is dropped.
#[derive(Debug)]
pub(in crate::sys) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes of zeroes. The kernel commits them on first touch.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a length of zero or beyond `isize`, or the error of `mmap(2)`.
    pub(in crate::sys) fn anonymous(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::new(len, flags, -1, 0)
    }

    /// Maps `len` bytes that a descriptor offers at `offset`, shared with the kernel.
    ///
    /// # Errors
    ///
    /// As for [`Self::anonymous`].
    pub(in crate::sys) fn shared(
        fd: BorrowedFd<'_>,
        len: usize,
        offset: libc::off_t,
    ) -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Self::new(len, flags, fd.as_raw_fd(), offset)
    }

    fn new(
        len: usize,
        flags: libc::c_int,
        fd: libc::c_int,
        offset: libc::off_t,
    ) -> io::Result<Self> {
        if len == 0 || isize::try_from(len).is_err() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps no memory that
        // Rust knows of.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }

    /// Asks for huge pages. A kernel without them refuses, which does no harm.
    pub(in crate::sys) fn prefer_huge_pages(&self) {
        // SAFETY: the range is this mapping; the advice changes no content.
        unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
    }

    /// The first byte.
    #[inline]
    pub(in crate::sys) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The address of a `T` at `offset`, if one lies there wholly and aligned.
    pub(in crate::sys) fn place<T>(&self, offset: usize) -> Option<NonNull<T>> {
        self.places(offset, 1)
    }

    /// The address of the first of `count` in a row, likewise.
    pub(in crate::sys) fn places<T>(&self, offset: usize, count: usize) -> Option<NonNull<T>> {
        let bytes = size_of::<T>().checked_mul(count)?;
        if offset.checked_add(bytes)? > self.len {
            return None;
        }
        // SAFETY: `offset` lies in the mapping or is its end, as just checked.
        let place = unsafe { self.base.add(offset) }.cast();
        place.is_aligned().then_some(place)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: address and length are those of the mapping made in `new`. Whoever keeps
        // pointers into it keeps the mapping beside them.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_has_a_place() {
        let mapping = Mapping::anonymous(4096).unwrap();
        assert!(mapping.place::<u32>(4092).is_some());
        assert!(mapping.place::<u32>(4093).is_none(), "not whole");
        assert!(mapping.place::<u32>(2).is_none(), "not aligned");
        assert!(mapping.places::<u64>(0, 512).is_some());
        assert!(mapping.places::<u64>(8, 512).is_none());
        assert!(mapping.places::<u64>(0, usize::MAX).is_none());
        assert!(mapping.place::<u8>(usize::MAX).is_none());
    }

    #[test]
    fn nothing_and_too_much_cannot_be_mapped() {
        assert!(Mapping::anonymous(0).is_err());
        assert!(Mapping::anonymous(usize::MAX).is_err());
    }
}
