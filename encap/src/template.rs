//! Outer headers built once for a next hop and stamped onto every packet sent there.
//!
//! A template does not know the underlay's MTU, does not fragment, and does not send. What is
//! peculiar to an encapsulation is in its own file, behind `TunnelHeader`.

use core::net::IpAddr;

use thiserror::Error;

use crate::{
    EtherType, IpProtocol, MacAddr, Sum,
    bytes::{put_u16, put_u32},
    checksum, eth,
    ip::IpVersion,
    ipip, ipv4, ipv6, udp,
};

mod builder;
mod stamp;
#[cfg(test)]
mod tests;
mod tunnel;

pub use builder::{TemplateBuilder, TemplateError};
pub use stamp::{OuterChecksum, Stamp, StampError};

/// The longest header a template can hold, in bytes: what a frame needs as headroom.
pub const MAX_LEN: usize = 128;

/// An encapsulation, as seen by the builder of templates: what stands between the outer IP or UDP
/// header and the inner packet.
pub(crate) trait TunnelHeader {
    /// What announces it.
    fn carrier(&self) -> Carrier;
    /// Length in bytes.
    fn len(&self) -> usize;
    /// Where in it the type of the inner packet stands, if it does. Must be even.
    fn protocol_offset(&self) -> Option<usize>;
    /// Writes it, with `protocol` as the type of the inner packet.
    fn emit(&self, protocol: EtherType, out: &mut [u8]);
}

/// What announces a tunnel header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A UDP destination port: this one by default.
    Udp(u16),
    /// An IP protocol number.
    Ip(IpProtocol),
    /// The IP protocol number that the inner packet's version has.
    InnerIp,
}

/// What a tunnel carries, and who makes the inner Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner {
    /// IP packets, directly.
    Ip,
    /// IP packets behind an Ethernet header that the template has.
    Ethernet {
        /// Its destination.
        dst: MacAddr,
        /// Its source.
        src: MacAddr,
    },
    /// Ethernet frames, as they come.
    Frames,
}

/// Where the parts of a template begin, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    version: IpVersion,
    ip: u8,
    udp: Option<u8>,
    tunnel: u8,
    inner_eth: Option<u8>,
    /// Where the type of the inner packet is stamped.
    ethertype: Option<u8>,
    len: u8,
    /// Whether what follows is a frame.
    is_bridged: bool,
    /// Whether the outer UDP header is to have a checksum.
    udp_checksum: bool,
    /// Whether there is neither an outer IP header nor a tunnel.
    is_plain: bool,
}

/// The fields of the outer IP header that depend on the inner one, by policy. Each is a constant,
/// and a mask for what is copied: the policies cost no branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeaderFields {
    traffic_class: u8,
    traffic_class_mask: u8,
    ttl: u8,
    ttl_mask: u8,
    /// The "don't fragment" flag, in its place.
    fragment: u16,
    fragment_mask: u16,
}

/// Outer headers for one next hop: optional Ethernet, IP unless there is no encapsulation, UDP if
/// the encapsulation goes over it, the tunnel header if it has one, and perhaps an inner Ethernet
/// header.
#[derive(Debug, Clone)]
// In this order, all that stamping reads of most templates is in two cache lines.
#[repr(C, align(64))]
pub struct Template {
    layout: Layout,
    /// None if it is that of the inner packet's version.
    protocol: Option<IpProtocol>,
    fields: HeaderFields,
    /// Sum of the IPv4 addresses. Unused for IPv6.
    ip_sum: Sum,
    /// Sum of the pseudo-header without the length.
    pseudo_sum: Sum,
    /// Sum of the pseudo-header and of all from UDP on, where what is stamped is zero.
    udp_sum: Sum,
    bytes: [u8; MAX_LEN],
}

impl Template {
    /// Begins a template for packets from `src` to `dst`, the tunnel's ends in the underlay.
    pub const fn builder(src: IpAddr, dst: IpAddr) -> TemplateBuilder {
        TemplateBuilder::new(src, dst)
    }

    /// The whole header, with zero for all that [`stamp`](Self::stamp) writes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// The part after IP or UDP, which is put in front of the packet when the kernel's socket makes
    /// the outer headers: tunnel header and inner Ethernet header, with zero for the EtherType that
    /// [`write_tunnel`](Self::write_tunnel) writes.
    #[inline]
    pub fn tunnel_bytes(&self) -> &[u8] {
        &self.bytes[self.tunnel_offset()..self.len()]
    }

    /// Length in bytes of the whole header.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.layout.len)
    }

    /// Whether nothing is put in front of packets, which happens without encapsulation.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether packets are sent as they are, at most behind an Ethernet header. There is no outer
    /// IP header then: all about it is about the end of the template.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.layout.is_plain
    }

    /// Length in bytes of [`tunnel_bytes`](Self::tunnel_bytes).
    #[inline]
    pub fn tunnel_len(&self) -> usize {
        self.len() - self.tunnel_offset()
    }

    /// Version of the outer IP header.
    #[inline]
    pub fn version(&self) -> IpVersion {
        self.layout.version
    }

    /// The outer IP protocol number around a packet of the type `ethertype`: it tells which raw
    /// socket to send by. None if the tunnel does not carry that type.
    #[inline]
    pub fn protocol(&self, ethertype: EtherType) -> Option<IpProtocol> {
        self.protocol.or_else(|| ipip::protocol(ethertype))
    }

    /// Where the outer Ethernet header begins, if there is one.
    #[inline]
    pub fn l2_offset(&self) -> Option<usize> {
        (self.layout.ip != 0).then_some(0)
    }

    /// Where the outer IP header begins.
    #[inline]
    pub fn ip_offset(&self) -> usize {
        usize::from(self.layout.ip)
    }

    /// Where the outer UDP header begins, if there is one.
    #[inline]
    pub fn udp_offset(&self) -> Option<usize> {
        self.layout.udp.map(usize::from)
    }

    /// Where the tunnel header begins; the end of the template if the tunnel has none.
    #[inline]
    pub fn tunnel_offset(&self) -> usize {
        usize::from(self.layout.tunnel)
    }

    /// Where the inner Ethernet header begins, if the template has one.
    #[inline]
    pub fn inner_ethernet_offset(&self) -> Option<usize> {
        self.layout.inner_eth.map(usize::from)
    }

    /// Whether what is put behind it is an Ethernet frame, rather than an IP packet.
    #[inline]
    pub fn is_bridged(&self) -> bool {
        self.layout.is_bridged
    }

    /// Whether outer UDP headers are to have a checksum: what the stamps for it should ask for.
    #[inline]
    pub fn sends_checksum(&self) -> bool {
        self.layout.udp_checksum
    }

    /// How many bytes longer the outer IP packet is than the inner one: what the overlay's MTU is
    /// below that of the underlay. In bridged networks the inner Ethernet header counts too.
    #[inline]
    pub fn overhead(&self) -> usize {
        let inner_ethernet = if self.is_bridged() {
            eth::HEADER_LEN
        } else {
            0
        };
        self.len() - self.ip_offset() + inner_ethernet
    }

    /// The outer traffic class around a packet whose own is `inner`, by the policies for DSCP and
    /// ECN: for where the kernel's socket makes the outer headers.
    #[inline]
    pub fn traffic_class(&self, inner: u8) -> u8 {
        self.fields.traffic_class | (inner & self.fields.traffic_class_mask)
    }

    /// Writes [`tunnel_bytes`](Self::tunnel_bytes) for an inner packet of the type `ethertype`.
    ///
    /// # Panics
    /// If `out` is not [`tunnel_len`](Self::tunnel_len) bytes long.
    #[inline]
    pub fn write_tunnel(&self, ethertype: EtherType, out: &mut [u8]) {
        copy(out, self.tunnel_bytes());
        if let Some(at) = self.layout.ethertype.filter(|_| !out.is_empty()) {
            put_u16(out, usize::from(at) - self.tunnel_offset(), ethertype.0);
        }
    }

    /// Writes the whole header for one packet.
    ///
    /// # Errors
    /// [`StampError`]; nothing is written then.
    ///
    /// # Panics
    /// If `out` is not [`len`](Self::len) bytes long.
    #[inline(always)]
    pub fn stamp(&self, out: &mut [u8], stamp: &Stamp) -> Result<(), StampError> {
        let ip_len = u16::try_from(self.len() - self.ip_offset() + stamp.inner_len)
            .map_err(|_| StampError::TooLong)?;
        let protocol = self.protocol(stamp.ethertype).ok_or(StampError::NotIp)?;
        copy(out, self.bytes());
        if let Some(at) = self.layout.ethertype {
            put_u16(out, usize::from(at), stamp.ethertype.0);
        }
        if self.is_plain() {
            return Ok(());
        }
        let outer = &mut out[self.ip_offset()..];
        let (transport, transport_len) = match self.layout.version {
            IpVersion::V4 => {
                let (ip, transport) = outer.split_first_chunk_mut().expect(HAS_IP);
                self.stamp_v4(ip, stamp, ip_len, protocol);
                (transport, ip_len - ipv4::HEADER_LEN as u16)
            }
            IpVersion::V6 => {
                let (ip, transport) = outer.split_first_chunk_mut().expect(HAS_IP);
                let payload_len = ip_len - ipv6::HEADER_LEN as u16;
                self.stamp_v6(ip, stamp, payload_len, protocol);
                (transport, payload_len)
            }
        };
        if self.layout.udp.is_some() {
            let udp = transport.first_chunk_mut();
            let udp = udp.expect("a template over UDP has a UDP header");
            self.stamp_udp(udp, stamp, transport_len);
        }
        Ok(())
    }

    /// All that is not an address, in three words, which also sum up faster than single fields.
    #[inline]
    fn stamp_v4(
        &self,
        ip: &mut [u8; ipv4::HEADER_LEN],
        stamp: &Stamp,
        total_len: u16,
        protocol: IpProtocol,
    ) {
        let fields = &self.fields;
        let class = self.traffic_class(stamp.traffic_class());
        let ttl = fields.ttl | (stamp.ttl & fields.ttl_mask);
        let inner_fragment = u16::from(stamp.dont_fragment) * ipv4::DONT_FRAGMENT;
        let fragment = fields.fragment | (inner_fragment & fields.fragment_mask);
        let words = [
            0x4500_0000 | (u32::from(class) << 16) | u32::from(total_len),
            (u32::from(stamp.ident) << 16) | u32::from(fragment),
            (u32::from(ttl) << 24) | (u32::from(protocol.0) << 16),
        ];
        let [a, b, c] = words.map(u64::from);
        let sum = Sum::of_u64(u64::from(self.ip_sum.fold()) + a + b + c);
        put_u32(ip, 0, words[0]);
        put_u32(ip, 4, words[1]);
        put_u32(ip, 8, words[2] | u32::from(sum.checksum()));
    }

    #[inline]
    fn stamp_v6(
        &self,
        ip: &mut [u8; ipv6::HEADER_LEN],
        stamp: &Stamp,
        payload_len: u16,
        protocol: IpProtocol,
    ) {
        let fields = &self.fields;
        let class = self.traffic_class(stamp.traffic_class());
        let ttl = fields.ttl | (stamp.ttl & fields.ttl_mask);
        let label = stamp.flow_label & 0x000f_ffff;
        put_u32(ip, 0, 0x6000_0000 | (u32::from(class) << 20) | label);
        let next = (u32::from(protocol.0) << 8) | u32::from(ttl);
        put_u32(ip, 4, (u32::from(payload_len) << 16) | next);
    }

    #[inline]
    fn stamp_udp(&self, udp: &mut [u8; udp::HEADER_LEN], stamp: &Stamp, len: u16) {
        let checksum = match stamp.checksum {
            OuterChecksum::Zero => 0,
            OuterChecksum::Inner(inner) => {
                let ethertype = match self.layout.ethertype {
                    Some(_) => stamp.ethertype.0,
                    None => 0,
                };
                // The length counts twice: in the pseudo-header and in the header.
                let sum = u32::from(self.udp_sum.fold())
                    + u32::from(stamp.source_port)
                    + 2 * u32::from(len)
                    + u32::from(ethertype)
                    + u32::from(inner.fold());
                udp::nonzero(Sum::of_u32(sum).checksum())
            }
            OuterChecksum::Partial => (self.pseudo_sum + Sum::of_u16(len)).fold(),
        };
        put_u16(udp, 0, stamp.source_port);
        put_u32(udp, 4, (u32::from(len) << 16) | u32::from(checksum));
    }
}

const HAS_IP: &str = "a template has an IP header";

/// Copies a header: its first and last bytes, as many as the next lower power of two, which overlap.
/// So every length takes the same few moves of whole vectors, and no call of memcpy.
#[inline]
fn copy(out: &mut [u8], header: &[u8]) {
    #[inline]
    fn ends<const N: usize>(out: &mut [u8], header: &[u8]) {
        if let (Some(out), Some(header)) = (out.first_chunk_mut::<N>(), header.first_chunk()) {
            *out = *header;
        }
        if let (Some(out), Some(header)) = (out.last_chunk_mut::<N>(), header.last_chunk()) {
            *out = *header;
        }
    }
    assert_eq!(
        out.len(),
        header.len(),
        "a template fills its buffer exactly"
    );
    match header.len() {
        32..=64 => ends::<32>(out, header),
        16..32 => ends::<16>(out, header),
        65..=MAX_LEN => ends::<64>(out, header),
        8..16 => ends::<8>(out, header),
        _ => out.copy_from_slice(header),
    }
}
