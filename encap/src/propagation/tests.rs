//! All sixteen pairs of ECN fields in real headers, of either version.

use std::vec::Vec;

use super::*;
use crate::{IpProtocol, Ipv4Repr, Ipv6Repr, MacAddr, eth::EthernetRepr};

fn packet(version: IpVersion, traffic_class: u8, ttl: u8) -> Vec<u8> {
    let mut bytes = std::vec![0; version.header_len()];
    match version {
        IpVersion::V4 => Ipv4Repr {
            src_addr: [10, 0, 0, 1].into(),
            dst_addr: [10, 0, 0, 2].into(),
            protocol: IpProtocol::UDP,
            traffic_class,
            ttl,
            ident: 7,
            dont_fragment: true,
            payload_len: 0,
        }
        .emit(&mut bytes),
        IpVersion::V6 => Ipv6Repr {
            src_addr: [0xfd; 16].into(),
            dst_addr: [0xfc; 16].into(),
            next_header: IpProtocol::UDP,
            traffic_class,
            flow_label: 0xabcde,
            hop_limit: ttl,
            payload_len: 0,
        }
        .emit(&mut bytes),
    }
    bytes
}

const UNIFORM: Propagation = Propagation {
    dscp: DscpPolicy::Copy,
    ttl: TtlPolicy::Copy,
};

#[test]
fn the_sixteen_pairs_in_packets() {
    // RFC 6040, figure 4; rows: inner, columns: outer, both in the order of their numbers.
    let (not_ect, ect1, ect0, ce) = (Some(0), Some(1), Some(2), Some(3));
    let table = [
        [not_ect, not_ect, not_ect, None],
        [ect1, ect1, ect1, ce],
        [ect0, ect1, ect0, ce],
        [ce, ce, ce, ce],
    ];
    for version in [IpVersion::V4, IpVersion::V6] {
        for (inner, row) in table.iter().enumerate() {
            for (outer, expected) in row.iter().enumerate() {
                let (inner, outer) = (0x28 | inner as u8, 0xb8 | outer as u8);
                let mut bytes = packet(version, inner, 9);
                let fields = IpFields {
                    traffic_class: outer,
                    ttl: 60,
                };
                let result = Propagation::default().decapsulate(&mut bytes, fields);
                assert_eq!(result.is_ok(), expected.is_some());
                let kept = expected.map_or(inner, |ecn| 0x28 | ecn);
                assert_eq!(bytes, packet(version, kept, 9), "{inner:#x} in {outer:#x}");
            }
        }
    }
}

#[test]
fn the_uniform_model_takes_over_dscp_and_ttl() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut bytes = packet(version, 0x28 | 2, 9);
        let outer = IpFields {
            traffic_class: 0xb8 | 3,
            ttl: 5,
        };
        assert_eq!(UNIFORM.decapsulate(&mut bytes, outer), Ok(()));
        assert_eq!(bytes, packet(version, 0xb8 | 3, 5));
        assert_eq!(IpFields::of_packet(&bytes), Ok(outer));
    }
}

#[test]
fn frames_are_marked_behind_their_tags() {
    for tag in [&[][..], &[0x00, 42, 0x08, 0x00]] {
        let mut frame = std::vec![0; 14];
        EthernetRepr {
            dst: MacAddr::BROADCAST,
            src: MacAddr::ZERO,
            ethertype: if tag.is_empty() {
                EtherType::IPV4
            } else {
                EtherType::VLAN
            },
        }
        .emit(&mut frame);
        frame.extend(tag);
        let at = frame.len();
        frame.extend(packet(IpVersion::V4, 1, 9));
        let ce = IpFields {
            traffic_class: 3,
            ttl: 1,
        };
        assert_eq!(
            Propagation::default().decapsulate_frame(&mut frame, ce),
            Ok(())
        );
        assert_eq!(frame[at..], packet(IpVersion::V4, 3, 9));
        frame[at..].copy_from_slice(&packet(IpVersion::V4, 0, 9));
        let dropped = Propagation::default().decapsulate_frame(&mut frame, ce);
        assert_eq!(dropped, Err(CongestionDrop));
    }
}

#[test]
fn what_is_not_ip_is_left_alone() {
    let ce = IpFields {
        traffic_class: 3,
        ttl: 1,
    };
    let whole = packet(IpVersion::V4, 2, 9);
    for bytes in [&[][..], &[0x45], &whole[..19], &[0x60; 39], &[0; 60]] {
        let mut copy = bytes.to_vec();
        assert_eq!(UNIFORM.decapsulate(&mut copy, ce), Ok(()));
        assert_eq!(UNIFORM.decapsulate_frame(&mut copy, ce), Ok(()));
        assert_eq!(copy, bytes);
    }
}
