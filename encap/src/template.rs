//! Outer headers built once for a next hop and stamped onto every packet sent there.
//!
//! A template does not know the underlay's MTU, does not fragment, and does not send.

use core::net::IpAddr;

use thiserror::Error;

use crate::{
    Ecn, EtherType, EthernetRepr, IpProtocol, MacAddr, Sum, Vni, VxlanHeader,
    bytes::{put_u16, u16_at},
    checksum, eth,
    ip::IpVersion,
    ipip, udp, vxlan,
};

mod builder;
#[cfg(test)]
mod tests;

pub use builder::{TemplateBuilder, TemplateError};

/// The longest header a template can hold, in bytes: what a frame needs as headroom.
pub const MAX_LEN: usize = 128;

/// Where the parts of a template begin, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    version: IpVersion,
    ip: u8,
    udp: Option<u8>,
    tunnel: u8,
    inner_eth: Option<u8>,
    len: u8,
}

/// Outer headers for one next hop: optional Ethernet, IP, and, for VXLAN, UDP, the VXLAN header
/// and, in routed networks, the inner Ethernet header.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: [u8; MAX_LEN],
    layout: Layout,
    dont_fragment: bool,
    /// Sum of the IPv4 header, where what is stamped is zero. Unused for IPv6.
    ip_sum: Sum,
    /// Sum of the pseudo-header without the length.
    pseudo_sum: Sum,
    /// Sum of the pseudo-header and of all from UDP on, where what is stamped is zero.
    udp_sum: Sum,
}

/// What differs between the packets of one next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes of what follows the template: the inner IP packet, or in bridged networks
    /// the inner frame.
    pub inner_len: usize,
    /// Type of the inner packet. In bridged networks the inner frame has it, and this is not used.
    pub ethertype: EtherType,
    /// Outer IPv4 identification.
    pub ident: u16,
    /// Outer UDP source port, see [`flow::source_port`](crate::flow::source_port).
    pub source_port: u16,
    /// Outer ECN field: the inner one (RFC 6040).
    pub ecn: Ecn,
    /// Sets the outer "don't fragment", even if the template does not: RFC 2003 copies it from the
    /// inner header.
    pub dont_fragment: bool,
    /// What becomes of the outer UDP checksum.
    pub checksum: OuterChecksum,
}

impl Stamp {
    /// A stamp for `inner_len` bytes of the type `ethertype`: identification zero, the lowest
    /// source port, Not-ECT, no UDP checksum.
    #[inline]
    pub const fn new(ethertype: EtherType, inner_len: usize) -> Self {
        Self {
            inner_len,
            ethertype,
            ident: 0,
            source_port: *crate::flow::SOURCE_PORTS.start(),
            ecn: Ecn::NotEct,
            dont_fragment: false,
            checksum: OuterChecksum::Zero,
        }
    }
}

/// What becomes of the outer UDP checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OuterChecksum {
    /// None. Over IPv6 only if the receiver is known to take it (RFC 6935).
    Zero,
    /// Computed, given the sum of the bytes that follow the template. That of a packet with a valid
    /// transport checksum is known without reading it: see
    /// [`checksum::sum_of_valid_packet`].
    Inner(Sum),
    /// The sum of the pseudo-header alone, for a kernel or NIC that completes it. Never for a wire.
    Partial,
}

/// Why a packet cannot be encapsulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StampError {
    /// The outer packet would exceed 65535 bytes.
    #[error("packet too long to encapsulate")]
    TooLong,
    /// The tunnel carries IP alone.
    #[error("not an IP packet")]
    NotIp,
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

    /// The part after UDP, which is put in front of the packet when the kernel's UDP socket makes
    /// the outer headers: tunnel header and inner Ethernet header, the latter with EtherType zero.
    #[inline]
    pub fn tunnel_bytes(&self) -> &[u8] {
        &self.bytes[self.tunnel_offset()..self.len()]
    }

    /// Length in bytes of the whole header.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.layout.len)
    }

    /// Never: a template has at least an IP header.
    #[inline]
    pub fn is_empty(&self) -> bool {
        false
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

    /// How many bytes longer the outer IP packet is than the inner one: what the overlay's MTU is
    /// below that of the underlay. In bridged networks the inner Ethernet header counts too.
    #[inline]
    pub fn overhead(&self) -> usize {
        let carries_frames = self.layout.udp.is_some() && self.layout.inner_eth.is_none();
        self.len() - self.ip_offset() + if carries_frames { eth::HEADER_LEN } else { 0 }
    }

    /// Writes [`tunnel_bytes`](Self::tunnel_bytes) for an inner packet of the type `ethertype`.
    ///
    /// # Panics
    /// If `out` is not [`tunnel_len`](Self::tunnel_len) bytes long.
    #[inline]
    pub fn write_tunnel(&self, ethertype: EtherType, out: &mut [u8]) {
        copy(out, self.tunnel_bytes());
        if self.layout.inner_eth.is_some() {
            let at = out.len() - 2;
            put_u16(out, at, ethertype.0);
        }
    }

    /// Writes the whole header for one packet.
    ///
    /// # Errors
    /// [`StampError`]; nothing is written then.
    ///
    /// # Panics
    /// If `out` is not [`len`](Self::len) bytes long.
    #[inline]
    pub fn stamp(&self, out: &mut [u8], stamp: &Stamp) -> Result<(), StampError> {
        let ip_len = u16::try_from(self.len() - self.ip_offset() + stamp.inner_len)
            .map_err(|_| StampError::TooLong)?;
        let protocol = match self.layout.udp {
            Some(_) => IpProtocol::UDP,
            None => ipip::protocol(stamp.ethertype).ok_or(StampError::NotIp)?,
        };
        copy(out, self.bytes());
        let (outer, tunnel) = out.split_at_mut(self.tunnel_offset());
        let outer = &mut outer[self.ip_offset()..];
        if self.layout.inner_eth.is_some() {
            let at = tunnel.len() - 2;
            put_u16(tunnel, at, stamp.ethertype.0);
        }
        let transport_len = ip_len - self.layout.version.header_len() as u16;
        match self.layout.version {
            IpVersion::V4 => self.stamp_v4(outer, stamp, ip_len, protocol),
            IpVersion::V6 => stamp_v6(outer, stamp, transport_len, protocol),
        }
        if self.layout.udp.is_some() {
            let udp = &mut outer[self.layout.version.header_len()..];
            self.stamp_udp(udp, stamp, transport_len);
        }
        Ok(())
    }

    #[inline]
    fn stamp_v4(&self, ip: &mut [u8], stamp: &Stamp, total_len: u16, protocol: IpProtocol) {
        let dont_fragment = self.dont_fragment || stamp.dont_fragment;
        let flags = if dont_fragment {
            crate::ipv4::DONT_FRAGMENT
        } else {
            0
        };
        ip[1] |= stamp.ecn as u8;
        put_u16(ip, 2, total_len);
        put_u16(ip, 4, stamp.ident);
        put_u16(ip, 6, flags);
        ip[9] = protocol.0;
        // All of these are zero in `ip_sum`: the checksum needs no pass over the header.
        let sum = u32::from(self.ip_sum.fold())
            + u32::from(stamp.ecn as u8)
            + u32::from(total_len)
            + u32::from(stamp.ident)
            + u32::from(flags)
            + u32::from(protocol.0);
        put_u16(ip, 10, Sum::of_u32(sum).checksum());
    }

    #[inline]
    fn stamp_udp(&self, out: &mut [u8], stamp: &Stamp, len: u16) {
        put_u16(out, 0, stamp.source_port);
        put_u16(out, 4, len);
        let checksum = match stamp.checksum {
            OuterChecksum::Zero => 0,
            OuterChecksum::Inner(inner) => {
                let ethertype = if self.layout.inner_eth.is_some() {
                    stamp.ethertype.0
                } else {
                    0
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
        put_u16(out, 6, checksum);
    }
}

#[inline]
fn stamp_v6(ip: &mut [u8], stamp: &Stamp, payload_len: u16, protocol: IpProtocol) {
    let first = u16_at(ip, 0) | (stamp.ecn as u16) << 4;
    put_u16(ip, 0, first);
    put_u16(ip, 4, payload_len);
    ip[6] = protocol.0;
}

/// Copies a header. The lengths that occur are constants for the compiler, which then moves whole
/// vectors and does not call memcpy.
#[inline]
fn copy(out: &mut [u8], header: &[u8]) {
    #[inline]
    fn fixed<const N: usize>(out: &mut [u8], header: &[u8]) {
        if let (Some(out), Some(header)) = (out.first_chunk_mut::<N>(), header.first_chunk()) {
            *out = *header;
        }
    }
    assert_eq!(
        out.len(),
        header.len(),
        "a template fills its buffer exactly"
    );
    match header.len() {
        TUNNEL => fixed::<TUNNEL>(out, header),
        OVER_V4 => fixed::<OVER_V4>(out, header),
        OVER_V6 => fixed::<OVER_V6>(out, header),
        OVER_V4_L2 => fixed::<OVER_V4_L2>(out, header),
        OVER_V6_L2 => fixed::<OVER_V6_L2>(out, header),
        _ => out.copy_from_slice(header),
    }
}

/// The lengths of routed VXLAN: after UDP, over IPv4 and IPv6, and the latter over Ethernet.
const TUNNEL: usize = vxlan::HEADER_LEN + eth::HEADER_LEN;
const OVER_V4: usize = crate::ipv4::HEADER_LEN + udp::HEADER_LEN + TUNNEL;
const OVER_V6: usize = crate::ipv6::HEADER_LEN + udp::HEADER_LEN + TUNNEL;
const OVER_V4_L2: usize = eth::HEADER_LEN + OVER_V4;
const OVER_V6_L2: usize = eth::HEADER_LEN + OVER_V6;
