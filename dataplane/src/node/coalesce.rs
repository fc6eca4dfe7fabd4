//! Merges the consecutive datagrams of a flow into one super-frame, so that
//! everything after it, the kernel's stack behind a TUN device included, does
//! its work once for up to 64 KiB.
//!
//! It runs on what came in one batch and keeps nothing for the next: no packet
//! waits for another. Only the first datagram's headers stay; payloads are
//! copied behind it, which costs less than the checksum that is verified anyway.

use ringlay_encap::Encapsulation;
use ringlay_encap::coalesce::{Coalescer, Protocol};
use ringlay_encap::flow::flow_hash;
use ringlay_encap::ip::IpVersion;

use super::{Context, uncut};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Ingress, Offload};
use crate::mempool::Mempool;

/// Flows that super-frames are built for at once.
const OPEN_MAX: usize = 8;

/// Super-frames that may grow.
#[derive(Debug, Default)]
pub(super) struct Coalesce {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    /// Tunnel header, then the packet with the payloads merged so far.
    frame: Frame,
    flow: u32,
    /// Where the packet begins.
    inner: usize,
    merged: Coalescer,
}

/// What is to become of a datagram.
enum Verdict {
    /// Its payload is part of a super-frame now.
    Merged,
    /// It may be continued.
    Begins {
        flow: u32,
        inner: usize,
        merged: Coalescer,
    },
    /// It stays as it is. Behind what came before it in its flow, if it has one.
    Alone { flow: Option<u32> },
}

impl Coalesce {
    pub(super) fn new() -> Self {
        Self {
            open: Vec::with_capacity(OPEN_MAX),
        }
    }

    /// Takes one frame from the underlay, a datagram or a train of them, and gives
    /// to `enter`, in each flow's order, what is not to be merged any further.
    pub(super) fn take(
        &mut self,
        mut frame: Frame,
        pool: &Mempool,
        hash_seed: u64,
        context: &Context<'_>,
        mut enter: impl FnMut(Frame),
    ) {
        let stride = usize::from(std::mem::take(&mut frame.meta.segment_size));
        let encapsulation = encapsulation(&frame, context);
        let is_train = stride != 0 && frame.len() > stride;
        let is_uncut = is_train && uncut::note_datagrams(&mut frame, stride, encapsulation);
        if is_uncut {
            let others = frame.len().div_ceil(stride) - 1;
            context.counters.coalesced.add(others as u64);
        }
        if is_uncut || !is_train {
            let verdict = self.judge(frame.data(), encapsulation, &frame, pool, hash_seed);
            return self.carry_out(verdict, Some(frame), context, &mut enter);
        }
        for datagram in frame.data().chunks(stride) {
            let verdict = self.judge(datagram, encapsulation, &frame, pool, hash_seed);
            let own = match verdict {
                Verdict::Merged => None,
                _ => pool.copy_of(datagram).map(|mut own| {
                    own.meta = frame.meta;
                    own
                }),
            };
            self.carry_out(verdict, own, context, &mut enter);
        }
    }

    /// Gives everything that is open to `enter`.
    pub(super) fn finish(&mut self, enter: impl FnMut(Frame)) {
        self.open.drain(..).map(Open::close).for_each(enter);
    }

    fn judge(
        &mut self,
        datagram: &[u8],
        encapsulation: Option<Encapsulation>,
        carrier: &Frame,
        pool: &Mempool,
        hash_seed: u64,
    ) -> Verdict {
        // What is wrong with one that has no packet inside is for decapsulation to say.
        let Some(inner) = encapsulation.and_then(|it| it.inner_ip(datagram)) else {
            return Verdict::Alone { flow: None };
        };
        let packet = &datagram[inner..];
        let flow = flow_hash(packet, hash_seed);
        let Offload {
            needs_checksum,
            gso,
            ..
        } = carrier.meta.offload;
        if needs_checksum || gso != Gso::None {
            return Verdict::Alone { flow: Some(flow) };
        }
        if let Some(open) = self.open.iter_mut().find(|open| open.flow == flow)
            && open.append(datagram, inner, carrier, pool)
        {
            return Verdict::Merged;
        }
        match Coalescer::begin(packet) {
            Some(merged) => Verdict::Begins {
                flow,
                inner,
                merged,
            },
            None => Verdict::Alone { flow: Some(flow) },
        }
    }

    fn carry_out(
        &mut self,
        verdict: Verdict,
        own: Option<Frame>,
        context: &Context<'_>,
        enter: &mut impl FnMut(Frame),
    ) {
        let flow = match &verdict {
            Verdict::Merged => return context.counters.coalesced.add(1),
            Verdict::Begins { flow, .. } => Some(*flow),
            Verdict::Alone { flow } => *flow,
        };
        // What came earlier in the flow goes first.
        if let Some(at) = self.open.iter().position(|open| Some(open.flow) == flow) {
            enter(self.open.remove(at).close());
        }
        let Some(frame) = own else {
            return context.counters.dropped(DropReason::PoolExhausted, 1);
        };
        match verdict {
            Verdict::Begins {
                flow,
                inner,
                merged,
            } => {
                if self.open.len() == OPEN_MAX {
                    enter(self.open.remove(0).close());
                }
                self.open.push(Open {
                    frame,
                    flow,
                    inner,
                    merged,
                });
            }
            _ => enter(frame),
        }
    }
}

impl Open {
    /// Adds a datagram's payload if it continues this super-frame.
    fn append(&mut self, datagram: &[u8], inner: usize, carrier: &Frame, pool: &Mempool) -> bool {
        let own = self.frame.data();
        let (header, packet) = datagram.split_at(inner);
        let same_tunnel = own[..self.inner] == *header
            && self.frame.meta.ingress == carrier.meta.ingress
            && self.frame.meta.remote.ip() == carrier.meta.remote.ip()
            // As in the kernel's GRO: a congestion mark is one packet's, not its neighbours'.
            && self.frame.meta.traffic_class == carrier.meta.traffic_class
            && self.frame.meta.ttl == carrier.meta.ttl;
        let fits = |frame: &Frame| frame.tailroom() >= packet.len();
        if !same_tunnel || !fits(&self.frame) && !pool.enlarge(&mut self.frame) {
            return false;
        }
        let own = self.frame.data();
        if !fits(&self.frame) || !self.merged.push(&own[inner..], packet) {
            return false;
        }
        let payload = &packet[self.merged.header_len()..];
        let len = self.frame.len();
        self.frame.set_len(len + payload.len());
        self.frame.data_mut()[len..].copy_from_slice(payload);
        true
    }

    /// The super-frame, or the packet as it came if nothing was added to it.
    fn close(mut self) -> Frame {
        if self.merged.count() == 1 {
            return self.frame;
        }
        let super_frame = self.merged.finish(&mut self.frame.data_mut()[self.inner..]);
        self.frame.meta.offload = Offload {
            needs_checksum: true,
            gso: match (super_frame.protocol, super_frame.version) {
                (Protocol::Udp, _) => Gso::UdpL4,
                (Protocol::Tcp, IpVersion::V4) => Gso::TcpV4,
                (Protocol::Tcp, IpVersion::V6) => Gso::TcpV6,
            },
            header_len: super_frame.header_len,
            gso_size: super_frame.segment_len,
            csum_start: super_frame.checksum_start,
            csum_offset: super_frame.checksum_offset,
            ..Offload::default()
        };
        self.frame
    }
}

/// What the endpoint that a frame came by is for.
#[inline]
fn encapsulation(frame: &Frame, context: &Context<'_>) -> Option<Encapsulation> {
    match frame.meta.ingress {
        Ingress::Underlay(id) => Some(context.tables.underlay(id)?.encapsulation),
        _ => None,
    }
}
