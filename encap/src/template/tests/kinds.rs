//! Every encapsulation over either underlay: what is stamped comes out of the views again.

use super::*;
use crate::{
    Announced, Decap, GreKey, InnerType, TunnelKey,
    geneve::{self, GeneveOption, OptionKind},
};

const KEY: GreKey = GreKey(0xdead_beef);
/// Inner MAC addresses, destination and source.
const INNER: [MacAddr; 2] = [MAC[2], MAC[3]];

/// One way to build a template, what it must cost, and what the far end must find.
struct Kind {
    template: Template,
    /// Without the outer IP header.
    overhead: usize,
    key: TunnelKey,
    /// Whether the inner packet is behind an Ethernet header of the template's.
    inner_ethernet: bool,
}

fn hint() -> [u8; 12] {
    let kind = OptionKind {
        class: 0xff00,
        kind: 1,
    };
    let data = [1, 2, 3, 4, 5, 6, 7, 8];
    let option = GeneveOption { kind, data: &data };
    let mut out = [0; 12];
    assert_eq!(geneve::options::emit(&[option], &mut out), 12);
    out
}

/// All but the bridged ones.
fn routed(builder: TemplateBuilder) -> Vec<Kind> {
    let [dst, src] = INNER;
    let kind = |template: Result<Template, _>, overhead, key, inner_ethernet| Kind {
        template: template.unwrap(),
        overhead,
        key,
        inner_ethernet,
    };
    let geneve = TunnelKey::Geneve(vni());
    let gre = TunnelKey::Gre;
    let with = Some(KEY);
    vec![
        kind(
            builder.vxlan(vni(), dst, src),
            30,
            TunnelKey::Vxlan(vni()),
            true,
        ),
        kind(builder.geneve(vni(), &[], dst, src), 30, geneve, true),
        kind(builder.geneve(vni(), &hint(), dst, src), 42, geneve, true),
        kind(builder.geneve_ip(vni(), &[]), 16, geneve, false),
        kind(builder.geneve_ip(vni(), &hint()), 28, geneve, false),
        kind(builder.gre(None), 4, gre(None), false),
        kind(builder.gre(with), 8, gre(with), false),
        kind(builder.gre_ethernet(None, dst, src), 18, gre(None), true),
        kind(builder.gre_ethernet(with, dst, src), 22, gre(with), true),
        kind(builder.ipip(), 0, TunnelKey::Ipip, false),
    ]
}

fn bridged(builder: TemplateBuilder) -> Vec<Kind> {
    let kind = |template: Result<Template, _>, overhead, key| Kind {
        template: template.unwrap(),
        overhead: overhead + eth::HEADER_LEN,
        key,
        inner_ethernet: false,
    };
    let with = Some(KEY);
    vec![
        kind(builder.vxlan_bridged(vni()), 16, TunnelKey::Vxlan(vni())),
        kind(
            builder.geneve_bridged(vni(), &[]),
            16,
            TunnelKey::Geneve(vni()),
        ),
        kind(
            builder.geneve_bridged(vni(), &hint()),
            28,
            TunnelKey::Geneve(vni()),
        ),
        kind(builder.gre_bridged(None), 4, TunnelKey::Gre(None)),
        kind(builder.gre_bridged(with), 8, TunnelKey::Gre(with)),
    ]
}

/// The way in: outer headers by the views, the rest by the entry for all encapsulations.
fn decapsulate<'a>(bytes: &'a [u8], template: &Template, port: u16) -> (Decap, &'a [u8]) {
    let packet = &bytes[template.ip_offset()..];
    let (protocol, payload, pseudo_header) = match template.version() {
        IpVersion::V4 => {
            let ip = Ipv4Packet::new_checked(packet).unwrap();
            assert!(ip.verify_checksum());
            let pseudo_header = ip.pseudo_header(ip.payload().len() as u16);
            (ip.protocol(), &packet[20..], pseudo_header)
        }
        IpVersion::V6 => {
            let ip = Ipv6Packet::new_checked(packet).unwrap();
            let (src, dst, len) = (ip.src_addr(), ip.dst_addr(), ip.payload_len() as u32);
            let pseudo_header = checksum::pseudo_header_v6(src, dst, IpProtocol::UDP, len);
            (ip.next_header(), &packet[40..], pseudo_header)
        }
    };
    if protocol != IpProtocol::UDP {
        let announced = Announced::by_protocol(protocol).unwrap();
        return (announced.decap(payload).unwrap(), payload);
    }
    let udp = UdpPacket::new_checked(payload).unwrap();
    assert!(udp.verify_checksum(pseudo_header));
    assert_eq!(udp.dst_port(), port);
    let announced = Announced::by_udp_port(port).unwrap();
    (announced.decap(udp.payload()).unwrap(), &payload[8..])
}

fn builders() -> [TemplateBuilder; 4] {
    let [v4, v6] = [Template::builder(A4, B4), Template::builder(A6, B6)];
    [
        v4,
        v6,
        v4.ethernet(MAC[0], MAC[1]),
        v6.ethernet(MAC[0], MAC[1]),
    ]
}

fn port(kind: &Kind) -> u16 {
    kind.key.encapsulation().udp_port().unwrap_or_default()
}

#[test]
fn routed_kinds_carry_both_versions() {
    for builder in builders() {
        for kind in routed(builder) {
            let template = &kind.template;
            assert_eq!(
                template.overhead(),
                template.version().header_len() + kind.overhead
            );
            assert!(!template.is_bridged());
            for (version, first) in [(IpVersion::V4, 0x45), (IpVersion::V6, 0x60)] {
                let inner = [first; 101];
                let stamp = Stamp {
                    checksum: OuterChecksum::Inner(checksum::sum(&inner)),
                    ..Stamp::new(version.ethertype(), inner.len())
                };
                let bytes = encapsulate(template, &stamp, &inner);
                let (found, tunnel) = decapsulate(&bytes, template, port(&kind));
                assert_eq!(found.key, kind.key);
                let mut rest = &tunnel[found.offset..];
                if kind.inner_ethernet {
                    assert_eq!(found.inner, InnerType::Ethernet);
                    let (ethernet, offset) = EthernetRepr::parse(rest).unwrap();
                    let [dst, src] = INNER;
                    let ethertype = version.ethertype();
                    assert_eq!(
                        ethernet,
                        EthernetRepr {
                            dst,
                            src,
                            ethertype
                        }
                    );
                    rest = &rest[offset..];
                } else {
                    assert_eq!(found.inner, InnerType::Ip(version));
                }
                assert_eq!(rest, inner);
                let mut written = vec![0xff; template.tunnel_len()];
                template.write_tunnel(version.ethertype(), &mut written);
                assert!(tunnel.starts_with(&written));
            }
        }
    }
}

#[test]
fn bridged_kinds_carry_any_frame() {
    for builder in builders() {
        for kind in bridged(builder) {
            let template = &kind.template;
            assert_eq!(
                template.overhead(),
                template.version().header_len() + kind.overhead
            );
            assert!(template.is_bridged());
            for len in [14, 15, 60, 1514] {
                let frame = vec![0x5a; len];
                let stamp = Stamp {
                    checksum: OuterChecksum::Inner(checksum::sum(&frame)),
                    ..Stamp::of_frame(&frame)
                };
                let bytes = encapsulate(template, &stamp, &frame);
                let (found, tunnel) = decapsulate(&bytes, template, port(&kind));
                assert_eq!((found.key, found.inner), (kind.key, InnerType::Ethernet));
                assert_eq!(tunnel[found.offset..], frame);
            }
        }
    }
}

#[test]
fn gre_has_no_checksum_and_no_sequence_number() {
    for kind in routed(Template::builder(A4, B4)) {
        if kind.key.encapsulation() == crate::Encapsulation::Gre {
            let view = crate::GrePacket::new_checked(kind.template.tunnel_bytes()).unwrap();
            assert_eq!((view.checksum(), view.sequence()), (None, None));
        }
    }
}

#[test]
fn the_protocol_tells_the_raw_socket() {
    let builder = Template::builder(A4, B4);
    let ipip = builder.ipip().unwrap();
    assert_eq!(ipip.protocol(EtherType::IPV4), Some(IpProtocol::IPIP));
    assert_eq!(ipip.protocol(EtherType::IPV6), Some(IpProtocol::IPV6));
    assert_eq!(ipip.protocol(EtherType::ARP), None);
    let gre = builder.gre(None).unwrap();
    assert_eq!(gre.protocol(EtherType::IPV6), Some(IpProtocol::GRE));
    assert_eq!((gre.udp_offset(), gre.tunnel_len()), (None, 4));
}

#[test]
fn the_longest_options_fit_and_longer_ones_do_not() {
    let longest = Template::builder(A6, B6).ethernet(MAC[0], MAC[1]);
    let [dst, src] = INNER;
    let mut options = [0; 44];
    // One option of 36 bytes, and one that would be too much.
    options[3] = 9;
    let template = longest.geneve(vni(), &options[..40], dst, src).unwrap();
    assert_eq!(template.len(), 124);
    let mut out = vec![0xff; 124];
    template
        .stamp(&mut out, &Stamp::new(EtherType::IPV4, 0))
        .unwrap();
    let long = longest.geneve_bridged(vni(), &options).unwrap_err();
    assert_eq!(long, TemplateError::Options);
    let malformed = longest.geneve_ip(vni(), &options[..36]).unwrap_err();
    assert_eq!(malformed, TemplateError::Options);
}

#[test]
fn flows_differ_in_port_and_label() {
    for kind in routed(Template::builder(A6, B6)) {
        let hash = 0xabcd_e123;
        let stamp = Stamp {
            checksum: OuterChecksum::Inner(Sum::ZERO),
            ..Stamp::new(EtherType::IPV4, 0).with_flow(hash)
        };
        let bytes = encapsulate(&kind.template, &stamp, &[]);
        let ip = Ipv6Packet::new_checked(&bytes[..]).unwrap();
        assert_eq!(
            (ip.flow_label(), ip.version(), ip.traffic_class()),
            (0xabcde, 6, 0)
        );
        if let Some(at) = kind.template.udp_offset() {
            let udp = UdpPacket::new_checked(&bytes[at..]).unwrap();
            assert_eq!(udp.src_port(), crate::flow::source_port(hash));
        }
    }
    let unlucky = Stamp::new(EtherType::IPV4, 0).with_flow(0xfff);
    assert_eq!(unlucky.flow_label, 1);
}
