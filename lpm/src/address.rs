//! The two address families and the bit arithmetic the trie needs of them. Knows no trie.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use sealed::Bits;

/// An IP address of one family: [`Ipv4Addr`] or [`Ipv6Addr`]. Sealed.
pub trait Address:
    Bits + Copy + Ord + Hash + Debug + Display + FromStr + Send + Sync + 'static
{
    /// Bits of an address: 32 or 128.
    const BITS: u8;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;
}

impl Address for Ipv6Addr {
    const BITS: u8 = 128;
}

pub(crate) mod sealed {
    use crate::position::{PAD, STRIDE};

    /// Bit arithmetic on an address, the most significant bit first.
    pub trait Bits: Sized {
        /// The address whose bits are all zero.
        const ZERO: Self;

        /// The first `len` bits, the rest zero. `len` is at most the family's bits.
        #[must_use]
        fn masked(self, len: u8) -> Self;

        /// How many leading bits `self` and `other` share.
        #[must_use]
        fn common_len(self, other: Self) -> u8;

        /// The [`STRIDE`] bits that follow the first `offset` bits of the padded address (see
        /// [`PAD`]). Past the end of the address the low bits are unspecified.
        #[must_use]
        fn chunk(self, offset: u8) -> u8;

        /// `self` with the low bits of `tail` put in front of bit `len`: the last of them becomes
        /// the last bit of the first `len`.
        #[must_use]
        fn with_tail(self, tail: u8, len: u8) -> Self;
    }

    impl Bits for std::net::Ipv4Addr {
        const ZERO: Self = Self::UNSPECIFIED;

        #[inline]
        fn masked(self, len: u8) -> Self {
            let host = u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
            Self::from_bits(self.to_bits() & !host)
        }

        #[inline]
        fn common_len(self, other: Self) -> u8 {
            (self.to_bits() ^ other.to_bits()).leading_zeros() as u8
        }

        #[inline]
        fn chunk(self, offset: u8) -> u8 {
            let padded = u64::from(self.to_bits()) << (u64::BITS - 32 - u32::from(PAD));
            ((padded << offset) >> (u64::BITS - u32::from(STRIDE))) as u8
        }

        #[inline]
        fn with_tail(self, tail: u8, len: u8) -> Self {
            let shifted = u32::from(tail)
                .checked_shl(32 - u32::from(len))
                .unwrap_or(0);
            Self::from_bits(self.to_bits() | shifted)
        }
    }

    impl Bits for std::net::Ipv6Addr {
        const ZERO: Self = Self::UNSPECIFIED;

        #[inline]
        fn masked(self, len: u8) -> Self {
            let host = u128::MAX.checked_shr(u32::from(len)).unwrap_or(0);
            Self::from_bits(self.to_bits() & !host)
        }

        #[inline]
        fn common_len(self, other: Self) -> u8 {
            (self.to_bits() ^ other.to_bits()).leading_zeros() as u8
        }

        // The padded address has more than 128 bits, so it is never built: rotating brings the
        // chunk to the low end, with foreign bits only where the contract leaves them open, and
        // in place of the padding, which is masked off.
        #[inline]
        fn chunk(self, offset: u8) -> u8 {
            let mask = if offset == 0 { FIRST_CHUNK } else { CHUNK };
            let turns = u32::from(offset) + u32::from(STRIDE - PAD);
            self.to_bits().rotate_left(turns) as u8 & mask
        }

        #[inline]
        fn with_tail(self, tail: u8, len: u8) -> Self {
            let shifted = u128::from(tail)
                .checked_shl(128 - u32::from(len))
                .unwrap_or(0);
            Self::from_bits(self.to_bits() | shifted)
        }
    }

    const CHUNK: u8 = (1 << STRIDE) - 1;
    const FIRST_CHUNK: u8 = (1 << (STRIDE - PAD)) - 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_common_lengths_at_both_ends() {
        let a = Ipv4Addr::new(255, 255, 255, 255);
        assert_eq!(a.masked(0), Ipv4Addr::ZERO);
        assert_eq!(a.masked(9), Ipv4Addr::new(255, 128, 0, 0));
        assert_eq!(a.masked(32), a);
        assert_eq!(a.common_len(a), 32);
        assert_eq!(a.common_len(Ipv4Addr::ZERO), 0);
        let b = Ipv6Addr::from_bits(u128::MAX);
        assert_eq!(b.masked(0), Ipv6Addr::ZERO);
        assert_eq!(b.masked(128), b);
        assert_eq!(b.common_len(b.masked(77)), 77);
        assert_eq!(b.common_len(b), 128);
    }

    #[test]
    fn chunks_follow_the_padded_grid() {
        let a = Ipv4Addr::from_bits((1 << 31) | (0b10_0001 << 25) | (0b11_1111 << 1) | 1);
        let chunks: Vec<u8> = (0..6).map(|level| a.chunk(level * 6)).collect();
        assert_eq!(chunks, [1, 0b10_0001, 0, 0, 0, 0b11_1111]);
        assert_eq!(
            a.chunk(36) >> 5,
            1,
            "the last chunk holds one bit of the address"
        );

        let b = Ipv6Addr::from_bits((1 << 127) | (0b10_0011 << 121) | (0b10_1111 << 1) | 1);
        assert_eq!(b.chunk(0), 1);
        assert_eq!(b.chunk(6), 0b10_0011);
        assert_eq!(b.chunk(12), 0);
        assert_eq!(b.chunk(126), 0b10_1111);
        assert_eq!(b.chunk(132) >> 5, 1);
    }

    #[test]
    fn tails_end_at_the_given_length() {
        let a = Ipv4Addr::new(10, 0, 0, 0);
        assert_eq!(a.with_tail(0b11, 10), Ipv4Addr::new(10, 192, 0, 0));
        assert_eq!(a.with_tail(1, 32), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(a.with_tail(0, 0), a);
        assert_eq!(Ipv6Addr::ZERO.with_tail(1, 128), Ipv6Addr::LOCALHOST);
        assert_eq!(Ipv6Addr::ZERO.with_tail(0, 0), Ipv6Addr::ZERO);
    }
}
