//! The nodes of the forwarding graph, one a file, and the order they run in.
//!
//! A node consumes its input batch and puts every frame on exactly one edge, or
//! drops it under a named reason. Nodes do no IO, take no lock, read no clock
//! and allocate nothing.

mod arp_input;
mod hold;
mod icmp_error;
mod ip_input;
mod ip_lookup;
mod ndisc_input;
mod tunnel_encap;
mod vxlan_decap;
mod vxlan_output;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Instant;

use crossbeam::channel::Sender;

use crate::batch::Batch;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::id::TunnelId;
use crate::tables::{Network, NextHop, Tables};

use self::hold::Hold;
use self::icmp_error::TokenBucket;

/// What nodes may use besides the frames.
#[derive(Debug)]
pub struct Context<'a> {
    /// The tables in force for this batch.
    pub tables: &'a Tables,
    /// The worker's counters.
    pub counters: &'a WorkerCounters,
    /// The queue to the control plane.
    pub events: &'a Sender<Event>,
    /// The time of the batch.
    pub now: Instant,
}

impl Context<'_> {
    /// Drops a frame and counts why.
    #[inline]
    fn discard(&self, frame: Frame, reason: DropReason) {
        drop(frame);
        self.counters.dropped(reason, 1);
    }

    /// Tells the control plane, or counts that it could not be told.
    fn report(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.counters.events_lost.add(1);
        }
    }
}

/// The batches between nodes. Every edge has room for a whole input batch, and
/// each frame is on one edge, so none overflows.
#[derive(Debug, Default)]
struct Edges {
    vxlan_decap: Batch,
    ip_input: Batch,
    arp_input: Batch,
    ndisc_input: Batch,
    ip_lookup: Batch,
    tunnel_encap: Batch,
    icmp_error: Batch,
    hold: Batch,
    port_output: Batch,
    underlay_output: Batch,
}

#[inline]
fn put(edge: &mut Batch, frame: Frame) {
    let pushed = edge.push(frame);
    debug_assert!(pushed.is_ok(), "an edge holds a whole batch");
}

impl Edges {
    /// Sends a frame to `icmp_error`, to be dropped for `fault` and its sender told.
    #[inline]
    fn refuse(&mut self, mut frame: Frame, fault: DropReason) {
        frame.meta.fault = fault;
        put(&mut self.icmp_error, frame);
    }
}

/// The forwarding graph of one worker, with the state that outlives a batch.
#[derive(Debug)]
pub struct Graph {
    edges: Edges,
    /// The batch that the running node consumes.
    input: Batch,
    held: Hold,
    icmp_budget: TokenBucket,
    hash_seed: u64,
}

impl Graph {
    /// An empty graph. Graphs with the same seed give a flow the same hash.
    pub fn new(hash_seed: u64, now: Instant) -> Self {
        Self {
            edges: Edges::default(),
            input: Batch::new(),
            held: Hold::new(),
            icmp_budget: TokenBucket::new(now),
            hash_seed,
        }
    }

    /// Forwards every frame of `received` to an output or a drop.
    pub fn run(&mut self, received: &mut Batch, context: &Context<'_>) {
        for frame in received.drain() {
            match frame.meta.ingress {
                Ingress::Port(_) => put(&mut self.edges.ip_input, frame),
                Ingress::Underlay(_) => put(&mut self.edges.vxlan_decap, frame),
                Ingress::Node => put(&mut self.edges.ip_lookup, frame),
            }
        }
        self.forward(context);
    }

    /// Sends an Ethernet frame of this node's own through a tunnel.
    pub fn inject(&mut self, mut frame: Frame, tunnel: TunnelId, context: &Context<'_>) {
        context.counters.originated.add(1);
        let tables = context.tables;
        let known = tables
            .tunnel(tunnel)
            .and_then(|t| Some((t, tables.network(t.network)?)));
        let Some((tunnel, network)) = known else {
            return context.discard(frame, DropReason::TunnelGone);
        };
        vxlan_output::encapsulate(&mut frame, network, tunnel.remote);
        put(&mut self.edges.underlay_output, frame);
    }

    /// Tries the waiting frames again; call it when the tables changed.
    pub fn release_held(&mut self, context: &Context<'_>) {
        self.held
            .release(context.tables, &mut self.edges.tunnel_encap);
        self.forward(context);
    }

    /// Gives up on frames that waited too long.
    pub fn expire_held(&mut self, context: &Context<'_>) {
        self.held.expire(context.now, &mut self.edges);
        self.forward(context);
    }

    /// When the oldest waiting frame is given up, if one waits.
    pub fn held_until(&self) -> Option<Instant> {
        self.held.deadline()
    }

    /// Frames for access ports, each with `meta.egress` set.
    pub fn port_output(&mut self) -> &mut Batch {
        &mut self.edges.port_output
    }

    /// Encapsulated frames, each with `meta.underlay` and `meta.remote` set.
    pub fn underlay_output(&mut self) -> &mut Batch {
        &mut self.edges.underlay_output
    }

    /// Drops what still waits, for a worker that stops.
    pub fn shut_down(&mut self, context: &Context<'_>) {
        for frame in self.held.drain() {
            context.discard(frame, DropReason::Shutdown);
        }
        context.counters.held.set(0);
    }

    fn forward(&mut self, context: &Context<'_>) {
        let (edges, input) = (&mut self.edges, &mut self.input);
        macro_rules! run {
            ($node:ident $(, $state:expr)*) => {
                if !edges.$node.is_empty() {
                    std::mem::swap(&mut edges.$node, input);
                    $node::process(input, edges, context $(, $state)*);
                    debug_assert!(input.is_empty());
                }
            };
        }
        run!(vxlan_decap);
        run!(arp_input);
        run!(ndisc_input);
        run!(ip_input, self.hash_seed);
        run!(ip_lookup);
        run!(tunnel_encap);
        // Errors about what failed so far are routed once; an error about an
        // error is never sent, so the second round leaves none.
        run!(icmp_error, &mut self.icmp_budget, self.hash_seed);
        run!(ip_lookup);
        run!(tunnel_encap);
        run!(icmp_error, &mut self.icmp_budget, self.hash_seed);
        run!(hold, &mut self.held);
        context.counters.held.set(self.held.len() as u64);
        debug_assert!(edges.icmp_error.is_empty() && edges.ip_lookup.is_empty());
    }
}

/// Whether this node answers for `address` on the tunnels of `network`: its own
/// addresses, and whatever its ports lead to.
fn answers_for(tables: &Tables, network: &Network, address: IpAddr) -> bool {
    let route = match address {
        IpAddr::V4(address) => network.fib.v4.lookup(address),
        IpAddr::V6(address) => network.fib.v6.lookup(address),
    };
    network.addresses.contains(&address)
        || route.is_some_and(|&id| matches!(tables.next_hop(id, 0), NextHop::Port(_)))
}
