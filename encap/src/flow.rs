//! The hash of a flow, which picks a worker, an equal-cost path and the outer source port.
//!
//! Deterministic for a flow and a seed; no defence against an adversary who knows the seed.

use crate::{
    EtherType, EthernetFrame, IpProtocol, Ipv6Packet,
    bytes::{array, u16_at},
    ipv4, ipv6,
};

#[cfg(test)]
mod tests;

/// First and last outer source port, the dynamic range (RFC 6335, RFC 7348 section 5).
pub const SOURCE_PORTS: core::ops::RangeInclusive<u16> = 49152..=65535;

// Digits of pi: odd multipliers without a pattern, as in foldhash and wyhash.
const KEY_ADDRS: u64 = 0x243f_6a88_85a3_08d3;
const KEY_PORTS: u64 = 0x1319_8a2e_0370_7344;
const KEY_MORE: u64 = 0xa409_3822_299f_31d0;
const KEY_FINAL: u64 = 0x082e_fa98_ec4e_6c89;

/// The hash of the flow to which an IP packet belongs.
///
/// Of TCP, UDP and SCTP it covers addresses, protocol and ports; of other protocols, and of all
/// fragments, addresses and protocol. So all segments of a flow hash alike, and all fragments of a
/// packet. What is no IP packet gets some value.
#[inline]
pub fn flow_hash(ip_packet: &[u8], seed: u64) -> u32 {
    match ip_packet.first() {
        Some(first) if first >> 4 == 4 && ip_packet.len() >= ipv4::HEADER_LEN => {
            hash_v4(ip_packet, seed)
        }
        Some(first) if first >> 4 == 6 && ip_packet.len() >= ipv6::HEADER_LEN => {
            hash_v6(ip_packet, seed)
        }
        _ => finish(seed),
    }
}

/// The hash of the flow to which an Ethernet frame belongs: [`flow_hash`] of the IP packet in it,
/// else that of both MAC addresses and the EtherType.
#[inline]
pub fn flow_hash_frame(frame: &[u8], seed: u64) -> u32 {
    let Ok(view) = EthernetFrame::new_checked(frame) else {
        return finish(seed);
    };
    match view.ethertype() {
        EtherType::IPV4 | EtherType::IPV6 => flow_hash(view.payload(), seed),
        ethertype => {
            let head: [u8; 8] = array(frame, 0);
            let tail: [u8; 4] = array(frame, 8);
            let rest = (u64::from(u32::from_ne_bytes(tail)) << 16) | u64::from(ethertype.0);
            finish(fold(
                u64::from_ne_bytes(head) ^ seed ^ KEY_ADDRS,
                rest ^ KEY_PORTS,
            ))
        }
    }
}

/// The outer UDP source port for a flow: the upper bits of its hash, in [`SOURCE_PORTS`].
///
/// Use lower bits to choose between equal-cost paths: then the choices are independent.
#[inline]
pub const fn source_port(hash: u32) -> u16 {
    *SOURCE_PORTS.start() | (hash >> 18) as u16
}

/// The outer IPv6 flow label for a flow: the upper 20 bits of its hash, and never zero, which would
/// say that there is no flow (RFC 6437, section 2; RFC 6438).
#[inline]
pub const fn flow_label(hash: u32) -> u32 {
    let label = hash >> 12;
    label + (label == 0) as u32
}

#[inline]
fn hash_v4(packet: &[u8], seed: u64) -> u32 {
    let addrs = u64::from_ne_bytes(array(packet, 12));
    let protocol = IpProtocol(packet[9]);
    let is_fragment = u16_at(packet, 6) & 0x3fff != 0;
    let offset = usize::from(packet[0] & 0x0f) * 4;
    let ports = if is_fragment {
        0
    } else {
        ports(packet, protocol, offset)
    };
    finish(fold(
        addrs ^ seed ^ KEY_ADDRS,
        transport_word(protocol, ports),
    ))
}

#[inline]
fn hash_v6(packet: &[u8], seed: u64) -> u32 {
    let [a, b, c, d] = [8, 16, 24, 32].map(|at| u64::from_ne_bytes(array(packet, at)));
    let (protocol, ports) = transport_v6(packet);
    let addrs = fold(a ^ seed ^ KEY_ADDRS, c ^ KEY_MORE) ^ fold(b ^ KEY_MORE, d ^ seed ^ KEY_FINAL);
    finish(fold(addrs, transport_word(protocol, ports)))
}

/// Protocol and ports of an IPv6 packet, as they are the same in all packets of the flow.
#[inline]
fn transport_v6(packet: &[u8]) -> (IpProtocol, u32) {
    let view = Ipv6Packet::new_unchecked(packet);
    let Ok(transport) = view.transport() else {
        return (view.next_header(), 0);
    };
    match transport.fragment {
        Some(fragment) if !transport.is_whole() => (fragment.next_header, 0),
        _ => (
            transport.protocol,
            ports(packet, transport.protocol, transport.offset),
        ),
    }
}

#[inline]
fn ports(packet: &[u8], protocol: IpProtocol, offset: usize) -> u32 {
    if !protocol.has_ports() {
        return 0;
    }
    packet
        .get(offset..offset + 4)
        .map_or(0, |ports| u32::from_ne_bytes(array(ports, 0)))
}

/// Never zero, which would make the folded multiplication forget the addresses: the data are 40
/// bits, the key has more.
#[inline]
const fn transport_word(protocol: IpProtocol, ports: u32) -> u64 {
    (ports as u64 | ((protocol.0 as u64) << 32)) ^ KEY_PORTS
}

/// Multiplies to 128 bits and folds the halves: each bit of the result depends on all bits.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[inline]
const fn finish(state: u64) -> u32 {
    let state = fold(state ^ KEY_MORE, KEY_FINAL);
    (state >> 32) as u32 ^ state as u32
}
