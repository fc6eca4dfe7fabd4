//! Puts the tunnel's ready-made headers in front of an IP packet, or of every
//! packet that a super-frame stands for; where the underlay has an uplink, in front of
//! the super-frame, or whole frames where that is a wire.

use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::segment::{self, Segmenter};
use ringlay_encap::template::Template;
use ringlay_encap::{EtherType, IpFields, encap_limit};

use super::uplink_output::{self, Idents};
use super::{Context, Edges, fragment, nesting, put, wire_output};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Offload};
use crate::mempool::Mempool;
use crate::tables::Tunnel;

pub(super) fn process(
    input: &mut Batch,
    edges: &mut Edges,
    context: &Context<'_>,
    pool: &Mempool,
    idents: &mut Idents,
) {
    for mut frame in input.drain() {
        let tables = context.tables;
        let known = tables.tunnel(frame.meta.tunnel);
        let Some((tunnel, network)) = known.and_then(|t| Some((t, tables.network(t.network)?)))
        else {
            context.discard(frame, DropReason::TunnelGone);
            continue;
        };
        let Some(template) = &tunnel.template else {
            put(&mut edges.hold, frame);
            continue;
        };
        let (id, local) = (tunnel.network, tunnel.local);
        let admitted = if template.is_plain() {
            // No tunnel is entered.
            Ok(None)
        } else {
            nesting::admit(frame.data(), local, id, network, tables)
        };
        match admitted {
            Ok(limit) => frame.meta.encap_limit = limit,
            Err(reason) => {
                edges.refuse(frame, reason);
                continue;
            }
        }
        let inner = ip_fields(frame.data());
        frame.meta.underlay = tunnel.underlay;
        frame.meta.remote = tunnel.remote;
        frame.meta.traffic_class = template.traffic_class(inner.traffic_class);
        frame.meta.ttl = network.ttl.map_or(0, |ttl| ttl.encapsulated(inner.ttl));
        if network.fragment && fragment::is_for(&frame, tunnel.mtu) {
            put(&mut edges.fragment, frame);
            continue;
        }
        match frame.meta.offload.gso {
            Gso::None => encapsulate(frame, tunnel, template, edges, context, idents),
            _ => encapsulate_each(frame, tunnel, template, edges, pool, context, idents),
        }
    }
}

/// Encapsulates a packet.
#[inline]
fn encapsulate(
    mut frame: Frame,
    tunnel: &Tunnel,
    template: &Template,
    edges: &mut Edges,
    context: &Context<'_>,
    idents: &mut Idents,
) {
    if must_shrink(frame.data(), frame.len(), tunnel) {
        return edges.refuse(frame, DropReason::TooBig);
    }
    frame.meta.oversized = is_oversized(&frame, frame.len(), tunnel, context);
    if !finish_checksum(&mut frame) {
        return context.discard(frame, DropReason::IpMalformed);
    }
    let ethertype = ethertype(&frame);
    if by_uplink(&frame, template) {
        let done = match context.tables.wire(frame.meta.underlay) {
            // To be fragmented, which is the kernel's business.
            Some(_) if frame.meta.oversized => false,
            Some(limit) => wire_output::encapsulate(&mut frame, template, ethertype, limit, idents),
            None => uplink_output::encapsulate(&mut frame, template, ethertype, 0, 1, idents),
        };
        if done {
            return edges.leave_by_uplink(frame, context);
        }
    }
    let header = frame.prepend(template.tunnel_bytes().len());
    template.write_tunnel(ethertype, header);
    edges.leave_by_underlay(frame, context);
}

/// Encapsulates a super-frame for the uplink, or its packets for the sockets.
fn encapsulate_each(
    mut frame: Frame,
    tunnel: &Tunnel,
    template: &Template,
    edges: &mut Edges,
    pool: &Mempool,
    context: &Context<'_>,
    idents: &mut Idents,
) {
    if !fit_tcp(&mut frame, tunnel.mtu) {
        return context.discard(frame, DropReason::IpMalformed);
    }
    let Ok(segmenter) = Segmenter::new(frame.data(), frame.meta.offload.gso_size) else {
        return context.discard(frame, DropReason::IpMalformed);
    };
    let longest = segmenter.header_len() + segmenter.payload(0).len();
    if must_shrink(frame.data(), longest, tunnel) {
        return edges.refuse(frame, DropReason::TooBig);
    }
    if segmenter.count() == 1 {
        frame.meta.offload.gso = Gso::None;
        return encapsulate(frame, tunnel, template, edges, context, idents);
    }
    let (header_len, count) = (segmenter.header_len(), segmenter.count());
    let ethertype = ethertype(&frame);
    if !by_uplink(&frame, template) {
        return super::segment::cut(
            &frame, &segmenter, template, ethertype, edges, pool, context,
        );
    }
    match context.tables.wire(frame.meta.underlay) {
        Some(limit) if longest <= tunnel.mtu && wire_output::fits(template, longest, limit) => {
            return wire_output::cut(&frame, &segmenter, template, edges, pool, context, idents);
        }
        Some(_) => {}
        None => {
            frame.meta.oversized = longest > tunnel.mtu;
            if uplink_output::encapsulate(
                &mut frame, template, ethertype, header_len, count, idents,
            ) {
                return edges.leave_by_uplink(frame, context);
            }
        }
    }
    // Too long for one outer packet: the sockets take it in pieces.
    match Segmenter::new(frame.data(), frame.meta.offload.gso_size) {
        Ok(segmenter) => super::segment::cut(
            &frame, &segmenter, template, ethertype, edges, pool, context,
        ),
        Err(_) => context.discard(frame, DropReason::IpMalformed),
    }
}

/// What tunnels take over from the header of a packet that was let in.
#[inline]
pub(super) fn ip_fields(packet: &[u8]) -> IpFields {
    if packet[0] >> 4 == 4 {
        IpFields {
            traffic_class: packet[1],
            ttl: packet[8],
        }
    } else {
        IpFields {
            traffic_class: packet[0] << 4 | packet[1] >> 4,
            ttl: packet[7],
        }
    }
}

#[inline]
pub(super) fn ethertype(frame: &Frame) -> EtherType {
    if frame.data()[0] >> 4 == 4 {
        EtherType::IPV4
    } else {
        EtherType::IPV6
    }
}

/// Computes a checksum that the sender left to its device: none leaves the node
/// unfinished. False if its place lies outside the packet.
#[inline]
pub(super) fn finish_checksum(frame: &mut Frame) -> bool {
    let Offload {
        needs_checksum,
        csum_start,
        csum_offset,
        ..
    } = frame.meta.offload;
    frame.meta.offload = Offload::default();
    !needs_checksum
        || segment::complete_checksum(frame.data_mut(), csum_start.into(), csum_offset.into())
}

/// Makes the packets that a super-frame of TCP is cut into small enough: they are not on their way
/// yet, and a stream may be cut anywhere. False if it is no such super-frame as it claims.
#[inline]
pub(super) fn fit_tcp(frame: &mut Frame, mtu: usize) -> bool {
    let offload = frame.meta.offload;
    let hint = usize::from(offload.header_len) + usize::from(offload.gso_size);
    let seems_to_fit = offload.header_len != 0 && hint <= mtu;
    if seems_to_fit || !matches!(offload.gso, Gso::TcpV4 | Gso::TcpV6) {
        return true;
    }
    let Ok(segmenter) = Segmenter::new(frame.data(), offload.gso_size) else {
        return false;
    };
    let header_len = segmenter.header_len();
    if header_len + segmenter.payload(0).len() > mtu && mtu > header_len {
        frame.meta.offload.gso_size = (mtu - header_len) as u16; // less than it was
    }
    true
}

/// Whether a packet leaves by an uplink: those have no place for an encapsulation limit.
#[inline]
fn by_uplink(frame: &Frame, template: &Template) -> bool {
    uplink_output::is_for(template) && frame.meta.encap_limit.is_none()
}

/// Whether the path takes an inner packet of `len` bytes only in pieces. The tunnel's MTU has room
/// for an encapsulation limit where all its packets have one, but not for that of a few.
#[inline]
pub(super) fn is_oversized(
    frame: &Frame,
    len: usize,
    tunnel: &Tunnel,
    context: &Context<'_>,
) -> bool {
    let usual = || context.tables.network(tunnel.network)?.encap_limit;
    let extra = match frame.meta.encap_limit {
        Some(_) if usual().is_none() => encap_limit::OPTION_HEADER_LEN,
        _ => 0,
    };
    len + extra > tunnel.mtu
}

/// Whether the sender must be told to send smaller packets than one of `len` bytes.
/// An IPv4 packet that allows fragmentation is sent anyway: the underlay fragments
/// the outer packet, which is better than a black hole. Without encapsulation nobody does.
#[inline]
fn must_shrink(packet: &[u8], len: usize, tunnel: &Tunnel) -> bool {
    if packet[0] >> 4 == 6 {
        return len > tunnel.mtu_of(IpVersion::V6);
    }
    let is_plain = tunnel.template.as_ref().is_some_and(Template::is_plain);
    len > tunnel.mtu && (is_plain || Ipv4Packet::new_unchecked(packet).dont_fragment())
}
