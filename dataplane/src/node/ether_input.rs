//! Takes frames from Ethernet ports: those for this node's MAC address are routed, and address
//! resolution is heard. Those of bridged networks are left to `bridge`, as they are.

use ringlay_encap::EtherType;
use ringlay_encap::eth::{self, EthernetFrame};

use super::{Context, Edges, decap, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress, Offload};
use crate::tables::Link;

/// Where a frame goes.
enum Edge {
    Ip,
    Arp,
    Ndisc,
    Bridge,
}

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for mut frame in input.drain() {
        match take_off(&mut frame, context) {
            Ok(Edge::Ip) => put(&mut edges.ip_input, frame),
            Ok(Edge::Arp) => put(&mut edges.arp_input, frame),
            Ok(Edge::Ndisc) => put(&mut edges.ndisc_input, frame),
            Ok(Edge::Bridge) => put(&mut edges.bridge, frame),
            Err(reason) => context.discard(frame, reason),
        }
    }
}

/// Takes the Ethernet header off, after which the frame is one of an access port.
#[inline]
fn take_off(frame: &mut Frame, context: &Context<'_>) -> Result<Edge, DropReason> {
    let Ingress::Ethernet(id) = frame.meta.ingress else {
        return Err(DropReason::PortGone);
    };
    let port = context.tables.port(id).ok_or(DropReason::PortGone)?;
    if context.tables.bridge(port.network).is_some() {
        frame.meta.network = port.network;
        return Ok(Edge::Bridge);
    }
    let link = context.tables.link(id).ok_or(DropReason::PortGone)?;
    let edge = accept(link, frame.data())?;
    frame.trim_front(eth::HEADER_LEN);
    frame.meta.ingress = Ingress::Port(id);
    frame.meta.network = port.network;
    let offload = frame.meta.offload;
    frame.meta.offload = without_header(offload).ok_or(DropReason::EtherMalformed)?;
    Ok(edge)
}

/// Decides what a frame is to us. Group addresses are heard for address resolution only: a router
/// does not forward what came to it by a link-layer broadcast (RFC 1812 section 5.3.4).
#[inline]
fn accept(link: &Link, data: &[u8]) -> Result<Edge, DropReason> {
    let frame = EthernetFrame::new_checked(data).map_err(|_| DropReason::EtherMalformed)?;
    let (dst, src) = (frame.dst(), frame.src());
    let to_us = dst == link.mac;
    if src == link.mac || src.is_multicast() || !(to_us || dst.is_multicast()) {
        return Err(DropReason::EtherMacForeign);
    }
    if frame.payload_offset() != eth::HEADER_LEN {
        return Err(DropReason::EtherVlan);
    }
    match frame.ethertype() {
        EtherType::IPV6 if decap::is_ndisc(frame.payload()) => Ok(Edge::Ndisc),
        EtherType::ARP => Ok(Edge::Arp),
        EtherType::IPV4 | EtherType::IPV6 if to_us => Ok(Edge::Ip),
        EtherType::IPV4 | EtherType::IPV6 => Err(DropReason::IpNotForwardable),
        _ => Err(DropReason::EtherProtocolUnknown),
    }
}

/// What is to be done to a packet, told of it alone; none if it is to be done to the header.
#[inline]
fn without_header(offload: Offload) -> Option<Offload> {
    const HEADER: u16 = eth::HEADER_LEN as u16;
    let csum_start = match offload.needs_checksum {
        true => offload.csum_start.checked_sub(HEADER)?,
        false => 0,
    };
    Some(Offload {
        csum_start,
        header_len: offload.header_len.saturating_sub(HEADER),
        ..offload
    })
}
