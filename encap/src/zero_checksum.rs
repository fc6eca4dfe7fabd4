//! Whether a tunnel leaves the outer UDP checksum zero, and what to do with one that is (RFC
//! 768, RFC 6935, RFC 6936, RFC 7348 section 4.1, RFC 8926 section 4.3.1).
//!
//! Decides only: does not compute or verify a checksum.

use core::{fmt, str::FromStr};

use thiserror::Error;

use crate::ip::IpVersion;

/// What the tunnels of one UDP port do about the outer checksum. RFC 6936 section 5 lets an
/// operator enable zero over IPv6 by port, knowing what lies between the ends; off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum UdpChecksum {
    /// It is sent, and over IPv6 demanded (RFC 8200, section 8.1).
    #[default]
    On,
    /// It is sent, and zero is accepted from peers that are known.
    Sent,
    /// Zero is sent, and accepted from peers that are known.
    Off,
}

/// A string is none of `on`, `sent` and `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not known; use \"on\", \"sent\" or \"off\"")]
pub struct UdpChecksumError;

impl UdpChecksum {
    /// Whether one is sent.
    #[inline]
    pub const fn is_sent(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Whether zero is accepted from a peer that is known.
    #[inline]
    pub const fn accepts_zero(self, version: IpVersion) -> bool {
        match version {
            IpVersion::V4 => true,
            IpVersion::V6 => !matches!(self, Self::On),
        }
    }
}

impl FromStr for UdpChecksum {
    type Err = UdpChecksumError;

    fn from_str(text: &str) -> Result<Self, UdpChecksumError> {
        match text {
            "on" => Ok(Self::On),
            "sent" => Ok(Self::Sent),
            "off" => Ok(Self::Off),
            _ => Err(UdpChecksumError),
        }
    }
}

impl fmt::Display for UdpChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Sent => "sent",
            Self::Off => "off",
        })
    }
}

/// What a receiver does with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumDecision {
    /// Take it as it is.
    Accept,
    /// Verify the checksum: drop it if that is wrong.
    Verify,
    /// Drop it, silently (RFC 6935, section 5: no ICMP error about it).
    Drop,
}

/// Decides about a datagram that came with `checksum`. Over IPv6 a zero can hide that an address or
/// the port was damaged, and the datagram someone else's: besides being enabled, it takes a
/// source and a destination address between which there is a tunnel, `peer_is_known` (RFC 6936,
/// section 4, and RFC 8926, section 4.3.1). Over IPv4 zero is always accepted (RFC 7348: must be).
#[inline]
pub const fn received(
    version: IpVersion,
    checksum: u16,
    policy: UdpChecksum,
    peer_is_known: bool,
) -> ChecksumDecision {
    if checksum != 0 {
        return ChecksumDecision::Verify;
    }
    match version {
        IpVersion::V4 => ChecksumDecision::Accept,
        IpVersion::V6 if policy.accepts_zero(version) && peer_is_known => ChecksumDecision::Accept,
        IpVersion::V6 => ChecksumDecision::Drop,
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::{ChecksumDecision::*, IpVersion::*, UdpChecksum::*, *};

    #[test]
    fn a_checksum_that_is_there_is_verified() {
        for version in [V4, V6] {
            for policy in [On, Sent, Off] {
                for known in [false, true] {
                    assert_eq!(received(version, 0xffff, policy, known), Verify);
                }
            }
        }
    }

    #[test]
    fn zero_over_ipv4_is_always_taken() {
        for policy in [On, Sent, Off] {
            assert_eq!(received(V4, 0, policy, false), Accept);
        }
    }

    #[test]
    fn zero_over_ipv6_takes_consent_and_acquaintance() {
        for (policy, known, expected) in [
            (On, false, Drop),
            (On, true, Drop),
            (Sent, false, Drop),
            (Sent, true, Accept),
            (Off, false, Drop),
            (Off, true, Accept),
        ] {
            assert_eq!(received(V6, 0, policy, known), expected, "{policy} {known}");
        }
        assert_eq!(UdpChecksum::default(), On);
        assert_eq!(
            [On, Sent, Off].map(UdpChecksum::is_sent),
            [true, true, false]
        );
    }

    #[test]
    fn policies_parse_and_print() {
        for text in ["on", "sent", "off"] {
            assert_eq!(text.parse::<UdpChecksum>().unwrap().to_string(), text);
        }
        for text in ["", "ON", "true", "none"] {
            assert_eq!(text.parse::<UdpChecksum>(), Err(UdpChecksumError), "{text}");
        }
    }
}
