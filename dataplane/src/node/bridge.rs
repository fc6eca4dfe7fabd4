//! Forwards the frames of bridged networks by their destination's MAC address: to where the tables
//! say that it is, or, if they do not say, everywhere else. Frames stay as they are: nothing is
//! answered, no time to live goes down, and VLAN tags are part of what is inside.

use ringlay_encap::MacAddr;
use ringlay_encap::eth::EthernetFrame;
use ringlay_encap::flow::flow_hash_frame;

use super::learn::{self, Told};
use super::uplink_output::Idents;
use super::{Context, Edges, frame_encap};
use crate::batch::{BATCH_SIZE, Batch};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::PortId;
use crate::mempool::Mempool;
use crate::tables::{Bridge, Place};

/// Room that is left for frames that are not bridged, and for those of the next batch.
const RESERVE: usize = 2 * BATCH_SIZE;

pub(super) fn process(
    input: &mut Batch,
    edges: &mut Edges,
    context: &Context<'_>,
    pool: &Mempool,
    told: &mut Told,
    idents: &mut Idents,
    hash_seed: u64,
) {
    let mut out = Out {
        edges,
        context,
        pool,
        idents,
    };
    for mut frame in input.drain() {
        let Some(bridge) = context.tables.bridge(frame.meta.network) else {
            context.discard(frame, DropReason::PortGone);
            continue;
        };
        match destination(&frame, bridge, told, context) {
            Ok(way) => {
                frame.meta.flow_hash = flow_hash_frame(frame.data(), hash_seed);
                match way {
                    Some(place) => out.send(frame, place),
                    None => out.flood(frame, bridge),
                }
            }
            Err(reason) => context.discard(frame, reason),
        }
    }
}

/// Where a frame is to go; none if everywhere. Its source is learned.
#[inline]
fn destination(
    frame: &Frame,
    bridge: &Bridge,
    told: &mut Told,
    context: &Context<'_>,
) -> Result<Option<Place>, DropReason> {
    let header = EthernetFrame::new_checked(frame.data());
    let header = header.map_err(|_| DropReason::EtherMalformed)?;
    let (dst, src) = (header.dst(), header.src());
    if !src.is_unicast() {
        return Err(DropReason::EtherMacForeign);
    }
    if is_of_link(dst) {
        return Err(DropReason::EtherLinkLocal);
    }
    let origin = match ingress(frame) {
        Some(port) => Some(Place::Port(port)),
        // Of a stranger, whom nothing can be sent back to, nothing is learned.
        None => bridge.tunnel(frame.meta.remote.ip()).map(Place::Tunnel),
    };
    if let Some(origin) = origin {
        learn::source(src, origin, frame.meta.network, bridge, told, context);
    }
    if dst.is_multicast() {
        return Ok(None);
    }
    match bridge.fdb.entry(dst).map(|entry| entry.place) {
        Some(place) if Some(place) == origin => Err(DropReason::FdbHairpin),
        Some(Place::Tunnel(_)) if ingress(frame).is_none() => Err(DropReason::FdbSplitHorizon),
        known => Ok(known),
    }
}

/// The port that a frame came by, if it did not come by a tunnel.
#[inline]
fn ingress(frame: &Frame) -> Option<PortId> {
    match frame.meta.ingress {
        Ingress::Ethernet(port) => Some(port),
        _ => None,
    }
}

/// Whether a group address is for the stations of one link, which bridges do not forward to (IEEE
/// 802.1Q table 8-1). As in Linux, bridge protocol data units pass where no spanning tree protocol
/// runs, lest loops go unnoticed by those that run it.
#[inline]
fn is_of_link(dst: MacAddr) -> bool {
    matches!(dst.0, [0x01, 0x80, 0xc2, 0, 0, 1..=0x0f])
}

/// Where frames go, and what they need on their way.
struct Out<'a> {
    edges: &'a mut Edges,
    context: &'a Context<'a>,
    pool: &'a Mempool,
    idents: &'a mut Idents,
}

impl Out<'_> {
    #[inline]
    fn send(&mut self, mut frame: Frame, place: Place) {
        match place {
            Place::Port(port) if self.edges.port_output.room() > RESERVE => {
                frame.meta.egress = port;
                self.edges.leave_by_port(frame, self.context);
            }
            Place::Port(_) => self.context.discard(frame, DropReason::PortTxFull),
            Place::Tunnel(_) if self.edges.underlay_output.room() <= RESERVE => {
                self.context.discard(frame, DropReason::UnderlayTxFull);
            }
            Place::Tunnel(tunnel) => {
                frame.meta.tunnel = tunnel;
                let (pool, context) = (self.pool, self.context);
                frame_encap::send(frame, self.edges, pool, context, self.idents);
            }
        }
    }

    /// Sends a frame by all ways but the one it came by, to the last one as it is and to the others
    /// copies. Where there is no memory for one, that one is missing.
    fn flood(&mut self, frame: Frame, bridge: &Bridge) {
        let mut ways = bridge.flood(ingress(&frame)).peekable();
        let mut rest = Some(frame);
        while let Some(place) = ways.next() {
            let Some(frame) = rest.take() else { break };
            if ways.peek().is_none() {
                return self.send(frame, place);
            }
            self.context.counters.flooded.add(1);
            match copy(&frame, self.pool) {
                Some(copy) => self.send(copy, place),
                None => self.context.counters.dropped(DropReason::PoolExhausted, 1),
            }
            rest = Some(frame);
        }
        if let Some(frame) = rest {
            self.context.discard(frame, DropReason::FloodNowhere);
        }
    }
}

/// A second frame like this one, unless that would take the memory that receiving needs.
fn copy(frame: &Frame, pool: &Mempool) -> Option<Frame> {
    if pool.available() <= RESERVE {
        return None;
    }
    let mut copy = pool.copy_of(frame.data())?;
    copy.meta = frame.meta;
    Some(copy)
}
