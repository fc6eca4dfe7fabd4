//! The encapsulations by name.
//!
//! Does not know their headers: each has a file of its own.

use core::{fmt, str::FromStr};

use thiserror::Error;

use crate::{geneve, vxlan};

/// How packets cross the underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GRE (RFC 2784).
    Gre,
    /// IP in IP (RFC 2003, RFC 2473, RFC 4213).
    Ipip,
}

impl Encapsulation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vxlan, Self::Geneve, Self::Gre, Self::Ipip];

    /// The name, as `FromStr` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Ipip => "ipip",
        }
    }

    /// The assigned UDP destination port; none if it does not go over UDP.
    #[inline]
    pub const fn udp_port(self) -> Option<u16> {
        match self {
            Self::Vxlan => Some(vxlan::UDP_PORT),
            Self::Geneve => Some(geneve::UDP_PORT),
            Self::Gre | Self::Ipip => None,
        }
    }

    /// Whether it can carry Ethernet frames, as bridged networks need.
    #[inline]
    pub const fn carries_frames(self) -> bool {
        !matches!(self, Self::Ipip)
    }
}

/// A string names no encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an encapsulation; expected vxlan, geneve, gre or ipip")]
pub struct EncapsulationError;

impl FromStr for Encapsulation {
    type Err = EncapsulationError;

    fn from_str(text: &str) -> Result<Self, EncapsulationError> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == text).ok_or(EncapsulationError)
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn names_parse() {
        for one in Encapsulation::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        assert_eq!(
            "vxlan-gpe".parse::<Encapsulation>(),
            Err(EncapsulationError)
        );
    }
}
