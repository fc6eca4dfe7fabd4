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
    use crate::position::{ROOT_STRIDE, STRIDE};

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

        /// The first [`ROOT_STRIDE`] bits.
        #[must_use]
        fn first_chunk(self) -> u8;

        /// The [`STRIDE`] bits that follow the first `depth`. Past the end of the address the low
        /// bits are unspecified.
        #[must_use]
        fn chunk(self, depth: u8) -> u8;

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
        fn first_chunk(self) -> u8 {
            (self.to_bits() >> (u32::BITS - u32::from(ROOT_STRIDE))) as u8
        }

        #[inline]
        fn chunk(self, depth: u8) -> u8 {
            (self.to_bits().rotate_left(u32::from(depth + STRIDE)) as u8) & CHUNK
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

        #[inline]
        fn first_chunk(self) -> u8 {
            (self.to_bits() >> (u128::BITS - u32::from(ROOT_STRIDE))) as u8
        }

        #[inline]
        fn chunk(self, depth: u8) -> u8 {
            (self.to_bits().rotate_left(u32::from(depth + STRIDE)) as u8) & CHUNK
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
    fn chunks_are_the_bits_behind_a_depth() {
        let a = Ipv4Addr::from_bits((0b110_0001 << 25) | (0b10_0001 << 19) | (0b11_1111 << 1) | 1);
        assert_eq!(a.first_chunk(), 0b110_0001);
        let chunks = [7, 13, 19, 25].map(|depth| a.chunk(depth));
        assert_eq!(chunks, [0b10_0001, 0, 0, 0b11_1111]);
        assert_eq!(
            a.chunk(31) >> 5,
            1,
            "the last chunk holds one bit of the address"
        );

        let b =
            Ipv6Addr::from_bits((0b110_0001 << 121) | (0b10_0011 << 115) | (0b10_1111 << 1) | 1);
        assert_eq!(b.first_chunk(), 0b110_0001);
        let chunks = [7, 13, 115, 121].map(|depth| b.chunk(depth));
        assert_eq!(chunks, [0b10_0011, 0, 0, 0b10_1111]);
        assert_eq!(b.chunk(127) >> 5, 1);
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
