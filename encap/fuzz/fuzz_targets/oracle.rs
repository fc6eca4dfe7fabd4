//! What must hold for any bytes: shared by the fuzz targets and by `tests/fuzz_bounded.rs`.
//!
//! Each function takes bytes and panics if an invariant of the crate is broken.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringlay_encap::{
    Announced, ArpRepr, Decap, DecapError, DfPolicy, Dscp, DscpPolicy, Ecn, EcnMode, EtherType,
    EthernetRepr, GeneveHeader, GenevePacket, GreHeader, GreKey, GrePacket, Icmpv4Error,
    Icmpv4Packet, Icmpv6Error, Icmpv6Packet, InnerType, IpFields, IpProtocol, Ipv4Packet, Ipv4Repr,
    Ipv6Packet, Ipv6Repr, MacAddr, NeighbourAdvert, NeighbourSolicit, OuterChecksum, Pretty,
    Propagation, Stamp, TcpPacket, Template, TemplateBuilder, TtlPolicy, TunnelKey, UdpPacket, Vni,
    VxlanHeader, VxlanPacket, checksum, encap_limit, flow, geneve, icmpv4, icmpv6, ip::IpVersion,
    ipip, ndisc,
};

/// Prints any bytes, as a frame and as a packet: that runs every parser and every accessor. `line`
/// is a buffer to print into.
pub(crate) fn pretty(bytes: &[u8], line: &mut String) {
    for pretty in [Pretty::ethernet(bytes), Pretty::ip(bytes)] {
        line.clear();
        write!(line, "{pretty}").expect("a String takes everything");
        assert!(
            !line.is_empty() && !line.contains('\n'),
            "not one line: {line:?}"
        );
    }
}

/// Parses any bytes as every protocol. What parses is emitted, and must parse to the same again.
pub(crate) fn reprs(bytes: &[u8]) {
    let mut out = [0; 64];
    if let Ok((repr, offset)) = EthernetRepr::parse(bytes) {
        assert!(offset <= bytes.len());
        repr.emit(&mut out);
        if !repr.ethertype.is_vlan() {
            assert_eq!(EthernetRepr::parse(&out), Ok((repr, 14)));
        }
    }
    if let Ok(repr) = ArpRepr::parse(bytes) {
        repr.emit(&mut out);
        assert_eq!(out[..28], bytes[..28]);
    }
    if let Ok((repr, offset)) = Ipv4Repr::parse(bytes) {
        assert!(offset + usize::from(repr.payload_len) <= bytes.len());
        repr.emit(&mut out);
        assert!(
            Ipv4Packet::new_header_checked(&out[..20]).is_ok_and(|view| view.verify_checksum())
        );
    }
    if let Ok(repr) = Ipv6Repr::parse(bytes) {
        repr.emit(&mut out);
        assert_eq!(out[..40], bytes[..40]);
    }
    if let Ok(repr) = VxlanHeader::parse(bytes) {
        repr.emit(&mut out);
        assert_eq!(VxlanHeader::parse(&out), Ok(repr));
    }
    let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
    if let Ok(repr) = NeighbourSolicit::parse(bytes) {
        let len = repr.emit(src, dst, &mut out);
        assert_eq!(NeighbourSolicit::parse(&out[..len]), Ok(repr));
    }
    if let Ok(repr) = NeighbourAdvert::parse(bytes) {
        let len = repr.emit(src, dst, &mut out);
        assert_eq!(NeighbourAdvert::parse(&out[..len]), Ok(repr));
    }
    assert!(ndisc::MESSAGE_MAX <= out.len());
    transports(bytes);
}

/// Views of the layers above IP. After their checks no accessor may panic.
fn transports(bytes: &[u8]) {
    let pseudo_header = checksum::Sum::of_u16(bytes.len() as u16);
    let mut copy = bytes.to_vec();
    if let Ok(mut udp) = UdpPacket::new_checked(&mut copy[..]) {
        udp.fill_checksum(pseudo_header);
        assert!(udp.verify_checksum(pseudo_header));
        assert_eq!(udp.payload().len() + 8, usize::from(udp.length()));
    }
    if let Ok(mut tcp) = TcpPacket::new_checked(&mut copy[..]) {
        tcp.fill_checksum(pseudo_header);
        assert!(tcp.verify_checksum(pseudo_header));
        assert_eq!(tcp.payload().len() + tcp.header_len(), bytes.len());
    }
    let _ = VxlanPacket::new_checked(bytes).map(|view| view.payload().len());
    let _ = Icmpv4Packet::new_checked(bytes).map(|view| (view.verify_checksum(), view.is_error()));
    let _ = Icmpv6Packet::new_checked(bytes).map(|view| view.payload().len());
    let _ = ipip::parse(IpProtocol::IPIP, bytes);
    flow::flow_hash_frame(bytes, 1);
    forward(&mut copy);
}

/// What a router does to a packet: its checksum must stay as right or wrong as it was, and the flow
/// the same.
fn forward(packet: &mut [u8]) {
    let flow = flow::flow_hash(packet, 1);
    if let Some(sum) = checksum::sum_of_valid_packet(packet) {
        let _ = sum.fold();
    }
    if let Ok(mut view) = Ipv4Packet::new_checked(&mut *packet) {
        let was_valid = view.verify_checksum();
        view.decrement_ttl();
        view.set_ecn(Ecn::Ce);
        assert_eq!(view.verify_checksum(), was_valid);
        assert_eq!(
            view.payload_mut().len() + view.header_len(),
            view.total_len()
        );
    }
    if let Ok(mut view) = Ipv6Packet::new_checked(&mut *packet) {
        view.decrement_hop_limit();
        view.set_ecn(Ecn::Ce);
        let transport = view.transport();
        assert!(
            transport.is_err() || transport.is_ok_and(|found| found.offset <= view.total_len())
        );
        let _ = NeighbourSolicit::parse_packet(&view);
        let _ = NeighbourAdvert::parse_packet(&view);
    }
    assert_eq!(flow::flow_hash(packet, 1), flow);
}

/// An ICMP error about any bytes, if there may be one, is a valid packet to their sender, and there
/// is never one about it.
pub(crate) fn icmp_error(bytes: &[u8]) {
    let mtu = bytes.len() as u16;
    for error in [
        Icmpv4Error::TimeExceeded,
        Icmpv4Error::FragmentationNeeded { mtu },
    ] {
        let source = Ipv4Addr::new(10, 0, 0, 1);
        let Some(header) = icmpv4::error_header(error, source, bytes) else {
            continue;
        };
        let quoted = &bytes[..bytes.len().min(icmpv4::ORIGINAL_MAX)];
        let whole = [&header[..], quoted].concat();
        let (repr, offset) = Ipv4Repr::parse(&whole).expect("a valid packet");
        let original = Ipv4Packet::new_header_checked(bytes).expect("it was one");
        assert_eq!(
            (repr.src_addr, repr.dst_addr),
            (source, original.src_addr())
        );
        let icmp = Icmpv4Packet::new_checked(&whole[offset..]).expect("a whole message");
        assert!(icmp.verify_checksum() && icmp.is_error());
        assert_eq!(icmpv4::error_header(error, source, &whole), None);
    }
    let mtu = u32::from(mtu);
    for error in [Icmpv6Error::TimeExceeded, Icmpv6Error::PacketTooBig { mtu }] {
        let source = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
        let Some(header) = icmpv6::error_header(error, source, bytes) else {
            continue;
        };
        let quoted = &bytes[..bytes.len().min(icmpv6::ORIGINAL_MAX)];
        let whole = [&header[..], quoted].concat();
        let repr = Ipv6Repr::parse(&whole).expect("a valid packet");
        let icmp = Icmpv6Packet::new_checked(&whole[40..]).expect("a whole message");
        assert!(icmp.verify_checksum(source, repr.dst_addr) && icmp.is_error());
        assert_eq!(icmpv6::error_header(error, source, &whole), None);
    }
}

/// Any bytes as what follows an outer UDP or IP header: recognised or refused, and if recognised,
/// what is inside is there, and the headers are emitted alike.
pub(crate) fn decap(bytes: &[u8]) {
    for announced in [
        Announced::Vxlan,
        Announced::Geneve,
        Announced::Gre,
        Announced::Ip(IpVersion::V4),
        Announced::Ip(IpVersion::V6),
    ] {
        if let Ok(found) = announced.decap(bytes) {
            recognised(bytes, found);
        }
    }
    if let Ok(view) = GenevePacket::new_checked(bytes) {
        geneve_options(bytes, &view);
    }
    if let Ok(header) = GreHeader::parse(bytes) {
        let mut copy = bytes.to_vec();
        header.emit(&mut copy);
        if let Ok(mut view) = GrePacket::new_checked(&mut copy[..]) {
            view.fill_checksum();
        }
        assert_eq!(GreHeader::parse(&copy), Ok(header));
    }
    let _ = encap_limit::of_packet(bytes);
}

fn recognised(bytes: &[u8], found: Decap) {
    let inner = bytes.get(found.offset..).expect("it begins within");
    match found.inner {
        InnerType::Ethernet => assert!(inner.len() >= 14),
        InnerType::Ip(version) => assert_eq!(IpVersion::of(inner), Ok(version)),
    }
    let outer = IpFields {
        traffic_class: bytes[0],
        ttl: bytes[bytes.len() - 1],
    };
    let uniform = Propagation {
        dscp: DscpPolicy::Copy,
        ttl: TtlPolicy::Copy,
    };
    for propagation in [Propagation::default(), uniform] {
        let mut copy = inner.to_vec();
        let was_valid = Ipv4Packet::new_header_checked(inner).map(|view| view.verify_checksum());
        let result = match found.inner {
            InnerType::Ethernet => propagation.decapsulate_frame(&mut copy, outer),
            InnerType::Ip(_) => propagation.decapsulate(&mut copy, outer),
        };
        if result.is_err() {
            assert_eq!(copy, inner);
        }
        if matches!(found.inner, InnerType::Ip(IpVersion::V4)) {
            let valid = Ipv4Packet::new_header_checked(&copy[..]);
            assert_eq!(valid.map(|view| view.verify_checksum()), was_valid);
        }
        let fields = [inner, &copy].map(IpFields::of_packet);
        if let ([Ok(before), Ok(after)], InnerType::Ip(_)) = (fields, found.inner) {
            assert!(after.ttl <= before.ttl);
        }
    }
}

fn geneve_options(bytes: &[u8], view: &GenevePacket<&[u8]>) {
    let kinds: Result<Vec<_>, _> = view
        .options()
        .map(|option| option.map(|option| option.kind))
        .collect();
    let Ok(kinds) = kinds else {
        let refused = geneve::decap(bytes, &[]);
        assert!(refused == Err(DecapError::Header) || view.is_control());
        return;
    };
    let header = GeneveHeader::parse(bytes).expect("its options add up");
    let mut out = [0xff; 8 + geneve::OPTIONS_MAX];
    header.emit(&mut out);
    assert_eq!(GeneveHeader::parse(&out), Ok(header));
    // Who knows all options refuses none.
    let refused = geneve::decap(bytes, &kinds);
    assert_ne!(refused, Err(DecapError::CriticalOption));
}

/// A template of any addresses and fields makes outer headers that parse, around any packet. The
/// first 48 bytes choose the template, the rest is the packet.
pub(crate) fn template(bytes: &[u8]) {
    let Some((choice, inner)) = bytes.split_first_chunk::<48>() else {
        return;
    };
    let Some((template, key)) = choose_template(choice) else {
        return;
    };
    let stamp = Stamp {
        ident: u16::from_be_bytes([choice[42], choice[43]]),
        source_port: u16::from_be_bytes([choice[44], choice[45]]),
        flow_label: u32::from_be_bytes([choice[42], choice[43], choice[44], choice[45]]),
        ecn: Ecn::from_traffic_class(choice[46]),
        dscp: Dscp::from_traffic_class(choice[45]),
        ttl: choice[44],
        dont_fragment: choice[46] & 0x80 != 0,
        checksum: OuterChecksum::Inner(checksum::sum(inner)),
        ..Stamp::new(EtherType::IPV4, inner.len())
    };
    let mut whole = vec![0xff; template.len()];
    if template.stamp(&mut whole, &stamp).is_err() {
        assert!(template.len() + inner.len() > 0xffff);
        return;
    }
    whole.extend(inner);
    let (protocol, payload, pseudo_header) = outer(&whole[template.ip_offset()..]);
    assert_eq!(template.protocol(EtherType::IPV4), Some(protocol));
    let tunnel = if template.udp_offset().is_some() {
        let udp = UdpPacket::new_checked(payload).expect("a whole datagram");
        assert!(udp.verify_checksum(pseudo_header) && udp.checksum() != 0);
        &payload[8..]
    } else {
        payload
    };
    assert!(tunnel.ends_with(inner));
    let mut written = vec![0; template.tunnel_len()];
    template.write_tunnel(EtherType::IPV4, &mut written);
    assert!(tunnel.starts_with(&written));
    let announced = match key {
        TunnelKey::Vxlan(_) => Announced::Vxlan,
        TunnelKey::Geneve(_) => Announced::Geneve,
        TunnelKey::Gre(_) => Announced::Gre,
        TunnelKey::Ipip | TunnelKey::Plain => Announced::Ip(IpVersion::V4),
    };
    // Any bytes are inside: what is not IPv4, or no whole frame, is refused.
    if let Ok(found) = announced.decap(tunnel) {
        assert_eq!(found.key, key);
    }
}

fn choose_template(choice: &[u8; 48]) -> Option<(Template, TunnelKey)> {
    let (ends, _) = choice.as_chunks::<16>();
    let [src, dst] = [ends[0], ends[1]].map(|end| match choice[47] & 1 {
        0 => IpAddr::from(end),
        _ => IpAddr::from([end[0], end[1], end[2], end[3]]),
    });
    let mac = MacAddr([
        choice[32], choice[33], choice[34], choice[35], choice[36], choice[37],
    ]);
    let builder = with_policies(Template::builder(src, dst), choice);
    let builder = match choice[47] & 2 {
        0 => builder,
        _ => builder.ethernet(mac, mac),
    };
    let vni = Vni::from_be_bytes([choice[40], choice[41], choice[42]]);
    let (vxlan, geneve) = (TunnelKey::Vxlan(vni), TunnelKey::Geneve(vni));
    let key = (choice[46] & 0x40 != 0).then_some(GreKey(vni.value()));
    let gre = TunnelKey::Gre(key);
    // Of no option, one without data, and one that ends behind the options.
    let options =
        &[0, 0, choice[43] & 0x7f, choice[46] & 0x20][..usize::from(choice[46] >> 5 & 1) * 4];
    let (template, key) = match choice[47] >> 2 & 15 {
        0 | 10.. => (builder.ipip(), TunnelKey::Ipip),
        1 => (builder.vxlan_bridged(vni), vxlan),
        2 => (builder.vxlan(vni, mac, mac), vxlan),
        3 => (builder.geneve_bridged(vni, options), geneve),
        4 => (builder.geneve(vni, options, mac, mac), geneve),
        5 => (builder.geneve_ip(vni, options), geneve),
        6 => (builder.gre(key), gre),
        7 => (builder.gre_bridged(key), gre),
        8 => (builder.gre_ethernet(key, mac, mac), gre),
        9 => (builder.geneve(vni, &choice[..40], mac, mac), geneve),
    };
    Some((template.ok()?, key))
}

fn with_policies(builder: TemplateBuilder, choice: &[u8; 48]) -> TemplateBuilder {
    let builder = match choice[46] >> 2 & 3 {
        0 => builder.ttl(choice[38]).tos(choice[39]),
        1 => builder.ttl_policy(TtlPolicy::Copy),
        2 => builder.dscp_policy(DscpPolicy::Copy),
        _ => builder.ecn_mode(EcnMode::Compatibility),
    };
    match choice[46] & 0x10 {
        0 => builder,
        _ => builder.df_policy(DfPolicy::Clear),
    }
}

/// The protocol, the payload and the pseudo-header of an outer packet that must be valid.
fn outer(bytes: &[u8]) -> (IpProtocol, &[u8], checksum::Sum) {
    if let Ok((repr, offset)) = Ipv4Repr::parse(bytes) {
        let view = Ipv4Packet::new_unchecked(bytes);
        return (
            repr.protocol,
            &bytes[offset..],
            view.pseudo_header(repr.payload_len),
        );
    }
    let repr = Ipv6Repr::parse(bytes).expect("IPv4 or IPv6");
    let len = u32::from(repr.payload_len);
    let pseudo_header =
        checksum::pseudo_header_v6(repr.src_addr, repr.dst_addr, repr.next_header, len);
    (repr.next_header, &bytes[40..], pseudo_header)
}
