//! What IPv4 and IPv6 share: protocol numbers and the version nibble.
//!
//! Does not parse either: see [`crate::ipv4`] and [`crate::ipv6`].

use core::fmt;

use crate::{ParseError, eth::EtherType};

/// An IP protocol number, or IPv6 next header (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// IPv6 hop-by-hop options (RFC 8200).
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP (RFC 792).
    pub const ICMP: Self = Self(1);
    /// IPv4 in IP (RFC 2003).
    pub const IPIP: Self = Self(4);
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// UDP (RFC 768).
    pub const UDP: Self = Self(17);
    /// IPv6 in IP (RFC 2473, RFC 4213).
    pub const IPV6: Self = Self(41);
    /// IPv6 routing header (RFC 8200).
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header (RFC 8200).
    pub const FRAGMENT: Self = Self(44);
    /// GRE (RFC 2784).
    pub const GRE: Self = Self(47);
    /// Encapsulating security payload (RFC 4303).
    pub const ESP: Self = Self(50);
    /// Authentication header (RFC 4302).
    pub const AUTH: Self = Self(51);
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);
    /// IPv6 "no next header" (RFC 8200).
    pub const NO_NEXT: Self = Self(59);
    /// IPv6 destination options (RFC 8200).
    pub const DESTINATION_OPTIONS: Self = Self(60);
    /// Reserved. To Linux, packets that are sent with the header that they have.
    pub const RAW: Self = Self(255);
    /// SCTP (RFC 9260).
    pub const SCTP: Self = Self(132);
    /// IPv6 mobility header (RFC 6275).
    pub const MOBILITY: Self = Self(135);
    /// UDP-Lite (RFC 3828).
    pub const UDP_LITE: Self = Self(136);
    /// Host identity protocol (RFC 7401).
    pub const HIP: Self = Self(139);
    /// Shim6 (RFC 5533).
    pub const SHIM6: Self = Self(140);

    /// Whether the transport header begins with a source and a destination port.
    #[inline]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::HOP_BY_HOP => "hop-by-hop",
            Self::ICMP => "icmp",
            Self::IPIP => "ipip",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::IPV6 => "ipv6",
            Self::ROUTING => "routing",
            Self::FRAGMENT => "fragment",
            Self::GRE => "gre",
            Self::ESP => "esp",
            Self::AUTH => "ah",
            Self::ICMPV6 => "icmp6",
            Self::NO_NEXT => "no-next",
            Self::DESTINATION_OPTIONS => "dst-options",
            Self::SCTP => "sctp",
            Self::MOBILITY => "mobility",
            Self::UDP_LITE => "udp-lite",
            Self::HIP => "hip",
            Self::SHIM6 => "shim6",
            _ => return None,
        })
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "ip-proto-{}", self.0),
        }
    }
}

impl fmt::Debug for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// The version of the IP packet that `packet` begins with; only the first nibble is looked at.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if empty, [`ParseError::Version`] if neither 4 nor 6.
    #[inline]
    pub fn of(packet: &[u8]) -> Result<Self, ParseError> {
        match packet.first().ok_or(ParseError::Truncated)? >> 4 {
            4 => Ok(Self::V4),
            6 => Ok(Self::V6),
            _ => Err(ParseError::Version),
        }
    }

    /// The Ethernet type that announces it.
    #[inline]
    pub const fn ethertype(self) -> EtherType {
        match self {
            Self::V4 => EtherType::IPV4,
            Self::V6 => EtherType::IPV6,
        }
    }

    /// The IP protocol number that announces it inside another IP packet.
    #[inline]
    pub const fn protocol(self) -> IpProtocol {
        match self {
            Self::V4 => IpProtocol::IPIP,
            Self::V6 => IpProtocol::IPV6,
        }
    }

    /// The length in bytes of its header without options.
    #[inline]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4 => crate::ipv4::HEADER_LEN,
            Self::V6 => crate::ipv6::HEADER_LEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn version_is_the_first_nibble() {
        assert_eq!(IpVersion::of(&[0x45]), Ok(IpVersion::V4));
        assert_eq!(IpVersion::of(&[0x60]), Ok(IpVersion::V6));
        assert_eq!(IpVersion::of(&[0x50]), Err(ParseError::Version));
        assert_eq!(IpVersion::of(&[]), Err(ParseError::Truncated));
    }

    #[test]
    fn protocols_print_their_names() {
        assert_eq!(IpProtocol::TCP.to_string(), "tcp");
        assert_eq!(IpProtocol(200).to_string(), "ip-proto-200");
    }
}
