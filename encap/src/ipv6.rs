//! IPv6 (RFC 8200), with a walk over its extension headers.
//!
//! Options and routing headers are skipped, never interpreted; fragments are recognised, never
//! reassembled; jumbograms (RFC 2675) are not known.

use core::net::Ipv6Addr;

use crate::{
    Ecn, IpProtocol, ParseError,
    bytes::{ipv6_at, put, put_u16, u16_at, u32_at},
};

#[cfg(test)]
mod tests;

/// Length in bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// How many extension headers are walked over; RFC 8200 has six kinds.
pub const EXTENSIONS_MAX: usize = 8;

mod field {
    pub(super) const VERSION_CLASS_LABEL: usize = 0;
    pub(super) const PAYLOAD_LEN: usize = 4;
    pub(super) const NEXT_HEADER: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(super) const SRC: usize = 8;
    pub(super) const DST: usize = 24;
}

/// A view of an IPv6 packet.
#[derive(Debug, Clone, Copy)]
pub struct Ipv6Packet<T> {
    buffer: T,
}

/// What is behind the extension headers of an IPv6 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// Protocol of the upper layer; an extension header only if more than [`EXTENSIONS_MAX`] of
    /// them precede it.
    pub protocol: IpProtocol,
    /// Where it begins, in bytes from the start of the packet.
    pub offset: usize,
    /// What the fragment header says, if there is one.
    pub fragment: Option<Fragment>,
}

impl Transport {
    /// Whether the transport header is there and belongs to a whole packet.
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.fragment
            .is_none_or(|fragment| !fragment.more && fragment.offset == 0)
    }

    /// Whether the packet is a fragment that does not contain the transport header.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0)
    }
}

/// An IPv6 fragment header (RFC 8200, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Offset of this fragment's payload in that of the whole packet, in bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// Identification, which the fragments of one packet share.
    pub ident: u32,
    /// Protocol of the fragmented part, the same in all fragments of a packet.
    pub next_header: IpProtocol,
}

impl<T: AsRef<[u8]>> Ipv6Packet<T> {
    /// Wraps `buffer` unchecked: accessors may panic.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Wraps a whole packet. The buffer may be longer than the packet (Ethernet padding).
    ///
    /// # Errors
    /// [`ParseError::Version`], or [`ParseError::Truncated`] if the buffer is shorter than the
    /// packet. Extension headers are not looked at.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let packet = Self::new_header_checked(buffer)?;
        if packet.buffer.as_ref().len() < packet.total_len() {
            return Err(ParseError::Truncated);
        }
        Ok(packet)
    }

    /// Wraps a packet of which only the fixed header needs to be there, as in an ICMPv6 error.
    /// [`payload`](Self::payload) then gives what there is.
    ///
    /// # Errors
    /// [`ParseError::Version`], or [`ParseError::Truncated`] if the buffer ends within the header.
    #[inline]
    pub fn new_header_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        let first = *data.first().ok_or(ParseError::Truncated)?;
        if first >> 4 != 6 {
            return Err(ParseError::Version);
        }
        if data.len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        Ok(Self { buffer })
    }

    #[inline]
    fn data(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Version, 6 in every packet that was checked.
    #[inline]
    pub fn version(&self) -> u8 {
        self.data()[field::VERSION_CLASS_LABEL] >> 4
    }

    /// The traffic class byte: DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (u16_at(self.data(), field::VERSION_CLASS_LABEL) >> 4) as u8
    }

    /// Differentiated services code point (RFC 2474).
    #[inline]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// Explicit congestion notification (RFC 3168).
    #[inline]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_traffic_class(self.traffic_class())
    }

    /// Flow label, 20 bits (RFC 6437).
    #[inline]
    pub fn flow_label(&self) -> u32 {
        u32_at(self.data(), field::VERSION_CLASS_LABEL) & 0x000f_ffff
    }

    /// Length of what follows the fixed header, in bytes.
    #[inline]
    pub fn payload_len(&self) -> usize {
        usize::from(u16_at(self.data(), field::PAYLOAD_LEN))
    }

    /// Length of the packet, in bytes.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len()
    }

    /// Protocol of what follows the fixed header: an extension header or the transport.
    #[inline]
    pub fn next_header(&self) -> IpProtocol {
        IpProtocol(self.data()[field::NEXT_HEADER])
    }

    /// Hop limit.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.data()[field::HOP_LIMIT]
    }

    /// Source address.
    #[inline]
    pub fn src_addr(&self) -> Ipv6Addr {
        ipv6_at(self.data(), field::SRC)
    }

    /// Destination address.
    #[inline]
    pub fn dst_addr(&self) -> Ipv6Addr {
        ipv6_at(self.data(), field::DST)
    }

    /// What follows the fixed header, without padding; of a truncated packet, what there is of it.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let end = self.total_len().min(self.data().len());
        self.data().get(HEADER_LEN..end).unwrap_or_default()
    }

    /// Walks over the extension headers to the transport.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if an extension header ends behind the packet.
    #[inline]
    pub fn transport(&self) -> Result<Transport, ParseError> {
        let protocol = self.next_header();
        if is_extension(protocol) {
            return walk_extensions(self.payload(), protocol);
        }
        Ok(Transport {
            protocol,
            offset: HEADER_LEN,
            fragment: None,
        })
    }

    /// The buffer.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ipv6Packet<T> {
    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut()
    }

    /// Sets the traffic class byte.
    #[inline]
    pub fn set_traffic_class(&mut self, value: u8) {
        let old = u16_at(self.data(), field::VERSION_CLASS_LABEL);
        let new = (old & 0xf00f) | (u16::from(value) << 4);
        put_u16(self.data_mut(), field::VERSION_CLASS_LABEL, new);
    }

    /// Sets the ECN field.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        self.set_traffic_class((self.traffic_class() & !0b11) | ecn as u8);
    }

    /// Sets the length of what follows the fixed header.
    #[inline]
    pub fn set_payload_len(&mut self, len: u16) {
        put_u16(self.data_mut(), field::PAYLOAD_LEN, len);
    }

    /// Sets the hop limit.
    #[inline]
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.data_mut()[field::HOP_LIMIT] = hop_limit;
    }

    /// Sets the source address. The checksum of the transport is not updated.
    #[inline]
    pub fn set_src_addr(&mut self, addr: Ipv6Addr) {
        put(self.data_mut(), field::SRC, addr.octets());
    }

    /// Sets the destination address. The checksum of the transport is not updated.
    #[inline]
    pub fn set_dst_addr(&mut self, addr: Ipv6Addr) {
        put(self.data_mut(), field::DST, addr.octets());
    }

    /// Decrements the hop limit; returns the new one.
    ///
    /// Zero stays zero. A packet that arrived with 1 or 0 must not be forwarded: look first.
    #[inline]
    pub fn decrement_hop_limit(&mut self) -> u8 {
        let hop_limit = self.hop_limit().saturating_sub(1);
        self.set_hop_limit(hop_limit);
        hop_limit
    }

    /// What follows the fixed header, to be written to.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let range = HEADER_LEN..self.total_len().min(self.data().len());
        self.data_mut().get_mut(range).unwrap_or_default()
    }
}

#[inline]
pub(crate) const fn is_extension(protocol: IpProtocol) -> bool {
    matches!(
        protocol,
        IpProtocol::HOP_BY_HOP
            | IpProtocol::ROUTING
            | IpProtocol::FRAGMENT
            | IpProtocol::AUTH
            | IpProtocol::DESTINATION_OPTIONS
            | IpProtocol::MOBILITY
            | IpProtocol::HIP
            | IpProtocol::SHIM6
    )
}

/// Walks `payload`, which begins with a header of the kind `protocol`.
fn walk_extensions(payload: &[u8], mut protocol: IpProtocol) -> Result<Transport, ParseError> {
    let mut at = 0;
    let mut fragment = None;
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(protocol) {
            break;
        }
        // Every extension header has at least 8 bytes.
        let rest = payload.get(at..).ok_or(ParseError::Truncated)?;
        let header = rest.first_chunk().ok_or(ParseError::Truncated)?;
        at += extension_len(protocol, header);
        if at > payload.len() {
            return Err(ParseError::Truncated);
        }
        if protocol == IpProtocol::FRAGMENT {
            fragment = Some(parse_fragment(header));
        }
        protocol = IpProtocol(header[0]);
        // What follows is a piece of the middle: no header begins there.
        if fragment.is_some_and(|fragment| fragment.offset != 0) {
            break;
        }
    }
    Ok(Transport {
        protocol,
        offset: HEADER_LEN + at,
        fragment,
    })
}

/// The length in bytes of the extension header of the kind `protocol` that begins with `header`.
#[inline]
pub(crate) const fn extension_len(protocol: IpProtocol, header: &[u8; 8]) -> usize {
    match protocol {
        IpProtocol::FRAGMENT => 8,
        IpProtocol::AUTH => (header[1] as usize + 2) * 4,
        _ => (header[1] as usize + 1) * 8,
    }
}

fn parse_fragment(header: &[u8; 8]) -> Fragment {
    let offset = u16_at(header, 2);
    Fragment {
        offset: offset & !0b111,
        more: offset & 1 != 0,
        ident: u32_at(header, 4),
        next_header: IpProtocol(header[0]),
    }
}

/// An IPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv6Repr {
    /// Source address.
    pub src_addr: Ipv6Addr,
    /// Destination address.
    pub dst_addr: Ipv6Addr,
    /// Protocol of what follows.
    pub next_header: IpProtocol,
    /// Traffic class byte: DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, of which 20 bits are sent.
    pub flow_label: u32,
    /// Hop limit.
    pub hop_limit: u8,
    /// Length of what follows, in bytes.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// Reads the fixed header of `packet`. What follows begins at [`HEADER_LEN`].
    ///
    /// # Errors
    /// Those of [`Ipv6Packet::new_checked`].
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let view = Ipv6Packet::new_checked(packet)?;
        Ok(Self {
            src_addr: view.src_addr(),
            dst_addr: view.dst_addr(),
            next_header: view.next_header(),
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            hop_limit: view.hop_limit(),
            payload_len: view.payload_len() as u16,
        })
    }

    /// Writes the [`HEADER_LEN`] bytes of the header.
    ///
    /// # Panics
    /// If `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let class = u32::from(self.traffic_class) << 20;
        let first = 0x6000_0000 | class | (self.flow_label & 0x000f_ffff);
        put(out, field::VERSION_CLASS_LABEL, first.to_be_bytes());
        put_u16(out, field::PAYLOAD_LEN, self.payload_len);
        out[field::NEXT_HEADER] = self.next_header.0;
        out[field::HOP_LIMIT] = self.hop_limit;
        put(out, field::SRC, self.src_addr.octets());
        put(out, field::DST, self.dst_addr.octets());
    }
}
