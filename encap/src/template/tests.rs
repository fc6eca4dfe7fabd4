//! Stamped headers against the reprs and views, which know nothing of templates.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::{vec, vec::Vec};

use super::*;
use crate::{
    Ecn, EthernetFrame, EthernetRepr, Ipv4Packet, Ipv6Packet, UdpPacket, Vni, VxlanPacket,
    bytes::u16_at,
};

mod kinds;
mod policies;

const A4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1));
const B4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 2));
const A6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
const B6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
const MAC: [MacAddr; 4] = [
    MacAddr([2, 0, 0, 0, 0, 1]),
    MacAddr([2, 0, 0, 0, 0, 2]),
    MacAddr([2, 0, 0, 0, 0, 3]),
    MacAddr([2, 0, 0, 0, 0, 4]),
];

fn vni() -> Vni {
    Vni::new(0x00ab_cdef).unwrap()
}

fn encapsulate(template: &Template, stamp: &Stamp, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; template.len()];
    template.stamp(&mut out, stamp).unwrap();
    out.extend(inner);
    out
}

#[test]
fn overhead_is_as_documented_by_everyone() {
    let v4 = Template::builder(A4, B4);
    let v6 = Template::builder(A6, B6);
    for ethernet in [false, true] {
        let l2 = |builder: TemplateBuilder| {
            if ethernet {
                builder.ethernet(MAC[0], MAC[1])
            } else {
                builder
            }
        };
        assert_eq!(l2(v4).vxlan(vni(), MAC[2], MAC[3]).unwrap().overhead(), 50);
        assert_eq!(l2(v6).vxlan(vni(), MAC[2], MAC[3]).unwrap().overhead(), 70);
        assert_eq!(l2(v4).vxlan_bridged(vni()).unwrap().overhead(), 50);
        assert_eq!(l2(v6).vxlan_bridged(vni()).unwrap().overhead(), 70);
        assert_eq!(l2(v4).ipip().unwrap().overhead(), 20);
        assert_eq!(l2(v6).ipip().unwrap().overhead(), 40);
    }
}

#[test]
fn offsets_point_at_the_parts() {
    let template = Template::builder(A4, B4)
        .ethernet(MAC[0], MAC[1])
        .vxlan(vni(), MAC[2], MAC[3])
        .unwrap();
    assert_eq!((template.l2_offset(), template.ip_offset()), (Some(0), 14));
    assert_eq!(
        (template.udp_offset(), template.tunnel_offset()),
        (Some(34), 42)
    );
    assert_eq!(
        (template.inner_ethernet_offset(), template.len()),
        (Some(50), 64)
    );
    assert_eq!(
        (template.tunnel_len(), template.version()),
        (22, IpVersion::V4)
    );
    assert!(!template.is_empty());

    let template = Template::builder(A6, B6).vxlan_bridged(vni()).unwrap();
    assert_eq!((template.l2_offset(), template.ip_offset()), (None, 0));
    assert_eq!(
        (template.udp_offset(), template.tunnel_offset()),
        (Some(40), 48)
    );
    assert_eq!(
        (template.inner_ethernet_offset(), template.len()),
        (None, 56)
    );

    let template = Template::builder(A4, B4).ipip().unwrap();
    assert_eq!(
        (template.udp_offset(), template.tunnel_len(), template.len()),
        (None, 0, 20)
    );
}

#[test]
fn the_longest_header_fits() {
    let template = Template::builder(A6, B6)
        .ethernet(MAC[0], MAC[1])
        .vxlan(vni(), MAC[2], MAC[3]);
    assert!(template.unwrap().len() <= MAX_LEN);
}

#[test]
fn versions_must_agree() {
    let mixed = Template::builder(A4, B6).ipip().unwrap_err();
    assert_eq!(mixed, TemplateError::MixedVersions);
}

#[test]
fn tunnel_bytes_are_stamped_with_the_ethertype() {
    let template = Template::builder(A4, B4)
        .vxlan(vni(), MAC[2], MAC[3])
        .unwrap();
    let mut out = [0xff; 22];
    template.write_tunnel(EtherType::ARP, &mut out);
    let vxlan = VxlanPacket::new_checked(&out).unwrap();
    assert_eq!(vxlan.vni(), vni());
    let (inner, _) = EthernetRepr::parse(vxlan.payload()).unwrap();
    assert_eq!(
        inner,
        EthernetRepr {
            dst: MAC[2],
            src: MAC[3],
            ethertype: EtherType::ARP
        }
    );
    assert_eq!(out[..20], template.tunnel_bytes()[..20]);

    let bridged = Template::builder(A4, B4).vxlan_bridged(vni()).unwrap();
    let mut out = [0xff; 8];
    bridged.write_tunnel(EtherType::ARP, &mut out);
    assert_eq!(out, bridged.tunnel_bytes());
}

#[test]
fn vxlan_over_ipv4_is_what_the_views_say() {
    let builder = Template::builder(A4, B4)
        .ttl(9)
        .tos(0xb8)
        .port(8472)
        .ethernet(MAC[0], MAC[1]);
    let template = builder.vxlan(vni(), MAC[2], MAC[3]).unwrap();
    for inner_len in [0, 1, 20, 1450, 65_485] {
        let inner: Vec<u8> = (0..inner_len).map(|i| i as u8).collect();
        let stamp = Stamp {
            ident: 0xfedc,
            source_port: 55_555,
            ecn: Ecn::Ect0,
            checksum: OuterChecksum::Inner(checksum::sum(&inner)),
            ..Stamp::new(EtherType::IPV6, inner_len)
        };
        let bytes = encapsulate(&template, &stamp, &inner);
        let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
        assert_eq!((frame.dst(), frame.src()), (MAC[0], MAC[1]));
        assert_eq!(frame.ethertype(), EtherType::IPV4);
        let ip = Ipv4Packet::new_checked(frame.payload()).unwrap();
        assert!(ip.verify_checksum() && !ip.dont_fragment());
        assert_eq!(
            (ip.total_len(), ip.ident(), ip.ttl()),
            (50 + inner_len, 0xfedc, 9)
        );
        assert_eq!(
            (ip.dscp(), ip.ecn(), ip.protocol()),
            (46, Ecn::Ect0, IpProtocol::UDP)
        );
        assert_eq!(
            (IpAddr::V4(ip.src_addr()), IpAddr::V4(ip.dst_addr())),
            (A4, B4)
        );
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port()), (55_555, 8472));
        assert!(udp.verify_checksum(ip.pseudo_header(udp.length())));
        let vxlan = VxlanPacket::new_checked(udp.payload()).unwrap();
        assert_eq!(vxlan.vni(), vni());
        let inner_frame = EthernetFrame::new_checked(vxlan.payload()).unwrap();
        assert_eq!((inner_frame.dst(), inner_frame.src()), (MAC[2], MAC[3]));
        assert_eq!(inner_frame.ethertype(), EtherType::IPV6);
        assert_eq!(inner_frame.payload(), inner);
    }
}

#[test]
fn vxlan_over_ipv6_is_what_the_views_say() {
    let template = Template::builder(A6, B6)
        .ttl(9)
        .tos(0xb8)
        .vxlan_bridged(vni())
        .unwrap();
    for inner_len in [0, 1, 60, 1450, 65_479] {
        let inner: Vec<u8> = (0..inner_len).map(|i| (i * 7) as u8).collect();
        let stamp = Stamp {
            ecn: Ecn::Ce,
            checksum: OuterChecksum::Inner(checksum::sum(&inner)),
            ..Stamp::new(EtherType::IPV4, inner_len)
        };
        let bytes = encapsulate(&template, &stamp, &inner);
        let ip = Ipv6Packet::new_checked(&bytes[..]).unwrap();
        assert_eq!((ip.payload_len(), ip.hop_limit()), (16 + inner_len, 9));
        assert_eq!((ip.dscp(), ip.ecn(), ip.flow_label()), (46, Ecn::Ce, 0));
        assert_eq!(
            (IpAddr::V6(ip.src_addr()), IpAddr::V6(ip.dst_addr())),
            (A6, B6)
        );
        assert_eq!(ip.next_header(), IpProtocol::UDP);
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        let len = u32::from(udp.length());
        let pseudo = checksum::pseudo_header_v6(ip.src_addr(), ip.dst_addr(), IpProtocol::UDP, len);
        assert!(udp.verify_checksum(pseudo));
        let vxlan = VxlanPacket::new_checked(udp.payload()).unwrap();
        assert_eq!((vxlan.vni(), vxlan.payload()), (vni(), &inner[..]));
    }
}

#[test]
fn ipip_says_what_is_inside() {
    let template = Template::builder(A4, B4).ipip().unwrap();
    for (ethertype, protocol) in [
        (EtherType::IPV4, IpProtocol::IPIP),
        (EtherType::IPV6, IpProtocol::IPV6),
    ] {
        let stamp = Stamp {
            dont_fragment: true,
            ..Stamp::new(ethertype, 100)
        };
        let bytes = encapsulate(&template, &stamp, &[0x45; 100]);
        let ip = Ipv4Packet::new_checked(&bytes[..]).unwrap();
        assert!(ip.verify_checksum() && ip.dont_fragment());
        assert_eq!((ip.protocol(), ip.payload()), (protocol, &[0x45; 100][..]));
    }
    let stamped = template.stamp(&mut [0; 20], &Stamp::new(EtherType::ARP, 28));
    assert_eq!(stamped, Err(StampError::NotIp));

    let over_v6 = Template::builder(A6, B6).ipip().unwrap();
    let bytes = encapsulate(&over_v6, &Stamp::new(EtherType::IPV4, 4), &[0x45; 4]);
    let ip = Ipv6Packet::new_checked(&bytes[..]).unwrap();
    assert_eq!(
        (ip.next_header(), ip.payload()),
        (IpProtocol::IPIP, &[0x45; 4][..])
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let template = Template::builder(A4, B4)
        .vxlan(vni(), MAC[2], MAC[3])
        .unwrap();
    let mut out = [0xa5; 50];
    for inner_len in [65_486, 70_000, 1 << 20] {
        let stamped = template.stamp(&mut out, &Stamp::new(EtherType::IPV4, inner_len));
        assert_eq!((stamped, out), (Err(StampError::TooLong), [0xa5; 50]));
    }
    // The payload length of IPv6 does not count the header, but no socket takes a packet longer
    // than 65535 bytes: the limit is the same.
    let over_v6 = Template::builder(A6, B6).ipip().unwrap();
    let mut out = [0; 40];
    assert!(
        over_v6
            .stamp(&mut out, &Stamp::new(EtherType::IPV4, 65_495))
            .is_ok()
    );
    let stamped = over_v6.stamp(&mut out, &Stamp::new(EtherType::IPV4, 65_496));
    assert_eq!(stamped, Err(StampError::TooLong));
}

#[test]
fn checksum_policies() {
    let template = Template::builder(A4, B4).vxlan_bridged(vni()).unwrap();
    let udp_of = |checksum| {
        let bytes = encapsulate(
            &template,
            &Stamp {
                checksum,
                ..Stamp::new(EtherType::IPV4, 2)
            },
            &[1, 2],
        );
        let ip = Ipv4Packet::new_checked(&bytes[..]).unwrap();
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        (udp.checksum(), ip.pseudo_header(udp.length()).fold())
    };
    assert_eq!(udp_of(OuterChecksum::Zero).0, 0);
    let (partial, pseudo_header) = udp_of(OuterChecksum::Partial);
    assert_eq!(partial, pseudo_header);
    assert!(template.sends_checksum());
    let without = Template::builder(A4, B4).udp_checksum(false);
    assert!(!without.vxlan_bridged(vni()).unwrap().sends_checksum());
}

#[test]
fn a_computed_checksum_is_never_zero() {
    let template = Template::builder(A4, B4).vxlan_bridged(vni()).unwrap();
    let checksum_of = |inner: u16| {
        let checksum = OuterChecksum::Inner(Sum::of_u16(inner));
        let mut out = [0; 36];
        template
            .stamp(
                &mut out,
                &Stamp {
                    checksum,
                    ..Stamp::new(EtherType::IPV4, 2)
                },
            )
            .unwrap();
        u16_at(&out, 26)
    };
    assert!((0..=u16::MAX).all(|inner| checksum_of(inner) != 0));
    assert!((0..=u16::MAX).any(|inner| checksum_of(inner) == 0xffff));
}
