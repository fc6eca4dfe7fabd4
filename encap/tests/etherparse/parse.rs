//! Any bytes: both accept or refuse them, and read the same fields.

use etherparse::{
    ArpEthIpv4Packet, ArpPacketSlice, EtherType as TheirEtherType, Ethernet2Header, IpNumber,
    Ipv4HeaderSlice, Ipv4Slice, Ipv6ExtensionsSlice, Ipv6HeaderSlice, PacketBuilder, TcpSlice,
    UdpSlice,
};
use proptest::prelude::*;
use ringlay_encap::{
    ArpOperation, ArpRepr, EtherType, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet,
    Ipv6Repr, MacAddr, TcpPacket, UdpPacket, checksum,
};

use crate::payload;

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
        prop_assert_eq!(
            Ipv4Packet::new_header_checked(&bytes[..]).is_ok(),
            header.is_ok()
        );
        if let (Ok(ours), Ok(theirs)) = (ours, header) {
            prop_assert_eq!(ours.version(), theirs.version());
            prop_assert_eq!(ours.header_len(), theirs.slice().len());
            prop_assert_eq!(ours.dscp(), theirs.dcp().value());
            prop_assert_eq!(ours.ecn() as u8, theirs.ecn().value());
            prop_assert_eq!(ours.total_len(), usize::from(theirs.total_len()));
            prop_assert_eq!(ours.ident(), theirs.identification());
            prop_assert_eq!(ours.dont_fragment(), theirs.dont_fragment());
            prop_assert_eq!(ours.more_fragments(), theirs.more_fragments());
            prop_assert_eq!(
                ours.fragment_offset(),
                usize::from(theirs.fragments_offset().byte_offset())
            );
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
        prop_assert_eq!(
            Ipv6Packet::new_header_checked(&bytes[..]).is_ok(),
            header.is_ok()
        );
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
        let kinds = if hop_by_hop {
            [&[0], &kinds[..]].concat()
        } else {
            kinds
        };
        let (next_header, mut chain) = extension_chain(&kinds, last);
        chain.extend(tail);
        chain.truncate(chain.len().saturating_sub(cut / 2));
        let mut bytes = vec![0; 40];
        let src_addr = "fd00::1".parse().unwrap();
        let payload_len = chain.len() as u16;
        Ipv6Repr {
            src_addr,
            dst_addr: src_addr,
            next_header,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 1,
            payload_len,
        }
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
        src: [u8; 4],
        dst: [u8; 4],
        src6: [u8; 16],
        dst6: [u8; 16],
    ) {
        let ours = TcpPacket::new_checked(&bytes[..]);
        let theirs = TcpSlice::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
            return Ok(());
        };
        prop_assert_eq!(ours.src_port(), theirs.source_port());
        prop_assert_eq!(ours.dst_port(), theirs.destination_port());
        prop_assert_eq!(ours.seq(), theirs.sequence_number());
        prop_assert_eq!(ours.ack(), theirs.acknowledgment_number());
        prop_assert_eq!(ours.header_len(), usize::from(theirs.data_offset()) * 4);
        let flags = [
            theirs.fin(),
            theirs.syn(),
            theirs.rst(),
            theirs.psh(),
            theirs.ack(),
            theirs.urg(),
            theirs.ece(),
            theirs.cwr(),
        ];
        let flags = flags
            .iter()
            .rev()
            .fold(0, |bits, set| bits << 1 | u8::from(*set));
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
        let pseudo_v6 =
            checksum::pseudo_header_v6(src6.into(), dst6.into(), IpProtocol::TCP, len.into());
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
    fn arp_agrees(
        operation in 0u16..4,
        macs: [[u8; 6]; 2],
        ips: [[u8; 4]; 2],
        padding in payload(),
    ) {
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
        let ([sender_mac, target_mac], [sender_ip, target_ip]) =
            (macs.map(MacAddr), ips.map(Into::into));
        prop_assert_eq!((ours.sender_mac, ours.sender_ip), (sender_mac, sender_ip));
        prop_assert_eq!((ours.target_mac, ours.target_ip), (target_mac, target_ip));
        let mut out = [0; 28];
        ours.emit(&mut out);
        prop_assert_eq!(&out[..], &theirs.to_bytes()[..]);
        prop_assert!(ArpPacketSlice::from_slice(&out).is_ok());
    }

    #[test]
    fn ethernet_agrees(
        dst: [u8; 6],
        src: [u8; 6],
        ethertype: u16,
        tags in 0usize..3,
        payload in payload(),
    ) {
        let theirs = Ethernet2Header {
            source: src,
            destination: dst,
            ether_type: TheirEtherType(ethertype),
        };
        let repr = EthernetRepr {
            dst: MacAddr(dst),
            src: MacAddr(src),
            ethertype: EtherType(ethertype),
        };
        let mut out = [0; 14];
        repr.emit(&mut out);
        prop_assert_eq!(out, theirs.to_bytes());

        let ipv4 = |builder: etherparse::PacketBuilderStep<Ethernet2Header>| {
            builder.ipv4([1; 4], [2; 4], 9)
        };
        let vlan = |id: u16| id.try_into().unwrap();
        let builder = PacketBuilder::ethernet2(src, dst);
        let mut bytes = Vec::new();
        match tags {
            0 => ipv4(builder).udp(1, 2).write(&mut bytes, &payload),
            1 => builder
                .single_vlan(vlan(7))
                .ipv4([1; 4], [2; 4], 9)
                .udp(1, 2)
                .write(&mut bytes, &payload),
            _ => builder
                .double_vlan(vlan(8), vlan(7))
                .ipv4([1; 4], [2; 4], 9)
                .udp(1, 2)
                .write(&mut bytes, &payload),
        }
        .unwrap();
        let (ours, offset) = EthernetRepr::parse(&bytes).unwrap();
        prop_assert_eq!((ours.dst, ours.src), (MacAddr(dst), MacAddr(src)));
        prop_assert_eq!((ours.ethertype, offset), (EtherType::IPV4, 14 + 4 * tags));
        prop_assert!(Ipv4Repr::parse(&bytes[offset..]).is_ok());
    }
}
