//! Time to live and hop limit across tunnels.
//!
//! Does not decrement: that is a router's work on the inner packet, before and after the tunnel.

use core::{fmt, num::NonZeroU8, str::FromStr};

use thiserror::Error;

/// Where the outer time to live (IPv6: hop limit) comes from, and what becomes of it at the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TtlPolicy {
    /// The tunnel counts hop by hop, as in the uniform model of RFC 3443: the outer one is the
    /// inner one, and what is left of it is the inner one again.
    Copy,
    /// The tunnel is one hop (RFC 2003 section 3.1, RFC 2473 section 6.3): the outer one is this,
    /// and the inner one crosses untouched.
    Set(NonZeroU8),
}

/// A string is neither `copy` nor a number from 1 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a TTL; expected copy or a number from 1 to 255")]
pub struct TtlPolicyError;

/// What RFC 1700 recommends.
const DEFAULT: NonZeroU8 = NonZeroU8::new(64).expect("64 is not zero");

impl Default for TtlPolicy {
    fn default() -> Self {
        Self::Set(DEFAULT)
    }
}

impl TtlPolicy {
    /// The outer one of a packet with this inner one.
    #[inline]
    pub const fn encapsulated(self, inner: u8) -> u8 {
        match self {
            Self::Copy => inner,
            Self::Set(ttl) => ttl.get(),
        }
    }

    /// The one to forward the inner packet with. It never grows: a loop through tunnels ends.
    #[inline]
    pub const fn decapsulated(self, inner: u8, outer: u8) -> u8 {
        match self {
            Self::Copy if outer < inner => outer,
            _ => inner,
        }
    }
}

/// `copy`, or a number from 1.
impl FromStr for TtlPolicy {
    type Err = TtlPolicyError;

    fn from_str(text: &str) -> Result<Self, TtlPolicyError> {
        match text {
            "copy" => Ok(Self::Copy),
            number => number.parse().map(Self::Set).map_err(|_| TtlPolicyError),
        }
    }
}

impl fmt::Display for TtlPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy => f.write_str("copy"),
            Self::Set(ttl) => fmt::Display::fmt(ttl, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn policies_parse_and_print() {
        for text in ["copy", "1", "64", "255"] {
            assert_eq!(text.parse::<TtlPolicy>().unwrap().to_string(), text);
        }
        for text in ["", "0", "256", "-1", "inherit"] {
            assert_eq!(text.parse::<TtlPolicy>(), Err(TtlPolicyError), "{text}");
        }
    }

    #[test]
    fn no_policy_lengthens_a_life() {
        let set = TtlPolicy::default();
        assert_eq!((set.encapsulated(3), set.decapsulated(3, 60)), (64, 3));
        assert_eq!(TtlPolicy::Copy.encapsulated(3), 3);
        for (inner, outer, left) in [(9, 5, 5), (5, 9, 5), (0, 255, 0)] {
            assert_eq!(TtlPolicy::Copy.decapsulated(inner, outer), left);
        }
    }
}
