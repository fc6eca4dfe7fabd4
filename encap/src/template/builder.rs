//! Building templates: slow, once for each next hop.
//!
//! Does not resolve addresses: all of them are given. The methods that finish a template are beside
//! the header they write: [`vxlan`](TemplateBuilder::vxlan), [`geneve`](TemplateBuilder::geneve),
//! [`gre`](TemplateBuilder::gre), [`ipip`](TemplateBuilder::ipip),
//! [`plain`](TemplateBuilder::plain); or, where the encapsulation is a
//! choice, [`tunnel`](TemplateBuilder::tunnel).

use core::num::NonZeroU8;

use super::*;
use crate::{
    DfPolicy, Dscp, DscpPolicy, EcnMode, EthernetRepr, Ipv4Repr, Ipv6Repr, TtlPolicy, UdpRepr,
};

/// The outer addresses and fields that a [`Template`] is built from.
#[derive(Debug, Clone, Copy)]
pub struct TemplateBuilder {
    src: IpAddr,
    dst: IpAddr,
    ethernet: Option<(MacAddr, MacAddr)>,
    ttl: TtlPolicy,
    dscp: DscpPolicy,
    ecn: EcnMode,
    df: DfPolicy,
    port: Option<u16>,
    udp_checksum: bool,
}

/// Why a template cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// One outer address is IPv4, the other IPv6.
    #[error("outer source and destination address are of different IP versions")]
    MixedVersions,
    /// The options are malformed or longer than a template takes.
    #[error("malformed options, or too many")]
    Options,
    /// The encapsulation does not carry what it is to carry.
    #[error("the encapsulation carries something else")]
    Inner,
}

impl TemplateBuilder {
    pub(super) const fn new(src: IpAddr, dst: IpAddr) -> Self {
        Self {
            src,
            dst,
            ethernet: None,
            ttl: TtlPolicy::Set(NonZeroU8::new(64).expect("64 is not zero")),
            dscp: DscpPolicy::Set(Dscp::DEFAULT),
            ecn: EcnMode::Normal,
            df: DfPolicy::Copy,
            port: None,
            udp_checksum: true,
        }
    }

    /// Adds an outer Ethernet header. Without, the template begins with IP.
    #[must_use]
    pub const fn ethernet(mut self, dst: MacAddr, src: MacAddr) -> Self {
        self.ethernet = Some((dst, src));
        self
    }

    /// Sets the outer time to live or hop limit, by default 64. Zero, which no packet leaves with,
    /// is 1.
    #[must_use]
    pub const fn ttl(self, ttl: u8) -> Self {
        let ttl = match NonZeroU8::new(ttl) {
            Some(ttl) => ttl,
            None => NonZeroU8::MIN,
        };
        self.ttl_policy(TtlPolicy::Set(ttl))
    }

    /// Sets where the outer time to live or hop limit comes from, by default 64.
    #[must_use]
    pub const fn ttl_policy(mut self, policy: TtlPolicy) -> Self {
        self.ttl = policy;
        self
    }

    /// Sets the outer traffic class, by default 0. Its ECN bits are ignored: they are stamped.
    #[must_use]
    pub const fn tos(self, tos: u8) -> Self {
        self.dscp_policy(DscpPolicy::Set(Dscp::from_traffic_class(tos)))
    }

    /// Sets where the outer DSCP comes from, by default 0.
    #[must_use]
    pub const fn dscp_policy(mut self, policy: DscpPolicy) -> Self {
        self.dscp = policy;
        self
    }

    /// Sets how the outer ECN field comes about, by default normally.
    #[must_use]
    pub const fn ecn_mode(mut self, mode: EcnMode) -> Self {
        self.ecn = mode;
        self
    }

    /// Sets the UDP destination port, by default the one assigned to the encapsulation. Not used by
    /// those that do not go over UDP.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Says whether outer UDP headers are to have a checksum, by default yes. See
    /// [`sends_checksum`](Template::sends_checksum).
    #[must_use]
    pub const fn udp_checksum(mut self, sent: bool) -> Self {
        self.udp_checksum = sent;
        self
    }

    /// Sets the outer IPv4 "don't fragment"; by default, and with false, it is that of the stamp.
    /// IPv6 routers never fragment.
    #[must_use]
    pub const fn dont_fragment(self, value: bool) -> Self {
        self.df_policy(if value { DfPolicy::Set } else { DfPolicy::Copy })
    }

    /// Sets where the outer IPv4 "don't fragment" comes from, by default from the stamp.
    #[must_use]
    pub const fn df_policy(mut self, policy: DfPolicy) -> Self {
        self.df = policy;
        self
    }

    /// Builds a template with the given tunnel header.
    pub(crate) fn build(
        &self,
        header: &(impl TunnelHeader + ?Sized),
        inner: Inner,
    ) -> Result<Template, TemplateError> {
        let version = self.version()?;
        let layout = self.layout(version, header, inner);
        let mut bytes = [0; MAX_LEN];
        self.emit_outer(&mut bytes, &layout, header.carrier());
        let protocol = match inner {
            // Stamped.
            Inner::Ip => EtherType(0),
            Inner::Ethernet { .. } | Inner::Frames => EtherType::BRIDGED,
        };
        header.emit(protocol, &mut bytes[usize::from(layout.tunnel)..]);
        if let (Some(at), Inner::Ethernet { dst, src }) = (layout.inner_eth, inner) {
            // The EtherType is stamped.
            let ethertype = EtherType(0);
            EthernetRepr {
                dst,
                src,
                ethertype,
            }
            .emit(&mut bytes[usize::from(at)..]);
        }
        Ok(self.with_sums(bytes, layout, header.carrier()))
    }

    /// Builds a template with nothing but the Ethernet header, if that.
    pub(crate) fn build_plain(&self) -> Result<Template, TemplateError> {
        let version = self.version()?;
        let mut bytes = [0; MAX_LEN];
        let len = match self.ethernet {
            Some((dst, src)) => {
                // The EtherType is stamped.
                let ethertype = EtherType(0);
                EthernetRepr {
                    dst,
                    src,
                    ethertype,
                }
                .emit(&mut bytes);
                eth::HEADER_LEN as u8
            }
            None => 0,
        };
        let layout = Layout {
            version,
            ip: len,
            udp: None,
            tunnel: len,
            inner_eth: None,
            ethertype: len.checked_sub(2),
            len,
            is_bridged: false,
            udp_checksum: false,
            is_plain: true,
        };
        Ok(Template {
            layout,
            protocol: None,
            fields: self.fields(),
            ip_sum: Sum::ZERO,
            pseudo_sum: Sum::ZERO,
            udp_sum: Sum::ZERO,
            bytes,
        })
    }

    fn version(&self) -> Result<IpVersion, TemplateError> {
        match (self.src, self.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => Ok(IpVersion::V4),
            (IpAddr::V6(_), IpAddr::V6(_)) => Ok(IpVersion::V6),
            _ => Err(TemplateError::MixedVersions),
        }
    }

    fn layout(
        &self,
        version: IpVersion,
        header: &(impl TunnelHeader + ?Sized),
        inner: Inner,
    ) -> Layout {
        let ip = match self.ethernet {
            Some(_) => eth::HEADER_LEN,
            None => 0,
        };
        let transport = ip + version.header_len();
        let udp = matches!(header.carrier(), Carrier::Udp(_));
        let tunnel = transport + if udp { udp::HEADER_LEN } else { 0 };
        let end = tunnel + header.len();
        let inner_eth = matches!(inner, Inner::Ethernet { .. });
        let len = end + if inner_eth { eth::HEADER_LEN } else { 0 };
        let ethertype = match inner {
            Inner::Ip => header.protocol_offset().map(|at| tunnel + at),
            Inner::Ethernet { .. } => Some(len - 2),
            Inner::Frames => None,
        };
        // Even the longest is below MAX_LEN, which fits into a byte.
        Layout {
            version,
            ip: ip as u8,
            udp: udp.then_some(transport as u8),
            tunnel: tunnel as u8,
            inner_eth: inner_eth.then_some(end as u8),
            ethertype: ethertype.map(|at| at as u8),
            len: len as u8,
            is_bridged: inner == Inner::Frames,
            udp_checksum: self.udp_checksum,
            is_plain: false,
        }
    }

    fn fields(&self) -> HeaderFields {
        let (dscp, dscp_mask) = match self.dscp {
            DscpPolicy::Copy => (0, 0xfc),
            DscpPolicy::Set(dscp) => (dscp.value() << 2, 0),
        };
        let ecn_mask = match self.ecn {
            EcnMode::Normal => 0b11,
            EcnMode::Compatibility => 0,
        };
        let (ttl, ttl_mask) = match self.ttl {
            TtlPolicy::Copy => (0, 0xff),
            TtlPolicy::Set(ttl) => (ttl.get(), 0),
        };
        let (fragment, fragment_mask) = match self.df {
            DfPolicy::Copy => (0, ipv4::DONT_FRAGMENT),
            DfPolicy::Set => (ipv4::DONT_FRAGMENT, 0),
            DfPolicy::Clear => (0, 0),
        };
        HeaderFields {
            traffic_class: dscp,
            traffic_class_mask: dscp_mask | ecn_mask,
            ttl,
            ttl_mask,
            fragment,
            fragment_mask,
        }
    }

    fn emit_outer(&self, bytes: &mut [u8; MAX_LEN], layout: &Layout, carrier: Carrier) {
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
        let HeaderFields {
            traffic_class, ttl, ..
        } = self.fields();
        match (self.src, self.dst) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                Ipv4Repr {
                    src_addr,
                    dst_addr,
                    protocol,
                    traffic_class,
                    ttl,
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
                traffic_class,
                flow_label: 0,
                hop_limit: ttl,
                payload_len: 0,
            }
            .emit(ip),
            _ => unreachable!("build() refuses mixed versions"),
        }
        if let (Some(at), Carrier::Udp(port)) = (layout.udp, carrier) {
            let udp = &mut bytes[usize::from(at)..];
            UdpRepr {
                src_port: 0,
                dst_port: self.port.unwrap_or(port),
                payload_len: 0,
            }
            .emit(udp);
            put_u16(udp, 4, 0);
        }
    }

    fn with_sums(&self, bytes: [u8; MAX_LEN], layout: Layout, carrier: Carrier) -> Template {
        let (ip_sum, pseudo_sum) = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => (
                checksum::sum(&src.octets()) + checksum::sum(&dst.octets()),
                checksum::pseudo_header_v4(src, dst, IpProtocol::UDP, 0),
            ),
            (IpAddr::V6(src), IpAddr::V6(dst)) => (
                Sum::ZERO,
                checksum::pseudo_header_v6(src, dst, IpProtocol::UDP, 0),
            ),
            _ => unreachable!("build() refuses mixed versions"),
        };
        let transport = usize::from(layout.ip) + layout.version.header_len();
        let len = usize::from(layout.len);
        Template {
            bytes,
            layout,
            protocol: match carrier {
                Carrier::Udp(_) => Some(IpProtocol::UDP),
                Carrier::Ip(protocol) => Some(protocol),
                Carrier::InnerIp => None,
            },
            fields: self.fields(),
            ip_sum,
            pseudo_sum,
            udp_sum: pseudo_sum + checksum::sum(&bytes[transport..len]),
        }
    }
}
