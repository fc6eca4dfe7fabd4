//! Building templates: slow, once for each next hop.
//!
//! Does not resolve addresses: all of them are given.

use core::net::IpAddr;

use super::*;
use crate::{Ipv4Repr, Ipv6Repr, UdpRepr};

/// The outer addresses and fields that a [`Template`] is built from.
#[derive(Debug, Clone, Copy)]
pub struct TemplateBuilder {
    src: IpAddr,
    dst: IpAddr,
    ethernet: Option<(MacAddr, MacAddr)>,
    ttl: u8,
    tos: u8,
    port: u16,
    dont_fragment: bool,
}

/// Why a template cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// One outer address is IPv4, the other IPv6.
    #[error("outer source and destination address are of different IP versions")]
    MixedVersions,
}

impl TemplateBuilder {
    pub(super) const fn new(src: IpAddr, dst: IpAddr) -> Self {
        Self {
            src,
            dst,
            ethernet: None,
            ttl: 64,
            tos: 0,
            port: vxlan::UDP_PORT,
            dont_fragment: false,
        }
    }

    /// Adds an outer Ethernet header. Without, the template begins with IP.
    #[must_use]
    pub const fn ethernet(mut self, dst: MacAddr, src: MacAddr) -> Self {
        self.ethernet = Some((dst, src));
        self
    }

    /// Sets the outer time to live or hop limit, by default 64.
    #[must_use]
    pub const fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the outer traffic class, by default 0. Its ECN bits are ignored: they are stamped.
    #[must_use]
    pub const fn tos(mut self, tos: u8) -> Self {
        self.tos = tos & !0b11;
        self
    }

    /// Sets the UDP destination port, by default [`vxlan::UDP_PORT`].
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the outer IPv4 "don't fragment", by default off. IPv6 routers never fragment.
    #[must_use]
    pub const fn dont_fragment(mut self, value: bool) -> Self {
        self.dont_fragment = value;
        self
    }

    /// A template for IP packets of a routed network: they get an inner Ethernet header.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn vxlan(
        &self,
        vni: Vni,
        inner_dst: MacAddr,
        inner_src: MacAddr,
    ) -> Result<Template, TemplateError> {
        self.build(Some(vni), Some((inner_dst, inner_src)))
    }

    /// A template for Ethernet frames of a bridged network.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn vxlan_bridged(&self, vni: Vni) -> Result<Template, TemplateError> {
        self.build(Some(vni), None)
    }

    /// A template for IP packets directly in IP (RFC 2003, RFC 2473).
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn ipip(&self) -> Result<Template, TemplateError> {
        self.build(None, None)
    }

    fn build(
        &self,
        vni: Option<Vni>,
        inner: Option<(MacAddr, MacAddr)>,
    ) -> Result<Template, TemplateError> {
        let version = match (self.src, self.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => IpVersion::V4,
            (IpAddr::V6(_), IpAddr::V6(_)) => IpVersion::V6,
            _ => return Err(TemplateError::MixedVersions),
        };
        let layout = self.layout(version, vni.is_some(), inner.is_some());
        let mut bytes = [0; MAX_LEN];
        self.emit_outer(&mut bytes, &layout);
        if let Some(vni) = vni {
            VxlanHeader { vni }.emit(&mut bytes[usize::from(layout.tunnel)..]);
        }
        if let (Some(at), Some((dst, src))) = (layout.inner_eth, inner) {
            // The EtherType is stamped.
            let ethertype = EtherType(0);
            EthernetRepr {
                dst,
                src,
                ethertype,
            }
            .emit(&mut bytes[usize::from(at)..]);
        }
        Ok(self.with_sums(bytes, layout))
    }

    fn layout(&self, version: IpVersion, vxlan: bool, inner_eth: bool) -> Layout {
        let ip = if self.ethernet.is_some() {
            eth::HEADER_LEN
        } else {
            0
        };
        let transport = ip + version.header_len();
        let tunnel = transport + if vxlan { udp::HEADER_LEN } else { 0 };
        let inner = tunnel + if vxlan { vxlan::HEADER_LEN } else { 0 };
        let len = inner + if inner_eth { eth::HEADER_LEN } else { 0 };
        // Even the longest is below MAX_LEN, which fits into a byte.
        Layout {
            version,
            ip: ip as u8,
            udp: vxlan.then_some(transport as u8),
            tunnel: tunnel as u8,
            inner_eth: inner_eth.then_some(inner as u8),
            len: len as u8,
        }
    }

    fn emit_outer(&self, bytes: &mut [u8; MAX_LEN], layout: &Layout) {
        if let Some((dst, src)) = self.ethernet {
            EthernetRepr {
                dst,
                src,
                ethertype: layout.version.ethertype(),
            }
            .emit(bytes);
        }
        let ip = &mut bytes[usize::from(layout.ip)..];
        // The protocol of IPIP depends on the packet, so that of all is stamped.
        let protocol = IpProtocol(0);
        match (self.src, self.dst) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                Ipv4Repr {
                    src_addr,
                    dst_addr,
                    protocol,
                    traffic_class: self.tos,
                    ttl: self.ttl,
                    ident: 0,
                    dont_fragment: false,
                    payload_len: 0,
                }
                .emit(ip);
                put_u16(ip, 2, 0);
                put_u16(ip, 10, 0);
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => Ipv6Repr {
                src_addr,
                dst_addr,
                next_header: protocol,
                traffic_class: self.tos,
                flow_label: 0,
                hop_limit: self.ttl,
                payload_len: 0,
            }
            .emit(ip),
            _ => unreachable!("build() refuses mixed versions"),
        }
        if let Some(at) = layout.udp {
            let udp = &mut bytes[usize::from(at)..];
            UdpRepr {
                src_port: 0,
                dst_port: self.port,
                payload_len: 0,
            }
            .emit(udp);
            put_u16(udp, 4, 0);
        }
    }

    fn with_sums(&self, bytes: [u8; MAX_LEN], layout: Layout) -> Template {
        let pseudo_sum = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                checksum::pseudo_header_v4(src, dst, IpProtocol::UDP, 0)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                checksum::pseudo_header_v6(src, dst, IpProtocol::UDP, 0)
            }
            _ => unreachable!("build() refuses mixed versions"),
        };
        let ip = usize::from(layout.ip);
        let transport = ip + layout.version.header_len();
        let len = usize::from(layout.len);
        Template {
            bytes,
            layout,
            dont_fragment: self.dont_fragment,
            ip_sum: checksum::sum(&bytes[ip..transport]),
            pseudo_sum,
            udp_sum: pseudo_sum + checksum::sum(&bytes[transport..len]),
        }
    }
}
