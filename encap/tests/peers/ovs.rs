//! Frames of Open vSwitch's userspace datapath.

use std::net::IpAddr;

use ringlay_encap::{
    DecapError, EcnMode, GenevePacket, GreHeader, GreKey, GrePacket, InnerType, OptionKind, Pretty,
    TunnelKey, Vni, geneve,
};

use crate::{ENDS_V4, ENDS_V6, UNDERLAY_MACS, pcap, rebuild::Captured};

/// One capture, and how the script configured the tunnel.
struct Capture {
    pcap: &'static [u8],
    ends: [IpAddr; 2],
    key: TunnelKey,
    has_checksum: bool,
}

const OVN: OptionKind = OptionKind {
    class: 0x0102,
    kind: 0x80,
};

fn vni(value: u32) -> Vni {
    Vni::new(value).unwrap()
}

macro_rules! capture {
    ($name:literal, $ends:expr, $key:expr, $has_checksum:expr) => {
        Capture {
            pcap: include_bytes!(concat!("../vectors/ovs-", $name, ".pcap")),
            ends: $ends,
            key: $key,
            has_checksum: $has_checksum,
        }
    };
}

fn captures() -> [Capture; 7] {
    let gre = |key: u32| TunnelKey::Gre(Some(GreKey(key)));
    [
        capture!("vxlan-over-ipv4", ENDS_V4, TunnelKey::Vxlan(vni(51)), false),
        capture!("gre-over-ipv4", ENDS_V4, TunnelKey::Gre(None), false),
        capture!("gre-key-over-ipv6", ENDS_V6, gre(0xdead_beef), false),
        capture!("gre-checksum-over-ipv4", ENDS_V4, gre(54), true),
        capture!("gre-sequence-over-ipv6", ENDS_V6, gre(57), false),
        capture!(
            "geneve-over-ipv4",
            ENDS_V4,
            TunnelKey::Geneve(vni(55)),
            true
        ),
        capture!(
            "geneve-option-over-ipv6",
            ENDS_V6,
            TunnelKey::Geneve(Vni::MAX),
            true
        ),
    ]
}

#[test]
fn captures_contain_every_kind_of_traffic() {
    for capture in captures() {
        let frames = pcap::read(capture.pcap);
        let lines: Vec<_> = frames
            .iter()
            .map(|frame| Pretty::ethernet(frame).to_string())
            .collect();
        for kind in [
            "arp who-has 10.42.",
            "icmp echo request, 33 bytes",
            "icmp echo reply, 33 bytes",
            "icmp6 echo request, 33 bytes",
            "nd who-has fd42:",
            "> 5201 [S], ",
            "tcp 5201 > ",
            "> 5202, 0 bytes",
            "> 5202, 11 bytes",
            "tos 0x02, ",
            "class 0x02, ",
        ] {
            let found = lines.iter().any(|line| line.contains(kind));
            assert!(found, "no {kind:?} in {lines:#?}");
        }
        for line in lines {
            let key = match capture.key {
                TunnelKey::Gre(None) => "gre ".to_owned(),
                key => key.to_string(),
            };
            assert!(line.contains(&key), "no {key} in {line}");
            for fault in ["bad ", "truncated", "[|"] {
                assert!(!line.contains(fault), "{line}");
            }
        }
    }
}

#[test]
fn tunnels_are_what_the_script_configured() {
    for capture in captures() {
        for frame in pcap::read(capture.pcap) {
            let captured = Captured::decode(frame);
            assert_eq!(captured.found.key, capture.key);
            assert_eq!(captured.found.inner, InnerType::Ethernet);
            let outer = &captured.outer;
            let from_a = outer.src == capture.ends[0];
            let turned = |[a, b]: [IpAddr; 2]| if from_a { (a, b) } else { (b, a) };
            assert_eq!((outer.src, outer.dst), turned(capture.ends));
            let [a, b] = UNDERLAY_MACS;
            let macs = if from_a { (a, b) } else { (b, a) };
            assert_eq!((outer.ethernet.src, outer.ethernet.dst), macs);
            let has_checksum = match outer.udp {
                Some((_, _, checksum)) => checksum != 0,
                None => GrePacket::new_checked(captured.tunnel)
                    .unwrap()
                    .checksum()
                    .is_some(),
            };
            assert_eq!(has_checksum, capture.has_checksum);
        }
    }
}

#[test]
fn templates_reproduce_the_frames() {
    let mut rebuilt = 0;
    for capture in captures() {
        for frame in pcap::read(capture.pcap) {
            let captured = Captured::decode(frame);
            if let TunnelKey::Gre(key) = capture.key {
                let header = GreHeader::parse(captured.tunnel).unwrap();
                if header != GreHeader::new(header.protocol, key) {
                    // With a checksum or a sequence number, which Ringlay does not send.
                    continue;
                }
            }
            captured.rebuild(EcnMode::Normal);
            rebuilt += 1;
        }
    }
    assert!(rebuilt > 200, "{rebuilt}");
}

#[test]
fn gre_headers_with_all_fields_are_emitted_alike() {
    let mut sequence = None;
    for capture in captures() {
        let TunnelKey::Gre(_) = capture.key else {
            continue;
        };
        for frame in pcap::read(capture.pcap) {
            let tunnel = Captured::decode(frame).tunnel;
            let header = GreHeader::parse(tunnel).unwrap();
            let mut bytes = tunnel.to_vec();
            bytes[..header.header_len()].fill(0xff);
            header.emit(&mut bytes);
            GrePacket::new_checked(&mut bytes[..])
                .unwrap()
                .fill_checksum();
            assert_eq!(bytes, tunnel);
            sequence = sequence.max(header.sequence);
        }
    }
    assert!(sequence > Some(10), "{sequence:?}");
}

#[test]
fn its_critical_option_is_refused_unless_known() {
    let capture = captures().into_iter().next_back().unwrap();
    for frame in pcap::read(capture.pcap) {
        let tunnel = Captured::decode(frame).tunnel;
        let refused = geneve::decap(tunnel, &[]);
        assert_eq!(refused, Err(DecapError::CriticalOption));
        assert_eq!(
            geneve::decap(tunnel, &[OVN]).map(|found| found.offset),
            Ok(16)
        );
        let view = GenevePacket::new_checked(tunnel).unwrap();
        let options: Vec<_> = view.options().map(Result::unwrap).collect();
        assert!(view.has_critical_options());
        assert_eq!((options[0].kind, options[0].data), (OVN, &[0, 3, 0, 5][..]));
    }
}
