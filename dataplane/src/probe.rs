//! Probes of tunnels that carry IP packets without Ethernet: padded ICMP echo requests (RFC 792,
//! RFC 4443) inside the tunnel, from the outer address of one end to that of the other.
//!
//! Nobody resolves addresses there, and no inner address of the far end is known for sure. But
//! whoever takes such a packet out of its tunnel finds that it is for an address of its own, and a
//! host answers: the answer comes back past the tunnel. Ringlay answers by the tunnel, and does not
//! pad, so that only the way there counts. Firewalls, and hosts that drop packets from sources which
//! they would reach by another device (`rp_filter` 1), do not answer; nor do switches.
//!
//! What a probe finds out is for others to say.

use std::net::IpAddr;

use ringlay_encap::ip::IpVersion;
use ringlay_encap::{
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, Sum, checksum, icmpv4, icmpv6, ipv4,
    ipv6,
};

use crate::sys::filter::Instruction;

/// What distinguishes a probe from other echo messages.
const MAGIC: [u8; 8] = *b"ringlay?";

/// Bytes of a message: echo header, magic and token.
const MESSAGE_LEN: usize = ECHO_LEN + MAGIC.len() + 8;
/// Bytes of an echo header: type, code, checksum, identifier, sequence number.
const ECHO_LEN: usize = 8;

/// More than any router takes from it.
const TTL: u8 = 64;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is to be answered.
    Request,
    /// It was.
    Answer,
}

/// A message, as far as it is the same over both versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it is.
    pub kind: Kind,
    /// Tells whose it is; strangers do not know it.
    pub token: u64,
    /// Any number: an answer has that of its request.
    pub number: u16,
}

/// A request in an IP packet of `len` bytes, or the least that it takes.
///
/// # Panics
///
/// If the addresses are of two IP versions.
pub fn request(from: IpAddr, to: IpAddr, token: u64, number: u16, len: usize) -> Vec<u8> {
    let header_len = version_of(from).header_len();
    let len = len.clamp(header_len + MESSAGE_LEN, u16::MAX.into());
    let mut packet = vec![0; len];
    let message = &mut packet[header_len..];
    message[4..6].copy_from_slice(&identifier(token).to_be_bytes());
    message[6..8].copy_from_slice(&number.to_be_bytes());
    message[ECHO_LEN..][..MAGIC.len()].copy_from_slice(&MAGIC);
    message[ECHO_LEN + MAGIC.len()..MESSAGE_LEN].copy_from_slice(&token.to_be_bytes());
    finish(&mut packet, from, to, Kind::Request);
    packet
}

/// Reads an ICMP or ICMPv6 message, or the beginning of one. Its checksum is not looked at: the
/// token says more.
pub fn parse(message: &[u8], version: IpVersion) -> Option<Probe> {
    let message = message.first_chunk::<MESSAGE_LEN>()?;
    let kinds = [Kind::Request, Kind::Answer];
    let kind = kinds
        .into_iter()
        .find(|kind| message[..2] == [number_of(*kind, version), 0])?;
    let (magic, token) = message[ECHO_LEN..].split_at(MAGIC.len());
    Some(Probe {
        kind,
        token: u64::from_be_bytes(token.try_into().ok()?),
        number: u16::from_be_bytes([message[6], message[7]]),
    })
    .filter(|_| magic == MAGIC)
}

/// A filter for raw ICMP sockets that leaves only answers to this token's requests.
pub fn answers_to(token: u64, version: IpVersion) -> [Instruction; 7] {
    // Operations (`linux/bpf_common.h`), the index where the message begins.
    const INDEX_CONSTANT: u16 = 0x01;
    const INDEX_HEADER_LEN: u16 = 0xb1;
    const LOAD_HALF: u16 = 0x48;
    const LOAD_BYTE: u16 = 0x50;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, constant, no| Instruction {
        code,
        yes: 0,
        no,
        constant,
    };
    let index = match version {
        IpVersion::V4 => INDEX_HEADER_LEN,
        IpVersion::V6 => INDEX_CONSTANT,
    };
    [
        step(index, 0, 0),
        step(LOAD_BYTE, 0, 0),
        step(IF_EQUAL, number_of(Kind::Answer, version).into(), 3),
        step(LOAD_HALF, 4, 0),
        step(IF_EQUAL, identifier(token).into(), 1),
        step(RETURN, u32::MAX, 0),
        step(RETURN, 0, 0),
    ]
}

/// Whether an IP packet may be one, at a glance.
#[inline]
pub(crate) fn seems_one(packet: &[u8]) -> bool {
    let (header_len, protocol, icmp) = match packet.first() {
        Some(0x45) => (ipv4::HEADER_LEN, 9, IpProtocol::ICMP),
        Some(0x60) => (ipv6::HEADER_LEN, 6, IpProtocol::ICMPV6),
        _ => return false,
    };
    packet.get(protocol) == Some(&icmp.0)
        && packet
            .get(header_len + ECHO_LEN..)
            .is_some_and(|data| data.starts_with(&MAGIC))
}

/// Reads a whole IP packet: where it comes from and goes to, and what it is.
pub(crate) fn parse_packet(packet: &[u8]) -> Option<(IpAddr, IpAddr, Probe)> {
    match IpVersion::of(packet).ok()? {
        version @ IpVersion::V4 => {
            let view = Ipv4Packet::new_checked(packet).ok()?;
            let plain = !view.is_fragment() && view.protocol() == IpProtocol::ICMP;
            let intact =
                plain && view.verify_checksum() && checksum::sum(view.payload()).is_valid();
            let probe = parse(view.payload(), version).filter(|_| intact)?;
            Some((view.src_addr().into(), view.dst_addr().into(), probe))
        }
        version @ IpVersion::V6 => {
            let view = Ipv6Packet::new_checked(packet).ok()?;
            let (from, to) = (view.src_addr(), view.dst_addr());
            let message = view.payload();
            let sum = checksum::sum(message) + pseudo_header(from.into(), to.into(), message.len());
            let plain = view.next_header() == IpProtocol::ICMPV6;
            let probe = parse(message, version).filter(|_| plain && sum.is_valid())?;
            Some((from.into(), to.into(), probe))
        }
    }
}

/// Makes a request the answer to it, from `from` to `to`; returns the length of the IP packet.
///
/// # Panics
///
/// If `packet` is not one that [`parse_packet`] has read, or the addresses are of another version.
pub(crate) fn answer(packet: &mut [u8], from: IpAddr, to: IpAddr) -> usize {
    let len = version_of(from).header_len() + MESSAGE_LEN;
    finish(&mut packet[..len], from, to, Kind::Answer);
    len
}

/// Writes the IP header, what says what the message is, and its checksum.
fn finish(packet: &mut [u8], from: IpAddr, to: IpAddr, kind: Kind) {
    let version = version_of(from);
    let (header, message) = packet.split_at_mut(version.header_len());
    let payload_len = message.len() as u16; // of a packet whose length fits
    message[..4].copy_from_slice(&[number_of(kind, version), 0, 0, 0]);
    let sum = checksum::sum(message) + pseudo_header(from, to, message.len());
    message[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    match (from, to) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => Ipv4Repr {
            src_addr,
            dst_addr,
            protocol: IpProtocol::ICMP,
            traffic_class: 0,
            ttl: TTL,
            ident: 0,
            dont_fragment: true,
            payload_len,
        }
        .emit(header),
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => Ipv6Repr {
            src_addr,
            dst_addr,
            next_header: IpProtocol::ICMPV6,
            payload_len,
            hop_limit: TTL,
            traffic_class: 0,
            flow_label: 0,
        }
        .emit(header),
        _ => panic!("tunnel ends are of one IP version"),
    }
}

fn version_of(address: IpAddr) -> IpVersion {
    match address {
        IpAddr::V4(_) => IpVersion::V4,
        IpAddr::V6(_) => IpVersion::V6,
    }
}

/// What an ICMP checksum covers besides the message: nothing over IPv4.
fn pseudo_header(from: IpAddr, to: IpAddr, len: usize) -> Sum {
    match (from, to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            checksum::pseudo_header_v6(from, to, IpProtocol::ICMPV6, len as u32)
        }
        _ => Sum::ZERO,
    }
}

fn number_of(kind: Kind, version: IpVersion) -> u8 {
    match (kind, version) {
        (Kind::Request, IpVersion::V4) => icmpv4::kind::ECHO_REQUEST,
        (Kind::Request, IpVersion::V6) => icmpv6::kind::ECHO_REQUEST,
        (Kind::Answer, IpVersion::V4) => icmpv4::kind::ECHO_REPLY,
        (Kind::Answer, IpVersion::V6) => icmpv6::kind::ECHO_REPLY,
    }
}

/// The identifier of messages with this token.
const fn identifier(token: u64) -> u16 {
    token as u16 // its lowest bits
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [[&str; 2]; 2] = [["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::2"]];
    const TOKEN: u64 = 0x0123_4567_89ab_cdef;

    fn ends() -> impl Iterator<Item = [IpAddr; 2]> {
        ENDS.into_iter()
            .map(|ends| ends.map(|end| end.parse().unwrap()))
    }

    #[test]
    fn a_request_has_the_length_asked_for_and_its_answer_the_least() {
        for [here, there] in ends() {
            let version = version_of(here);
            let least = version.header_len() + MESSAGE_LEN;
            for (len, made) in [(1476, 1476), (0, least), (1 << 20, 65_535)] {
                let mut packet = request(here, there, TOKEN, 1500, len);
                assert_eq!(packet.len(), made);
                assert!(seems_one(&packet));
                let probe = Probe {
                    kind: Kind::Request,
                    token: TOKEN,
                    number: 1500,
                };
                assert_eq!(parse_packet(&packet), Some((here, there, probe)));
                let len = answer(&mut packet, there, here);
                assert_eq!(len, least);
                packet.truncate(len);
                assert!(etherparse::SlicedPacket::from_ip(&packet).is_ok());
                let kind = Kind::Answer;
                let answer = Probe { kind, ..probe };
                assert_eq!(parse_packet(&packet), Some((there, here, answer)));
                assert_eq!(
                    parse(&packet[version.header_len()..], version),
                    Some(answer)
                );
            }
        }
    }

    #[test]
    fn what_is_damaged_or_something_else_is_none() {
        for [here, there] in ends() {
            let packet = request(here, there, TOKEN, 7, 100);
            for at in 0..packet.len() {
                assert_eq!(parse_packet(&packet[..at]), None);
                // At a glance, none is out of bounds.
                let _ = seems_one(&packet[..at]);
                // Nothing covers traffic class, flow label and hop limit of IPv6.
                if here.is_ipv6() && [1, 2, 3, 7].contains(&at) {
                    continue;
                }
                let mut damaged = packet.clone();
                damaged[at] ^= 0x10;
                assert!(
                    parse_packet(&damaged).is_none() || !seems_one(&damaged),
                    "byte {at}"
                );
            }
            let mut ping = packet.clone();
            ping[version_of(here).header_len() + ECHO_LEN] = b'R';
            assert!(!seems_one(&ping));
        }
    }
}
