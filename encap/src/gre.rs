//! Generic routing encapsulation (RFC 2784), with key and sequence number (RFC 2890).
//!
//! Carries IP, or Ethernet frames (transparent Ethernet bridging). Does not reorder by sequence
//! number, never sends one or a checksum on its own account, and knows no source routes (RFC 1701)
//! and no PPTP (version 1, RFC 2637).

use core::fmt;

use crate::{
    EtherType, IpProtocol, MacAddr, ParseError, Template, TemplateBuilder,
    bytes::{put_u16, put_u32, u16_at, u32_at},
    checksum,
    decap::{Decap, DecapError, TunnelKey},
    template::{Carrier, Inner, TemplateError, TunnelHeader},
};

#[cfg(test)]
mod tests;

/// Length in bytes of a header without checksum, key and sequence number.
pub const HEADER_LEN: usize = 4;
/// Length in bytes of a header with all of them.
pub const HEADER_MAX: usize = 16;

mod field {
    pub(super) const FLAGS: usize = 0;
    pub(super) const PROTOCOL: usize = 2;
    /// If there is one; then two reserved bytes follow.
    pub(super) const CHECKSUM: usize = 4;
}

mod flag {
    pub(super) const CHECKSUM: u16 = 0x8000;
    pub(super) const KEY: u16 = 0x2000;
    pub(super) const SEQUENCE: u16 = 0x1000;
    /// Bits 1, 4 and 5: a receiver that does not implement RFC 1701 must discard the packet (RFC
    /// 2784, section 2.3). Bits 6 to 12 it ignores.
    pub(super) const SOURCE_ROUTE: u16 = 0x4c00;
    pub(super) const VERSION: u16 = 0x0007;
}

/// A key, which tells the tunnels between two nodes apart (RFC 2890, section 2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GreKey(pub u32);

impl fmt::Display for GreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for GreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GreKey({})", self.0)
    }
}

/// A view of a GRE header and the packet after it.
#[derive(Debug, Clone, Copy)]
pub struct GrePacket<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> GrePacket<T> {
    /// Wraps `buffer`. Reserved bits may have any value; the checksum is not verified.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if it ends within the header, [`ParseError::Version`] if the
    /// version is not 0, [`ParseError::Malformed`] if it has a source route.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        let flags = u16_at(data, field::FLAGS);
        if flags & flag::VERSION != 0 {
            return Err(ParseError::Version);
        }
        if flags & flag::SOURCE_ROUTE != 0 {
            return Err(ParseError::Malformed);
        }
        if data.len() < header_len(flags) {
            return Err(ParseError::Truncated);
        }
        Ok(Self { buffer })
    }

    #[inline]
    fn flags(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::FLAGS)
    }

    /// Length in bytes of the header.
    #[inline]
    pub fn header_len(&self) -> usize {
        header_len(self.flags())
    }

    /// Type of the payload.
    #[inline]
    pub fn protocol(&self) -> EtherType {
        EtherType(u16_at(self.buffer.as_ref(), field::PROTOCOL))
    }

    /// The checksum, if there is one.
    #[inline]
    pub fn checksum(&self) -> Option<u16> {
        (self.flags() & flag::CHECKSUM != 0).then(|| u16_at(self.buffer.as_ref(), field::CHECKSUM))
    }

    /// The key, if there is one.
    #[inline]
    pub fn key(&self) -> Option<GreKey> {
        let at = header_len(self.flags() & flag::CHECKSUM);
        (self.flags() & flag::KEY != 0).then(|| GreKey(u32_at(self.buffer.as_ref(), at)))
    }

    /// The sequence number, if there is one.
    #[inline]
    pub fn sequence(&self) -> Option<u32> {
        let at = header_len(self.flags() & (flag::CHECKSUM | flag::KEY));
        (self.flags() & flag::SEQUENCE != 0).then(|| u32_at(self.buffer.as_ref(), at))
    }

    /// Whether the checksum, which covers header and payload, is right; if there is none, it is.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        self.checksum().is_none() || checksum::sum(self.buffer.as_ref()).is_valid()
    }

    /// The inner packet or frame.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[self.header_len()..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> GrePacket<T> {
    /// Computes and sets the checksum, if the header has one.
    pub fn fill_checksum(&mut self) {
        if self.checksum().is_some() {
            put_u16(self.buffer.as_mut(), field::CHECKSUM, 0);
            let sum = checksum::sum(self.buffer.as_ref());
            put_u16(self.buffer.as_mut(), field::CHECKSUM, sum.checksum());
        }
    }
}

#[inline]
const fn header_len(flags: u16) -> usize {
    let fields = flags & (flag::CHECKSUM | flag::KEY | flag::SEQUENCE);
    HEADER_LEN + 4 * fields.count_ones() as usize
}

/// A GRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GreHeader {
    /// Type of the payload: IPv4, IPv6 or [`EtherType::BRIDGED`] in what this crate sends.
    pub protocol: EtherType,
    /// Whether it has a checksum.
    pub has_checksum: bool,
    /// The key.
    pub key: Option<GreKey>,
    /// The sequence number.
    pub sequence: Option<u32>,
}

impl GreHeader {
    /// A header without checksum and sequence number.
    pub const fn new(protocol: EtherType, key: Option<GreKey>) -> Self {
        Self {
            protocol,
            has_checksum: false,
            key,
            sequence: None,
        }
    }

    /// Reads the header that `packet` begins with.
    ///
    /// # Errors
    /// As [`GrePacket::new_checked`], and [`ParseError::Checksum`].
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let view = GrePacket::new_checked(packet)?;
        if !view.verify_checksum() {
            return Err(ParseError::Checksum);
        }
        Ok(Self {
            protocol: view.protocol(),
            has_checksum: view.checksum().is_some(),
            key: view.key(),
            sequence: view.sequence(),
        })
    }

    /// Length in bytes of the header.
    #[inline]
    pub fn header_len(&self) -> usize {
        header_len(self.flags())
    }

    /// Writes the [`header_len`](Self::header_len) bytes of the header, reserved bits zero. A
    /// checksum is zero: see [`GrePacket::fill_checksum`].
    ///
    /// # Panics
    /// If `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        put_u16(out, field::FLAGS, self.flags());
        put_u16(out, field::PROTOCOL, self.protocol.0);
        let fields = [
            self.has_checksum.then_some(0),
            self.key.map(|key| key.0),
            self.sequence,
        ];
        for (index, value) in fields.into_iter().flatten().enumerate() {
            put_u32(out, HEADER_LEN + 4 * index, value);
        }
    }

    const fn flags(&self) -> u16 {
        let mut flags = 0;
        if self.has_checksum {
            flags |= flag::CHECKSUM;
        }
        if self.key.is_some() {
            flags |= flag::KEY;
        }
        if self.sequence.is_some() {
            flags |= flag::SEQUENCE;
        }
        flags
    }
}

/// Recognises what `packet`, the payload of an outer packet with protocol 47, carries. A checksum
/// is verified; a sequence number is not looked at.
///
/// # Errors
/// [`DecapError`]
#[inline]
pub fn decap(packet: &[u8]) -> Result<Decap, DecapError> {
    let view = GrePacket::new_checked(packet)?;
    if !view.verify_checksum() {
        return Err(DecapError::Checksum);
    }
    let key = TunnelKey::Gre(view.key());
    Decap::new(key, packet, view.header_len(), view.protocol())
}

/// Where the inner frame or packet begins, and what it is, as far as that can be told at a glance;
/// none of what has a checksum or a sequence number, which differs from packet to packet.
#[inline]
pub(crate) fn glance(packet: &[u8]) -> Option<(usize, EtherType)> {
    let header: &[u8; HEADER_LEN] = packet.first_chunk()?;
    let [flags, protocol] =
        [field::FLAGS, field::PROTOCOL].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let offset = match flags {
        0 => HEADER_LEN,
        flag::KEY => HEADER_LEN + 4,
        _ => return None,
    };
    Some((offset, EtherType(protocol)))
}

impl TunnelHeader for GreHeader {
    fn carrier(&self) -> Carrier {
        Carrier::Ip(IpProtocol::GRE)
    }

    fn len(&self) -> usize {
        self.header_len()
    }

    fn protocol_offset(&self) -> Option<usize> {
        Some(field::PROTOCOL)
    }

    fn emit(&self, protocol: EtherType, out: &mut [u8]) {
        Self { protocol, ..*self }.emit(out);
    }
}

impl TemplateBuilder {
    /// A template for IP packets of a routed network, in GRE.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn gre(&self, key: Option<GreKey>) -> Result<Template, TemplateError> {
        self.build(&GreHeader::new(EtherType(0), key), Inner::Ip)
    }

    /// A template for Ethernet frames of a bridged network, in GRE (transparent Ethernet bridging).
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn gre_bridged(&self, key: Option<GreKey>) -> Result<Template, TemplateError> {
        self.build(&GreHeader::new(EtherType(0), key), Inner::Frames)
    }

    /// A template for IP packets of a routed network whose peers bridge: in GRE, with an inner
    /// Ethernet header, as Open vSwitch sends and expects by default.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn gre_ethernet(
        &self,
        key: Option<GreKey>,
        inner_dst: MacAddr,
        inner_src: MacAddr,
    ) -> Result<Template, TemplateError> {
        let inner = Inner::Ethernet {
            dst: inner_dst,
            src: inner_src,
        };
        self.build(&GreHeader::new(EtherType(0), key), inner)
    }
}
