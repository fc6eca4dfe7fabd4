//! Puts Ethernet headers in front of packets that leave by an Ethernet port. Those whose host has
//! no known MAC address wait.

use ringlay_encap::MacAddr;
use ringlay_encap::eth::{self, EthernetRepr};
use ringlay_encap::fragment::Fragmenter;
use ringlay_encap::segment::Segmenter;

use super::tunnel_encap::{ethertype, finish_checksum, fit_tcp};
use super::{Context, Edges, fragment, ip_input, put, segment};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso};
use crate::mempool::Mempool;
use crate::tables::Link;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>, pool: &Mempool) {
    for mut frame in input.drain() {
        let Some(link) = context.tables.link(frame.meta.egress) else {
            context.discard(frame, DropReason::PortGone);
            continue;
        };
        let Some(host) = link.neighbours.mac(frame.meta.remote.ip()) else {
            put(&mut edges.hold_host, frame);
            continue;
        };
        ip_input::note_too_long(&mut frame, link.mtu);
        match frame.meta.offload.gso {
            Gso::None if frame.len() > link.mtu => {
                send_in_pieces(frame, link, host, edges, pool, context);
            }
            Gso::None => send(frame, link, host, edges, context),
            _ => send_each(frame, link, host, edges, pool, context),
        }
    }
}

/// Sends a packet.
#[inline]
fn send(mut frame: Frame, link: &Link, host: MacAddr, edges: &mut Edges, context: &Context<'_>) {
    if !link.offloads && !finish_checksum(&mut frame) {
        return context.discard(frame, DropReason::IpMalformed);
    }
    put_header(&mut frame, link, host);
    edges.leave_by_port(frame, context);
}

/// Sends a packet that is too long in fragments, all or none, if it may be cut (RFC 1812 section
/// 5.2.6); the sender of another one is told.
fn send_in_pieces(
    mut frame: Frame,
    link: &Link,
    host: MacAddr,
    edges: &mut Edges,
    pool: &Mempool,
    context: &Context<'_>,
) {
    if !fragment::is_for(&frame, link.mtu) {
        return edges.refuse(frame, DropReason::TooBig);
    }
    if !finish_checksum(&mut frame) {
        return context.discard(frame, DropReason::IpMalformed);
    }
    let Ok(fragmenter) = Fragmenter::new(frame.data(), link.mtu) else {
        return context.discard(frame, DropReason::IpMalformed);
    };
    let count = fragmenter.count();
    if pool.available() < count {
        return context.discard(frame, DropReason::PoolExhausted);
    }
    if edges.port_output.room() < count {
        return context.discard(frame, DropReason::PortTxFull);
    }
    context.counters.fragmented.add(1);
    context.counters.segmented.add(count as u64 - 1);
    for index in 0..count {
        let len = fragmenter.header_len() + fragmenter.payload(index).len();
        let mut piece = pool.allocate_for(len).expect("as many were available");
        piece.set_len(len);
        let (header, payload) = piece.data_mut().split_at_mut(fragmenter.header_len());
        fragmenter.write_fragment(index, header, payload);
        piece.meta = frame.meta;
        put_header(&mut piece, link, host);
        edges.leave_by_port(piece, context);
    }
}

/// Sends a super-frame to a device that cuts it, or its packets to one that does not.
fn send_each(
    mut frame: Frame,
    link: &Link,
    host: MacAddr,
    edges: &mut Edges,
    pool: &Mempool,
    context: &Context<'_>,
) {
    if !fit_tcp(&mut frame, link.mtu) {
        return context.discard(frame, DropReason::IpMalformed);
    }
    let Ok(segmenter) = Segmenter::new(frame.data(), frame.meta.offload.gso_size) else {
        return context.discard(frame, DropReason::IpMalformed);
    };
    if segmenter.header_len() + segmenter.payload(0).len() > link.mtu {
        return edges.refuse(frame, DropReason::TooBig);
    }
    if link.offloads {
        put_header(&mut frame, link, host);
        return edges.leave_by_port(frame, context);
    }
    context.counters.segmented.add(segmenter.count() as u64 - 1);
    segment::into_frames(&frame, &segmenter, 0, pool, context, |mut packet| {
        put_header(&mut packet, link, host);
        edges.leave_by_port(packet, context);
    });
}

/// Puts the Ethernet header in front, and tells of the whole frame what is to be done to the packet.
#[inline]
fn put_header(frame: &mut Frame, link: &Link, dst: MacAddr) {
    let header = EthernetRepr {
        dst,
        src: link.mac,
        ethertype: ethertype(frame),
    };
    header.emit(frame.prepend(eth::HEADER_LEN));
    let offload = &mut frame.meta.offload;
    if !offload.needs_checksum && offload.gso == Gso::None {
        return;
    }
    offload.csum_start = offload.csum_start.saturating_add(eth::HEADER_LEN as u16);
    offload.header_len = offload.header_len.saturating_add(eth::HEADER_LEN as u16);
}
