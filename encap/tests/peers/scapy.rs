//! Packets that scapy made: all pairs of inner and outer IP version, and every form of header.

use ringlay_encap::{
    DecapError, EcnMode, EtherType, GenevePacket, GreHeader, GreKey, GrePacket, InnerType,
    IpProtocol, Ipv6Packet, TunnelKey, Vni, encap_limit, geneve, ip::IpVersion,
};

use crate::{pcap, rebuild::Captured};

macro_rules! both {
    ($name:literal) => {
        [
            &include_bytes!(concat!("../vectors/scapy-", $name, "-over-ipv4.pcap"))[..],
            &include_bytes!(concat!("../vectors/scapy-", $name, "-over-ipv6.pcap"))[..],
        ]
    };
}

/// The frames of two captures, over IPv4 and IPv6, with the version.
fn frames(pcaps: [&'static [u8]; 2]) -> Vec<(IpVersion, &'static [u8])> {
    let [v4, v6] = pcaps.map(pcap::read);
    let v4 = v4.into_iter().map(|frame| (IpVersion::V4, frame));
    v4.chain(v6.into_iter().map(|frame| (IpVersion::V6, frame)))
        .collect()
}

/// Checks what is found in each frame, and that templates reproduce it: scapy copies no ECN.
fn check(pcaps: [&'static [u8]; 2], key: TunnelKey, is_ethernet: bool) {
    let mut inner_versions = 0;
    let frames = frames(pcaps);
    assert!(frames.len() >= 10);
    for (version, frame) in frames {
        let captured = Captured::decode(frame);
        assert_eq!(captured.version(), version);
        assert_eq!(captured.found.key, key);
        match captured.found.inner {
            InnerType::Ethernet => assert!(is_ethernet),
            InnerType::Ip(IpVersion::V4) => inner_versions |= 1,
            InnerType::Ip(IpVersion::V6) => inner_versions |= 2,
        }
        captured.rebuild(EcnMode::Compatibility);
    }
    assert_eq!(inner_versions, if is_ethernet { 0 } else { 3 });
}

const GENEVE: TunnelKey = match Vni::new(0x00ab_cdef) {
    Some(vni) => TunnelKey::Geneve(vni),
    None => panic!("a VNI"),
};

#[test]
fn ipip_in_all_four_pairs() {
    check(both!("ipip"), TunnelKey::Ipip, false);
}

#[test]
fn gre_routed_and_bridged() {
    check(both!("gre"), TunnelKey::Gre(None), false);
    let key = GreKey(0xdead_beef);
    check(both!("gre-key"), TunnelKey::Gre(Some(key)), false);
    check(both!("gre-bridged"), TunnelKey::Gre(Some(GreKey(42))), true);
}

#[test]
fn gre_with_all_fields() {
    for (_, frame) in frames(both!("gre-full")) {
        let captured = Captured::decode(frame);
        let header = GreHeader::parse(captured.tunnel).unwrap();
        assert_eq!((header.key, header.sequence), (Some(GreKey(42)), Some(7)));
        assert!(header.has_checksum);
        let mut bytes = captured.tunnel.to_vec();
        header.emit(&mut bytes);
        GrePacket::new_checked(&mut bytes[..])
            .unwrap()
            .fill_checksum();
        assert_eq!(bytes, captured.tunnel);
    }
}

#[test]
fn geneve_routed_and_bridged() {
    check(both!("geneve-ip"), GENEVE, false);
    check(both!("geneve-bridged"), GENEVE, true);
    check(both!("geneve-options"), GENEVE, true);
    check(both!("geneve-critical"), GENEVE, true);
}

#[test]
fn geneve_options_decide() {
    for (_, frame) in frames(both!("geneve-options")) {
        let captured = Captured::decode(frame);
        assert_eq!(geneve::decap(captured.tunnel, &[]), Ok(captured.found));
        assert_eq!(captured.found.offset, 20);
    }
    for (_, frame) in frames(both!("geneve-critical")) {
        let captured = Captured::decode(frame);
        let view = GenevePacket::new_checked(captured.tunnel).unwrap();
        let kinds: Vec<_> = view.options().map(|option| option.unwrap().kind).collect();
        let kinds = [kinds[0], kinds[1]].map(|kind| (kind.class, kind.kind));
        assert_eq!(kinds, [(0xff00, 0x01), (0x0102, 0x80)]);
        let refused = geneve::decap(captured.tunnel, &[]);
        assert_eq!(refused, Err(DecapError::CriticalOption));
    }
}

#[test]
fn the_encapsulation_limit_is_found_and_skipped() {
    let pcap = include_bytes!("../vectors/scapy-ipip-limit-over-ipv6.pcap");
    for frame in pcap::read(pcap) {
        let captured = Captured::decode(frame);
        assert_eq!(captured.found.key, TunnelKey::Ipip);
        assert_eq!(captured.outer.ethernet.ethertype, EtherType::IPV6);
        assert_eq!(encap_limit::of_packet(&frame[14..]), Ok(Some(4)));
        let mut header = [0; encap_limit::OPTION_HEADER_LEN];
        encap_limit::emit(IpProtocol(frame[54]), 4, &mut header);
        assert_eq!(header, frame[54..62]);
        let whole = Ipv6Packet::new_checked(&frame[14..]).unwrap();
        assert_eq!(whole.transport().unwrap().offset, 48);
    }
}
