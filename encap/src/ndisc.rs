//! Neighbour discovery (RFC 4861): solicitations and advertisements with the link-layer address
//! option.
//!
//! Does not keep neighbours; other options are skipped; there are no routers, prefixes and no
//! redirects.

use core::net::Ipv6Addr;

use crate::{
    IpProtocol, Ipv6Packet, MacAddr, ParseError,
    bytes::{array, ipv6_at, put, put_u16, u16_at},
    checksum,
    icmpv6::{Icmpv6Packet, kind},
    ipv6,
};

#[cfg(test)]
mod tests;

/// Length in bytes of a message without options.
pub const HEADER_LEN: usize = 24;
/// Length in bytes of a message with a link-layer address.
pub const MESSAGE_MAX: usize = HEADER_LEN + OPTION_LEN;
/// The hop limit of every valid message: it proves that no router forwarded it.
pub const HOP_LIMIT: u8 = 255;

mod field {
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const FLAGS: usize = 4;
    pub(super) const TARGET: usize = 8;
}

/// Length in bytes of a link-layer address option for Ethernet.
const OPTION_LEN: usize = 8;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;

const FLAG_ROUTER: u8 = 0x80;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

/// A neighbour solicitation: who has `target`?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NeighbourSolicit {
    /// The address asked for.
    pub target: Ipv6Addr,
    /// MAC address of the sender; none in duplicate address detection.
    pub source_mac: Option<MacAddr>,
}

/// A neighbour advertisement: `target` is at `target_mac`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NeighbourAdvert {
    /// The address advertised.
    pub target: Ipv6Addr,
    /// Its MAC address.
    pub target_mac: Option<MacAddr>,
    /// Whether the sender is a router.
    pub router: bool,
    /// Whether it answers a solicitation.
    pub solicited: bool,
    /// Whether it replaces a MAC address known already.
    pub override_: bool,
}

impl NeighbourSolicit {
    /// Reads an ICMPv6 message. Neither the checksum nor the IP header is looked at: see
    /// [`parse_packet`](Self::parse_packet).
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Version`] if it is another message;
    /// [`ParseError::Malformed`] if RFC 4861, section 7.1.1 forbids it.
    pub fn parse(message: &[u8]) -> Result<Self, ParseError> {
        let (target, source_mac) = parse(message, kind::NEIGHBOUR_SOLICIT, OPTION_SOURCE_MAC)?;
        Ok(Self { target, source_mac })
    }

    /// Reads an IPv6 packet, and checks all that RFC 4861, section 7.1.1 wants checked.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse); [`ParseError::Checksum`]; [`ParseError::Malformed`] if it
    /// came from beyond the link.
    pub fn parse_packet<T: AsRef<[u8]>>(packet: &Ipv6Packet<T>) -> Result<Self, ParseError> {
        let solicit = Self::parse(message(packet)?)?;
        let probe = packet.src_addr().is_unspecified();
        if probe && (solicit.source_mac.is_some() || !is_solicited_node(packet.dst_addr())) {
            return Err(ParseError::Malformed);
        }
        Ok(solicit)
    }

    /// Length in bytes of what [`emit`](Self::emit) writes.
    #[inline]
    pub const fn buffer_len(&self) -> usize {
        buffer_len(self.source_mac)
    }

    /// Writes the message with its checksum, to go from `src` to `dst` with [`HOP_LIMIT`]; returns
    /// its length.
    ///
    /// # Panics
    /// If `out` is shorter than [`buffer_len`](Self::buffer_len).
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> usize {
        let out = &mut out[..self.buffer_len()];
        emit(out, kind::NEIGHBOUR_SOLICIT, 0, self.target);
        emit_option(out, OPTION_SOURCE_MAC, self.source_mac);
        fill_checksum(src, dst, out);
        out.len()
    }
}

impl NeighbourAdvert {
    /// Reads an ICMPv6 message. Neither the checksum nor the IP header is looked at: see
    /// [`parse_packet`](Self::parse_packet).
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Version`] if it is another message;
    /// [`ParseError::Malformed`] if RFC 4861, section 7.1.2 forbids it.
    pub fn parse(message: &[u8]) -> Result<Self, ParseError> {
        let (target, target_mac) = parse(message, kind::NEIGHBOUR_ADVERT, OPTION_TARGET_MAC)?;
        let flags = message[field::FLAGS];
        Ok(Self {
            target,
            target_mac,
            router: flags & FLAG_ROUTER != 0,
            solicited: flags & FLAG_SOLICITED != 0,
            override_: flags & FLAG_OVERRIDE != 0,
        })
    }

    /// Reads an IPv6 packet, and checks all that RFC 4861, section 7.1.2 wants checked.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse); [`ParseError::Checksum`]; [`ParseError::Malformed`] if it
    /// came from beyond the link.
    pub fn parse_packet<T: AsRef<[u8]>>(packet: &Ipv6Packet<T>) -> Result<Self, ParseError> {
        let advert = Self::parse(message(packet)?)?;
        if advert.solicited && packet.dst_addr().is_multicast() {
            return Err(ParseError::Malformed);
        }
        Ok(advert)
    }

    /// Length in bytes of what [`emit`](Self::emit) writes.
    #[inline]
    pub const fn buffer_len(&self) -> usize {
        buffer_len(self.target_mac)
    }

    /// Writes the message with its checksum, to go from `src` to `dst` with [`HOP_LIMIT`]; returns
    /// its length.
    ///
    /// # Panics
    /// If `out` is shorter than [`buffer_len`](Self::buffer_len).
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> usize {
        let out = &mut out[..self.buffer_len()];
        let flags = [
            (self.router, FLAG_ROUTER),
            (self.solicited, FLAG_SOLICITED),
            (self.override_, FLAG_OVERRIDE),
        ];
        let flags = flags.iter().map(|(set, flag)| u8::from(*set) * flag).sum();
        emit(out, kind::NEIGHBOUR_ADVERT, flags, self.target);
        emit_option(out, OPTION_TARGET_MAC, self.target_mac);
        fill_checksum(src, dst, out);
        out.len()
    }
}

/// The multicast address on which the owner of `addr` listens for solicitations (RFC 4291,
/// section 2.7.1).
pub const fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = addr.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0x00ff), low)
}

/// The MAC address to which packets for the multicast address `addr` go (RFC 2464, section 7).
pub const fn multicast_mac(addr: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = addr.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

fn is_solicited_node(addr: Ipv6Addr) -> bool {
    addr == solicited_node(addr)
}

/// The ICMPv6 message of a packet that came from this very link.
fn message<T: AsRef<[u8]>>(packet: &Ipv6Packet<T>) -> Result<&[u8], ParseError> {
    let transport = packet.transport()?;
    if transport.protocol != IpProtocol::ICMPV6 {
        return Err(ParseError::Version);
    }
    // RFC 6980: neighbour discovery must not be fragmented, atomic fragments included.
    if transport.fragment.is_some() || packet.hop_limit() != HOP_LIMIT {
        return Err(ParseError::Malformed);
    }
    let offset = transport.offset - ipv6::HEADER_LEN;
    let message = packet.payload().get(offset..).unwrap_or_default();
    let icmp = Icmpv6Packet::new_checked(message)?;
    if !icmp.verify_checksum(packet.src_addr(), packet.dst_addr()) {
        return Err(ParseError::Checksum);
    }
    Ok(message)
}

fn parse(message: &[u8], kind: u8, option: u8) -> Result<(Ipv6Addr, Option<MacAddr>), ParseError> {
    let (header, options) = message
        .split_at_checked(HEADER_LEN)
        .ok_or(ParseError::Truncated)?;
    if header[field::TYPE] != kind {
        return Err(ParseError::Version);
    }
    let target = ipv6_at(header, field::TARGET);
    if header[field::CODE] != 0 || target.is_multicast() {
        return Err(ParseError::Malformed);
    }
    Ok((target, find_mac(options, option)?))
}

/// The MAC address in the first option of type `option`. All options must be whole.
fn find_mac(mut options: &[u8], option: u8) -> Result<Option<MacAddr>, ParseError> {
    let mut found = None;
    while let [kind, units, ..] = *options {
        let len = usize::from(units) * 8;
        if len == 0 {
            return Err(ParseError::Malformed);
        }
        let (this, rest) = options.split_at_checked(len).ok_or(ParseError::Truncated)?;
        if kind == option && len == OPTION_LEN && found.is_none() {
            found = Some(MacAddr(array(this, 2)));
        }
        options = rest;
    }
    if options.is_empty() {
        Ok(found)
    } else {
        Err(ParseError::Truncated)
    }
}

const fn buffer_len(mac: Option<MacAddr>) -> usize {
    match mac {
        Some(_) => MESSAGE_MAX,
        None => HEADER_LEN,
    }
}

fn emit(out: &mut [u8], kind: u8, flags: u8, target: Ipv6Addr) {
    out[..HEADER_LEN].fill(0);
    out[field::TYPE] = kind;
    out[field::FLAGS] = flags;
    put(out, field::TARGET, target.octets());
}

fn emit_option(out: &mut [u8], option: u8, mac: Option<MacAddr>) {
    if let Some(MacAddr([a, b, c, d, e, f])) = mac {
        put(out, HEADER_LEN, [option, 1, a, b, c, d, e, f]);
    }
}

fn fill_checksum(src: Ipv6Addr, dst: Ipv6Addr, message: &mut [u8]) {
    debug_assert_eq!(u16_at(message, field::CHECKSUM), 0);
    let len = message.len() as u32;
    let pseudo_header = checksum::pseudo_header_v6(src, dst, IpProtocol::ICMPV6, len);
    let sum = pseudo_header + checksum::sum(message);
    put_u16(message, field::CHECKSUM, sum.checksum());
}
