//! Recognises the frames that are for one station of an Ethernet segment, beside the host that the
//! device belongs to: those for its MAC address, and what asks for its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringlay_encap::icmpv6::kind;
use ringlay_encap::{EtherType, IpProtocol, MacAddr};

use super::classifier::{
    AND_CONSTANT, Assembler, JUMP_IF_EQUAL, JUMP_IF_OTHER, LOAD_BYTE, LOAD_HALF, LOAD_WORD, PACKET,
    VALUE, wire,
};

/// A station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it answers for whatever others ask for, too. Then the host is not asked any more.
    pub proxy: bool,
}

const ETHERTYPE: i16 = 12;
/// The shortest IP packet.
const LEN_MIN: i32 = 34;
const ARP_OPERATION: i16 = 20;
const ARP_TARGET: i16 = 38;
const ARP_LEN: i32 = 42;
const NEXT_HEADER: i16 = 20;
const ICMPV6_TYPE: i16 = 54;
const ND_TARGET: i16 = 62;
const ND_LEN: i32 = 78;

/// Adds what finds out whether a frame is for the station. What is not is passed on; for what is, one
/// of the jumps is taken that are returned, to be landed.
pub(super) fn recognise(program: &mut Assembler, station: &Station) -> Vec<usize> {
    let mut ours = Vec::new();
    let [a, b, c, d, e, f] = station.mac.0;
    program.require_len(LEN_MIN);
    program.push(LOAD_WORD, VALUE, PACKET, 0, 0);
    let head = i32::from_ne_bytes([a, b, c, d]);
    let other_head = program.jump_if(JUMP_IF_OTHER, VALUE, head);
    program.push(LOAD_HALF, VALUE, PACKET, 4, 0);
    let other_tail = program.jump_if(JUMP_IF_OTHER, VALUE, wire(u16::from_be_bytes([e, f])));
    program.push(LOAD_HALF, VALUE, PACKET, ETHERTYPE, 0);
    for ethertype in [EtherType::IPV4, EtherType::IPV6, EtherType::ARP] {
        ours.push(program.jump_if(JUMP_IF_EQUAL, VALUE, wire(ethertype.0)));
    }
    program.pass();
    program.land(other_head);
    program.land(other_tail);
    // For a group?
    program.push(LOAD_BYTE, VALUE, PACKET, 0, 0);
    program.push(AND_CONSTANT, VALUE, 0, 0, 1);
    program.push(JUMP_IF_EQUAL, VALUE, 0, 0, 0);
    program.push(LOAD_HALF, VALUE, PACKET, ETHERTYPE, 0);
    let no_arp = program.jump_if(JUMP_IF_OTHER, VALUE, wire(EtherType::ARP.0));
    recognise_arp(program, station, &mut ours);
    program.land(no_arp);
    program.push(JUMP_IF_OTHER, VALUE, 0, 0, wire(EtherType::IPV6.0));
    recognise_solicitation(program, station, &mut ours);
    ours
}

/// The same for ARP requests (RFC 826).
fn recognise_arp(program: &mut Assembler, station: &Station, ours: &mut Vec<usize>) {
    const REQUEST: u16 = 1;
    program.require_len(ARP_LEN);
    program.require_half(ARP_OPERATION, REQUEST);
    if station.proxy {
        ours.push(program.jump());
        return;
    }
    program.push(LOAD_WORD, VALUE, PACKET, ARP_TARGET, 0);
    for address in station.addresses.iter().filter_map(v4) {
        let address = i32::from_ne_bytes(address.octets());
        ours.push(program.jump_if(JUMP_IF_EQUAL, VALUE, address));
    }
    program.pass();
}

/// The same for neighbour solicitations (RFC 4861).
fn recognise_solicitation(program: &mut Assembler, station: &Station, ours: &mut Vec<usize>) {
    program.require_len(ND_LEN);
    program.require(LOAD_BYTE, PACKET, NEXT_HEADER, IpProtocol::ICMPV6.0.into());
    program.require(
        LOAD_BYTE,
        PACKET,
        ICMPV6_TYPE,
        kind::NEIGHBOUR_SOLICIT.into(),
    );
    if station.proxy {
        // What comes next is for what is ours; a jump there would be one to the end.
        return;
    }
    for address in station.addresses.iter().filter_map(v6) {
        let octets = address.octets();
        let words = octets.as_chunks().0.iter().zip((ND_TARGET..).step_by(4));
        let mut others = Vec::new();
        for (word, at) in words {
            program.push(LOAD_WORD, VALUE, PACKET, at, 0);
            others.push(program.jump_if(JUMP_IF_OTHER, VALUE, i32::from_ne_bytes(*word)));
        }
        ours.push(program.jump());
        others.into_iter().for_each(|jump| program.land(jump));
    }
    program.pass();
}

fn v4(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: &IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    }
}
