//! ECN, DSCP, TTL and "don't fragment" of the outer header, by policy.

use super::*;
use crate::{DfPolicy, Dscp, DscpPolicy, EcnMode, Ipv4Repr, Ipv6Repr, TtlPolicy};

/// Inner packets of either version with these fields.
fn inner(version: IpVersion, traffic_class: u8, ttl: u8, dont_fragment: bool) -> Vec<u8> {
    let mut bytes = vec![0; version.header_len()];
    match version {
        IpVersion::V4 => Ipv4Repr {
            src_addr: [10, 0, 0, 1].into(),
            dst_addr: [10, 0, 0, 2].into(),
            protocol: IpProtocol::NO_NEXT,
            traffic_class,
            ttl,
            ident: 7,
            dont_fragment,
            payload_len: 0,
        }
        .emit(&mut bytes),
        IpVersion::V6 => Ipv6Repr {
            src_addr: [0xfd; 16].into(),
            dst_addr: [0xfc; 16].into(),
            next_header: IpProtocol::NO_NEXT,
            traffic_class,
            flow_label: 0,
            hop_limit: ttl,
            payload_len: 0,
        }
        .emit(&mut bytes),
    }
    bytes
}

/// The outer traffic class, TTL and "don't fragment" around `packet`.
fn outer(builder: TemplateBuilder, packet: &[u8]) -> (u8, u8, bool) {
    let template = builder.gre(None).unwrap();
    let stamp = Stamp::of_packet(packet).unwrap();
    let bytes = encapsulate(&template, &stamp, packet);
    match template.version() {
        IpVersion::V4 => {
            let ip = Ipv4Packet::new_checked(&bytes[..]).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!(ip.src_addr(), A4);
            (ip.traffic_class(), ip.ttl(), ip.dont_fragment())
        }
        IpVersion::V6 => {
            let ip = Ipv6Packet::new_checked(&bytes[..]).unwrap();
            assert_eq!((ip.version(), IpAddr::from(ip.dst_addr())), (6, B6));
            (ip.traffic_class(), ip.hop_limit(), false)
        }
    }
}

fn pairs() -> impl Iterator<Item = (TemplateBuilder, IpVersion)> {
    let builders = [Template::builder(A4, B4), Template::builder(A6, B6)];
    builders
        .into_iter()
        .flat_map(|builder| [(builder, IpVersion::V4), (builder, IpVersion::V6)])
}

#[test]
fn ecn_is_copied_in_normal_mode_alone() {
    for (builder, version) in pairs() {
        for ecn in 0..4 {
            let packet = inner(version, 0xb8 | ecn, 9, false);
            assert_eq!(outer(builder, &packet).0, ecn);
            let compatible = builder.ecn_mode(EcnMode::Compatibility);
            assert_eq!(outer(compatible, &packet).0, 0);
            assert_eq!(outer(compatible.tos(0x28), &packet).0, 0x28);
        }
    }
}

#[test]
fn dscp_is_copied_or_set() {
    for (builder, version) in pairs() {
        for class in 0..=255 {
            let packet = inner(version, class, 9, false);
            let uniform = builder.dscp_policy(DscpPolicy::Copy);
            assert_eq!(outer(uniform, &packet).0, class);
            let pipe = builder.dscp_policy(DscpPolicy::Set(Dscp::EXPEDITED));
            assert_eq!(outer(pipe, &packet).0, 0xb8 | (class & 3));
            let neither = uniform.ecn_mode(EcnMode::Compatibility);
            assert_eq!(outer(neither, &packet).0, class & 0xfc);
        }
    }
}

#[test]
fn ttl_is_copied_or_set() {
    for (builder, version) in pairs() {
        for ttl in 0..=255 {
            let packet = inner(version, 0, ttl, false);
            assert_eq!(outer(builder.ttl_policy(TtlPolicy::Copy), &packet).1, ttl);
            assert_eq!(outer(builder, &packet).1, 64);
            assert_eq!(outer(builder.ttl(ttl), &packet).1, ttl.max(1));
        }
    }
}

#[test]
fn dont_fragment_is_copied_set_or_cleared() {
    let builder = Template::builder(A4, B4);
    for value in [false, true] {
        let packet = inner(IpVersion::V4, 0, 9, value);
        let with = |policy| outer(builder.df_policy(policy), &packet).2;
        assert_eq!(with(DfPolicy::Copy), value);
        assert!(with(DfPolicy::Set) && !with(DfPolicy::Clear));
        assert_eq!(outer(builder.dont_fragment(false), &packet).2, value);
        assert!(outer(builder.dont_fragment(true), &packet).2);
    }
    // IPv6 packets are not fragmented on their way: neither shall they be inside a tunnel.
    assert!(outer(builder, &inner(IpVersion::V6, 0, 9, false)).2);
}

#[test]
fn stamps_read_frames_too() {
    let packet = inner(IpVersion::V6, 0xba, 9, false);
    let frame = [&[0; 12][..], &[0x86, 0xdd], &packet].concat();
    let stamp = Stamp::of_frame(&frame);
    assert_eq!(
        (stamp.dscp, stamp.ecn, stamp.ttl),
        (Dscp::EXPEDITED, Ecn::Ect0, 9)
    );
    assert_eq!((stamp.inner_len, stamp.dont_fragment), (frame.len(), true));
    let arp = [&[0; 12][..], &[0x08, 0x06], &packet].concat();
    assert_eq!(
        Stamp::of_frame(&arp),
        Stamp::new(EtherType::BRIDGED, arp.len())
    );
    let truncated = Stamp::of_frame(&frame[..30]);
    assert_eq!(truncated, Stamp::new(EtherType::BRIDGED, 30));
    assert!(Stamp::of_packet(&packet[..39]).is_err());
}
