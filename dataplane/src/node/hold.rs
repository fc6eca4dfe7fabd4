//! Keeps packets for tunnels whose far end's MAC address is being resolved, so
//! that the first packets of a conversation are not lost. For hosts on Ethernet ports
//! `hold_host` does the same, in the same place, where answers to those hosts wait, too, that have
//! moved to another MAC address.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ringlay_encap::MacAddr;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;

use super::{Context, Edges, put};
use crate::batch::{BATCH_SIZE, Batch};
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::Frame;
use crate::id::{PortId, TunnelId};
use crate::tables::Tables;

/// Long enough for three requests, one a second.
const HOLD_TIME: Duration = Duration::from_secs(3);

/// Answers wait only while fewer than this wait: whoever asks from many MAC addresses leaves room for
/// packets.
const ANSWERS_BELOW: usize = BATCH_SIZE / 2;

/// The waiting packets of one worker, oldest first, at most a batch of them.
#[derive(Debug)]
pub(super) struct Hold {
    frames: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    deadline: Instant,
    awaited: Awaited,
    frame: Frame,
}

/// Whose MAC address a packet waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Awaited {
    /// That of a tunnel's far end.
    FarEnd(TunnelId),
    /// That of a host on an Ethernet port.
    Host(PortId, IpAddr),
    /// That such a host has now, in the place of the one that it had.
    Moved(PortId, IpAddr, MacAddr),
}

impl Awaited {
    /// Whether it is still to come.
    fn is_missing(self, tables: &Tables) -> bool {
        match self {
            Self::FarEnd(tunnel) => tables.tunnel(tunnel).is_some_and(|t| t.template.is_none()),
            Self::Host(port, host) => tables
                .link(port)
                .is_some_and(|link| link.neighbours.mac(host).is_none()),
            Self::Moved(port, host, mac) => tables
                .link(port)
                .and_then(|link| link.neighbours.mac(host))
                .is_some_and(|known| known != mac),
        }
    }
}

impl Hold {
    pub(super) fn new() -> Self {
        Self {
            frames: VecDeque::with_capacity(BATCH_SIZE),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.frames.front().map(|waiting| waiting.deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Keeps a packet, unless there are too many.
    pub(super) fn keep(&mut self, frame: Frame, awaited: Awaited, context: &Context<'_>) {
        if self.frames.len() == BATCH_SIZE {
            return context.discard(frame, DropReason::HoldFull);
        }
        let deadline = context.now + HOLD_TIME;
        self.frames.push_back(Waiting {
            deadline,
            awaited,
            frame,
        });
    }

    /// Keeps an answer to a host until the tables know the host by the MAC address that it asked from:
    /// what it sends after that is answered to this one. It goes at once where that would take
    /// the room of packets.
    pub(super) fn keep_answer(
        &mut self,
        frame: Frame,
        awaited: Awaited,
        edges: &mut Edges,
        context: &Context<'_>,
    ) {
        if self.frames.len() >= ANSWERS_BELOW {
            edges.leave_by_port(frame, context);
        } else {
            self.keep(frame, awaited, context);
        }
    }

    /// Lets the packets go on whose far end or host is resolved, or gone. The others keep their
    /// place and their deadline.
    pub(super) fn release(&mut self, tables: &Tables, edges: &mut Edges) {
        for _ in 0..self.frames.len() {
            let Some(waiting) = self.frames.pop_front() else {
                return;
            };
            if waiting.awaited.is_missing(tables) {
                self.frames.push_back(waiting);
                continue;
            }
            let edge = match waiting.awaited {
                Awaited::FarEnd(_) => &mut edges.tunnel_encap,
                Awaited::Host(..) => &mut edges.ether_output,
                Awaited::Moved(..) => &mut edges.port_output,
            };
            put(edge, waiting.frame);
        }
    }

    /// Gives everything up.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Frame> {
        self.frames.drain(..).map(|waiting| waiting.frame)
    }

    /// Refuses the packets whose time is over, and lets answers go.
    pub(super) fn expire(&mut self, now: Instant, edges: &mut Edges) {
        while self.deadline().is_some_and(|deadline| deadline <= now)
            && let Some(waiting) = self.frames.pop_front()
        {
            match waiting.awaited {
                Awaited::Moved(..) => put(&mut edges.port_output, waiting.frame),
                _ => edges.refuse(waiting.frame, DropReason::NeighbourUnresolved),
            }
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
        let tunnel = frame.meta.tunnel;
        if let Some(destination) = destination(frame.data()) {
            context.report(Event::Unresolved {
                tunnel,
                destination,
            });
        }
        held.keep(frame, Awaited::FarEnd(tunnel), context);
    }
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::V4(Ipv4Packet::new_checked(packet).ok()?.dst_addr())),
        _ => Some(IpAddr::V6(Ipv6Packet::new_checked(packet).ok()?.dst_addr())),
    }
}
