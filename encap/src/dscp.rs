//! Differentiated services across tunnels (RFC 2474, RFC 2983).
//!
//! Does not write headers: templates and [`crate::propagation`] do.

use core::{fmt, str::FromStr};

use thiserror::Error;

/// A differentiated services code point: the upper six bits of the traffic class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dscp(u8);

/// A number does not fit into 6 bits, or a string is no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a DSCP; expected a number from 0 to 63")]
pub struct DscpError;

impl Dscp {
    /// Best effort, 0.
    pub const DEFAULT: Self = Self(0);
    /// Expedited forwarding, 46 (RFC 3246).
    pub const EXPEDITED: Self = Self(46);

    /// Checks that `value` fits into 6 bits.
    #[inline]
    pub const fn new(value: u8) -> Option<Self> {
        if value < 64 { Some(Self(value)) } else { None }
    }

    /// The upper six bits of a traffic class byte.
    #[inline]
    pub const fn from_traffic_class(byte: u8) -> Self {
        Self(byte >> 2)
    }

    /// As a number.
    #[inline]
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Dscp {
    type Error = DscpError;

    fn try_from(value: u8) -> Result<Self, DscpError> {
        Self::new(value).ok_or(DscpError)
    }
}

impl FromStr for Dscp {
    type Err = DscpError;

    fn from_str(text: &str) -> Result<Self, DscpError> {
        text.parse().ok().and_then(Self::new).ok_or(DscpError)
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dscp({})", self.0)
    }
}

/// Where the outer DSCP comes from, and what becomes of it at the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DscpPolicy {
    /// The uniform model of RFC 2983: the outer one is the inner one, and what the underlay made of
    /// it is the inner one again.
    Copy,
    /// The pipe model of RFC 2983: the outer one is this, and the inner one crosses untouched.
    Set(Dscp),
}

impl Default for DscpPolicy {
    fn default() -> Self {
        Self::Set(Dscp::DEFAULT)
    }
}

impl DscpPolicy {
    /// The outer DSCP of a packet with this inner one.
    #[inline]
    pub const fn encapsulated(self, inner: Dscp) -> Dscp {
        match self {
            Self::Copy => inner,
            Self::Set(dscp) => dscp,
        }
    }

    /// The DSCP to forward the inner packet with.
    #[inline]
    pub const fn decapsulated(self, inner: Dscp, outer: Dscp) -> Dscp {
        match self {
            Self::Copy => outer,
            Self::Set(_) => inner,
        }
    }
}

/// `copy`, or a number.
impl FromStr for DscpPolicy {
    type Err = DscpError;

    fn from_str(text: &str) -> Result<Self, DscpError> {
        match text {
            "copy" => Ok(Self::Copy),
            number => number.parse().map(Self::Set),
        }
    }
}

impl fmt::Display for DscpPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy => f.write_str("copy"),
            Self::Set(dscp) => fmt::Display::fmt(dscp, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn only_six_bits_fit() {
        assert_eq!(Dscp::new(63).map(Dscp::value), Some(63));
        assert_eq!(
            (Dscp::new(64), "64".parse::<Dscp>()),
            (None, Err(DscpError))
        );
        assert_eq!(Dscp::from_traffic_class(0xba), Dscp::EXPEDITED);
    }

    #[test]
    fn policies_parse_and_print() {
        for text in ["copy", "0", "46", "63"] {
            assert_eq!(text.parse::<DscpPolicy>().unwrap().to_string(), text);
        }
        for text in ["", "64", "-1", "inherit", "ef"] {
            assert_eq!(text.parse::<DscpPolicy>(), Err(DscpError), "{text}");
        }
    }

    #[test]
    fn uniform_copies_both_ways_and_pipe_neither() {
        let [inner, outer] = [10, 20].map(|value| Dscp::new(value).unwrap());
        assert_eq!(DscpPolicy::Copy.encapsulated(inner), inner);
        assert_eq!(DscpPolicy::Copy.decapsulated(inner, outer), outer);
        let pipe = DscpPolicy::Set(Dscp::EXPEDITED);
        assert_eq!(pipe.encapsulated(inner), Dscp::EXPEDITED);
        assert_eq!(pipe.decapsulated(inner, outer), inner);
    }
}
