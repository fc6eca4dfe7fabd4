//! ICMPv6 (RFC 4443): a view of messages, and headers for errors about packets that cannot be
//! forwarded.
//!
//! Does not limit how many errors are sent (RFC 4443, section 2.4 (f)): the dataplane does.

use core::net::Ipv6Addr;

use crate::{
    IpProtocol, Ipv6Packet, Ipv6Repr, ParseError,
    bytes::{put_u16, put_u32, u32_at},
    checksum, ipv6,
};

#[cfg(test)]
mod tests;

/// Length in bytes of the part that all messages have, with the four bytes after it.
pub const HEADER_LEN: usize = 8;
/// Length in bytes of what [`error_header`] returns.
pub const ERROR_HEADER_LEN: usize = ipv6::HEADER_LEN + HEADER_LEN;
/// How many bytes of the offending packet an error quotes: as many as fit into the minimum MTU
/// (RFC 4443, section 2.4 (c)).
pub const ORIGINAL_MAX: usize = 1280 - ERROR_HEADER_LEN;

/// Message types. Those below 128 are errors.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Router advertisement (RFC 4861).
    pub const ROUTER_ADVERT: u8 = 134;
    /// Neighbour solicitation (RFC 4861).
    pub const NEIGHBOUR_SOLICIT: u8 = 135;
    /// Neighbour advertisement (RFC 4861).
    pub const NEIGHBOUR_ADVERT: u8 = 136;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
}

mod field {
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const MTU: usize = 4;
}

const HOP_LIMIT: u8 = 64;

/// A view of an ICMPv6 message.
#[derive(Debug, Clone, Copy)]
pub struct Icmpv6Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Icmpv6Packet<T> {
    /// Wraps a message, which must be the whole transport payload of the IP packet.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if shorter than [`HEADER_LEN`], which no defined message is.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        Ok(Self { buffer })
    }

    /// Message type, see [`kind`].
    #[inline]
    pub fn kind(&self) -> u8 {
        self.buffer.as_ref()[field::TYPE]
    }

    /// Code.
    #[inline]
    pub fn code(&self) -> u8 {
        self.buffer.as_ref()[field::CODE]
    }

    /// Whether it is an error, about which no error may be sent.
    #[inline]
    pub fn is_error(&self) -> bool {
        is_error(self.kind())
    }

    /// The MTU, in bytes, if it is a "packet too big".
    #[inline]
    pub fn next_hop_mtu(&self) -> Option<u32> {
        (self.kind() == kind::PACKET_TOO_BIG).then(|| u32_at(self.buffer.as_ref(), field::MTU))
    }

    /// Whether the checksum is right, given the addresses of the IP packet.
    #[inline]
    pub fn verify_checksum(&self, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        let data = self.buffer.as_ref();
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let pseudo_header = checksum::pseudo_header_v6(src, dst, IpProtocol::ICMPV6, len);
        (pseudo_header + checksum::sum(data)).is_valid()
    }

    /// What follows the first [`HEADER_LEN`] bytes: the offending packet, if it is an error.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

/// Why a router could not forward a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Icmpv6Error {
    /// No route to the destination.
    NoRoute,
    /// Policy forbids it.
    AdminProhibited,
    /// The next hop does not answer neighbour solicitations.
    AddressUnreachable,
    /// Nobody here listens on the UDP port that the packet is for.
    PortUnreachable,
    /// The packet is too big for the next hop.
    PacketTooBig {
        /// MTU of the next hop, in bytes.
        mtu: u32,
    },
    /// The hop limit ran out.
    TimeExceeded,
    /// A header field has a value that cannot be: the packet must go no further.
    ParameterProblem {
        /// Where it is, in bytes from the start of the packet.
        pointer: u32,
    },
}

impl Icmpv6Error {
    const fn type_and_code(self) -> (u8, u8) {
        match self {
            Self::NoRoute => (kind::UNREACHABLE, 0),
            Self::AdminProhibited => (kind::UNREACHABLE, 1),
            Self::AddressUnreachable => (kind::UNREACHABLE, 3),
            Self::PortUnreachable => (kind::UNREACHABLE, 4),
            Self::PacketTooBig { .. } => (kind::PACKET_TOO_BIG, 0),
            Self::TimeExceeded => (kind::TIME_EXCEEDED, 0),
            Self::ParameterProblem { .. } => (kind::PARAMETER_PROBLEM, 0),
        }
    }

    /// What follows the checksum.
    const fn parameter(self) -> u32 {
        match self {
            Self::PacketTooBig { mtu } => mtu,
            Self::ParameterProblem { pointer } => pointer,
            _ => 0,
        }
    }
}

/// The IPv6 and ICMPv6 headers that, put in front of `original` truncated to [`ORIGINAL_MAX`]
/// bytes, make an ICMPv6 error from `source` to the sender of `original`.
///
/// None if no error may be sent about `original` (RFC 4443, section 2.4 (e)), or if it is not IPv6.
/// What came as a link-layer broadcast or multicast the caller must sort out.
pub fn error_header(
    error: Icmpv6Error,
    source: Ipv6Addr,
    original: &[u8],
) -> Option<[u8; ERROR_HEADER_LEN]> {
    let packet = Ipv6Packet::new_header_checked(original).ok()?;
    if !permits_error(&packet, error) {
        return None;
    }
    let quoted = &original[..original.len().min(ORIGINAL_MAX)];
    let repr = Ipv6Repr {
        src_addr: source,
        dst_addr: packet.src_addr(),
        next_header: IpProtocol::ICMPV6,
        traffic_class: 0,
        flow_label: 0,
        hop_limit: HOP_LIMIT,
        payload_len: (HEADER_LEN + quoted.len()) as u16,
    };
    let mut out = [0; ERROR_HEADER_LEN];
    repr.emit(&mut out);

    let icmp = &mut out[ipv6::HEADER_LEN..];
    (icmp[field::TYPE], icmp[field::CODE]) = error.type_and_code();
    put_u32(icmp, field::MTU, error.parameter());
    let len = u32::from(repr.payload_len);
    let sum = checksum::pseudo_header_v6(source, repr.dst_addr, IpProtocol::ICMPV6, len)
        + checksum::sum(icmp)
        + checksum::sum(quoted);
    put_u16(icmp, field::CHECKSUM, sum.checksum());
    Some(out)
}

fn permits_error(packet: &Ipv6Packet<&[u8]>, error: Icmpv6Error) -> bool {
    let src = packet.src_addr();
    let may_be_multicast = matches!(error, Icmpv6Error::PacketTooBig { .. });
    !src.is_unspecified()
        && !src.is_loopback()
        && !src.is_multicast()
        && (may_be_multicast || !packet.dst_addr().is_multicast())
        && !is_icmp_error(packet)
}

/// Whether the packet is an ICMPv6 error or redirect, or may be one for all that can be seen.
fn is_icmp_error(packet: &Ipv6Packet<&[u8]>) -> bool {
    let Ok(transport) = packet.transport() else {
        return true;
    };
    if transport.is_later_fragment() {
        return transport
            .fragment
            .is_none_or(|fragment| may_be_icmp(fragment.next_header));
    }
    let message = packet
        .payload()
        .get(transport.offset - ipv6::HEADER_LEN..)
        .unwrap_or_default();
    transport.protocol == IpProtocol::ICMPV6
        && message
            .first()
            .is_none_or(|&kind| is_error(kind) || kind == kind::REDIRECT)
}

/// Whether ICMPv6 may follow in a first fragment whose later ones announce `protocol`.
const fn may_be_icmp(protocol: IpProtocol) -> bool {
    !protocol.has_ports()
}

const fn is_error(kind: u8) -> bool {
    kind < 128
}
