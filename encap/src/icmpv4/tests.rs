//! When errors are made, when not, and that they are valid packets.

use std::{vec, vec::Vec};

use super::*;

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 42, 1, 254);
const REPR: Ipv4Repr = Ipv4Repr {
    src_addr: Ipv4Addr::new(10, 42, 1, 1),
    dst_addr: Ipv4Addr::new(10, 42, 2, 1),
    protocol: IpProtocol::UDP,
    traffic_class: 0,
    ttl: 1,
    ident: 7,
    dont_fragment: true,
    payload_len: 0,
};

fn packet(repr: Ipv4Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    Ipv4Repr {
        payload_len: payload.len() as u16,
        ..repr
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn error_for(original: &[u8]) -> Option<[u8; ERROR_HEADER_LEN]> {
    error_header(Icmpv4Error::TimeExceeded, ROUTER, original)
}

#[test]
fn errors_are_valid_packets_of_each_kind() {
    let kinds = [
        (Icmpv4Error::NetUnreachable, (3, 0)),
        (Icmpv4Error::HostUnreachable, (3, 1)),
        (Icmpv4Error::FragmentationNeeded { mtu: 1450 }, (3, 4)),
        (Icmpv4Error::AdminProhibited, (3, 13)),
        (Icmpv4Error::TimeExceeded, (11, 0)),
    ];
    for payload_len in [0, 1, 7, 8, 500, 527, 528, 529, 1400, 60_000] {
        let original = packet(REPR, &vec![0xa5; payload_len]);
        let quoted = &original[..original.len().min(ORIGINAL_MAX)];
        for (kind, type_and_code) in kinds {
            let header = error_header(kind, ROUTER, &original).unwrap();
            let whole = [&header, quoted].concat();
            assert!(whole.len() <= 576);
            let (outer, offset) = Ipv4Repr::parse(&whole).unwrap();
            assert_eq!((outer.src_addr, outer.dst_addr), (ROUTER, REPR.src_addr));
            assert_eq!(
                (outer.protocol, outer.ttl, outer.traffic_class),
                (IpProtocol::ICMP, 64, 0xc0)
            );
            let icmp = Icmpv4Packet::new_checked(&whole[offset..]).unwrap();
            assert!(icmp.verify_checksum() && icmp.is_error());
            assert_eq!((icmp.kind(), icmp.code()), type_and_code);
            assert_eq!(
                icmp.next_hop_mtu(),
                (type_and_code == (3, 4)).then_some(1450)
            );
            assert_eq!(icmp.payload(), quoted);
        }
    }
}

#[test]
fn never_about_icmp_errors_but_about_other_icmp() {
    for (kind, expected) in [
        (0, true),
        (3, false),
        (4, false),
        (5, false),
        (8, true),
        (11, false),
        (12, false),
        (13, true),
    ] {
        let original = packet(
            Ipv4Repr {
                protocol: IpProtocol::ICMP,
                ..REPR
            },
            &[kind; 8],
        );
        assert_eq!(error_for(&original).is_some(), expected, "type {kind}");
    }
    let empty = packet(
        Ipv4Repr {
            protocol: IpProtocol::ICMP,
            ..REPR
        },
        &[],
    );
    assert_eq!(error_for(&empty), None, "type unknown");
}

#[test]
fn only_about_first_fragments() {
    for (flags, expected) in [
        (0x2000u16, true),
        (0x2001, false),
        (0x0001, false),
        (0x1fff, false),
        (0x4000, true),
    ] {
        let mut original = packet(REPR, &[0; 8]);
        original[6..8].copy_from_slice(&flags.to_be_bytes());
        assert_eq!(error_for(&original).is_some(), expected, "{flags:04x}");
    }
}

#[test]
fn only_to_and_about_single_hosts() {
    let of = |src_addr: [u8; 4], dst_addr: [u8; 4]| {
        let repr = Ipv4Repr {
            src_addr: src_addr.into(),
            dst_addr: dst_addr.into(),
            ..REPR
        };
        error_for(&packet(repr, &[0; 8])).is_some()
    };
    let host = [192, 0, 2, 1];
    assert!(of(host, host));
    for src in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [239, 1, 1, 1],
        [240, 0, 0, 1],
        [255; 4],
    ] {
        assert!(!of(src, host), "from {src:?}");
    }
    for dst in [[224, 0, 0, 1], [239, 255, 255, 255], [255; 4]] {
        assert!(!of(host, dst), "to {dst:?}");
    }
}

#[test]
fn garbage_gets_no_error() {
    let original = packet(REPR, &[0; 8]);
    for len in 0..20 {
        assert_eq!(error_for(&original[..len]), None);
    }
    assert_eq!(error_for(&[0x60; 60]), None);
    assert!(
        error_for(&original[..21]).is_some(),
        "a truncated payload is no reason for silence"
    );
}
