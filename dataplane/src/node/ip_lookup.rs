//! Routes a packet: longest-prefix match in its network, choice among equal
//! paths, and the decrement of TTL or hop limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_lpm::{Address, Table};

use super::{Context, Edges, put, uncut};
use crate::batch::{BATCH_SIZE, Batch};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::{NetworkId, NextHopId, PortId, TunnelId};
use crate::tables::{NextHop, Tables};

/// So many packets in a row are looked up together, for one network and IP version. Fewer gain
/// nothing by it.
const TOGETHER: usize = 4;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    if input.len() < TOGETHER {
        for frame in input.drain() {
            let found = lookup(&frame, context.tables);
            route(frame, found, edges, context);
        }
        return;
    }
    let mut found = [None; BATCH_SIZE];
    lookup_all(input.frames(), context.tables, &mut found);
    for (frame, found) in input.drain().zip(found) {
        route(frame, found, edges, context);
    }
}

#[inline]
fn route(mut frame: Frame, found: Option<NextHopId>, edges: &mut Edges, context: &Context<'_>) {
    let Some(id) = found else {
        if context.tables.network(frame.meta.network).is_none() {
            return context.discard(frame, DropReason::PortGone);
        }
        return edges.refuse(frame, DropReason::NoRoute);
    };
    // What this node originates starts its life here: its TTL is fresh, and it
    // may go back to where the packet that caused it came from.
    let transit = frame.meta.ingress != Ingress::Node;
    let next_hop = context.tables.next_hop(id, frame.meta.flow_hash);
    if let NextHop::Local = *next_hop {
        return put(&mut edges.local_input, frame);
    }
    if let NextHop::Port(port) = *next_hop
        && frame.meta.ingress == Ingress::Port(port)
    {
        return edges.refuse(frame, DropReason::Hairpin);
    }
    if transit && !decrement_ttl(frame.data_mut()) {
        return edges.refuse(frame, DropReason::TtlExpired);
    }
    match *next_hop {
        NextHop::Port(port) => {
            frame.meta.egress = port;
            uncut::note_too_long_for_port(&mut frame, context);
            edges.leave_by_port(frame, context);
        }
        NextHop::Link(port) => {
            let host = match version(&frame) {
                4 => IpAddr::V4(destination_v4(&frame)),
                _ => IpAddr::V6(destination_v6(&frame)),
            };
            to_link(frame, port, host, edges);
        }
        NextHop::Gateway(port, router) => to_link(frame, port, router, edges),
        NextHop::Tunnel(tunnel) => {
            frame.meta.tunnel = tunnel;
            put(&mut edges.tunnel_encap, frame);
        }
        NextHop::OffLink => edges.refuse(frame, DropReason::OffLink),
        NextHop::Drop | NextHop::Group(_) | NextHop::Local => {
            context.discard(frame, DropReason::RouteDrop);
        }
    }
}

/// Sends a packet to a host on an Ethernet port.
#[inline]
fn to_link(mut frame: Frame, port: PortId, host: IpAddr, edges: &mut Edges) {
    frame.meta.tunnel = TunnelId::NONE;
    frame.meta.egress = port;
    frame.meta.remote = SocketAddr::new(host, 0);
    put(&mut edges.ether_output, frame);
}

/// The most specific route to the packet's destination. The packet was checked
/// by `ip_input` or made by this node.
#[inline]
fn lookup(frame: &Frame, tables: &Tables) -> Option<NextHopId> {
    let fib = &tables.network(frame.meta.network)?.fib;
    let found = match version(frame) {
        4 => fib.v4.lookup(destination_v4(frame)),
        _ => fib.v6.lookup(destination_v6(frame)),
    };
    found.copied()
}

/// Does as [`lookup`] does for each frame, of which there are at most a batch.
fn lookup_all(frames: &[Frame], tables: &Tables, found: &mut [Option<NextHopId>; BATCH_SIZE]) {
    let mut rest = &mut found[..];
    for run in frames.chunk_by(|a, b| table(a) == table(b)) {
        let here;
        (here, rest) = rest.split_at_mut(run.len());
        let (network, version) = table(&run[0]);
        let Some(fib) = tables.network(network).map(|network| &network.fib) else {
            continue;
        };
        if run.len() < TOGETHER {
            for (frame, found) in run.iter().zip(here) {
                *found = lookup(frame, tables);
            }
        } else if version == 4 {
            lookup_run(&fib.v4, run, destination_v4, here);
        } else {
            lookup_run(&fib.v6, run, destination_v6, here);
        }
    }
}

/// Looks up packets of one network and IP version.
fn lookup_run<A: Address>(
    table: &Table<A, NextHopId>,
    frames: &[Frame],
    destination: impl Fn(&Frame) -> A,
    found: &mut [Option<NextHopId>],
) {
    let mut destinations = [destination(&frames[0]); BATCH_SIZE];
    for (addr, frame) in destinations.iter_mut().zip(frames) {
        *addr = destination(frame);
    }
    table.lookup_batch(&destinations[..frames.len()], found);
}

/// What says in which table a packet is looked up.
#[inline]
fn table(frame: &Frame) -> (NetworkId, u8) {
    (frame.meta.network, version(frame))
}

#[inline]
fn version(frame: &Frame) -> u8 {
    frame.data().first().map_or(0, |octet| octet >> 4)
}

#[inline]
fn destination_v4(frame: &Frame) -> Ipv4Addr {
    Ipv4Packet::new_unchecked(frame.data()).dst_addr()
}

#[inline]
fn destination_v6(frame: &Frame) -> Ipv6Addr {
    Ipv6Packet::new_unchecked(frame.data()).dst_addr()
}

/// Decrements TTL or hop limit; returns false, with the packet as it was, if
/// that would make it zero.
#[inline]
fn decrement_ttl(packet: &mut [u8]) -> bool {
    if packet[0] >> 4 == 4 {
        let mut packet = Ipv4Packet::new_unchecked(packet);
        packet.ttl() > 1 && {
            packet.decrement_ttl();
            true
        }
    } else {
        let mut packet = Ipv6Packet::new_unchecked(packet);
        packet.hop_limit() > 1 && {
            packet.decrement_hop_limit();
            true
        }
    }
}
