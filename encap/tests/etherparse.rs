//! The views and reprs against etherparse: each accepts what the other accepts, reads the same
//! fields, and reads what the other wrote.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use etherparse::{
    ArpEthIpv4Packet, ArpPacketSlice, EtherType as TheirEtherType, Ethernet2Header, Icmpv4Slice,
    Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, IpSlice, Ipv4HeaderSlice, Ipv4Slice,
    Ipv6ExtensionsSlice, Ipv6HeaderSlice, PacketBuilder, SlicedPacket, TcpSlice, TransportSlice,
    UdpSlice, icmpv4::DestUnreachableHeader,
};
use proptest::prelude::*;
use ringlay_encap::{
    ArpOperation, ArpRepr, Ecn, EtherType, EthernetRepr, Icmpv4Error, Icmpv4Packet, Icmpv6Error,
    Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, MacAddr, NeighbourAdvert,
    NeighbourSolicit, OuterChecksum, Stamp, TcpPacket, Template, UdpPacket, UdpRepr, checksum,
    icmpv4, icmpv6, ndisc,
};

/// Bytes that look enough like a header for the parsers to disagree about: random, with the first
/// byte and a 16-bit length field taken from narrow ranges.
fn plausible(
    firsts: std::ops::RangeInclusive<u8>,
    length_at: usize,
    lengths: std::ops::Range<u16>,
) -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..120), firsts, lengths).prop_map(
        move |(mut bytes, first, length)| {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            if let Some(field) = bytes.get_mut(length_at..length_at + 2) {
                field.copy_from_slice(&length.to_be_bytes());
            }
            bytes
        },
    )
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// Extension headers as etherparse knows them, in the order of `kinds`, and what announces them.
fn extension_chain(kinds: &[u8], last: u8) -> (IpProtocol, Vec<u8>) {
    let mut bytes = Vec::new();
    let nexts = kinds.iter().skip(1).chain([&last]);
    for (index, (kind, next)) in kinds.iter().zip(nexts).enumerate() {
        let units = (index % 3) as u8;
        match kind {
            44 => bytes.extend([*next, 0, 0, 0, 1, 2, 3, 4]),
            51 => {
                bytes.extend([*next, 1 + units, 0, 0]);
                bytes.extend(vec![0; 8 + usize::from(units) * 4]);
            }
            _ => {
                bytes.extend([*next, units, 1, 4]);
                bytes.extend(vec![0; 4 + usize::from(units) * 8]);
            }
        }
    }
    (IpProtocol(kinds.first().copied().unwrap_or(last)), bytes)
}

proptest! {
    #[test]
    fn ipv4_agrees_on_any_bytes(bytes in plausible(0x44..=0x4f, 2, 0..140)) {
        let ours = Ipv4Packet::new_checked(&bytes[..]);
        // Their packet, unlike ours, looks into an authentication header.
        let is_auth = bytes.get(9) == Some(&51);
        if !is_auth {
            prop_assert_eq!(ours.is_ok(), Ipv4Slice::from_slice(&bytes).is_ok());
        }
        let header = Ipv4HeaderSlice::from_slice(&bytes);
        prop_assert_eq!(Ipv4Packet::new_header_checked(&bytes[..]).is_ok(), header.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, header) {
            prop_assert_eq!(ours.version(), theirs.version());
            prop_assert_eq!(ours.header_len(), theirs.slice().len());
            prop_assert_eq!(ours.dscp(), theirs.dcp().value());
            prop_assert_eq!(ours.ecn() as u8, theirs.ecn().value());
            prop_assert_eq!(ours.total_len(), usize::from(theirs.total_len()));
            prop_assert_eq!(ours.ident(), theirs.identification());
            prop_assert_eq!(ours.dont_fragment(), theirs.dont_fragment());
            prop_assert_eq!(ours.more_fragments(), theirs.more_fragments());
            prop_assert_eq!(ours.fragment_offset(), usize::from(theirs.fragments_offset().byte_offset()));
            prop_assert_eq!(ours.is_fragment(), theirs.is_fragmenting_payload());
            prop_assert_eq!(ours.ttl(), theirs.ttl());
            prop_assert_eq!(ours.protocol().0, theirs.protocol().0);
            prop_assert_eq!(ours.checksum(), theirs.header_checksum());
            prop_assert_eq!(ours.src_addr(), theirs.source_addr());
            prop_assert_eq!(ours.dst_addr(), theirs.destination_addr());
            let valid = theirs.to_header().calc_header_checksum() == theirs.header_checksum();
            // The reserved flag is not in their header, and so not in their checksum.
            if bytes[6] & 0x80 == 0 && theirs.header_checksum() != 0xffff {
                prop_assert_eq!(ours.verify_checksum(), valid);
            }
        }
    }

    #[test]
    fn ipv6_agrees_on_any_bytes(bytes in plausible(0x5f..=0x70, 4, 0..100)) {
        let ours = Ipv6Packet::new_checked(&bytes[..]);
        let header = Ipv6HeaderSlice::from_slice(&bytes);
        prop_assert_eq!(Ipv6Packet::new_header_checked(&bytes[..]).is_ok(), header.is_ok());
        if let Ok(theirs) = header {
            let fits = 40 + usize::from(theirs.payload_length()) <= bytes.len();
            prop_assert_eq!(ours.is_ok(), fits);
        }
        if let (Ok(ours), Ok(theirs)) = (ours, header) {
            prop_assert_eq!(ours.traffic_class(), theirs.traffic_class());
            prop_assert_eq!(ours.dscp(), theirs.dscp().value());
            prop_assert_eq!(ours.ecn() as u8, theirs.ecn().value());
            prop_assert_eq!(ours.flow_label(), theirs.flow_label().value());
            prop_assert_eq!(ours.payload_len(), usize::from(theirs.payload_length()));
            prop_assert_eq!(ours.next_header().0, theirs.next_header().0);
            prop_assert_eq!(ours.hop_limit(), theirs.hop_limit());
            prop_assert_eq!(ours.src_addr(), theirs.source_addr());
            prop_assert_eq!(ours.dst_addr(), theirs.destination_addr());
        }
    }

    #[test]
    fn extension_headers_agree(
        hop_by_hop: bool,
        kinds in prop::collection::vec(prop::sample::select(vec![43u8, 44, 51, 60]), 0..7),
        last in prop::sample::select(vec![6u8, 17, 58, 59, 132, 253]),
        cut in 0usize..100,
        tail in payload(),
    ) {
        let kinds = if hop_by_hop { [&[0], &kinds[..]].concat() } else { kinds };
        let (next_header, mut chain) = extension_chain(&kinds, last);
        chain.extend(tail);
        chain.truncate(chain.len().saturating_sub(cut / 2));
        let mut bytes = vec![0; 40];
        let src_addr = "fd00::1".parse().unwrap();
        let payload_len = chain.len() as u16;
        Ipv6Repr { src_addr, dst_addr: src_addr, next_header, traffic_class: 0, flow_label: 0, hop_limit: 1, payload_len }
            .emit(&mut bytes);
        bytes.extend(&chain);

        let ours = Ipv6Packet::new_checked(&bytes[..]).unwrap().transport();
        let theirs = Ipv6ExtensionsSlice::from_slice(IpNumber(next_header.0), &chain);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok(ours), Ok((extensions, protocol, rest))) = (ours, theirs) {
            prop_assert_eq!(ours.protocol.0, protocol.0);
            prop_assert_eq!(ours.offset, bytes.len() - rest.len());
            prop_assert_eq!(!ours.is_whole(), extensions.is_fragmenting_payload());
            prop_assert_eq!(ours.fragment.is_some(), kinds.contains(&44));
        }
    }

    #[test]
    fn udp_agrees_on_any_bytes(bytes in plausible(0..=255, 4, 1..140)) {
        let ours = UdpPacket::new_checked(&bytes[..]);
        let theirs = UdpSlice::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours.src_port(), theirs.source_port());
            prop_assert_eq!(ours.dst_port(), theirs.destination_port());
            prop_assert_eq!(ours.length(), theirs.length());
            prop_assert_eq!(ours.checksum(), theirs.checksum());
            prop_assert_eq!(ours.payload(), theirs.payload());
        }
    }

    #[test]
    fn tcp_agrees_on_any_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..100),
        src: [u8; 4], dst: [u8; 4], src6: [u8; 16], dst6: [u8; 16],
    ) {
        let ours = TcpPacket::new_checked(&bytes[..]);
        let theirs = TcpSlice::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return Ok(()) };
        prop_assert_eq!(ours.src_port(), theirs.source_port());
        prop_assert_eq!(ours.dst_port(), theirs.destination_port());
        prop_assert_eq!(ours.seq(), theirs.sequence_number());
        prop_assert_eq!(ours.ack(), theirs.acknowledgment_number());
        prop_assert_eq!(ours.header_len(), usize::from(theirs.data_offset()) * 4);
        let flags = [
            theirs.fin(), theirs.syn(), theirs.rst(), theirs.psh(),
            theirs.ack(), theirs.urg(), theirs.ece(), theirs.cwr(),
        ];
        let flags = flags.iter().rev().fold(0, |bits, set| bits << 1 | u8::from(*set));
        prop_assert_eq!(ours.flags().0, flags);
        prop_assert_eq!(ours.reserved() & 1 != 0, theirs.ns());
        prop_assert_eq!(ours.window(), theirs.window_size());
        prop_assert_eq!(ours.urgent(), theirs.urgent_pointer());
        prop_assert_eq!(ours.options(), theirs.options());
        prop_assert_eq!(ours.payload(), theirs.payload());

        let sum_v4 = theirs.calc_checksum_ipv4(src, dst).unwrap();
        let sum_v6 = theirs.calc_checksum_ipv6(src6, dst6).unwrap();
        let len = bytes.len() as u16;
        let pseudo_v4 = checksum::pseudo_header_v4(src.into(), dst.into(), IpProtocol::TCP, len);
        let pseudo_v6 = checksum::pseudo_header_v6(src6.into(), dst6.into(), IpProtocol::TCP, len.into());
        let is_plain = bytes[12] & 0x0e == 0;
        let mut ours = TcpPacket::new_checked(&mut bytes[..]).unwrap();
        for (pseudo_header, sum) in [(pseudo_v4, sum_v4), (pseudo_v6, sum_v6)] {
            ours.fill_checksum(pseudo_header);
            prop_assert!(ours.verify_checksum(pseudo_header));
            // Their header does not hold the reserved bits.
            if is_plain {
                prop_assert_eq!(ours.checksum(), sum);
            }
        }
    }

    #[test]
    fn arp_agrees(operation in 0u16..4, macs: [[u8; 6]; 2], ips: [[u8; 4]; 2], padding in payload()) {
        let theirs = ArpEthIpv4Packet {
            operation: etherparse::ArpOperation(operation),
            sender_mac: macs[0],
            sender_ipv4: ips[0],
            target_mac: macs[1],
            target_ipv4: ips[1],
        };
        let mut bytes = theirs.to_bytes().to_vec();
        bytes.extend(padding);
        let Ok(ours) = ArpRepr::parse(&bytes) else {
            prop_assert!(!(1..=2).contains(&operation));
            return Ok(());
        };
        prop_assert_eq!(ours.operation == ArpOperation::Reply, operation == 2);
        prop_assert_eq!(ours.operation == ArpOperation::Request, operation == 1);
        let ([sender_mac, target_mac], [sender_ip, target_ip]) = (macs.map(MacAddr), ips.map(Into::into));
        prop_assert_eq!((ours.sender_mac, ours.sender_ip), (sender_mac, sender_ip));
        prop_assert_eq!((ours.target_mac, ours.target_ip), (target_mac, target_ip));
        let mut out = [0; 28];
        ours.emit(&mut out);
        prop_assert_eq!(&out[..], &theirs.to_bytes()[..]);
        prop_assert!(ArpPacketSlice::from_slice(&out).is_ok());
    }

    #[test]
    fn ethernet_agrees(dst: [u8; 6], src: [u8; 6], ethertype: u16, tags in 0usize..3, payload in payload()) {
        let theirs = Ethernet2Header { source: src, destination: dst, ether_type: TheirEtherType(ethertype) };
        let repr = EthernetRepr { dst: MacAddr(dst), src: MacAddr(src), ethertype: EtherType(ethertype) };
        let mut out = [0; 14];
        repr.emit(&mut out);
        prop_assert_eq!(out, theirs.to_bytes());

        let ipv4 = |builder: etherparse::PacketBuilderStep<Ethernet2Header>| builder.ipv4([1; 4], [2; 4], 9);
        let vlan = |id: u16| id.try_into().unwrap();
        let builder = PacketBuilder::ethernet2(src, dst);
        let mut bytes = Vec::new();
        match tags {
            0 => ipv4(builder).udp(1, 2).write(&mut bytes, &payload),
            1 => builder.single_vlan(vlan(7)).ipv4([1; 4], [2; 4], 9).udp(1, 2).write(&mut bytes, &payload),
            _ => builder.double_vlan(vlan(8), vlan(7)).ipv4([1; 4], [2; 4], 9).udp(1, 2).write(&mut bytes, &payload),
        }.unwrap();
        let (ours, offset) = EthernetRepr::parse(&bytes).unwrap();
        prop_assert_eq!((ours.dst, ours.src), (MacAddr(dst), MacAddr(src)));
        prop_assert_eq!((ours.ethertype, offset), (EtherType::IPV4, 14 + 4 * tags));
        prop_assert!(Ipv4Repr::parse(&bytes[offset..]).is_ok());
    }

    #[test]
    fn we_read_their_udp(
        src: [u8; 4], dst: [u8; 4], src6: [u8; 16], dst6: [u8; 16], ports: [u16; 2], ttl: u8, payload in payload(),
    ) {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(src, dst, ttl).udp(ports[0], ports[1]).write(&mut bytes, &payload).unwrap();
        let (repr, offset) = Ipv4Repr::parse(&bytes).unwrap();
        prop_assert_eq!((repr.src_addr.octets(), repr.dst_addr.octets(), repr.ttl), (src, dst, ttl));
        let ip = Ipv4Packet::new_checked(&bytes[..]).unwrap();
        let udp = UdpPacket::new_checked(&bytes[offset..]).unwrap();
        prop_assert!(udp.verify_checksum(ip.pseudo_header(udp.length())));
        prop_assert_eq!(udp.payload(), &payload);
        prop_assert_eq!(checksum::sum_of_valid_packet(&bytes).map(|sum| sum.fold() % 0xffff), Some(checksum::sum(&bytes).fold() % 0xffff));

        let mut bytes = Vec::new();
        PacketBuilder::ipv6(src6, dst6, ttl).udp(ports[0], ports[1]).write(&mut bytes, &payload).unwrap();
        let repr = Ipv6Repr::parse(&bytes).unwrap();
        prop_assert_eq!((repr.src_addr.octets(), repr.dst_addr.octets(), repr.hop_limit), (src6, dst6, ttl));
        let udp = UdpPacket::new_checked(&bytes[40..]).unwrap();
        let len = udp.length().into();
        let pseudo = checksum::pseudo_header_v6(src6.into(), dst6.into(), IpProtocol::UDP, len);
        prop_assert!(udp.verify_checksum(pseudo));
        prop_assert_eq!(checksum::sum_of_valid_packet(&bytes).map(|sum| sum.fold() % 0xffff), Some(checksum::sum(&bytes).fold() % 0xffff));
    }

    #[test]
    fn they_read_our_udp(src: u32, dst: u32, ports: [u16; 2], class: u8, ttl: u8, ident: u16, dont_fragment: bool, payload in payload()) {
        let udp = UdpRepr { src_port: ports[0], dst_port: ports[1], payload_len: payload.len() as u16 };
        let repr = Ipv4Repr {
            src_addr: src.into(), dst_addr: dst.into(), protocol: IpProtocol::UDP, traffic_class: class,
            ttl, ident, dont_fragment, payload_len: 8 + udp.payload_len,
        };
        let mut bytes = vec![0; 28];
        repr.emit(&mut bytes);
        udp.emit(&mut bytes[20..]);
        bytes.extend(&payload);
        let pseudo = checksum::pseudo_header_v4(repr.src_addr, repr.dst_addr, IpProtocol::UDP, repr.payload_len);
        UdpPacket::new_checked(&mut bytes[20..]).unwrap().fill_checksum(pseudo);

        let packet = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(TransportSlice::Udp(theirs)) = packet.transport else { panic!("{packet:?}") };
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else { panic!("{:?}", packet.net) };
        let header = ip.header().to_header();
        prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
        prop_assert_eq!((header.time_to_live, header.identification, header.dont_fragment), (ttl, ident, dont_fragment));
        let sum = theirs.to_header().calc_checksum_ipv4(&header, &payload).unwrap();
        prop_assert_eq!(sum, theirs.checksum());
        prop_assert_eq!(theirs.payload(), &payload);
    }

    #[test]
    fn they_read_our_icmp_errors(kind in 0usize..5, mtu: u16, payload in prop::collection::vec(any::<u8>(), 0..1500)) {
        let mut original = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 1).udp(3, 4).write(&mut original, &payload).unwrap();
        use DestUnreachableHeader as Unreachable;
        let (error, expected) = [
            (Icmpv4Error::NetUnreachable, Icmpv4Type::DestinationUnreachable(Unreachable::Network)),
            (Icmpv4Error::HostUnreachable, Icmpv4Type::DestinationUnreachable(Unreachable::Host)),
            (Icmpv4Error::AdminProhibited, Icmpv4Type::DestinationUnreachable(Unreachable::FilterProhibited)),
            (Icmpv4Error::FragmentationNeeded { mtu }, Icmpv4Type::DestinationUnreachable(Unreachable::FragmentationNeeded { next_hop_mtu: mtu })),
            (Icmpv4Error::TimeExceeded, Icmpv4Type::TimeExceeded(etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit)),
        ][kind].clone();
        let header = icmpv4::error_header(error, [10, 0, 0, 9].into(), &original).unwrap();
        original.truncate(icmpv4::ORIGINAL_MAX);
        let whole = [&header[..], &original].concat();
        let ip = IpSlice::from_slice(&whole).unwrap();
        let icmp = Icmpv4Slice::from_slice(ip.payload().payload).unwrap();
        prop_assert_eq!(icmp.icmp_type(), expected);
        prop_assert_eq!(icmp.payload(), &original);
        prop_assert_eq!(icmp.icmp_type().calc_checksum(&original), icmp.checksum());
        prop_assert!(Icmpv4Packet::new_checked(ip.payload().payload).unwrap().verify_checksum());
    }

    #[test]
    fn they_read_our_icmpv6_errors(kind in 0usize..5, mtu: u32, payload in prop::collection::vec(any::<u8>(), 0..1500)) {
        use etherparse::icmpv6::{DestUnreachableCode as Code, TimeExceededCode};
        let mut original = Vec::new();
        let (src, dst, router) = ([0xfd; 16], [0xfc; 16], [0xfe; 16]);
        PacketBuilder::ipv6(src, dst, 1).udp(3, 4).write(&mut original, &payload).unwrap();
        let (error, expected) = [
            (Icmpv6Error::NoRoute, Icmpv6Type::DestinationUnreachable(Code::NoRoute)),
            (Icmpv6Error::AdminProhibited, Icmpv6Type::DestinationUnreachable(Code::Prohibited)),
            (Icmpv6Error::AddressUnreachable, Icmpv6Type::DestinationUnreachable(Code::Address)),
            (Icmpv6Error::PacketTooBig { mtu }, Icmpv6Type::PacketTooBig { mtu }),
            (Icmpv6Error::TimeExceeded, Icmpv6Type::TimeExceeded(TimeExceededCode::HopLimitExceeded)),
        ][kind];
        let header = icmpv6::error_header(error, router.into(), &original).unwrap();
        original.truncate(icmpv6::ORIGINAL_MAX);
        let whole = [&header[..], &original].concat();
        let ip = IpSlice::from_slice(&whole).unwrap();
        let icmp = Icmpv6Slice::from_slice(ip.payload().payload).unwrap();
        prop_assert_eq!(icmp.icmp_type(), expected);
        prop_assert_eq!(icmp.payload(), &original);
        prop_assert!(icmp.is_checksum_valid(router, src));
        prop_assert!(Icmpv6Packet::new_checked(icmp.slice()).unwrap().verify_checksum(router.into(), src.into()));
    }

    #[test]
    fn they_read_our_neighbour_discovery(
        src: [u8; 16], dst: [u8; 16], target: [u8; 16], mac: Option<[u8; 6]>, flags: [bool; 3],
    ) {
        let mut out = [0; ndisc::MESSAGE_MAX];
        let source_mac = mac.map(MacAddr);
        let solicit = NeighbourSolicit { target: target.into(), source_mac };
        let len = solicit.emit(src.into(), dst.into(), &mut out);
        let theirs = Icmpv6Slice::from_slice(&out[..len]).unwrap();
        prop_assert!(theirs.is_checksum_valid(src, dst));
        prop_assert_eq!(theirs.icmp_type(), Icmpv6Type::NeighborSolicitation);

        let [router, solicited, override_] = flags;
        let advert = NeighbourAdvert { target: target.into(), target_mac: source_mac, router, solicited, override_ };
        let len = advert.emit(src.into(), dst.into(), &mut out);
        let theirs = Icmpv6Slice::from_slice(&out[..len]).unwrap();
        prop_assert!(theirs.is_checksum_valid(src, dst));
        let Icmpv6Type::NeighborAdvertisement(header) = theirs.icmp_type() else { panic!("{theirs:?}") };
        prop_assert_eq!([header.router, header.solicited, header.r#override], flags);
    }

    #[test]
    fn they_read_our_templates(
        v6: bool, ends: [[u8; 16]; 2], ipip: bool, ident: u16, source_port in 49152u16.., inner in payload(), ecn in 0u8..4,
    ) {
        let [src, dst] = ends.map(|end| match v6 {
            true => std::net::IpAddr::from(end),
            false => std::net::IpAddr::from([end[0], end[1], end[2], end[3]]),
        });
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let builder = Template::builder(src, dst).ethernet(mac, mac).tos(0xb8);
        let template = if ipip { builder.ipip() } else { builder.vxlan(42.try_into().unwrap(), mac, mac) }.unwrap();
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
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("{packet:?}") };
        prop_assert_eq!((udp.source_port(), udp.destination_port()), (source_port, 4789));
        let header = udp.to_header();
        let sum = match &ip {
            IpSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()),
            IpSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()),
        };
        prop_assert_eq!(sum.unwrap(), udp.checksum());
        prop_assert_eq!(&udp.payload()[22..], &inner);
    }
}
