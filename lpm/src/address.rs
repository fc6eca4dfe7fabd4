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
    /// Octets of an address: 4 or 16.
    const OCTETS: usize = Self::BITS as usize / 8;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;
}

impl Address for Ipv6Addr {
    const BITS: u8 = 128;
}

pub(crate) mod sealed {
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

        /// The octet number `at`, from the front.
        #[must_use]
        fn octet(self, at: usize) -> u8;

        /// `self` with the octet number `at` replaced.
        #[must_use]
        fn with_octet(self, at: usize, octet: u8) -> Self;
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

        #[inline(always)]
        fn octet(self, at: usize) -> u8 {
            self.octets()[at]
        }

        #[inline]
        fn with_octet(self, at: usize, octet: u8) -> Self {
            let mut octets = self.octets();
            octets[at] = octet;
            octets.into()
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

        #[inline(always)]
        fn octet(self, at: usize) -> u8 {
            self.octets()[at]
        }

        #[inline]
        fn with_octet(self, at: usize, octet: u8) -> Self {
            let mut octets = self.octets();
            octets[at] = octet;
            octets.into()
        }
    }
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
    fn octets_count_from_the_front() {
        let a = Ipv4Addr::new(10, 20, 30, 40);
        assert_eq!([0, 1, 2, 3].map(|at| a.octet(at)), [10, 20, 30, 40]);
        assert_eq!(a.with_octet(2, 99), Ipv4Addr::new(10, 20, 99, 40));
        let b: Ipv6Addr = "2001:db8::7".parse().unwrap();
        assert_eq!(
            [0, 1, 2, 3, 15].map(|at| b.octet(at)),
            [0x20, 1, 0x0d, 0xb8, 7]
        );
        assert_eq!(
            b.with_octet(15, 8),
            "2001:db8::8".parse::<Ipv6Addr>().unwrap()
        );
    }
}
