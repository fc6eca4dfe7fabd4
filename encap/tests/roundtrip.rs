//! What is emitted parses back to the same value, and what is encapsulated decapsulates to the
//! same packet.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use ringlay_encap::{
    ArpOperation, ArpRepr, Ecn, EtherType, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr,
    Ipv6Packet, Ipv6Repr, MacAddr, NeighbourAdvert, NeighbourSolicit, OuterChecksum, Stamp,
    Template, UdpPacket, UdpRepr, Vni, VxlanHeader, VxlanPacket, checksum, ipip, ndisc,
};

prop_compose! {
    fn mac()(octets: [u8; 6]) -> MacAddr {
        MacAddr(octets)
    }
}

prop_compose! {
    fn vni()(value in 0u32..1 << 24) -> Vni {
        Vni::new(value).unwrap()
    }
}

fn unicast_v6() -> impl Strategy<Value = Ipv6Addr> {
    any::<Ipv6Addr>().prop_filter("unicast", |addr| !addr.is_multicast())
}

fn ends() -> impl Strategy<Value = [IpAddr; 2]> {
    prop_oneof![
        any::<[Ipv4Addr; 2]>().prop_map(|ends| ends.map(IpAddr::V4)),
        any::<[Ipv6Addr; 2]>().prop_map(|ends| ends.map(IpAddr::V6)),
    ]
}

/// An IP packet with any payload.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..1500);
    (ends(), payload, any::<u8>(), any::<u8>()).prop_map(|(ends, payload, class, protocol)| {
        let payload_len = payload.len() as u16;
        let protocol = IpProtocol(protocol);
        let mut bytes = vec![0; 40];
        match ends {
            [IpAddr::V6(src_addr), IpAddr::V6(dst_addr)] => {
                let (flow_label, hop_limit) = (0, 3);
                Ipv6Repr {
                    src_addr,
                    dst_addr,
                    next_header: protocol,
                    traffic_class: class,
                    flow_label,
                    hop_limit,
                    payload_len,
                }
                .emit(&mut bytes);
            }
            [IpAddr::V4(src_addr), IpAddr::V4(dst_addr)] => {
                bytes.truncate(20);
                let (ident, ttl, dont_fragment) = (1, 3, true);
                Ipv4Repr {
                    src_addr,
                    dst_addr,
                    protocol,
                    traffic_class: class,
                    ttl,
                    ident,
                    dont_fragment,
                    payload_len,
                }
                .emit(&mut bytes);
            }
            mixed => panic!("{mixed:?}"),
        }
        bytes.extend(payload);
        bytes
    })
}

/// The ethertype of an IP packet.
fn ethertype(packet: &[u8]) -> EtherType {
    if packet[0] >> 4 == 4 {
        EtherType::IPV4
    } else {
        EtherType::IPV6
    }
}

/// The protocol and the payload of an outer packet, all checks made.
fn decapsulate_ip(bytes: &[u8], version_is_4: bool) -> (IpProtocol, &[u8], checksum::Sum) {
    if version_is_4 {
        let (repr, offset) = Ipv4Repr::parse(bytes).unwrap();
        let view = Ipv4Packet::new_checked(bytes).unwrap();
        return (
            repr.protocol,
            &bytes[offset..],
            view.pseudo_header(repr.payload_len),
        );
    }
    let view = Ipv6Packet::new_checked(bytes).unwrap();
    let transport = view.transport().unwrap();
    let len = view.payload_len() as u32;
    let (src, dst, protocol) = (view.src_addr(), view.dst_addr(), transport.protocol);
    let pseudo_header = checksum::pseudo_header_v6(src, dst, protocol, len);
    (protocol, &bytes[transport.offset..], pseudo_header)
}

proptest! {
    #[test]
    fn ethernet(dst in mac(), src in mac(), ethertype: u16) {
        let ethertype = EtherType(ethertype);
        prop_assume!(!ethertype.is_vlan());
        let repr = EthernetRepr {
            dst,
            src,
            ethertype,
        };
        let mut out = [0xff; 14];
        repr.emit(&mut out);
        prop_assert_eq!(EthernetRepr::parse(&out), Ok((repr, 14)));
    }

    #[test]
    fn arp(
        reply: bool,
        sender_mac in mac(),
        target_mac in mac(),
        sender_ip: Ipv4Addr,
        target_ip: Ipv4Addr,
    ) {
        let operation = if reply {
            ArpOperation::Reply
        } else {
            ArpOperation::Request
        };
        let repr = ArpRepr {
            operation,
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        };
        let mut out = [0xff; 28];
        repr.emit(&mut out);
        prop_assert_eq!(ArpRepr::parse(&out), Ok(repr));
    }

    #[test]
    fn ipv4(
        src_addr: Ipv4Addr,
        dst_addr: Ipv4Addr,
        protocol: u8,
        traffic_class: u8,
        ttl: u8,
        ident: u16,
        dont_fragment: bool,
        payload_len in 0u16..=Ipv4Repr::PAYLOAD_MAX,
    ) {
        let protocol = IpProtocol(protocol);
        let repr = Ipv4Repr {
            src_addr,
            dst_addr,
            protocol,
            traffic_class,
            ttl,
            ident,
            dont_fragment,
            payload_len,
        };
        let mut bytes = vec![0xff; 20 + usize::from(payload_len)];
        repr.emit(&mut bytes);
        prop_assert_eq!(Ipv4Repr::parse(&bytes), Ok((repr, 20)));
        let mut view = Ipv4Packet::new_checked(&mut bytes[..]).unwrap();
        view.decrement_ttl();
        view.set_ecn(Ecn::Ce);
        prop_assert!(view.verify_checksum());
        view.fill_checksum();
        prop_assert!(view.verify_checksum());
    }

    #[test]
    fn ipv6(
        src_addr: Ipv6Addr,
        dst_addr: Ipv6Addr,
        next_header: u8,
        traffic_class: u8,
        flow_label in 0u32..1 << 20,
        hop_limit: u8,
        payload_len: u16,
    ) {
        let next_header = IpProtocol(next_header);
        let repr = Ipv6Repr {
            src_addr,
            dst_addr,
            next_header,
            traffic_class,
            flow_label,
            hop_limit,
            payload_len,
        };
        let mut bytes = vec![0xff; 40 + usize::from(payload_len)];
        repr.emit(&mut bytes);
        prop_assert_eq!(Ipv6Repr::parse(&bytes), Ok(repr));
    }

    #[test]
    fn udp(
        src_port: u16,
        dst_port: u16,
        payload in prop::collection::vec(any::<u8>(), 0..100),
        ends: [Ipv4Addr; 2],
    ) {
        let repr = UdpRepr {
            src_port,
            dst_port,
            payload_len: payload.len() as u16,
        };
        let mut bytes = vec![0xff; 8];
        repr.emit(&mut bytes);
        bytes.extend(payload);
        prop_assert_eq!(UdpRepr::parse(&bytes), Ok(repr));
        let len = bytes.len() as u16;
        let pseudo_header = checksum::pseudo_header_v4(ends[0], ends[1], IpProtocol::UDP, len);
        let mut view = UdpPacket::new_checked(&mut bytes[..]).unwrap();
        view.fill_checksum(pseudo_header);
        prop_assert!(view.verify_checksum(pseudo_header) && view.checksum() != 0);
    }

    #[test]
    fn vxlan(vni in vni()) {
        let header = VxlanHeader { vni };
        let mut out = [0xff; 8];
        header.emit(&mut out);
        prop_assert_eq!(VxlanHeader::parse(&out), Ok(header));
        prop_assert_eq!((out[0], &out[1..4], out[7]), (8, &[0; 3][..], 0));
    }

    #[test]
    fn neighbour_discovery(
        target in unicast_v6(),
        mac in prop::option::of(mac()),
        flags: [bool; 3],
        src in unicast_v6(),
        dst in unicast_v6(),
    ) {
        let mut out = [0xff; ndisc::MESSAGE_MAX];
        let solicit = NeighbourSolicit {
            target,
            source_mac: mac,
        };
        let len = solicit.emit(src, dst, &mut out);
        prop_assert_eq!(NeighbourSolicit::parse(&out[..len]), Ok(solicit));
        let [router, solicited, override_] = flags;
        let advert = NeighbourAdvert {
            target,
            target_mac: mac,
            router,
            solicited,
            override_,
        };
        let len = advert.emit(src, dst, &mut out);
        prop_assert_eq!(NeighbourAdvert::parse(&out[..len]), Ok(advert));
    }

    #[test]
    fn mac_addresses_as_text(mac in mac()) {
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
    }

    #[test]
    fn vxlan_tunnels(
        ends in ends(),
        vni in vni(),
        inner_dst in mac(),
        inner_src in mac(),
        packet in packet(),
        source_port: u16,
        dont_fragment: bool,
        tos: u8,
        ttl: u8,
        port: u16,
    ) {
        let [src, dst] = ends;
        let builder = Template::builder(src, dst)
            .tos(tos)
            .ttl(ttl)
            .port(port)
            .dont_fragment(dont_fragment);
        let template = builder.vxlan(vni, inner_dst, inner_src).unwrap();
        let stamp = Stamp {
            source_port,
            ecn: Ecn::of_packet(&packet).unwrap(),
            checksum: OuterChecksum::Inner(checksum::sum(&packet)),
            ..Stamp::new(ethertype(&packet), packet.len())
        };
        let mut bytes = vec![0xff; template.len()];
        template.stamp(&mut bytes, &stamp).unwrap();
        bytes.extend(&packet);
        prop_assert_eq!(bytes.len(), packet.len() + template.overhead());
        prop_assert_eq!(Ecn::of_packet(&bytes), Ecn::of_packet(&packet));

        let (protocol, datagram, pseudo_header) = decapsulate_ip(&bytes, src.is_ipv4());
        prop_assert_eq!(protocol, IpProtocol::UDP);
        let udp = UdpPacket::new_checked(datagram).unwrap();
        prop_assert!(udp.verify_checksum(pseudo_header));
        prop_assert_eq!((udp.src_port(), udp.dst_port()), (source_port, port));
        let vxlan = VxlanPacket::new_checked(udp.payload()).unwrap();
        prop_assert_eq!(vxlan.vni(), vni);
        let (inner, offset) = EthernetRepr::parse(vxlan.payload()).unwrap();
        prop_assert_eq!((inner.dst, inner.src), (inner_dst, inner_src));
        prop_assert_eq!(inner.ethertype, ethertype(&packet));
        prop_assert_eq!(&vxlan.payload()[offset..], &packet);
    }

    #[test]
    fn ipip_tunnels(ends in ends(), packet in packet(), ident: u16, dont_fragment: bool) {
        let [src, dst] = ends;
        let template = Template::builder(src, dst).ipip().unwrap();
        let stamp = Stamp {
            ident,
            dont_fragment,
            ..Stamp::new(ethertype(&packet), packet.len())
        };
        let mut bytes = vec![0xff; template.len()];
        template.stamp(&mut bytes, &stamp).unwrap();
        bytes.extend(&packet);
        let (protocol, inner, _) = decapsulate_ip(&bytes, src.is_ipv4());
        let version = ipip::parse(protocol, inner).unwrap();
        prop_assert_eq!(
            (version.ethertype(), inner),
            (ethertype(&packet), &packet[..])
        );
    }
}
