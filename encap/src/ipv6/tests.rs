//! Extension header chains, whole and cut off anywhere.

use std::{vec, vec::Vec};

use super::*;

const REPR: Ipv6Repr = Ipv6Repr {
    src_addr: Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1),
    dst_addr: Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1),
    next_header: IpProtocol::UDP,
    traffic_class: 0xb9,
    flow_label: 0xf1234,
    hop_limit: 64,
    payload_len: 0,
};

fn packet(next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    Ipv6Repr {
        next_header,
        payload_len: payload.len() as u16,
        ..REPR
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

/// Hop-by-hop (8 bytes), routing (16), fragment (8), destination options (8), AH (12), then UDP.
fn chain(fragment: [u8; 2]) -> Vec<u8> {
    let mut bytes = vec![43, 0, 1, 4, 0, 0, 0, 0];
    bytes.extend([44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([60, 0, fragment[0], fragment[1], 0xde, 0xad, 0xbe, 0xef]);
    bytes.extend([51, 0, 1, 4, 0, 0, 0, 0]);
    bytes.extend([17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    bytes.extend([0, 53, 0, 53, 0, 8, 0, 0]);
    packet(IpProtocol::HOP_BY_HOP, &bytes)
}

#[test]
fn reads_every_field() {
    let bytes = packet(IpProtocol::UDP, b"12345678");
    let view = Ipv6Packet::new_checked(&bytes).unwrap();
    assert_eq!(
        (view.version(), view.payload_len(), view.total_len()),
        (6, 8, 48)
    );
    assert_eq!(
        (view.traffic_class(), view.dscp(), view.ecn()),
        (0xb9, 46, Ecn::Ect1)
    );
    assert_eq!((view.flow_label(), view.hop_limit()), (0xf1234, 64));
    assert_eq!(
        (view.src_addr(), view.dst_addr()),
        (REPR.src_addr, REPR.dst_addr)
    );
    assert_eq!(view.payload(), b"12345678");
    assert_eq!(
        Ipv6Repr::parse(&bytes),
        Ok(Ipv6Repr {
            payload_len: 8,
            ..REPR
        })
    );
}

#[test]
fn walks_to_the_transport() {
    let bytes = chain([0, 0]);
    let transport = Ipv6Packet::new_checked(&bytes)
        .unwrap()
        .transport()
        .unwrap();
    assert_eq!(
        (transport.protocol, transport.offset),
        (IpProtocol::UDP, 92)
    );
    let fragment = Fragment {
        offset: 0,
        more: false,
        ident: 0xdead_beef,
        next_header: IpProtocol::DESTINATION_OPTIONS,
    };
    assert_eq!(transport.fragment, Some(fragment));
    assert!(
        transport.is_whole(),
        "an atomic fragment (RFC 6946) is a whole packet"
    );
}

#[test]
fn stops_at_later_fragments() {
    let bytes = chain([0x05, 0xa9]);
    let transport = Ipv6Packet::new_checked(&bytes)
        .unwrap()
        .transport()
        .unwrap();
    assert_eq!(
        (transport.protocol, transport.offset),
        (IpProtocol::DESTINATION_OPTIONS, 72)
    );
    let fragment = Fragment {
        offset: 0x05a8,
        more: true,
        ident: 0xdead_beef,
        next_header: IpProtocol::DESTINATION_OPTIONS,
    };
    assert_eq!(transport.fragment, Some(fragment));
    assert!(transport.is_later_fragment() && !transport.is_whole());

    let first = chain([0x00, 0x01]);
    let transport = Ipv6Packet::new_checked(&first)
        .unwrap()
        .transport()
        .unwrap();
    assert_eq!(transport.protocol, IpProtocol::UDP);
    assert!(!transport.is_later_fragment() && !transport.is_whole());
}

#[test]
fn chains_cut_anywhere_are_truncated() {
    let bytes = chain([0, 0]);
    for payload_len in 0..52 {
        let mut cut = bytes[..HEADER_LEN + payload_len].to_vec();
        let mut view = Ipv6Packet::new_unchecked(&mut cut[..]);
        view.set_payload_len(payload_len as u16);
        let view = Ipv6Packet::new_checked(&cut).unwrap();
        assert_eq!(
            view.transport(),
            Err(ParseError::Truncated),
            "{payload_len}"
        );
    }
}

#[test]
fn endless_chains_end() {
    let options = [60, 0, 1, 4, 0, 0, 0, 0].repeat(100);
    let bytes = packet(IpProtocol::DESTINATION_OPTIONS, &options);
    let transport = Ipv6Packet::new_checked(&bytes)
        .unwrap()
        .transport()
        .unwrap();
    assert_eq!(transport.protocol, IpProtocol::DESTINATION_OPTIONS);
    assert_eq!(transport.offset, HEADER_LEN + 8 * EXTENSIONS_MAX);
}

#[test]
fn setters_touch_only_their_field() {
    let mut bytes = packet(IpProtocol::UDP, b"12345678");
    let mut view = Ipv6Packet::new_checked(&mut bytes[..]).unwrap();
    view.set_ecn(Ecn::Ce);
    view.set_src_addr(REPR.dst_addr);
    view.set_dst_addr(REPR.src_addr);
    assert_eq!(view.decrement_hop_limit(), 63);
    view.payload_mut()[0] = b'x';
    let expected = Ipv6Repr {
        traffic_class: 0xbb,
        src_addr: REPR.dst_addr,
        dst_addr: REPR.src_addr,
        hop_limit: 63,
        payload_len: 8,
        ..REPR
    };
    assert_eq!(Ipv6Repr::parse(&bytes), Ok(expected));
    assert_eq!(&bytes[40..], b"x2345678");
}

#[test]
fn hop_limit_stops_at_zero() {
    let mut bytes = packet(IpProtocol::UDP, b"");
    let mut view = Ipv6Packet::new_checked(&mut bytes[..]).unwrap();
    view.set_hop_limit(1);
    assert_eq!(
        (view.decrement_hop_limit(), view.decrement_hop_limit()),
        (0, 0)
    );
}

#[test]
fn damage_is_named() {
    let bytes = packet(IpProtocol::UDP, b"12345678");
    for len in 0..bytes.len() {
        assert_eq!(
            Ipv6Repr::parse(&bytes[..len]),
            Err(ParseError::Truncated),
            "{len}"
        );
    }
    let mut other = bytes;
    other[0] = 0x45;
    assert_eq!(Ipv6Repr::parse(&other), Err(ParseError::Version));
}
