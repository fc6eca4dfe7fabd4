//! The nodes of the forwarding graph, one a file, and the order they run in.
//!
//! A node consumes its input batch and puts every frame on exactly one edge, or
//! drops it under a named reason. Nodes do no IO, take no lock, read no clock
//! and allocate nothing.

mod arp_input;
mod bridge;
mod coalesce;
mod decap;
mod ether_input;
mod ether_output;
mod fragment;
mod frame_encap;
mod frame_output;
mod geneve_decap;
mod gre_decap;
mod hold;
mod hold_host;
mod icmp_error;
mod inside;
mod ip_input;
mod ip_lookup;
mod ipip_decap;
mod learn;
mod local_input;
mod mss_clamp;
mod ndisc_input;
mod nesting;
mod probe_input;
mod segment;
mod side;
mod tunnel_encap;
mod uncut;
mod uplink_input;
mod uplink_output;
mod vxlan_decap;
mod wire_output;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Instant;

use crossbeam::channel::Sender;
use ringlay_encap::{Encapsulation, EtherType};

use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::id::{PortId, TunnelId};
use crate::mempool::Mempool;
use crate::stage::Stage;
use crate::tables::{Network, NextHop, Tables};

use self::coalesce::Coalesce;
use self::hold::Hold;
use self::icmp_error::TokenBucket;
use self::learn::Told;
use self::uplink_output::Idents;

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

/// Takes what leaves the graph.
pub trait Output {
    /// A packet, or frame, for the access port `meta.egress`.
    fn port(&mut self, frame: Frame);

    /// An encapsulated frame for `meta.remote`, by the endpoint `meta.underlay`.
    fn underlay(&mut self, frame: Frame);

    /// A frame with all its outer headers, by the uplink of the endpoint `meta.underlay`.
    fn uplink(&mut self, frame: Frame);
}

/// Room for what leaves cut: a super-frame becomes a few trains, or many frames.
const CUT_OUTPUT: usize = 16 * BATCH_SIZE;

/// The batches between nodes. No more than a batch of frames is in the graph at a
/// time and each is on one edge, so none overflows but the outputs, which what is cut
/// leaves by.
#[derive(Debug)]
struct Edges {
    vxlan_decap: Batch,
    geneve_decap: Batch,
    gre_decap: Batch,
    ipip_decap: Batch,
    ether_input: Batch,
    bridge: Batch,
    ip_input: Batch,
    arp_input: Batch,
    ndisc_input: Batch,
    probe_input: Batch,
    mss_clamp: Batch,
    ip_lookup: Batch,
    local_input: Batch,
    tunnel_encap: Batch,
    ether_output: Batch,
    fragment: Batch,
    icmp_error: Batch,
    hold: Batch,
    hold_host: Batch,
    port_output: Batch,
    underlay_output: Batch,
    uplink_output: Batch,
}

impl Default for Edges {
    fn default() -> Self {
        Self {
            vxlan_decap: Batch::new(),
            geneve_decap: Batch::new(),
            gre_decap: Batch::new(),
            ipip_decap: Batch::new(),
            ether_input: Batch::new(),
            bridge: Batch::new(),
            ip_input: Batch::new(),
            arp_input: Batch::new(),
            ndisc_input: Batch::new(),
            probe_input: Batch::new(),
            mss_clamp: Batch::new(),
            ip_lookup: Batch::new(),
            local_input: Batch::new(),
            tunnel_encap: Batch::new(),
            ether_output: Batch::new(),
            fragment: Batch::new(),
            icmp_error: Batch::new(),
            hold: Batch::new(),
            hold_host: Batch::new(),
            port_output: Batch::with_limit(CUT_OUTPUT),
            underlay_output: Batch::with_limit(CUT_OUTPUT),
            uplink_output: Batch::with_limit(CUT_OUTPUT),
        }
    }
}

#[inline]
fn put(edge: &mut Batch, frame: Frame) {
    let pushed = edge.push(frame);
    debug_assert!(pushed.is_ok(), "an edge holds a whole batch");
}

impl Edges {
    /// The input of the node that decapsulates such.
    #[inline]
    fn decap(&mut self, encapsulation: Encapsulation) -> &mut Batch {
        match encapsulation {
            Encapsulation::Vxlan => &mut self.vxlan_decap,
            Encapsulation::Geneve => &mut self.geneve_decap,
            Encapsulation::Gre => &mut self.gre_decap,
            // Nothing comes in that is not encapsulated.
            Encapsulation::Ipip | Encapsulation::Plain => &mut self.ipip_decap,
        }
    }

    /// How many frames are about to leave the graph.
    #[inline]
    fn leaving(&self) -> usize {
        self.port_output.len() + self.underlay_output.len() + self.uplink_output.len()
    }

    /// Has a frame leave by the port `meta.egress`, unless what was cut before it took all the room.
    #[inline]
    fn leave_by_port(&mut self, frame: Frame, context: &Context<'_>) {
        if let Err(frame) = self.port_output.push(frame) {
            context.discard(frame, DropReason::PortTxFull);
        }
    }

    /// The same for a frame with a tunnel header, by the sockets of the endpoint `meta.underlay`.
    #[inline]
    fn leave_by_underlay(&mut self, frame: Frame, context: &Context<'_>) {
        if let Err(frame) = self.underlay_output.push(frame) {
            context.discard(frame, DropReason::UnderlayTxFull);
        }
    }

    /// The same for a frame with all its outer headers, by the uplink or the wire.
    #[inline]
    fn leave_by_uplink(&mut self, frame: Frame, context: &Context<'_>) {
        if let Err(frame) = self.uplink_output.push(frame) {
            context.discard(frame, DropReason::UnderlayTxFull);
        }
    }

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
    /// Frames that entered and were not forwarded yet.
    entered: Batch,
    coalesce: Coalesce,
    held: Hold,
    icmp_budget: TokenBucket,
    idents: Idents,
    told: Told,
    pool: Mempool,
    hash_seed: u64,
}

impl Graph {
    /// An empty graph that takes frames of its own from `pool`. Graphs with the
    /// same seed give a flow the same hash.
    pub fn new(pool: Mempool, hash_seed: u64, now: Instant) -> Self {
        Self {
            edges: Edges::default(),
            input: Batch::new(),
            entered: Batch::new(),
            coalesce: Coalesce::new(),
            held: Hold::new(),
            icmp_budget: TokenBucket::new(now),
            idents: Idents::default(),
            told: Told::new(),
            pool,
            hash_seed,
        }
    }

    /// Forwards every frame of `received` to an output or a drop.
    pub fn run(&mut self, received: &mut Batch, context: &Context<'_>, output: &mut impl Output) {
        if context.counters.stages.is_running() {
            strip_all(received, context);
        }
        self.take_in(received, context, output);
        self.forward(context, output);
    }

    /// Lets all frames in: datagrams from tunnels merged, where they can be.
    #[inline(never)]
    fn take_in(&mut self, received: &mut Batch, context: &Context<'_>, output: &mut impl Output) {
        for mut frame in received.drain() {
            if let Err(reason) = uplink_input::strip(&mut frame, context) {
                context.discard(frame, reason);
                continue;
            }
            if !matches!(frame.meta.ingress, Ingress::Underlay(_)) {
                self.enter(frame, context, output);
                continue;
            }
            // A field cannot lend itself to a closure that needs the others.
            let mut coalesce = std::mem::take(&mut self.coalesce);
            let pool = self.pool.clone();
            coalesce.take(frame, &pool, self.hash_seed, context, |frame| {
                self.enter(frame, context, output);
            });
            self.coalesce = coalesce;
        }
        let mut coalesce = std::mem::take(&mut self.coalesce);
        coalesce.finish(|frame| self.enter(frame, context, output));
        self.coalesce = coalesce;
    }

    /// Sends something of this node's own through a tunnel: an Ethernet frame, or an IP packet if
    /// the tunnel [has no such](crate::tables::Tunnel::carries_frames).
    pub fn inject(
        &mut self,
        mut frame: Frame,
        tunnel: TunnelId,
        context: &Context<'_>,
        output: &mut impl Output,
    ) {
        context.counters.originated.add(1);
        let tables = context.tables;
        let known = tables
            .tunnel(tunnel)
            .and_then(|tunnel| Some((tunnel, tables.network(tunnel.network)?)));
        let Some((tunnel, network)) = known else {
            return context.discard(frame, DropReason::TunnelGone);
        };
        let inside = if tunnel.carries_frames(network) {
            EtherType::BRIDGED
        } else {
            tunnel_encap::ethertype(&frame)
        };
        frame_output::encapsulate(&mut frame, network, tunnel.remote, inside);
        self.edges.leave_by_underlay(frame, context);
        self.forward(context, output);
    }

    /// Sends an Ethernet frame of this node's own out of an Ethernet port.
    pub fn inject_link(
        &mut self,
        mut frame: Frame,
        port: PortId,
        context: &Context<'_>,
        output: &mut impl Output,
    ) {
        context.counters.originated.add(1);
        if context.tables.link(port).is_none() {
            return context.discard(frame, DropReason::PortGone);
        }
        frame.meta.egress = port;
        self.edges.leave_by_port(frame, context);
        self.forward(context, output);
    }

    /// Tries the waiting frames again; call it when the tables changed.
    pub fn release_held(&mut self, context: &Context<'_>, output: &mut impl Output) {
        context.counters.stages.resume(Stage::Hold);
        self.held.release(context.tables, &mut self.edges);
        self.forward(context, output);
    }

    /// Gives up on frames that waited too long.
    pub fn expire_held(&mut self, context: &Context<'_>, output: &mut impl Output) {
        context.counters.stages.resume(Stage::Hold);
        self.held.expire(context.now, &mut self.edges);
        self.forward(context, output);
    }

    /// When the oldest waiting frame is given up, if one waits.
    pub fn held_until(&self) -> Option<Instant> {
        self.held.deadline()
    }

    /// Drops what still waits, for a worker that stops.
    pub fn shut_down(&mut self, context: &Context<'_>) {
        for frame in self.held.drain() {
            context.discard(frame, DropReason::Shutdown);
        }
        context.counters.held.set(0);
    }

    /// Lets a frame in, after forwarding a full batch.
    #[inline]
    fn enter(&mut self, frame: Frame, context: &Context<'_>, output: &mut impl Output) {
        if self.entered.room() == 0 {
            self.forward(context, output);
            // Only trains from a tunnel are more than a batch.
            context.counters.stages.resume(Stage::Coalesce);
        }
        put(&mut self.entered, frame);
    }

    fn forward(&mut self, context: &Context<'_>, output: &mut impl Output) {
        let (edges, input) = (&mut self.edges, &mut self.input);
        let stages = &context.counters.stages;
        stages.enter(Stage::Dispatch, self.entered.len());
        for frame in self.entered.drain() {
            match frame.meta.ingress {
                Ingress::Port(_) => put(&mut edges.ip_input, frame),
                Ingress::Ethernet(_) => put(&mut edges.ether_input, frame),
                // What came by an uplink is stripped before.
                Ingress::Underlay(id) | Ingress::Uplink(id) => match context.tables.underlay(id) {
                    Some(endpoint) => put(edges.decap(endpoint.encapsulation), frame),
                    None => context.discard(frame, DropReason::TunnelGone),
                },
                Ingress::Wire => context.discard(frame, DropReason::TunnelGone),
                Ingress::Node => put(&mut edges.ip_lookup, frame),
            }
        }
        macro_rules! run {
            ($node:ident $(, $state:expr)*) => {
                if !edges.$node.is_empty() {
                    const STAGE: Stage = Stage::of_node(stringify!($node));
                    stages.enter(STAGE, edges.$node.len());
                    std::mem::swap(&mut edges.$node, input);
                    $node::process(input, edges, context $(, $state)*);
                    debug_assert!(input.is_empty());
                }
            };
        }
        run!(vxlan_decap);
        run!(geneve_decap);
        run!(gre_decap);
        run!(ipip_decap);
        run!(ether_input);
        run!(
            bridge,
            &self.pool,
            &mut self.told,
            &mut self.idents,
            self.hash_seed
        );
        run!(arp_input, &mut self.held);
        run!(ndisc_input, &mut self.held);
        run!(probe_input);
        run!(ip_input, self.hash_seed);
        run!(mss_clamp);
        run!(ip_lookup);
        run!(local_input, self.hash_seed);
        run!(tunnel_encap, &self.pool, &mut self.idents);
        run!(ether_output, &self.pool);
        run!(fragment, &self.pool);
        // Answers, and errors about what failed so far are routed once; an error about an
        // error is never sent, so the second round leaves none.
        run!(icmp_error, &mut self.icmp_budget, self.hash_seed);
        run!(ip_lookup);
        run!(local_input, self.hash_seed);
        run!(tunnel_encap, &self.pool, &mut self.idents);
        run!(ether_output, &self.pool);
        run!(fragment, &self.pool);
        run!(icmp_error, &mut self.icmp_budget, self.hash_seed);
        run!(hold, &mut self.held);
        run!(hold_host, &mut self.held);
        debug_assert!(edges.icmp_error.is_empty() && edges.ip_lookup.is_empty());
        context.counters.held.set(self.held.len() as u64);
        stages.enter(Stage::Send, edges.leaving());
        edges
            .port_output
            .drain()
            .for_each(|frame| output.port(frame));
        edges
            .underlay_output
            .drain()
            .for_each(|frame| output.underlay(frame));
        edges
            .uplink_output
            .drain()
            .for_each(|frame| output.uplink(frame));
    }
}

/// Takes the outer headers off all that came by uplinks, before the first frame goes on. Otherwise each
/// goes through that and the next stage before the next one does, and the two could not be told apart.
#[cold]
fn strip_all(received: &mut Batch, context: &Context<'_>) {
    let stages = &context.counters.stages;
    let count = |received: &Batch, of: fn(&Ingress) -> bool| {
        let frames = received.iter().map(|frame| &frame.meta.ingress);
        frames.filter(|ingress| of(ingress)).count()
    };
    let by_uplink = count(received, |it| {
        matches!(it, Ingress::Uplink(_) | Ingress::Wire)
    });
    if by_uplink > 0 {
        stages.enter(Stage::UplinkInput, by_uplink);
        received.retain(|frame| {
            let done = uplink_input::strip(frame, context);
            done.inspect_err(|&reason| context.counters.dropped(reason, 1))
                .is_ok()
        });
    }
    match count(received, |it| matches!(it, Ingress::Underlay(_))) {
        0 => stages.resume(Stage::Dispatch),
        tunnelled => stages.enter(Stage::Coalesce, tunnelled),
    }
}

/// Where packets to an address go; `None` if there is no route.
fn way_to<'a>(tables: &'a Tables, network: &Network, address: IpAddr) -> Option<&'a NextHop> {
    let route = match address {
        IpAddr::V4(address) => network.fib.v4.lookup(address),
        IpAddr::V6(address) => network.fib.v6.lookup(address),
    };
    route.map(|&id| tables.next_hop(id, 0))
}

/// Whether this node answers for `address` on the tunnels of `network`: its own
/// addresses, and whatever its ports lead to.
fn answers_for(tables: &Tables, network: &Network, address: IpAddr) -> bool {
    let way = || way_to(tables, network, address);
    network.addresses.contains(&address)
        || matches!(
            way(),
            Some(NextHop::Port(_) | NextHop::Link(_) | NextHop::Gateway(..) | NextHop::Local)
        )
}
