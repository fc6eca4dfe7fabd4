//! IPv4 (RFC 791).
//!
//! Options are skipped, never interpreted; fragments are recognised, never reassembled.

use core::net::Ipv4Addr;

use crate::{
    Ecn, IpProtocol, ParseError,
    bytes::{ipv4_at, put, put_u16, u16_at},
    checksum::{self, Sum},
};

#[cfg(test)]
mod tests;

/// Length in bytes of a header without options.
pub const HEADER_LEN: usize = 20;

mod field {
    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TRAFFIC_CLASS: usize = 1;
    pub(super) const TOTAL_LEN: usize = 2;
    pub(super) const IDENT: usize = 4;
    pub(super) const FRAGMENT: usize = 6;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: usize = 10;
    pub(super) const SRC: usize = 12;
    pub(super) const DST: usize = 16;
}

pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// A view of an IPv4 packet.
#[derive(Debug, Clone, Copy)]
pub struct Ipv4Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Ipv4Packet<T> {
    /// Wraps `buffer` unchecked: accessors may panic.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Wraps a whole packet. The buffer may be longer than the packet (Ethernet padding).
    ///
    /// # Errors
    /// [`ParseError::Version`], [`ParseError::Length`] if the header is shorter than 20 bytes or
    /// longer than the packet, [`ParseError::Truncated`] if the buffer is shorter than the packet.
    /// The checksum is not verified.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let packet = Self::new_header_checked(buffer)?;
        let total_len = packet.total_len();
        if total_len < packet.header_len() {
            return Err(ParseError::Length);
        }
        if packet.buffer.as_ref().len() < total_len {
            return Err(ParseError::Truncated);
        }
        Ok(packet)
    }

    /// Wraps a packet of which only the header needs to be there, as in an ICMP error.
    /// [`payload`](Self::payload) then gives what there is.
    ///
    /// # Errors
    /// [`ParseError::Version`], [`ParseError::Length`] if the header claims less than 20 bytes,
    /// [`ParseError::Truncated`] if the buffer ends within the header.
    #[inline]
    pub fn new_header_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        let first = *data.first().ok_or(ParseError::Truncated)?;
        if first >> 4 != 4 {
            return Err(ParseError::Version);
        }
        let header_len = usize::from(first & 0x0f) * 4;
        if header_len < HEADER_LEN {
            return Err(ParseError::Length);
        }
        if data.len() < header_len {
            return Err(ParseError::Truncated);
        }
        Ok(Self { buffer })
    }

    #[inline]
    fn data(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Version, 4 in every packet that was checked.
    #[inline]
    pub fn version(&self) -> u8 {
        self.data()[field::VERSION_IHL] >> 4
    }

    /// Length of the header with options, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.data()[field::VERSION_IHL] & 0x0f) * 4
    }

    /// The traffic class byte (TOS): DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        self.data()[field::TRAFFIC_CLASS]
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

    /// Length of header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> usize {
        usize::from(u16_at(self.data(), field::TOTAL_LEN))
    }

    /// Identification, which the fragments of one packet share.
    #[inline]
    pub fn ident(&self) -> u16 {
        u16_at(self.data(), field::IDENT)
    }

    /// Whether routers must not fragment it.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        u16_at(self.data(), field::FRAGMENT) & DONT_FRAGMENT != 0
    }

    /// Whether more fragments follow this one.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        u16_at(self.data(), field::FRAGMENT) & MORE_FRAGMENTS != 0
    }

    /// Offset of this fragment's payload in that of the whole packet, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> usize {
        usize::from(u16_at(self.data(), field::FRAGMENT) & OFFSET_MASK) * 8
    }

    /// Whether this is a fragment: the first, the last or one between.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        u16_at(self.data(), field::FRAGMENT) & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.data()[field::TTL]
    }

    /// Protocol of the payload.
    #[inline]
    pub fn protocol(&self) -> IpProtocol {
        IpProtocol(self.data()[field::PROTOCOL])
    }

    /// Header checksum.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.data(), field::CHECKSUM)
    }

    /// Source address.
    #[inline]
    pub fn src_addr(&self) -> Ipv4Addr {
        ipv4_at(self.data(), field::SRC)
    }

    /// Destination address.
    #[inline]
    pub fn dst_addr(&self) -> Ipv4Addr {
        ipv4_at(self.data(), field::DST)
    }

    /// Whether the header checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        checksum::sum(&self.data()[..self.header_len()]).is_valid()
    }

    /// The sum of the pseudo-header for a transport of `len` bytes.
    #[inline]
    pub fn pseudo_header(&self, len: u16) -> Sum {
        checksum::pseudo_header_v4(self.src_addr(), self.dst_addr(), self.protocol(), len)
    }

    /// What follows the header, without padding; of a truncated packet, what there is of it.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let end = self.total_len().min(self.data().len());
        self.data().get(self.header_len()..end).unwrap_or_default()
    }

    /// The buffer.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ipv4Packet<T> {
    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut()
    }

    /// Sets the traffic class byte. The checksum is updated.
    #[inline]
    pub fn set_traffic_class(&mut self, value: u8) {
        let old = u16_at(self.data(), field::VERSION_IHL);
        self.replace(field::VERSION_IHL, old, (old & 0xff00) | u16::from(value));
    }

    /// Sets the ECN field. The checksum is updated.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        self.set_traffic_class((self.traffic_class() & !0b11) | ecn as u8);
    }

    /// Sets the length of header and payload. The checksum is updated.
    #[inline]
    pub fn set_total_len(&mut self, len: u16) {
        let old = u16_at(self.data(), field::TOTAL_LEN);
        self.replace(field::TOTAL_LEN, old, len);
    }

    /// Sets the identification. The checksum is updated.
    #[inline]
    pub fn set_ident(&mut self, ident: u16) {
        let old = self.ident();
        self.replace(field::IDENT, old, ident);
    }

    /// Sets whether routers must not fragment it. The checksum is updated.
    #[inline]
    pub fn set_dont_fragment(&mut self, value: bool) {
        let old = u16_at(self.data(), field::FRAGMENT);
        let flag = if value { DONT_FRAGMENT } else { 0 };
        self.replace(field::FRAGMENT, old, (old & !DONT_FRAGMENT) | flag);
    }

    /// Sets the time to live. The checksum is updated.
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        let old = u16_at(self.data(), field::TTL);
        self.replace(field::TTL, old, (u16::from(ttl) << 8) | (old & 0x00ff));
    }

    /// Sets the source address. The header checksum is updated, that of the transport is not.
    #[inline]
    pub fn set_src_addr(&mut self, addr: Ipv4Addr) {
        self.replace_addr(field::SRC, addr);
    }

    /// Sets the destination address. The header checksum is updated, that of the transport is not.
    #[inline]
    pub fn set_dst_addr(&mut self, addr: Ipv4Addr) {
        self.replace_addr(field::DST, addr);
    }

    /// Decrements the time to live and updates the checksum (RFC 1624); returns the new one.
    ///
    /// Zero stays zero. A packet that arrived with 1 or 0 must not be forwarded: look first.
    #[inline]
    pub fn decrement_ttl(&mut self) -> u8 {
        let ttl = self.ttl();
        if ttl == 0 {
            return 0;
        }
        // Equation 3 with this difference: the sum under the checksum loses what the checksum gains.
        let checksum = Sum::of_u16(self.checksum()) + Sum::of_u16(0x0100);
        let data = self.data_mut();
        data[field::TTL] = ttl - 1;
        // 0xffff says the same as zero, which is what the sum of any header leads to.
        let checksum = match checksum.fold() {
            0xffff => 0,
            other => other,
        };
        put_u16(data, field::CHECKSUM, checksum);
        ttl - 1
    }

    /// Computes and sets the header checksum.
    #[inline]
    pub fn fill_checksum(&mut self) {
        put_u16(self.data_mut(), field::CHECKSUM, 0);
        let sum = checksum::sum(&self.data()[..self.header_len()]);
        put_u16(self.data_mut(), field::CHECKSUM, sum.checksum());
    }

    /// What follows the header, to be written to.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let range = self.header_len()..self.total_len().min(self.data().len());
        self.data_mut().get_mut(range).unwrap_or_default()
    }

    #[inline]
    fn replace(&mut self, at: usize, old: u16, new: u16) {
        let checksum = checksum::update_u16(self.checksum(), old, new);
        let data = self.data_mut();
        put_u16(data, at, new);
        put_u16(data, field::CHECKSUM, checksum);
    }

    #[inline]
    fn replace_addr(&mut self, at: usize, addr: Ipv4Addr) {
        let checksum = checksum::update(self.checksum(), &self.data()[at..at + 4], &addr.octets());
        let data = self.data_mut();
        put(data, at, addr.octets());
        put_u16(data, field::CHECKSUM, checksum);
    }
}

/// An IPv4 header without options, of a packet that is not a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Repr {
    /// Source address.
    pub src_addr: Ipv4Addr,
    /// Destination address.
    pub dst_addr: Ipv4Addr,
    /// Protocol of the payload.
    pub protocol: IpProtocol,
    /// Traffic class byte: DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live.
    pub ttl: u8,
    /// Identification.
    pub ident: u16,
    /// Whether routers must not fragment it.
    pub dont_fragment: bool,
    /// Length of the payload in bytes.
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// The longest payload that the length field can express.
    pub const PAYLOAD_MAX: u16 = u16::MAX - HEADER_LEN as u16;

    /// Reads the header of `packet`, and returns it with the offset of the payload. Options are
    /// forgotten.
    ///
    /// # Errors
    /// Those of [`Ipv4Packet::new_checked`]; [`ParseError::Checksum`]; [`ParseError::Malformed`]
    /// if it is a fragment.
    pub fn parse(packet: &[u8]) -> Result<(Self, usize), ParseError> {
        let view = Ipv4Packet::new_checked(packet)?;
        if !view.verify_checksum() {
            return Err(ParseError::Checksum);
        }
        if view.is_fragment() {
            return Err(ParseError::Malformed);
        }
        let repr = Self {
            src_addr: view.src_addr(),
            dst_addr: view.dst_addr(),
            protocol: view.protocol(),
            traffic_class: view.traffic_class(),
            ttl: view.ttl(),
            ident: view.ident(),
            dont_fragment: view.dont_fragment(),
            payload_len: view.payload().len() as u16,
        };
        Ok((repr, view.header_len()))
    }

    /// Writes the [`HEADER_LEN`] bytes of the header, with its checksum.
    ///
    /// # Panics
    /// If `out` is shorter, or if `payload_len` exceeds [`Self::PAYLOAD_MAX`].
    pub fn emit(&self, out: &mut [u8]) {
        assert!(
            self.payload_len <= Self::PAYLOAD_MAX,
            "payload too long for IPv4"
        );
        let out = &mut out[..HEADER_LEN];
        out[field::VERSION_IHL] = 0x45;
        out[field::TRAFFIC_CLASS] = self.traffic_class;
        put_u16(out, field::TOTAL_LEN, self.payload_len + HEADER_LEN as u16);
        put_u16(out, field::IDENT, self.ident);
        put_u16(
            out,
            field::FRAGMENT,
            if self.dont_fragment { DONT_FRAGMENT } else { 0 },
        );
        out[field::TTL] = self.ttl;
        out[field::PROTOCOL] = self.protocol.0;
        put(out, field::SRC, self.src_addr.octets());
        put(out, field::DST, self.dst_addr.octets());
        Ipv4Packet::new_unchecked(out).fill_checksum();
    }
}
