//! Puts the tunnel's ready-made headers in front of the frames of bridged networks. What
//! `tunnel_encap` does for packets, but that nobody is told of what does not fit: such frames are
//! fragmented outside.

use ringlay_encap::EtherType;
use ringlay_encap::eth;
use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::Template;

use super::tunnel_encap::{finish_checksum, is_oversized};
use super::uplink_output::{self, Idents};
use super::{Context, Edges, inside, nesting, segment, wire_output};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso};
use crate::mempool::Mempool;
use crate::tables::Tunnel;

const BRIDGED: EtherType = EtherType::BRIDGED;

/// Sends a frame through the tunnel `meta.tunnel`.
#[inline]
pub(super) fn send(
    mut frame: Frame,
    edges: &mut Edges,
    pool: &Mempool,
    context: &Context<'_>,
    idents: &mut Idents,
) {
    let tables = context.tables;
    let known = tables.tunnel(frame.meta.tunnel).and_then(|tunnel| {
        let network = tables.network(tunnel.network)?;
        Some((tunnel, tunnel.template.as_ref()?, network))
    });
    let Some((tunnel, template, network)) = known else {
        return context.discard(frame, DropReason::TunnelGone);
    };
    let packet = inside::ip_packet(frame.data());
    if let Some(at) = packet {
        let (local, id) = (tunnel.local, tunnel.network);
        match nesting::admit(&frame.data()[at..], local, id, network, tables) {
            Ok(limit) => frame.meta.encap_limit = limit,
            Err(reason) => return context.discard(frame, reason),
        }
    } else {
        frame.meta.encap_limit = network.encap_limit;
    }
    let inner = inside::fields(frame.data(), BRIDGED);
    frame.meta.underlay = tunnel.underlay;
    frame.meta.remote = tunnel.remote;
    frame.meta.traffic_class = template.traffic_class(inner.traffic_class);
    frame.meta.ttl = network.ttl.map_or(0, |ttl| ttl.encapsulated(inner.ttl));
    let out = Out {
        tunnel,
        template,
        edges,
        context,
        idents,
    };
    match (frame.meta.offload.gso, packet) {
        (Gso::None, _) => out.one(frame),
        (_, Some(at)) => out.each(frame, at, pool),
        (_, None) => context.discard(frame, DropReason::IpMalformed),
    }
}

/// Where a frame goes, and what it needs on its way.
struct Out<'a> {
    tunnel: &'a Tunnel,
    template: &'a Template,
    edges: &'a mut Edges,
    context: &'a Context<'a>,
    idents: &'a mut Idents,
}

impl Out<'_> {
    /// Encapsulates a frame that is not to be cut.
    #[inline]
    fn one(self, mut frame: Frame) {
        let (template, context) = (self.template, self.context);
        let len = frame.len().saturating_sub(eth::HEADER_LEN);
        frame.meta.oversized = is_oversized(&frame, len, self.tunnel, context);
        if !finish_checksum(&mut frame) {
            return context.discard(frame, DropReason::EtherMalformed);
        }
        let wire = context.tables.wire(frame.meta.underlay);
        if by_uplink(&frame, template, wire) {
            let done = match wire {
                // To be fragmented, which is the kernel's business.
                Some(_) if frame.meta.oversized => false,
                Some(limit) => {
                    wire_output::encapsulate(&mut frame, template, BRIDGED, limit, self.idents)
                }
                None => {
                    uplink_output::encapsulate(&mut frame, template, BRIDGED, 0, 1, self.idents)
                }
            };
            if done {
                return self.edges.leave_by_uplink(frame, context);
            }
        }
        let header = frame.prepend(template.tunnel_bytes().len());
        template.write_tunnel(BRIDGED, header);
        self.edges.leave_by_underlay(frame, context);
    }

    /// Encapsulates a super-frame, whose packet begins at `at`, for the uplink, or the frames that
    /// it stands for.
    fn each(self, mut frame: Frame, at: usize, pool: &Mempool) {
        let (template, context) = (self.template, self.context);
        // VLAN tags are part of what the path has to take.
        let mtu = self.tunnel.mtu.saturating_sub(at - eth::HEADER_LEN);
        fit_tcp(&mut frame, at, mtu);
        let Ok(segmenter) = Segmenter::new(&frame.data()[at..], frame.meta.offload.gso_size) else {
            return context.discard(frame, DropReason::IpMalformed);
        };
        let count = segmenter.count();
        if count == 1 {
            frame.meta.offload.gso = Gso::None;
            return self.one(frame);
        }
        let header_len = at + segmenter.header_len();
        let longest = header_len + segmenter.payload(0).len();
        let fits = longest - at <= mtu;
        let wire = context.tables.wire(frame.meta.underlay);
        match wire.filter(|_| fits && by_uplink(&frame, template, wire)) {
            Some(limit) if wire_output::fits(template, longest, limit) => {
                let (edges, idents) = (self.edges, self.idents);
                return wire_output::cut(
                    &frame, &segmenter, template, edges, pool, context, idents,
                );
            }
            _ => {}
        }
        if wire.is_none() && at == eth::HEADER_LEN && by_uplink(&frame, template, wire) {
            frame.meta.oversized = !fits;
            let idents = self.idents;
            if uplink_output::encapsulate(&mut frame, template, BRIDGED, header_len, count, idents)
            {
                return self.edges.leave_by_uplink(frame, context);
            }
        }
        // Also what is too long for one outer packet: the sockets take it in pieces.
        match Segmenter::new(&frame.data()[at..], frame.meta.offload.gso_size) {
            Ok(segmenter) => segment::cut(
                &frame, &segmenter, template, BRIDGED, self.edges, pool, context,
            ),
            Err(_) => context.discard(frame, DropReason::IpMalformed),
        }
    }
}

/// Makes the frames that a super-frame of TCP is cut into small enough: a stream may be cut anywhere.
fn fit_tcp(frame: &mut Frame, at: usize, mtu: usize) {
    let offload = frame.meta.offload;
    if !matches!(offload.gso, Gso::TcpV4 | Gso::TcpV6) {
        return;
    }
    let Ok(segmenter) = Segmenter::new(&frame.data()[at..], offload.gso_size) else {
        return;
    };
    let header_len = segmenter.header_len();
    if header_len + segmenter.payload(0).len() > mtu && mtu > header_len {
        frame.meta.offload.gso_size = (mtu - header_len) as u16; // less than it was
    }
}

/// Whether a frame leaves by an uplink: those have no place for an encapsulation limit, and those
/// that are no wires none for frames in tunnels right above IP.
#[inline]
fn by_uplink(frame: &Frame, template: &Template, wire: Option<usize>) -> bool {
    uplink_output::is_for(template)
        && frame.meta.encap_limit.is_none()
        && (wire.is_some() || template.udp_offset().is_some())
}
