//! Solicitations and advertisements, and what RFC 4861 wants thrown away.

use std::{vec, vec::Vec};

use super::*;
use crate::{Ipv6Repr, bytes::put_u32};

const A: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const B: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x12ab, 0xcdef);
const MAC: MacAddr = MacAddr([2, 0x11, 0x22, 0x33, 0x44, 0x55]);
const SOLICIT: NeighbourSolicit = NeighbourSolicit {
    target: B,
    source_mac: Some(MAC),
};
const ADVERT: NeighbourAdvert = NeighbourAdvert {
    target: B,
    target_mac: Some(MAC),
    router: true,
    solicited: true,
    override_: true,
};

fn packet(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    Ipv6Repr {
        src_addr: src,
        dst_addr: dst,
        next_header: IpProtocol::ICMPV6,
        traffic_class: 0,
        flow_label: 0,
        hop_limit,
        payload_len: message.len() as u16,
    }
    .emit(&mut bytes);
    bytes.extend(message);
    bytes
}

fn solicit_packet(solicit: NeighbourSolicit, src: Ipv6Addr, dst: Ipv6Addr, hops: u8) -> Vec<u8> {
    let mut message = [0; MESSAGE_MAX];
    let len = solicit.emit(src, dst, &mut message);
    packet(src, dst, hops, &message[..len])
}

fn parse_solicit(bytes: &[u8]) -> Result<NeighbourSolicit, ParseError> {
    NeighbourSolicit::parse_packet(&Ipv6Packet::new_checked(bytes)?)
}

#[test]
fn solicited_node_addresses() {
    assert_eq!(
        solicited_node(B),
        "ff02::1:ffab:cdef".parse::<Ipv6Addr>().unwrap()
    );
    assert_eq!(
        multicast_mac(solicited_node(B)),
        MacAddr([0x33, 0x33, 0xff, 0xab, 0xcd, 0xef])
    );
}

#[test]
fn solicitations_round_trip() {
    for source_mac in [Some(MAC), None] {
        let solicit = NeighbourSolicit {
            target: B,
            source_mac,
        };
        let bytes = solicit_packet(solicit, A, solicited_node(B), 255);
        assert_eq!(bytes.len(), 40 + solicit.buffer_len());
        assert_eq!(parse_solicit(&bytes), Ok(solicit));
        assert_eq!(
            NeighbourAdvert::parse(&bytes[40..]),
            Err(ParseError::Version)
        );
    }
}

#[test]
fn advertisements_round_trip() {
    for bits in 0..16 {
        let advert = NeighbourAdvert {
            target: B,
            target_mac: (bits & 8 != 0).then_some(MAC),
            router: bits & 4 != 0,
            solicited: bits & 2 != 0,
            override_: bits & 1 != 0,
        };
        let mut message = [0xff; MESSAGE_MAX];
        let len = advert.emit(B, A, &mut message);
        let bytes = packet(B, A, 255, &message[..len]);
        let parsed = NeighbourAdvert::parse_packet(&Ipv6Packet::new_checked(&bytes).unwrap());
        assert_eq!(parsed, Ok(advert));
    }
}

#[test]
fn only_the_own_link_is_believed() {
    for hops in [254, 0] {
        let bytes = solicit_packet(SOLICIT, A, solicited_node(B), hops);
        assert_eq!(parse_solicit(&bytes), Err(ParseError::Malformed));
    }
    let mut damaged = solicit_packet(SOLICIT, A, solicited_node(B), 255);
    damaged[70] ^= 1;
    assert_eq!(parse_solicit(&damaged), Err(ParseError::Checksum));
}

#[test]
fn probes_have_no_source_address_in_either_layer() {
    let probe = NeighbourSolicit {
        target: B,
        source_mac: None,
    };
    let from = Ipv6Addr::UNSPECIFIED;
    let parse = |solicit, dst| parse_solicit(&solicit_packet(solicit, from, dst, 255));
    assert_eq!(parse(probe, solicited_node(B)), Ok(probe));
    assert_eq!(
        parse(SOLICIT, solicited_node(B)),
        Err(ParseError::Malformed)
    );
    assert_eq!(parse(probe, B), Err(ParseError::Malformed));
}

#[test]
fn solicited_advertisements_are_unicast() {
    let mut message = [0; MESSAGE_MAX];
    let all_nodes = "ff02::1".parse().unwrap();
    ADVERT.emit(B, all_nodes, &mut message);
    let bytes = packet(B, all_nodes, 255, &message);
    let parsed = NeighbourAdvert::parse_packet(&Ipv6Packet::new_checked(&bytes).unwrap());
    assert_eq!(parsed, Err(ParseError::Malformed));
}

#[test]
fn options_are_walked() {
    let mut message = [0; HEADER_LEN];
    NeighbourSolicit {
        target: B,
        source_mac: None,
    }
    .emit(A, B, &mut message);
    let with = |options: &[u8]| NeighbourSolicit::parse(&[&message, options].concat());
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let mac = [1, 1, 2, 0x11, 0x22, 0x33, 0x44, 0x55];
    let other = [1, 1, 9, 9, 9, 9, 9, 9];
    assert_eq!(with(&[nonce, mac].concat()), Ok(SOLICIT));
    assert_eq!(
        with(&[mac, other].concat()),
        Ok(SOLICIT),
        "the first one counts"
    );
    assert_eq!(
        with(&[2, 1, 2, 0x11, 0x22, 0x33, 0x44, 0x55])
            .unwrap()
            .source_mac,
        None
    );
    assert_eq!(with(&[1, 0, 0, 0, 0, 0, 0, 0]), Err(ParseError::Malformed));
    assert_eq!(with(&[1, 2, 0, 0, 0, 0, 0, 0]), Err(ParseError::Truncated));
    assert_eq!(with(&[1]), Err(ParseError::Truncated));
}

#[test]
fn malformed_messages_are_refused() {
    let mut message = [0; MESSAGE_MAX];
    SOLICIT.emit(A, B, &mut message);
    for len in 0..HEADER_LEN {
        assert_eq!(
            NeighbourSolicit::parse(&message[..len]),
            Err(ParseError::Truncated)
        );
    }
    let mut coded = message;
    coded[1] = 1;
    assert_eq!(NeighbourSolicit::parse(&coded), Err(ParseError::Malformed));
    let mut multicast = message;
    put_u32(&mut multicast, field::TARGET, 0xff02_0000);
    assert_eq!(
        NeighbourSolicit::parse(&multicast),
        Err(ParseError::Malformed)
    );
}

#[test]
fn fragmented_messages_are_refused() {
    let whole = solicit_packet(SOLICIT, A, B, 255);
    let atomic = [&[58, 0, 0, 0, 0, 0, 0, 1], &whole[40..]].concat();
    let mut bytes = packet(A, B, 255, &atomic);
    bytes[6] = IpProtocol::FRAGMENT.0;
    assert_eq!(parse_solicit(&bytes), Err(ParseError::Malformed));
}
