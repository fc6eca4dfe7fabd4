//! What one wrote the other reads, checksums included.

use etherparse::{
    Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, IpSlice, PacketBuilder,
    SlicedPacket, TransportSlice, icmpv4::DestUnreachableHeader,
};
use proptest::prelude::*;
use ringlay_encap::{
    Ecn, EtherType, Icmpv4Error, Icmpv4Packet, Icmpv6Error, Icmpv6Packet, IpProtocol, Ipv4Packet,
    Ipv4Repr, Ipv6Repr, MacAddr, NeighbourAdvert, NeighbourSolicit, OuterChecksum, Stamp, Template,
    UdpPacket, UdpRepr, checksum, icmpv4, icmpv6, ndisc,
};

use crate::payload;

proptest! {
    #[test]
    fn we_read_their_udp(
        src: [u8; 4],
        dst: [u8; 4],
        src6: [u8; 16],
        dst6: [u8; 16],
        ports: [u16; 2],
        ttl: u8,
        payload in payload(),
    ) {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(src, dst, ttl)
            .udp(ports[0], ports[1])
            .write(&mut bytes, &payload)
            .unwrap();
        let (repr, offset) = Ipv4Repr::parse(&bytes).unwrap();
        prop_assert_eq!(
            (repr.src_addr.octets(), repr.dst_addr.octets(), repr.ttl),
            (src, dst, ttl)
        );
        let ip = Ipv4Packet::new_checked(&bytes[..]).unwrap();
        let udp = UdpPacket::new_checked(&bytes[offset..]).unwrap();
        prop_assert!(udp.verify_checksum(ip.pseudo_header(udp.length())));
        prop_assert_eq!(udp.payload(), &payload);
        prop_assert_eq!(
            checksum::sum_of_valid_packet(&bytes).map(|sum| sum.fold() % 0xffff),
            Some(checksum::sum(&bytes).fold() % 0xffff)
        );

        let mut bytes = Vec::new();
        PacketBuilder::ipv6(src6, dst6, ttl)
            .udp(ports[0], ports[1])
            .write(&mut bytes, &payload)
            .unwrap();
        let repr = Ipv6Repr::parse(&bytes).unwrap();
        prop_assert_eq!(
            (
                repr.src_addr.octets(),
                repr.dst_addr.octets(),
                repr.hop_limit
            ),
            (src6, dst6, ttl)
        );
        let udp = UdpPacket::new_checked(&bytes[40..]).unwrap();
        let len = udp.length().into();
        let pseudo = checksum::pseudo_header_v6(src6.into(), dst6.into(), IpProtocol::UDP, len);
        prop_assert!(udp.verify_checksum(pseudo));
        prop_assert_eq!(
            checksum::sum_of_valid_packet(&bytes).map(|sum| sum.fold() % 0xffff),
            Some(checksum::sum(&bytes).fold() % 0xffff)
        );
    }

    #[test]
    fn they_read_our_udp(
        src: u32,
        dst: u32,
        ports: [u16; 2],
        class: u8,
        ttl: u8,
        ident: u16,
        dont_fragment: bool,
        payload in payload(),
    ) {
        let udp = UdpRepr {
            src_port: ports[0],
            dst_port: ports[1],
            payload_len: payload.len() as u16,
        };
        let repr = Ipv4Repr {
            src_addr: src.into(),
            dst_addr: dst.into(),
            protocol: IpProtocol::UDP,
            traffic_class: class,
            ttl,
            ident,
            dont_fragment,
            payload_len: 8 + udp.payload_len,
        };
        let mut bytes = vec![0; 28];
        repr.emit(&mut bytes);
        udp.emit(&mut bytes[20..]);
        bytes.extend(&payload);
        let pseudo = checksum::pseudo_header_v4(
            repr.src_addr,
            repr.dst_addr,
            IpProtocol::UDP,
            repr.payload_len,
        );
        UdpPacket::new_checked(&mut bytes[20..])
            .unwrap()
            .fill_checksum(pseudo);

        let packet = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(TransportSlice::Udp(theirs)) = packet.transport else {
            panic!("{packet:?}")
        };
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else {
            panic!("{:?}", packet.net)
        };
        let header = ip.header().to_header();
        prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
        prop_assert_eq!(
            (
                header.time_to_live,
                header.identification,
                header.dont_fragment
            ),
            (ttl, ident, dont_fragment)
        );
        let sum = theirs
            .to_header()
            .calc_checksum_ipv4(&header, &payload)
            .unwrap();
        prop_assert_eq!(sum, theirs.checksum());
        prop_assert_eq!(theirs.payload(), &payload);
    }

    #[test]
    fn they_read_our_icmp_errors(
        kind in 0usize..5,
        mtu: u16,
        payload in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let mut original = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 1)
            .udp(3, 4)
            .write(&mut original, &payload)
            .unwrap();
        use DestUnreachableHeader as Unreachable;
        let (error, expected) = [
            (
                Icmpv4Error::NetUnreachable,
                Icmpv4Type::DestinationUnreachable(Unreachable::Network),
            ),
            (
                Icmpv4Error::HostUnreachable,
                Icmpv4Type::DestinationUnreachable(Unreachable::Host),
            ),
            (
                Icmpv4Error::AdminProhibited,
                Icmpv4Type::DestinationUnreachable(Unreachable::FilterProhibited),
            ),
            (
                Icmpv4Error::FragmentationNeeded { mtu },
                Icmpv4Type::DestinationUnreachable(Unreachable::FragmentationNeeded {
                    next_hop_mtu: mtu,
                }),
            ),
            (
                Icmpv4Error::TimeExceeded,
                Icmpv4Type::TimeExceeded(
                    etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit,
                ),
            ),
        ][kind]
            .clone();
        let header = icmpv4::error_header(error, [10, 0, 0, 9].into(), &original).unwrap();
        original.truncate(icmpv4::ORIGINAL_MAX);
        let whole = [&header[..], &original].concat();
        let ip = IpSlice::from_slice(&whole).unwrap();
        let icmp = Icmpv4Slice::from_slice(ip.payload().payload).unwrap();
        prop_assert_eq!(icmp.icmp_type(), expected);
        prop_assert_eq!(icmp.payload(), &original);
        prop_assert_eq!(icmp.icmp_type().calc_checksum(&original), icmp.checksum());
        prop_assert!(
            Icmpv4Packet::new_checked(ip.payload().payload)
                .unwrap()
                .verify_checksum()
        );
    }

    #[test]
    fn they_read_our_icmpv6_errors(
        kind in 0usize..5,
        mtu: u32,
        payload in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        use etherparse::icmpv6::{DestUnreachableCode as Code, TimeExceededCode};
        let mut original = Vec::new();
        let (src, dst, router) = ([0xfd; 16], [0xfc; 16], [0xfe; 16]);
        PacketBuilder::ipv6(src, dst, 1)
            .udp(3, 4)
            .write(&mut original, &payload)
            .unwrap();
        let (error, expected) = [
            (
                Icmpv6Error::NoRoute,
                Icmpv6Type::DestinationUnreachable(Code::NoRoute),
            ),
            (
                Icmpv6Error::AdminProhibited,
                Icmpv6Type::DestinationUnreachable(Code::Prohibited),
            ),
            (
                Icmpv6Error::AddressUnreachable,
                Icmpv6Type::DestinationUnreachable(Code::Address),
            ),
            (
                Icmpv6Error::PacketTooBig { mtu },
                Icmpv6Type::PacketTooBig { mtu },
            ),
            (
                Icmpv6Error::TimeExceeded,
                Icmpv6Type::TimeExceeded(TimeExceededCode::HopLimitExceeded),
            ),
        ][kind];
        let header = icmpv6::error_header(error, router.into(), &original).unwrap();
        original.truncate(icmpv6::ORIGINAL_MAX);
        let whole = [&header[..], &original].concat();
        let ip = IpSlice::from_slice(&whole).unwrap();
        let icmp = Icmpv6Slice::from_slice(ip.payload().payload).unwrap();
        prop_assert_eq!(icmp.icmp_type(), expected);
        prop_assert_eq!(icmp.payload(), &original);
        prop_assert!(icmp.is_checksum_valid(router, src));
        prop_assert!(
            Icmpv6Packet::new_checked(icmp.slice())
                .unwrap()
                .verify_checksum(router.into(), src.into())
        );
    }

    #[test]
    fn they_read_our_neighbour_discovery(
        src: [u8; 16],
        dst: [u8; 16],
        target: [u8; 16],
        mac: Option<[u8; 6]>,
        flags: [bool; 3],
    ) {
        let mut out = [0; ndisc::MESSAGE_MAX];
        let source_mac = mac.map(MacAddr);
        let solicit = NeighbourSolicit {
            target: target.into(),
            source_mac,
        };
        let len = solicit.emit(src.into(), dst.into(), &mut out);
        let theirs = Icmpv6Slice::from_slice(&out[..len]).unwrap();
        prop_assert!(theirs.is_checksum_valid(src, dst));
        prop_assert_eq!(theirs.icmp_type(), Icmpv6Type::NeighborSolicitation);

        let [router, solicited, override_] = flags;
        let advert = NeighbourAdvert {
            target: target.into(),
            target_mac: source_mac,
            router,
            solicited,
            override_,
        };
        let len = advert.emit(src.into(), dst.into(), &mut out);
        let theirs = Icmpv6Slice::from_slice(&out[..len]).unwrap();
        prop_assert!(theirs.is_checksum_valid(src, dst));
        let Icmpv6Type::NeighborAdvertisement(header) = theirs.icmp_type() else {
            panic!("{theirs:?}")
        };
        prop_assert_eq!([header.router, header.solicited, header.r#override], flags);
    }

    #[test]
    fn they_read_our_templates(
        v6: bool,
        ends: [[u8; 16]; 2],
        ipip: bool,
        ident: u16,
        source_port in 49152u16..,
        inner in payload(),
        ecn in 0u8..4,
    ) {
        let [src, dst] = ends.map(|end| match v6 {
            true => std::net::IpAddr::from(end),
            false => std::net::IpAddr::from([end[0], end[1], end[2], end[3]]),
        });
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let builder = Template::builder(src, dst).ethernet(mac, mac).tos(0xb8);
        let template = if ipip {
            builder.ipip()
        } else {
            builder.vxlan(42.try_into().unwrap(), mac, mac)
        }
        .unwrap();
        let stamp = Stamp {
            ident,
            source_port,
            ecn: Ecn::from_traffic_class(ecn),
            checksum: OuterChecksum::Inner(checksum::sum(&inner)),
            ..Stamp::new(EtherType::IPV4, inner.len())
        };
        let mut bytes = vec![0; template.len()];
        template.stamp(&mut bytes, &stamp).unwrap();
        bytes.extend(&inner);

        let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
        let ip = IpSlice::from_slice(&bytes[14..]).unwrap();
        prop_assert_eq!((ip.source_addr(), ip.destination_addr()), (src, dst));
        if let IpSlice::Ipv4(ip) = &ip {
            let header = ip.header().to_header();
            prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
            prop_assert_eq!((header.identification, header.ecn.value()), (ident, ecn));
        }
        if ipip {
            prop_assert_eq!(ip.payload_ip_number(), IpNumber(4));
            prop_assert_eq!(ip.payload().payload, &inner);
            return Ok(());
        }
        let Some(TransportSlice::Udp(udp)) = packet.transport else {
            panic!("{packet:?}")
        };
        prop_assert_eq!(
            (udp.source_port(), udp.destination_port()),
            (source_port, 4789)
        );
        let header = udp.to_header();
        let sum = match &ip {
            IpSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()),
            IpSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()),
        };
        prop_assert_eq!(sum.unwrap(), udp.checksum());
        prop_assert_eq!(&udp.payload()[22..], &inner);
    }
}
