//! What differs between the packets of one next hop.
//!
//! Does not write it: [`Template::stamp`](super::Template::stamp) does.

use thiserror::Error;

use crate::{
    Dscp, Ecn, EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, ParseError, Sum, flow,
    ip::IpVersion,
};

/// What differs between the packets of one next hop. Fields that the template's policies do not
/// copy are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes of what follows the template: the inner IP packet, or in bridged networks
    /// the inner frame.
    pub inner_len: usize,
    /// Type of the inner packet. In bridged networks the inner frame has it, and this is not used.
    pub ethertype: EtherType,
    /// Outer IPv4 identification.
    pub ident: u16,
    /// Outer UDP source port, see [`flow::source_port`].
    pub source_port: u16,
    /// Outer IPv6 flow label, see [`flow::flow_label`]; of it 20 bits are sent.
    pub flow_label: u32,
    /// The inner ECN field (RFC 6040).
    pub ecn: Ecn,
    /// The inner DSCP.
    pub dscp: Dscp,
    /// The inner time to live or hop limit.
    pub ttl: u8,
    /// Whether the inner packet must not be fragmented.
    pub dont_fragment: bool,
    /// What becomes of the outer UDP checksum.
    pub checksum: OuterChecksum,
}

impl Stamp {
    /// A stamp for `inner_len` bytes of the type `ethertype`: identification zero, the lowest
    /// source port, no flow label, Not-ECT, the default DSCP, TTL 64, no UDP checksum.
    #[inline]
    pub const fn new(ethertype: EtherType, inner_len: usize) -> Self {
        Self {
            inner_len,
            ethertype,
            ident: 0,
            source_port: *flow::SOURCE_PORTS.start(),
            flow_label: 0,
            ecn: Ecn::NotEct,
            dscp: Dscp::DEFAULT,
            ttl: 64,
            dont_fragment: false,
            checksum: OuterChecksum::Zero,
        }
    }

    /// A stamp for the IP packet `packet`, with the fields of its header; the rest as in
    /// [`new`](Self::new). IPv6 packets must not be fragmented on their way.
    ///
    /// # Errors
    /// [`ParseError`], if the header is truncated or none. Nothing behind it is looked at.
    #[inline]
    pub fn of_packet(packet: &[u8]) -> Result<Self, ParseError> {
        let version = IpVersion::of(packet)?;
        let (class, ttl, dont_fragment) = match version {
            IpVersion::V4 => {
                let view = Ipv4Packet::new_header_checked(packet)?;
                (view.traffic_class(), view.ttl(), view.dont_fragment())
            }
            IpVersion::V6 => {
                let view = Ipv6Packet::new_header_checked(packet)?;
                (view.traffic_class(), view.hop_limit(), true)
            }
        };
        Ok(Self {
            ecn: Ecn::from_traffic_class(class),
            dscp: Dscp::from_traffic_class(class),
            ttl,
            dont_fragment,
            ..Self::new(version.ethertype(), packet.len())
        })
    }

    /// A stamp for the Ethernet frame `frame`, with the fields of the IP packet in it, if there is
    /// one; the rest as in [`new`](Self::new).
    #[inline]
    pub fn of_frame(frame: &[u8]) -> Self {
        let stamp = Self::new(EtherType::BRIDGED, frame.len());
        let inner = match EthernetFrame::new_checked(frame) {
            Ok(view) if matches!(view.ethertype(), EtherType::IPV4 | EtherType::IPV6) => {
                Self::of_packet(view.payload())
            }
            _ => return stamp,
        };
        inner.map_or(stamp, |inner| Self {
            ethertype: stamp.ethertype,
            inner_len: stamp.inner_len,
            ..inner
        })
    }

    /// With the source port and the flow label of a flow that has this hash: outer packets of
    /// different flows take different ways through the underlay (RFC 6335, RFC 6438).
    #[inline]
    #[must_use]
    pub const fn with_flow(mut self, hash: u32) -> Self {
        self.source_port = flow::source_port(hash);
        self.flow_label = flow::flow_label(hash);
        self
    }

    #[inline]
    pub(super) const fn traffic_class(&self) -> u8 {
        self.dscp.value() << 2 | self.ecn as u8
    }
}

/// What becomes of the outer UDP checksum. Encapsulations that do not go over UDP have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OuterChecksum {
    /// None. Over IPv6 only if the receiver is known to take it: see
    /// [`UdpChecksum`](crate::UdpChecksum).
    Zero,
    /// Computed, given the sum of the bytes that follow the template. That of a packet with a valid
    /// transport checksum is known without reading it: see
    /// [`checksum::sum_of_valid_packet`](crate::checksum::sum_of_valid_packet).
    Inner(Sum),
    /// The sum of the pseudo-header alone, for a kernel or NIC that completes it. Never for a wire.
    Partial,
}

/// Why a packet cannot be encapsulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StampError {
    /// The outer packet would exceed 65535 bytes.
    #[error("packet too long to encapsulate")]
    TooLong,
    /// The tunnel carries IP alone.
    #[error("not an IP packet")]
    NotIp,
}
