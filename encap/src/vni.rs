//! The VXLAN network identifier (RFC 7348, section 4).
//!
//! Does not say which identifiers exist: that is configuration.

use core::{fmt, str::FromStr};

use thiserror::Error;

/// A 24-bit VXLAN (or Geneve) network identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

/// A number does not fit into 24 bits, or a string is no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a VNI; expected a number from 0 to 16777215")]
pub struct VniError;

impl Vni {
    /// The largest identifier, 2^24 - 1.
    pub const MAX: Self = Self(0x00ff_ffff);

    /// Checks that `value` fits into 24 bits.
    #[inline]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The identifier made of three bytes in network order: every three bytes are one.
    #[inline]
    pub const fn from_be_bytes([a, b, c]: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, a, b, c]))
    }

    /// The three bytes in network order.
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// As a number.
    #[inline]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vni {
    type Error = VniError;

    fn try_from(value: u32) -> Result<Self, VniError> {
        Self::new(value).ok_or(VniError)
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl FromStr for Vni {
    type Err = VniError;

    fn from_str(text: &str) -> Result<Self, VniError> {
        text.parse().ok().and_then(Self::new).ok_or(VniError)
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_24_bits_fit() {
        assert_eq!(Vni::new(0).map(Vni::value), Some(0));
        assert_eq!(Vni::new(0x00ff_ffff), Some(Vni::MAX));
        assert_eq!(Vni::new(0x0100_0000), None);
        assert_eq!(Vni::try_from(u32::MAX), Err(VniError));
        assert_eq!("42".parse(), Ok(Vni(42)));
        assert_eq!("16777216".parse::<Vni>(), Err(VniError));
        assert_eq!("-1".parse::<Vni>(), Err(VniError));
    }

    #[test]
    fn bytes_are_in_network_order() {
        let vni = Vni::new(0x0001_0203).unwrap();
        assert_eq!(vni.to_be_bytes(), [1, 2, 3]);
        assert_eq!(Vni::from_be_bytes([1, 2, 3]), vni);
    }
}
