//! When errors are made, when not, and that they are valid packets.

use std::{vec, vec::Vec};

use super::*;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0xfe);
const HOST: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);
const REPR: Ipv6Repr = Ipv6Repr {
    src_addr: HOST,
    dst_addr: Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1),
    next_header: IpProtocol::UDP,
    traffic_class: 0,
    flow_label: 0,
    hop_limit: 1,
    payload_len: 0,
};

fn packet(repr: Ipv6Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    Ipv6Repr {
        payload_len: payload.len() as u16,
        ..repr
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn error_for(original: &[u8]) -> Option<[u8; ERROR_HEADER_LEN]> {
    error_header(Icmpv6Error::TimeExceeded, ROUTER, original)
}

#[test]
fn errors_are_valid_packets_of_each_kind() {
    let kinds = [
        (Icmpv6Error::NoRoute, (1, 0)),
        (Icmpv6Error::AdminProhibited, (1, 1)),
        (Icmpv6Error::AddressUnreachable, (1, 3)),
        (Icmpv6Error::PacketTooBig { mtu: 1430 }, (2, 0)),
        (Icmpv6Error::TimeExceeded, (3, 0)),
    ];
    for payload_len in [0, 1, 8, 1191, 1192, 1193, 60_000] {
        let original = packet(REPR, &vec![0xa5; payload_len]);
        let quoted = &original[..original.len().min(ORIGINAL_MAX)];
        for (kind, type_and_code) in kinds {
            let header = error_header(kind, ROUTER, &original).unwrap();
            let whole = [&header, quoted].concat();
            assert!(whole.len() <= 1280);
            let outer = Ipv6Repr::parse(&whole).unwrap();
            assert_eq!((outer.src_addr, outer.dst_addr), (ROUTER, HOST));
            assert_eq!(
                (outer.next_header, outer.hop_limit),
                (IpProtocol::ICMPV6, 64)
            );
            let icmp = Icmpv6Packet::new_checked(&whole[40..]).unwrap();
            assert!(icmp.verify_checksum(ROUTER, HOST) && icmp.is_error());
            assert!(!icmp.verify_checksum(ROUTER, ROUTER));
            assert_eq!((icmp.kind(), icmp.code()), type_and_code);
            assert_eq!(
                icmp.next_hop_mtu(),
                (type_and_code == (2, 0)).then_some(1430)
            );
            assert_eq!(icmp.payload(), quoted);
        }
    }
}

#[test]
fn never_about_icmp_errors_but_about_other_icmp() {
    let icmp = Ipv6Repr {
        next_header: IpProtocol::ICMPV6,
        ..REPR
    };
    for (kind, expected) in [
        (1, false),
        (2, false),
        (100, false),
        (127, false),
        (128, true),
        (135, true),
        (137, false),
    ] {
        let original = packet(icmp, &[kind; 8]);
        assert_eq!(error_for(&original).is_some(), expected, "type {kind}");
        let options = Ipv6Repr {
            next_header: IpProtocol::DESTINATION_OPTIONS,
            ..REPR
        };
        let behind_options = packet(options, &[58, 0, 1, 4, 0, 0, 0, 0, kind]);
        assert_eq!(
            error_for(&behind_options).is_some(),
            expected,
            "type {kind}"
        );
    }
    assert_eq!(error_for(&packet(icmp, &[])), None, "type unknown");
}

#[test]
fn later_fragments_of_icmp_may_be_errors() {
    let fragmented = Ipv6Repr {
        next_header: IpProtocol::FRAGMENT,
        ..REPR
    };
    for (protocol, offset, expected) in [
        (58, 8, false),
        (60, 8, false),
        (17, 8, true),
        (6, 8, true),
        (58, 0, true),
    ] {
        let original = packet(
            fragmented,
            &[protocol, 0, 0, offset, 0, 0, 0, 1, 128, 0, 0, 0],
        );
        assert_eq!(
            error_for(&original).is_some(),
            expected,
            "{protocol} at {offset}"
        );
    }
}

#[test]
fn only_to_single_hosts() {
    for src in ["::", "::1", "ff02::1"] {
        let original = packet(
            Ipv6Repr {
                src_addr: src.parse().unwrap(),
                ..REPR
            },
            &[0; 8],
        );
        assert_eq!(error_for(&original), None, "from {src}");
    }
}

#[test]
fn multicast_gets_packet_too_big_alone() {
    let original = packet(
        Ipv6Repr {
            dst_addr: "ff0e::1".parse().unwrap(),
            ..REPR
        },
        &[0; 8],
    );
    assert_eq!(error_for(&original), None);
    let too_big = Icmpv6Error::PacketTooBig { mtu: 1280 };
    assert!(error_header(too_big, ROUTER, &original).is_some());
}

#[test]
fn garbage_gets_no_error() {
    let original = packet(REPR, &[0; 8]);
    for len in 0..40 {
        assert_eq!(error_for(&original[..len]), None);
    }
    assert_eq!(error_for(&[0x45; 60]), None);
    let cut_chain = packet(
        Ipv6Repr {
            next_header: IpProtocol::ROUTING,
            ..REPR
        },
        &[17, 9, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(error_for(&cut_chain), None);
}
