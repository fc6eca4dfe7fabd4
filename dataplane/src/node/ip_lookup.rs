//! Routes a packet: longest-prefix match in its network, choice among equal
//! paths, and the decrement of TTL or hop limit.

use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;

use super::{Context, Edges, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::NextHopId;
use crate::tables::{Network, NextHop};

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for frame in input.drain() {
        route(frame, edges, context);
    }
}

#[inline]
fn route(mut frame: Frame, edges: &mut Edges, context: &Context<'_>) {
    let Some(network) = context.tables.network(frame.meta.network) else {
        return context.discard(frame, DropReason::PortGone);
    };
    let Some(id) = lookup(network, frame.data()) else {
        return edges.refuse(frame, DropReason::NoRoute);
    };
    // What this node originates starts its life here: its TTL is fresh, and it
    // may go back to where the packet that caused it came from.
    let transit = frame.meta.ingress != Ingress::Node;
    let next_hop = context.tables.next_hop(id, frame.meta.flow_hash);
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
            put(&mut edges.port_output, frame);
        }
        NextHop::Tunnel(tunnel) => {
            frame.meta.tunnel = tunnel;
            put(&mut edges.tunnel_encap, frame);
        }
        NextHop::Drop | NextHop::Group(_) => context.discard(frame, DropReason::RouteDrop),
    }
}

/// The most specific route to the packet's destination. The packet was checked
/// by `ip_input` or made by this node.
#[inline]
fn lookup(network: &Network, packet: &[u8]) -> Option<NextHopId> {
    let found = match packet.first()? >> 4 {
        4 => network
            .fib
            .v4
            .lookup(Ipv4Packet::new_unchecked(packet).dst_addr()),
        _ => network
            .fib
            .v6
            .lookup(Ipv6Packet::new_unchecked(packet).dst_addr()),
    };
    found.copied()
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
