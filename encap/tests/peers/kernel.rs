//! Frames of the kernel's own VXLAN device: the views decode them, and templates reproduce them.

use std::net::IpAddr;

use ringlay_encap::{
    Ecn, EtherType, EthernetRepr, IpProtocol, Ipv4Packet, Ipv6Packet, OuterChecksum, Pretty, Stamp,
    Sum, Template, TemplateBuilder, UdpPacket, Vni, VxlanPacket, checksum, eth,
    vxlan::{HEADER_LEN, UDP_PORT},
};

use crate::{ENDS_V4, ENDS_V6, UNDERLAY_MACS, pcap};

/// One capture, and how the script configured the device.
struct Capture {
    pcap: &'static [u8],
    ends: [IpAddr; 2],
    vni: u32,
    has_checksum: bool,
}

const CAPTURES: [Capture; 3] = [
    Capture {
        pcap: include_bytes!("../vectors/kernel-vxlan-over-ipv4.pcap"),
        ends: ENDS_V4,
        vni: 42,
        has_checksum: true,
    },
    Capture {
        pcap: include_bytes!("../vectors/kernel-vxlan-over-ipv4-no-checksum.pcap"),
        ends: ENDS_V4,
        vni: 44,
        has_checksum: false,
    },
    Capture {
        pcap: include_bytes!("../vectors/kernel-vxlan-over-ipv6.pcap"),
        ends: ENDS_V6,
        vni: 0x00ff_ffff,
        has_checksum: true,
    },
];

/// A captured frame, taken apart.
struct Decoded<'a> {
    outer: EthernetRepr,
    src: IpAddr,
    dst: IpAddr,
    ident: u16,
    source_port: u16,
    vni: Vni,
    inner: EthernetRepr,
    inner_packet: &'a [u8],
}

fn decode<'a>(frame: &'a [u8], capture: &Capture) -> Decoded<'a> {
    let (outer, offset) = EthernetRepr::parse(frame).unwrap();
    let packet = &frame[offset..];
    let (src, dst, ident, transport, pseudo_header) = match outer.ethertype {
        EtherType::IPV4 => decode_ipv4(packet),
        EtherType::IPV6 => decode_ipv6(packet),
        other => panic!("{other}"),
    };
    let udp = UdpPacket::new_checked(transport).unwrap();
    assert_eq!(udp.dst_port(), UDP_PORT);
    assert_eq!(udp.checksum() != 0, capture.has_checksum);
    assert_eq!(udp.verify_checksum(pseudo_header), capture.has_checksum);
    let vni = VxlanPacket::new_checked(udp.payload()).unwrap().vni();
    let inner_frame = &transport[8 + HEADER_LEN..];
    let (inner, offset) = EthernetRepr::parse(inner_frame).unwrap();
    let inner_packet = &inner_frame[offset..];
    Decoded {
        outer,
        src,
        dst,
        ident,
        source_port: udp.src_port(),
        vni,
        inner,
        inner_packet,
    }
}

type Outer<'a> = (IpAddr, IpAddr, u16, &'a [u8], Sum);

fn decode_ipv4(packet: &[u8]) -> Outer<'_> {
    let ip = Ipv4Packet::new_checked(packet).unwrap();
    assert!(ip.verify_checksum() && !ip.is_fragment());
    assert_eq!(
        (ip.protocol(), ip.total_len()),
        (IpProtocol::UDP, packet.len())
    );
    let transport = &packet[ip.header_len()..];
    let pseudo_header = ip.pseudo_header(transport.len() as u16);
    (
        ip.src_addr().into(),
        ip.dst_addr().into(),
        ip.ident(),
        transport,
        pseudo_header,
    )
}

fn decode_ipv6(packet: &[u8]) -> Outer<'_> {
    let ip = Ipv6Packet::new_checked(packet).unwrap();
    let found = ip.transport().unwrap();
    assert!(found.is_whole());
    assert_eq!(
        (found.protocol, ip.total_len()),
        (IpProtocol::UDP, packet.len())
    );
    let transport = &packet[found.offset..];
    let (src, dst) = (ip.src_addr(), ip.dst_addr());
    let len = transport.len() as u32;
    let pseudo_header = checksum::pseudo_header_v6(src, dst, IpProtocol::UDP, len);
    (src.into(), dst.into(), 0, transport, pseudo_header)
}

fn all_frames() -> impl Iterator<Item = (&'static Capture, &'static [u8])> {
    const { &CAPTURES }.iter().flat_map(|capture| {
        pcap::read(capture.pcap)
            .into_iter()
            .map(move |frame| (capture, frame))
    })
}

#[test]
fn captures_contain_every_kind_of_traffic() {
    for capture in &CAPTURES {
        let lines: Vec<_> = pcap::read(capture.pcap)
            .into_iter()
            .map(|frame| Pretty::ethernet(frame).to_string())
            .collect();
        for kind in [
            "arp who-has 10.42.",
            "is-at 02:00:00:00:",
            "icmp echo request, 33 bytes",
            "icmp echo reply, 33 bytes",
            "icmp6 echo request, 33 bytes",
            "icmp6 echo reply, 33 bytes",
            "nd who-has fd42:",
            "nd fd42:",
            "> 5201 [S], ",
            "tcp 5201 > ",
            "> 5202, 0 bytes",
            "> 5202, 11 bytes",
            "tos 0x02, ",
            "class 0x02, ",
        ] {
            assert!(
                lines.iter().any(|line| line.contains(kind)),
                "no {kind:?} in {lines:#?}"
            );
        }
        for line in lines {
            assert!(
                line.contains(&format!("vxlan {} | ", capture.vni)),
                "{line}"
            );
            for fault in ["bad ", "truncated", "[|"] {
                assert!(!line.contains(fault), "{line}");
            }
            assert_eq!(line.contains("no cksum"), !capture.has_checksum, "{line}");
        }
    }
}

#[test]
fn views_decode_what_the_script_configured() {
    for (capture, frame) in all_frames() {
        let decoded = decode(frame, capture);
        let [a, b] = capture.ends;
        let from_a = decoded.src == a;
        let (src, dst) = if from_a { (a, b) } else { (b, a) };
        assert_eq!((decoded.src, decoded.dst), (src, dst));
        let [mac_a, mac_b] = UNDERLAY_MACS;
        let (mac_src, mac_dst) = if from_a {
            (mac_a, mac_b)
        } else {
            (mac_b, mac_a)
        };
        assert_eq!((decoded.outer.src, decoded.outer.dst), (mac_src, mac_dst));
        assert_eq!(decoded.vni.value(), capture.vni);
        assert!(decoded.inner.src.is_local() && decoded.inner.src.is_unicast());
    }
}

fn builder(decoded: &Decoded<'_>) -> TemplateBuilder {
    Template::builder(decoded.src, decoded.dst).ethernet(decoded.outer.dst, decoded.outer.src)
}

fn stamp(decoded: &Decoded<'_>, inner_len: usize, checksum: OuterChecksum) -> Stamp {
    Stamp {
        ident: decoded.ident,
        source_port: decoded.source_port,
        // Normal mode of RFC 6040; what is not IP has no ECN.
        ecn: Ecn::of_packet(decoded.inner_packet).unwrap_or_default(),
        checksum,
        ..Stamp::new(decoded.inner.ethertype, inner_len)
    }
}

#[test]
fn templates_reproduce_the_frames() {
    for (capture, frame) in all_frames() {
        let decoded = decode(frame, capture);
        let inner = decoded.inner_packet;
        let template = builder(&decoded)
            .vxlan(decoded.vni, decoded.inner.dst, decoded.inner.src)
            .unwrap();
        let checksum = if capture.has_checksum {
            OuterChecksum::Inner(checksum::sum(inner))
        } else {
            OuterChecksum::Zero
        };
        let mut bytes = vec![0xff; template.len()];
        template
            .stamp(&mut bytes, &stamp(&decoded, inner.len(), checksum))
            .unwrap();
        bytes.extend(inner);
        assert_eq!(bytes, frame, "{}", Pretty::ethernet(frame));
    }
}

#[test]
fn bridged_templates_reproduce_the_frames() {
    for (capture, frame) in all_frames() {
        let decoded = decode(frame, capture);
        let template = builder(&decoded).vxlan_bridged(decoded.vni).unwrap();
        let inner = &frame[template.len()..];
        assert_eq!(inner.len(), decoded.inner_packet.len() + eth::HEADER_LEN);
        let checksum = if capture.has_checksum {
            OuterChecksum::Inner(checksum::sum(inner))
        } else {
            OuterChecksum::Zero
        };
        let mut bytes = vec![0xff; template.len()];
        template
            .stamp(&mut bytes, &stamp(&decoded, inner.len(), checksum))
            .unwrap();
        assert_eq!(
            bytes,
            frame[..template.len()],
            "{}",
            Pretty::ethernet(frame)
        );
    }
}

#[test]
fn the_tunnel_part_is_what_a_udp_socket_would_send() {
    for (capture, frame) in all_frames() {
        let decoded = decode(frame, capture);
        let template = builder(&decoded)
            .vxlan(decoded.vni, decoded.inner.dst, decoded.inner.src)
            .unwrap();
        let mut bytes = vec![0xff; template.tunnel_len()];
        template.write_tunnel(decoded.inner.ethertype, &mut bytes);
        assert_eq!(bytes, frame[template.tunnel_offset()..template.len()]);
    }
}

#[test]
fn sums_of_valid_packets_need_no_look_at_the_payload() {
    let mut known = 0;
    for (capture, frame) in all_frames() {
        let packet = decode(frame, capture).inner_packet;
        if let Some(sum) = checksum::sum_of_valid_packet(packet) {
            assert_eq!(sum.fold() % 0xffff, checksum::sum(packet).fold() % 0xffff);
            known += 1;
        } else {
            let line = Pretty::ethernet(frame).to_string();
            // ARP has no such checksum, and MLD stands behind a hop-by-hop header.
            assert!(
                line.contains("arp ") || line.contains("icmp6 type 143"),
                "{line}"
            );
        }
    }
    assert!(known > 100, "{known}");
}

#[test]
fn sums_of_valid_packets_are_unknown_where_there_is_more_than_a_packet() {
    for (capture, frame) in all_frames() {
        let mut packet = decode(frame, capture).inner_packet.to_vec();
        packet.extend([0xa5; 2]);
        assert_eq!(checksum::sum_of_valid_packet(&packet), None);
        packet.truncate(packet.len() - 3);
        assert_eq!(checksum::sum_of_valid_packet(&packet), None);
    }
}

#[test]
fn every_byte_of_the_headers_shows() {
    let (_, frame) = all_frames().next().unwrap();
    let line = Pretty::ethernet(frame).to_string();
    for at in 0..64 {
        let mut damaged = frame.to_vec();
        damaged[at] ^= 0x04;
        assert_ne!(Pretty::ethernet(&damaged).to_string(), line, "byte {at}");
    }
}
