//! Takes captured frames apart, with the views and the entry for all encapsulations, and makes them
//! anew, with a template.

use std::net::IpAddr;

use ringlay_encap::{
    Announced, Decap, DfPolicy, EcnMode, EtherType, EthernetRepr, GenevePacket, InnerType,
    IpFields, IpProtocol, Ipv4Packet, Ipv6Packet, OuterChecksum, Pretty, Stamp, Template,
    TemplateBuilder, TunnelKey, UdpPacket, checksum, ip::IpVersion,
};

/// A captured frame.
pub(crate) struct Captured<'a> {
    pub(crate) frame: &'a [u8],
    pub(crate) outer: Outer,
    pub(crate) found: Decap,
    /// From the tunnel header on.
    pub(crate) tunnel: &'a [u8],
    /// From the inner packet or frame on.
    pub(crate) inner: &'a [u8],
}

/// Its outer headers.
pub(crate) struct Outer {
    pub(crate) ethernet: EthernetRepr,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) fields: IpFields,
    pub(crate) ident: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) flow_label: u32,
    /// Source and destination port, and checksum.
    pub(crate) udp: Option<(u16, u16, u16)>,
}

impl<'a> Captured<'a> {
    /// Takes `frame` apart; panics if anything about it is wrong.
    pub(crate) fn decode(frame: &'a [u8]) -> Self {
        let (ethernet, offset) = EthernetRepr::parse(frame).unwrap();
        let packet = &frame[offset..];
        let fields = IpFields::of_packet(packet).unwrap();
        let (mut outer, protocol, payload, pseudo_header) = match ethernet.ethertype {
            EtherType::IPV4 => {
                let ip = Ipv4Packet::new_checked(packet).unwrap();
                assert!(ip.verify_checksum() && !ip.is_fragment());
                let outer = Outer {
                    ethernet,
                    src: ip.src_addr().into(),
                    dst: ip.dst_addr().into(),
                    fields,
                    ident: ip.ident(),
                    dont_fragment: ip.dont_fragment(),
                    flow_label: 0,
                    udp: None,
                };
                let payload = &packet[ip.header_len()..ip.total_len()];
                let pseudo_header = ip.pseudo_header(payload.len() as u16);
                (outer, ip.protocol(), payload, pseudo_header)
            }
            EtherType::IPV6 => {
                let ip = Ipv6Packet::new_checked(packet).unwrap();
                let transport = ip.transport().unwrap();
                let outer = Outer {
                    ethernet,
                    src: ip.src_addr().into(),
                    dst: ip.dst_addr().into(),
                    fields,
                    ident: 0,
                    dont_fragment: false,
                    flow_label: ip.flow_label(),
                    udp: None,
                };
                let payload = &packet[transport.offset..ip.total_len()];
                let len = payload.len() as u32;
                let (src, dst) = (ip.src_addr(), ip.dst_addr());
                let pseudo_header = checksum::pseudo_header_v6(src, dst, IpProtocol::UDP, len);
                (outer, transport.protocol, payload, pseudo_header)
            }
            other => panic!("{other}"),
        };
        let (announced, tunnel) = if protocol == IpProtocol::UDP {
            let udp = UdpPacket::new_checked(payload).unwrap();
            assert!(udp.checksum() == 0 || udp.verify_checksum(pseudo_header));
            outer.udp = Some((udp.src_port(), udp.dst_port(), udp.checksum()));
            (Announced::by_udp_port(udp.dst_port()), &payload[8..])
        } else {
            (Announced::by_protocol(protocol), payload)
        };
        let found = match announced.unwrap() {
            Announced::Geneve => {
                // Whatever options there are, they are known here.
                let view = GenevePacket::new_checked(tunnel).unwrap();
                let known: Vec<_> = view.options().map(|option| option.unwrap().kind).collect();
                ringlay_encap::geneve::decap(tunnel, &known)
            }
            announced => announced.decap(tunnel),
        }
        .unwrap();
        Self {
            frame,
            outer,
            found,
            tunnel,
            inner: &tunnel[found.offset..],
        }
    }

    /// The version of the outer packet.
    pub(crate) fn version(&self) -> IpVersion {
        match self.outer.src {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        }
    }

    fn builder(&self, ecn: EcnMode) -> TemplateBuilder {
        let Outer { ethernet, .. } = self.outer;
        let builder = Template::builder(self.outer.src, self.outer.dst)
            .ethernet(ethernet.dst, ethernet.src)
            .ecn_mode(ecn)
            .ttl(self.outer.fields.ttl)
            .df_policy(if self.outer.dont_fragment {
                DfPolicy::Set
            } else {
                DfPolicy::Clear
            });
        match self.outer.udp {
            Some((_, port, _)) => builder.port(port),
            None => builder,
        }
    }

    fn stamp(&self, inner: &[u8], stamp: Stamp) -> Stamp {
        let (source_port, _, checksum) = self.outer.udp.unwrap_or_default();
        Stamp {
            ident: self.outer.ident,
            source_port,
            flow_label: self.outer.flow_label,
            checksum: match checksum {
                0 => OuterChecksum::Zero,
                _ => OuterChecksum::Inner(checksum::sum(inner)),
            },
            ..stamp
        }
    }

    /// Makes the frame anew around what the tunnel carries, and compares.
    pub(crate) fn rebuild(&self, ecn: EcnMode) {
        let builder = self.builder(ecn);
        let template = match (self.found.key, self.found.inner) {
            (TunnelKey::Vxlan(vni), _) => builder.vxlan_bridged(vni),
            (TunnelKey::Geneve(vni), InnerType::Ethernet) => {
                builder.geneve_bridged(vni, self.options())
            }
            (TunnelKey::Geneve(vni), InnerType::Ip(_)) => builder.geneve_ip(vni, self.options()),
            (TunnelKey::Gre(key), InnerType::Ethernet) => builder.gre_bridged(key),
            (TunnelKey::Gre(key), InnerType::Ip(_)) => builder.gre(key),
            (TunnelKey::Ipip, _) => builder.ipip(),
            (TunnelKey::Plain, _) => panic!("there is no tunnel"),
        };
        let stamp = match self.found.inner {
            InnerType::Ethernet => Stamp::of_frame(self.inner),
            InnerType::Ip(_) => Stamp::of_packet(self.inner).unwrap(),
        };
        self.compare(
            &template.unwrap(),
            self.inner,
            &self.stamp(self.inner, stamp),
        );
        if self.found.inner == InnerType::Ethernet {
            self.rebuild_routed(ecn);
        }
    }

    /// The same around the packet in the inner frame.
    fn rebuild_routed(&self, ecn: EcnMode) {
        let (ethernet, offset) = EthernetRepr::parse(self.inner).unwrap();
        let (dst, src, packet) = (ethernet.dst, ethernet.src, &self.inner[offset..]);
        let builder = self.builder(ecn);
        let template = match self.found.key {
            TunnelKey::Vxlan(vni) => builder.vxlan(vni, dst, src),
            TunnelKey::Geneve(vni) => builder.geneve(vni, self.options(), dst, src),
            TunnelKey::Gre(key) => builder.gre_ethernet(key, dst, src),
            TunnelKey::Ipip | TunnelKey::Plain => panic!("a frame in IP"),
        };
        // ARP has none of the fields that would be copied.
        let plain = Stamp::new(ethernet.ethertype, packet.len());
        let stamp = Stamp::of_packet(packet).unwrap_or(plain);
        self.compare(&template.unwrap(), packet, &self.stamp(packet, stamp));
    }

    fn compare(&self, template: &Template, inner: &[u8], stamp: &Stamp) {
        let mut bytes = vec![0xff; template.len()];
        template.stamp(&mut bytes, stamp).unwrap();
        bytes.extend(inner);
        assert_eq!(bytes, self.frame, "{}", Pretty::ethernet(self.frame));
    }

    fn options(&self) -> &'a [u8] {
        match self.found.key {
            TunnelKey::Geneve(_) => {
                let header = ringlay_encap::GeneveHeader::parse(self.tunnel);
                header.unwrap().options
            }
            _ => &[],
        }
    }
}
