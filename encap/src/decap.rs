//! What an outer packet carries: one entry for every encapsulation.
//!
//! Looks at the tunnel header and at the first bytes behind it. Does not look at outer headers, and
//! does not know which networks there are: that is the dataplane's. What crosses from the outer IP
//! header to the inner one is in [`crate::propagation`].

use core::fmt;

use thiserror::Error;

use crate::{
    EtherType, IpProtocol, ParseError, Vni,
    encapsulation::Encapsulation,
    eth, geneve,
    gre::{self, GreKey},
    ip::IpVersion,
    ipip, plain, vxlan,
};

#[cfg(test)]
mod tests;

/// What the outer headers announce: a UDP destination port or an IP protocol number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Announced {
    /// A VXLAN datagram.
    Vxlan,
    /// A Geneve datagram.
    Geneve,
    /// A GRE packet.
    Gre,
    /// An IP packet of this version, directly.
    Ip(IpVersion),
}

impl Announced {
    /// By the UDP destination ports that are assigned or widely used. A socket on another port
    /// knows what it is for.
    #[inline]
    pub const fn by_udp_port(port: u16) -> Option<Self> {
        match port {
            vxlan::UDP_PORT | vxlan::UDP_PORT_LINUX => Some(Self::Vxlan),
            geneve::UDP_PORT => Some(Self::Geneve),
            _ => None,
        }
    }

    /// By the IP protocol number, or IPv6 next header.
    #[inline]
    pub const fn by_protocol(protocol: IpProtocol) -> Option<Self> {
        match protocol {
            IpProtocol::GRE => Some(Self::Gre),
            IpProtocol::IPIP => Some(Self::Ip(IpVersion::V4)),
            IpProtocol::IPV6 => Some(Self::Ip(IpVersion::V6)),
            _ => None,
        }
    }

    /// Recognises what `payload`, all that follows the outer UDP or IP header, carries. No Geneve
    /// option is known: for that see [`geneve::decap`].
    ///
    /// # Errors
    /// [`DecapError`]
    #[inline]
    pub fn decap(self, payload: &[u8]) -> Result<Decap, DecapError> {
        match self {
            Self::Vxlan => vxlan::decap(payload),
            Self::Geneve => geneve::decap(payload, &[]),
            Self::Gre => gre::decap(payload),
            Self::Ip(version) => ipip::decap(version, payload),
        }
    }
}

impl Encapsulation {
    /// Recognises what `payload`, all that follows the outer UDP or IP header, carries, where the
    /// encapsulation is known. As [`Announced::decap`].
    ///
    /// # Errors
    /// [`DecapError`]
    #[inline]
    pub fn decap(self, payload: &[u8]) -> Result<Decap, DecapError> {
        match self {
            Self::Vxlan => vxlan::decap(payload),
            Self::Geneve => geneve::decap(payload, &[]),
            Self::Gre => gre::decap(payload),
            Self::Ipip => ipip::decap(IpVersion::of(payload)?, payload),
            Self::Plain => plain::decap(payload),
        }
    }
}

/// Tells the tunnels of one pair of nodes apart: which network a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKey {
    /// By VXLAN network identifier.
    Vxlan(Vni),
    /// By Geneve network identifier.
    Geneve(Vni),
    /// By GRE key. No key is not the key 0 (RFC 2890).
    Gre(Option<GreKey>),
    /// By nothing: IP in IP has but one network between two nodes.
    Ipip,
    /// There is no tunnel.
    Plain,
}

impl TunnelKey {
    /// The encapsulation.
    #[inline]
    pub const fn encapsulation(self) -> Encapsulation {
        match self {
            Self::Vxlan(_) => Encapsulation::Vxlan,
            Self::Geneve(_) => Encapsulation::Geneve,
            Self::Gre(_) => Encapsulation::Gre,
            Self::Ipip => Encapsulation::Ipip,
            Self::Plain => Encapsulation::Plain,
        }
    }
}

impl TunnelKey {
    /// Whether nothing in a packet tells the tunnels of one pair of nodes apart: then there can be
    /// but one network for each pair, and the outer addresses tell which.
    #[inline]
    pub const fn is_absent(self) -> bool {
        matches!(self, Self::Gre(None) | Self::Ipip)
    }
}

impl fmt::Display for TunnelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vxlan(vni) | Self::Geneve(vni) => write!(f, "{} {vni}", self.encapsulation()),
            Self::Gre(Some(key)) => write!(f, "gre {key}"),
            Self::Gre(None) | Self::Ipip | Self::Plain => {
                fmt::Display::fmt(&self.encapsulation(), f)
            }
        }
    }
}

/// What is inside a tunnel packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InnerType {
    /// An Ethernet frame, at least as long as its header.
    Ethernet,
    /// What begins like an IP packet of this version.
    Ip(IpVersion),
}

/// A tunnel packet, recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decap {
    /// The tunnel it belongs to.
    pub key: TunnelKey,
    /// Where the inner frame or packet begins, in bytes from the start of the tunnel header.
    pub offset: usize,
    /// What the inner frame or packet is.
    pub inner: InnerType,
}

impl Decap {
    /// Checks that at `offset` in `packet` there is what `protocol` says.
    #[inline]
    pub(crate) fn new(
        key: TunnelKey,
        packet: &[u8],
        offset: usize,
        protocol: EtherType,
    ) -> Result<Self, DecapError> {
        let rest = &packet[offset..];
        let inner = match protocol {
            EtherType::BRIDGED if rest.len() < eth::HEADER_LEN => {
                return Err(DecapError::Truncated);
            }
            EtherType::BRIDGED => InnerType::Ethernet,
            EtherType::IPV4 => inner_ip(rest, IpVersion::V4)?,
            EtherType::IPV6 => inner_ip(rest, IpVersion::V6)?,
            _ => return Err(DecapError::InnerProtocol),
        };
        Ok(Self { key, offset, inner })
    }
}

#[inline]
fn inner_ip(packet: &[u8], version: IpVersion) -> Result<InnerType, DecapError> {
    match IpVersion::of(packet) {
        Ok(found) if found == version => Ok(InnerType::Ip(version)),
        Err(ParseError::Truncated) => Err(DecapError::Truncated),
        _ => Err(DecapError::InnerProtocol),
    }
}

/// Why a tunnel packet is not decapsulated. Each is a reason to drop it and to count that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecapError {
    /// It ends within the tunnel header, or within the inner Ethernet header.
    #[error("truncated")]
    Truncated,
    /// A version or flag is wrong, or lengths contradict each other.
    #[error("malformed tunnel header")]
    Header,
    /// The checksum of the tunnel header (GRE) is wrong.
    #[error("bad tunnel checksum")]
    Checksum,
    /// An option that must be understood (Geneve) is not known.
    #[error("unknown critical option")]
    CriticalOption,
    /// A message to the tunnel's end itself (Geneve), not to be forwarded.
    #[error("control message")]
    Control,
    /// What is inside is neither Ethernet nor IP, or not what the header says.
    #[error("unknown inner protocol")]
    InnerProtocol,
}

impl From<ParseError> for DecapError {
    #[inline]
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Truncated => Self::Truncated,
            ParseError::Checksum => Self::Checksum,
            ParseError::Length | ParseError::Version | ParseError::Malformed => Self::Header,
        }
    }
}
