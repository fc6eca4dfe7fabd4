//! Keeps packets for tunnels whose far end's MAC address is being resolved, so
//! that the first packets of a conversation are not lost.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;

use super::{Context, Edges, put};
use crate::batch::{BATCH_SIZE, Batch};
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::Frame;
use crate::tables::Tables;

/// Long enough for three requests, one a second.
const HOLD_TIME: Duration = Duration::from_secs(3);

/// The waiting packets of one worker, oldest first, at most a batch of them.
#[derive(Debug)]
pub(super) struct Hold {
    frames: VecDeque<(Instant, Frame)>,
}

impl Hold {
    pub(super) fn new() -> Self {
        Self {
            frames: VecDeque::with_capacity(BATCH_SIZE),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.frames.front().map(|&(deadline, _)| deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Moves the packets whose tunnel is resolved, or gone, to `edge`. The others
    /// keep their place and their deadline.
    pub(super) fn release(&mut self, tables: &Tables, edge: &mut Batch) {
        for _ in 0..self.frames.len() {
            let Some((deadline, frame)) = self.frames.pop_front() else {
                return;
            };
            let waits = tables
                .tunnel(frame.meta.tunnel)
                .is_some_and(|t| t.template.is_none());
            if waits {
                self.frames.push_back((deadline, frame));
            } else {
                put(edge, frame);
            }
        }
    }

    /// Gives everything up.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Frame> {
        self.frames.drain(..).map(|(_, frame)| frame)
    }

    /// Refuses the packets whose time is over.
    pub(super) fn expire(&mut self, now: Instant, edges: &mut Edges) {
        while self.deadline().is_some_and(|deadline| deadline <= now)
            && let Some((_, frame)) = self.frames.pop_front()
        {
            edges.refuse(frame, DropReason::NeighbourUnresolved);
        }
    }
}

pub(super) fn process(
    input: &mut Batch,
    _edges: &mut Edges,
    context: &Context<'_>,
    held: &mut Hold,
) {
    for frame in input.drain() {
        if held.frames.len() == BATCH_SIZE {
            context.discard(frame, DropReason::HoldFull);
            continue;
        }
        if let Some(destination) = destination(frame.data()) {
            context.report(Event::Unresolved {
                tunnel: frame.meta.tunnel,
                destination,
            });
        }
        held.frames.push_back((context.now + HOLD_TIME, frame));
    }
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::V4(Ipv4Packet::new_checked(packet).ok()?.dst_addr())),
        _ => Some(IpAddr::V6(Ipv6Packet::new_checked(packet).ok()?.dst_addr())),
    }
}
