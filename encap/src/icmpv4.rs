//! ICMP (RFC 792): a view of messages, and headers for errors about packets that cannot be
//! forwarded.
//!
//! Does not limit how many errors are sent (RFC 1812, section 4.3.2.8): the dataplane does.

use core::net::Ipv4Addr;

use crate::{
    IpProtocol, Ipv4Packet, Ipv4Repr, ParseError,
    bytes::{put_u16, u16_at},
    checksum, ipv4,
};

#[cfg(test)]
mod tests;

/// Length in bytes of the part that all messages have.
pub const HEADER_LEN: usize = 8;
/// Length in bytes of what [`error_header`] returns.
pub const ERROR_HEADER_LEN: usize = ipv4::HEADER_LEN + HEADER_LEN;
/// How many bytes of the offending packet an error quotes: as many as fit into 576 bytes
/// (RFC 1812, section 4.3.2.3).
pub const ORIGINAL_MAX: usize = 576 - ERROR_HEADER_LEN;

/// Message types.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, deprecated by RFC 6633.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

mod field {
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const MTU: usize = 6;
}

/// Precedence "internetwork control", as RFC 1812, section 4.3.2.5 wants it.
const TRAFFIC_CLASS: u8 = 0xc0;
const TTL: u8 = 64;

/// A view of an ICMP message.
#[derive(Debug, Clone, Copy)]
pub struct Icmpv4Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Icmpv4Packet<T> {
    /// Wraps a message, which must be the whole payload of the IP packet.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if shorter than [`HEADER_LEN`].
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

    /// The next hop's MTU, if it is a "fragmentation needed" (RFC 1191); zero from old routers.
    #[inline]
    pub fn next_hop_mtu(&self) -> Option<u16> {
        let matches = (self.kind(), self.code()) == (kind::UNREACHABLE, 4);
        matches.then(|| u16_at(self.buffer.as_ref(), field::MTU))
    }

    /// Whether the checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        checksum::sum(self.buffer.as_ref()).is_valid()
    }

    /// What follows the first [`HEADER_LEN`] bytes: the offending packet, if it is an error.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

/// Why a router could not forward a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Icmpv4Error {
    /// No route to the destination network.
    NetUnreachable,
    /// The next hop does not answer ARP.
    HostUnreachable,
    /// Nobody here listens on the UDP port that the packet is for.
    PortUnreachable,
    /// Policy forbids it.
    AdminProhibited,
    /// The time to live ran out.
    TimeExceeded,
    /// The packet is too big for the next hop and must not be fragmented. Send it only about
    /// packets with [`dont_fragment`](Ipv4Packet::dont_fragment) set (RFC 1191).
    FragmentationNeeded {
        /// MTU of the next hop, in bytes.
        mtu: u16,
    },
}

impl Icmpv4Error {
    const fn type_and_code(self) -> (u8, u8) {
        match self {
            Self::NetUnreachable => (kind::UNREACHABLE, 0),
            Self::HostUnreachable => (kind::UNREACHABLE, 1),
            Self::PortUnreachable => (kind::UNREACHABLE, 3),
            Self::FragmentationNeeded { .. } => (kind::UNREACHABLE, 4),
            Self::AdminProhibited => (kind::UNREACHABLE, 13),
            Self::TimeExceeded => (kind::TIME_EXCEEDED, 0),
        }
    }

    const fn mtu(self) -> u16 {
        match self {
            Self::FragmentationNeeded { mtu } => mtu,
            _ => 0,
        }
    }
}

/// The IPv4 and ICMP headers that, put in front of `original` truncated to [`ORIGINAL_MAX`] bytes,
/// make an ICMP error from `source` to the sender of `original`.
///
/// None if no error may be sent about `original` (RFC 1122, section 3.2.2; RFC 1812, section
/// 4.3.2.7), or if it is not IPv4. What came as a link-layer broadcast the caller must sort out.
pub fn error_header(
    error: Icmpv4Error,
    source: Ipv4Addr,
    original: &[u8],
) -> Option<[u8; ERROR_HEADER_LEN]> {
    let packet = Ipv4Packet::new_header_checked(original).ok()?;
    if !permits_error(&packet) {
        return None;
    }
    let quoted = &original[..original.len().min(ORIGINAL_MAX)];
    let repr = Ipv4Repr {
        src_addr: source,
        dst_addr: packet.src_addr(),
        protocol: IpProtocol::ICMP,
        traffic_class: TRAFFIC_CLASS,
        ttl: TTL,
        ident: 0,
        dont_fragment: false,
        payload_len: (HEADER_LEN + quoted.len()) as u16,
    };
    let mut out = [0; ERROR_HEADER_LEN];
    repr.emit(&mut out);

    let icmp = &mut out[ipv4::HEADER_LEN..];
    (icmp[field::TYPE], icmp[field::CODE]) = error.type_and_code();
    put_u16(icmp, field::MTU, error.mtu());
    let sum = checksum::sum(icmp) + checksum::sum(quoted);
    put_u16(icmp, field::CHECKSUM, sum.checksum());
    Some(out)
}

fn permits_error(packet: &Ipv4Packet<&[u8]>) -> bool {
    let dst = packet.dst_addr();
    is_host(packet.src_addr())
        && !dst.is_multicast()
        && !dst.is_broadcast()
        && packet.fragment_offset() == 0
        && !is_icmp_error(packet)
}

/// Whether `addr` can be that of one host, to which an error can go.
fn is_host(addr: Ipv4Addr) -> bool {
    let [first, ..] = addr.octets();
    // 0/8 is "this network"; 224/4 and above is multicast, reserved and broadcast.
    first != 0 && !addr.is_loopback() && first < 224
}

/// Whether the packet is an ICMP error, or may be one for all that can be seen.
fn is_icmp_error(packet: &Ipv4Packet<&[u8]>) -> bool {
    packet.protocol() == IpProtocol::ICMP
        && packet.payload().first().is_none_or(|&kind| is_error(kind))
}

const fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        kind::UNREACHABLE
            | kind::SOURCE_QUENCH
            | kind::REDIRECT
            | kind::TIME_EXCEEDED
            | kind::PARAMETER_PROBLEM
    )
}
