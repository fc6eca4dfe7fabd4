//! Cuts IPv4 packets that are too long for their tunnel, and may be cut, into fragments that fit,
//! in networks that ask for it; the host that they go to puts them together. Others leave whole,
//! to be fragmented outside.
//!
//! Fragments leave by the sockets, in trains, also where there is an uplink, as all does that is
//! too long for one outer packet. All fragments of a packet leave, or none.

use ringlay_encap::fragment::Fragmenter;
use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::Template;
use ringlay_encap::{EtherType, Ipv4Packet, udp};

use super::segment::{self, TRAIN_LEN_MAX, TRAIN_MAX};
use super::tunnel_encap::finish_checksum;
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Meta, Offload};
use crate::mempool::Mempool;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>, pool: &Mempool) {
    for mut frame in input.drain() {
        let tunnel = context.tables.tunnel(frame.meta.tunnel);
        let tunnel = tunnel.and_then(|tunnel| Some((tunnel.mtu, tunnel.template.as_ref()?)));
        let Some((mtu, template)) = tunnel else {
            context.discard(frame, DropReason::TunnelGone);
            continue;
        };
        let mut out = Out {
            mtu,
            template,
            edges,
            context,
            pool,
        };
        let gso = frame.meta.offload.gso;
        match gso {
            Gso::None if finish_checksum(&mut frame) => out.fragment(&frame),
            Gso::None => context.discard(frame, DropReason::IpMalformed),
            _ => out.fragment_each(&frame),
        }
    }
}

/// Whether a packet, or each of those that a super-frame stands for, is to be cut for a tunnel with
/// this MTU. Super-frames of TCP are cut into packets that fit anyway.
#[inline]
pub(super) fn is_for(frame: &Frame, mtu: usize) -> bool {
    let data = frame.data();
    if frame.len() <= mtu || data[0] >> 4 != 4 {
        return false;
    }
    let packet = Ipv4Packet::new_unchecked(data);
    let longest = match frame.meta.offload.gso {
        Gso::None => frame.len(),
        Gso::UdpL4 => {
            let payload = usize::from(frame.meta.offload.gso_size);
            frame
                .len()
                .min(packet.header_len() + udp::HEADER_LEN + payload)
        }
        Gso::TcpV4 | Gso::TcpV6 => 0,
    };
    longest > mtu && !packet.dont_fragment()
}

/// Where fragments go, and what they need on their way.
struct Out<'a> {
    mtu: usize,
    template: &'a Template,
    edges: &'a mut Edges,
    context: &'a Context<'a>,
    pool: &'a Mempool,
}

impl Out<'_> {
    /// Cuts each of the packets that a super-frame stands for.
    fn fragment_each(&mut self, frame: &Frame) {
        let counters = self.context.counters;
        let Ok(segmenter) = Segmenter::new(frame.data(), frame.meta.offload.gso_size) else {
            return counters.dropped(DropReason::IpMalformed, 1);
        };
        counters.segmented.add(segmenter.count() as u64 - 1);
        let (pool, context) = (self.pool, self.context);
        segment::into_frames(frame, &segmenter, 0, pool, context, |packet| {
            self.fragment(&packet);
        });
    }

    /// Puts the fragments of a packet on `underlay_output`, or counts why none.
    fn fragment(&mut self, frame: &Frame) {
        let counters = self.context.counters;
        let Ok(fragmenter) = Fragmenter::new(frame.data(), self.mtu) else {
            return counters.dropped(DropReason::IpMalformed, 1);
        };
        let headers = self.template.tunnel_bytes().len() + fragmenter.header_len();
        let stride = headers + fragmenter.payload(0).len();
        let per_train = (TRAIN_LEN_MAX / stride).clamp(1, TRAIN_MAX);
        let count = fragmenter.count();
        let trains = count.div_ceil(per_train);
        if self.pool.available() < trains {
            return counters.dropped(DropReason::PoolExhausted, 1);
        }
        if self.edges.underlay_output.room() < trains {
            return counters.dropped(DropReason::UnderlayTxFull, 1);
        }
        counters.fragmented.add(u64::from(count > 1));
        counters.segmented.add(count as u64 - 1);
        for first in (0..count).step_by(per_train) {
            let mut train = self.pool.allocate().expect("as many were available");
            let fragments = first..count.min(first + per_train);
            train.meta = Meta {
                segment_size: if fragments.len() > 1 {
                    stride as u16
                } else {
                    0
                },
                oversized: false,
                offload: Offload::default(),
                ..frame.meta
            };
            self.fill(&mut train, &fragmenter, fragments);
            let pushed = self.edges.underlay_output.push(train);
            debug_assert!(pushed.is_ok(), "there was room for all");
        }
    }

    /// Writes the encapsulated fragments one after another.
    fn fill(
        &self,
        train: &mut Frame,
        fragmenter: &Fragmenter<'_>,
        fragments: std::ops::Range<usize>,
    ) {
        let tunnel_len = self.template.tunnel_bytes().len();
        let header_len = tunnel_len + fragmenter.header_len();
        let payloads = fragments
            .clone()
            .map(|index| fragmenter.payload(index).len());
        train.set_len(fragments.len() * header_len + payloads.sum::<usize>());
        let mut rest = train.data_mut();
        for index in fragments {
            let len = header_len + fragmenter.payload(index).len();
            let (datagram, tail) = rest.split_at_mut(len);
            let (tunnel, inner) = datagram.split_at_mut(tunnel_len);
            self.template.write_tunnel(EtherType::IPV4, tunnel);
            let (header, payload) = inner.split_at_mut(fragmenter.header_len());
            fragmenter.write_fragment(index, header, payload);
            rest = tail;
        }
    }
}
