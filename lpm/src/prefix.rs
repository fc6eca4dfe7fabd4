//! An IP prefix: an address without host bits, and a length. Interface addresses, which keep their
//! host bits, are not prefixes.

use std::fmt;
use std::str::FromStr;

use crate::Address;

/// A network prefix, always masked: the bits past its length are zero.
///
/// Prefixes are ordered by address, and at the same address by length, so that a prefix comes
/// before those it covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    addr: A,
    len: u8,
}

/// Why an address and a length make no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefixError {
    /// The length exceeds the bits of the address family.
    TooLong {
        /// The length asked for.
        len: u8,
        /// The bits of the family: 32 or 128.
        bits: u8,
    },
    /// The address has bits set past the length.
    HostBits {
        /// The length asked for.
        len: u8,
    },
}

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParsePrefixError {
    /// There is no `/` with a length behind the address.
    NoLength,
    /// What is before the `/` is no address of the family.
    Address,
    /// What is behind the `/` is no number from 0 to 255 without sign or leading zero.
    Length,
    /// Address and length are well-formed but make no prefix.
    Prefix(PrefixError),
}

impl<A: Address> Prefix<A> {
    /// The prefix that covers every address: 0.0.0.0/0 or ::/0.
    pub const DEFAULT: Self = Self {
        addr: A::ZERO,
        len: 0,
    };

    /// Makes a prefix of an address without host bits.
    ///
    /// # Errors
    ///
    /// [`PrefixError::TooLong`] if `len` exceeds the family's bits, [`PrefixError::HostBits`] if
    /// `addr` has a bit set past `len`.
    pub fn new(addr: A, len: u8) -> Result<Self, PrefixError> {
        let prefix = Self::masking(addr, len)?;
        if prefix.addr == addr {
            Ok(prefix)
        } else {
            Err(PrefixError::HostBits { len })
        }
    }

    /// Makes the prefix of `len` bits that covers `addr`: host bits are cleared.
    ///
    /// # Errors
    ///
    /// [`PrefixError::TooLong`] if `len` exceeds the family's bits.
    pub fn masking(addr: A, len: u8) -> Result<Self, PrefixError> {
        if len > A::BITS {
            return Err(PrefixError::TooLong { len, bits: A::BITS });
        }
        Ok(Self {
            addr: addr.masked(len),
            len,
        })
    }

    /// The prefix that covers `addr` alone: a /32 or /128.
    pub fn host(addr: A) -> Self {
        Self { addr, len: A::BITS }
    }

    /// The caller has masked `addr` to `len` bits, and `len` is in range.
    pub(crate) fn from_masked(addr: A, len: u8) -> Self {
        debug_assert!(len <= A::BITS && addr.masked(len) == addr);
        Self { addr, len }
    }

    /// The address, its host bits zero.
    #[inline]
    pub fn addr(&self) -> A {
        self.addr
    }

    /// How many leading bits the prefix fixes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a length in bits, not a collection's"
    )]
    #[inline]
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether `addr` is inside the prefix.
    pub fn contains(&self, addr: A) -> bool {
        self.addr.common_len(addr) >= self.len
    }

    /// Whether every address of `other` is inside this prefix; so too when both are equal.
    pub fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && self.contains(other.addr)
    }
}

impl<A: fmt::Display> fmt::Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl<A: fmt::Display> fmt::Debug for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<A: Address> FromStr for Prefix<A> {
    type Err = ParsePrefixError;

    /// Reads `ADDRESS/LENGTH`. Host bits are an error, as in [`Prefix::new`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (addr, len) = text.split_once('/').ok_or(ParsePrefixError::NoLength)?;
        let addr = addr.parse().map_err(|_| ParsePrefixError::Address)?;
        let plain =
            len.bytes().all(|b| b.is_ascii_digit()) && (len == "0" || !len.starts_with('0'));
        let len = len
            .parse()
            .ok()
            .filter(|_| plain)
            .ok_or(ParsePrefixError::Length)?;
        Self::new(addr, len).map_err(ParsePrefixError::Prefix)
    }
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, bits } => {
                write!(
                    f,
                    "prefix length {len} exceeds the {bits} bits of an address"
                )
            }
            Self::HostBits { len } => write!(f, "address has bits set past prefix length {len}"),
        }
    }
}

impl std::error::Error for PrefixError {}

impl fmt::Display for ParsePrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLength => f.write_str("prefix has no /LENGTH"),
            Self::Address => f.write_str("malformed address in prefix"),
            Self::Length => f.write_str("malformed length in prefix"),
            Self::Prefix(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for ParsePrefixError {}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    type P4 = Prefix<Ipv4Addr>;
    type P6 = Prefix<Ipv6Addr>;

    #[test]
    fn new_refuses_what_masking_mends() {
        let addr = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(P4::new(addr, 24), Err(PrefixError::HostBits { len: 24 }));
        assert_eq!(P4::masking(addr, 24).unwrap().to_string(), "10.1.2.0/24");
        assert_eq!(
            P4::new(addr, 33),
            Err(PrefixError::TooLong { len: 33, bits: 32 })
        );
        assert_eq!(
            P4::masking(addr, 33),
            Err(PrefixError::TooLong { len: 33, bits: 32 })
        );
        assert_eq!(P4::new(addr, 32).unwrap(), P4::host(addr));
        assert_eq!(P6::masking(Ipv6Addr::LOCALHOST, 0).unwrap(), P6::DEFAULT);
    }

    #[test]
    fn text_round_trips_and_malformed_text_is_named() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "255.255.255.255/32"] {
            assert_eq!(text.parse::<P4>().unwrap().to_string(), text);
        }
        for text in ["::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(text.parse::<P6>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.0".parse::<P4>(), Err(ParsePrefixError::NoLength));
        assert_eq!("10.0.0/8".parse::<P4>(), Err(ParsePrefixError::Address));
        assert_eq!("::/0".parse::<P4>(), Err(ParsePrefixError::Address));
        for length in ["", "+8", "08", "256", "8 ", "-1"] {
            let parsed = format!("10.0.0.0/{length}").parse::<P4>();
            assert_eq!(parsed, Err(ParsePrefixError::Length), "{length:?}");
        }
        let host_bits = PrefixError::HostBits { len: 8 };
        assert_eq!(
            "10.0.0.1/8".parse::<P4>(),
            Err(ParsePrefixError::Prefix(host_bits))
        );
    }

    #[test]
    fn a_prefix_sorts_before_what_it_covers() {
        let wide: P4 = "10.0.0.0/8".parse().unwrap();
        let narrow: P4 = "10.0.0.0/9".parse().unwrap();
        assert!(wide < narrow);
        assert!(wide.covers(&narrow) && !narrow.covers(&wide) && wide.covers(&wide));
        assert!(narrow.contains(Ipv4Addr::new(10, 127, 255, 255)));
        assert!(!narrow.contains(Ipv4Addr::new(10, 128, 0, 0)));
    }
}
