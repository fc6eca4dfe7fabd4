//! Cuts a super-frame into frames, or into trains of encapsulated datagrams, each train one frame
//! that the underlay's socket sends at once (UDP_SEGMENT, `udp(7)`).
//!
//! Each payload is copied once, behind its own headers: the pass over it is
//! needed for its checksum anyway, and one contiguous train costs the kernel
//! less than two vectors for every datagram.

use ringlay_encap::EtherType;
use ringlay_encap::eth::{self, EthernetFrame};
use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::Template;

use super::{Context, Edges, tunnel_encap};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Meta, Offload};
use crate::mempool::Mempool;

/// The most datagrams in a train (`UDP_MAX_SEGMENTS` in `linux/udp.h`; later
/// kernels allow more).
pub(super) const TRAIN_MAX: usize = 64;

/// The most bytes in a train: the payload of the largest UDP datagram over IPv4.
pub(super) const TRAIN_LEN_MAX: usize = 65_535 - 20 - 8;

/// Puts the trains of `frame` on `underlay_output`. Its `meta` must be that of the
/// encapsulated frame already. What does not fit the path goes one by one: the kernel
/// fragments single datagrams, but refuses such trains.
pub(super) fn cut(
    frame: &Frame,
    segmenter: &Segmenter<'_>,
    template: &Template,
    ethertype: EtherType,
    edges: &mut Edges,
    pool: &Mempool,
    context: &Context<'_>,
) {
    let tunnel_len = template.tunnel_bytes().len();
    let link = link_len(frame, template);
    let headers_len = tunnel_len + link;
    let stride = headers_len + segmenter.header_len() + segmenter.payload(0).len();
    let tunnel = context.tables.tunnel(frame.meta.tunnel);
    let oversized = tunnel.is_some_and(|tunnel| {
        // VLAN tags are part of what the path has to take.
        let packet = stride - tunnel_len - link.min(eth::HEADER_LEN);
        tunnel_encap::is_oversized(frame, packet, tunnel, context)
    });
    let per_train = if oversized {
        1
    } else {
        (TRAIN_LEN_MAX / stride).clamp(1, TRAIN_MAX)
    };
    let count = segmenter.count();
    context.counters.segmented.add(count as u64 - 1);
    let mut headers = [0; 64];
    template.write_tunnel(ethertype, &mut headers[..tunnel_len]);
    headers[tunnel_len..headers_len].copy_from_slice(&frame.data()[..link]);
    for first in (0..count).step_by(per_train) {
        let range = first..count.min(first + per_train);
        let datagrams = range.len();
        let Some(mut train) = pool.allocate() else {
            context
                .counters
                .dropped(DropReason::PoolExhausted, datagrams as u64);
            continue;
        };
        fill(&mut train, segmenter, &headers[..headers_len], range);
        train.meta = Meta {
            segment_size: if datagrams > 1 { stride as u16 } else { 0 },
            oversized,
            offload: Offload::default(),
            ..frame.meta
        };
        if let Err(train) = edges.underlay_output.push(train) {
            context
                .counters
                .dropped(DropReason::UnderlayTxFull, train.datagrams() as u64);
        }
    }
}

/// How many bytes of an Ethernet header and VLAN tags a super-frame for this tunnel begins with, which
/// each of its packets gets.
#[inline]
pub(super) fn link_len(frame: &Frame, template: &Template) -> usize {
    let header = template
        .is_bridged()
        .then(|| EthernetFrame::new_checked(frame.data()));
    header
        .and_then(Result::ok)
        .map_or(0, |header| header.payload_offset())
}

/// Writes each packet of `frame` to a frame of its own, complete and behind the same `link` bytes,
/// and hands it on.
pub(super) fn into_frames(
    frame: &Frame,
    segmenter: &Segmenter<'_>,
    link: usize,
    pool: &Mempool,
    context: &Context<'_>,
    mut hand_on: impl FnMut(Frame),
) {
    let count = segmenter.count();
    for index in 0..count {
        let len = link + segmenter.header_len() + segmenter.payload(index).len();
        let Some(mut packet) = pool.allocate_for(len) else {
            let rest = (count - index) as u64;
            return context.counters.dropped(DropReason::PoolExhausted, rest);
        };
        packet.meta = Meta {
            offload: Offload::default(),
            ..frame.meta
        };
        packet.set_len(len);
        let (front, rest) = packet.data_mut().split_at_mut(link);
        front.copy_from_slice(&frame.data()[..link]);
        let (header, payload) = rest.split_at_mut(segmenter.header_len());
        segmenter.write_segment(index, header, payload);
        hand_on(packet);
    }
}

/// Writes the datagrams of the segments in `range` one after another, each behind the same headers.
fn fill(
    train: &mut Frame,
    segmenter: &Segmenter<'_>,
    headers: &[u8],
    range: std::ops::Range<usize>,
) {
    let header_len = headers.len() + segmenter.header_len();
    let payload = range
        .clone()
        .map(|index| segmenter.payload(index).len())
        .sum::<usize>();
    train.set_len(range.len() * header_len + payload);
    let mut rest = train.data_mut();
    for index in range {
        let payload_len = segmenter.payload(index).len();
        let (datagram, tail) = rest.split_at_mut(header_len + payload_len);
        datagram[..headers.len()].copy_from_slice(headers);
        let (header, body) = datagram[headers.len()..].split_at_mut(segmenter.header_len());
        segmenter.write_segment(index, header, body);
        rest = tail;
    }
}
