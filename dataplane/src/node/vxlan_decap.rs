//! Takes the VXLAN and inner Ethernet headers off (RFC 7348) and checks that the
//! frame is for us and from a peer.

use std::net::IpAddr;

use ringlay_encap::eth::EthernetRepr;
use ringlay_encap::icmpv6::kind;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::vxlan::{self, VxlanHeader};
use ringlay_encap::{EtherType, IpProtocol, MacAddr, ParseError, Vni};

use super::{Context, Edges, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::{NetworkId, UnderlayId};
use crate::tables::{Network, Tables};

/// Where an inner frame goes.
enum Edge {
    Ip,
    Arp,
    Ndisc,
}

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    let mut last = LastNetwork::default();
    for mut frame in input.drain() {
        match decapsulate(&mut frame, &mut last, context.tables) {
            Ok(Edge::Ip) => put(&mut edges.ip_input, frame),
            Ok(Edge::Arp) => put(&mut edges.arp_input, frame),
            Ok(Edge::Ndisc) => put(&mut edges.ndisc_input, frame),
            Err(reason) => context.discard(frame, reason),
        }
    }
}

/// The network of the previous frame: most batches hold one.
#[derive(Default)]
struct LastNetwork(Option<((UnderlayId, Vni), NetworkId)>);

impl LastNetwork {
    #[inline]
    fn find(&mut self, tables: &Tables, key: (UnderlayId, Vni)) -> Option<NetworkId> {
        match self.0 {
            Some((last, id)) if last == key => Some(id),
            _ => {
                let id = tables.network_by_vni(key.0, key.1)?;
                self.0 = Some((key, id));
                Some(id)
            }
        }
    }
}

#[inline]
fn decapsulate(
    frame: &mut Frame,
    last: &mut LastNetwork,
    tables: &Tables,
) -> Result<Edge, DropReason> {
    let Ingress::Underlay(underlay) = frame.meta.ingress else {
        return Err(DropReason::VxlanMalformed);
    };
    let header = VxlanHeader::parse(frame.data()).map_err(|error| match error {
        ParseError::Truncated => DropReason::VxlanMalformed,
        _ => DropReason::VxlanBadFlags,
    })?;
    let id = last
        .find(tables, (underlay, header.vni))
        .ok_or(DropReason::VxlanUnknownVni)?;
    let network = tables.network(id).ok_or(DropReason::VxlanUnknownVni)?;
    if !network.accept_unknown_vteps && !network.knows_vtep(frame.meta.remote.ip()) {
        return Err(DropReason::VtepUnknown);
    }
    frame.meta.network = id;
    frame.trim_front(vxlan::HEADER_LEN);
    let (ethernet, payload) =
        EthernetRepr::parse(frame.data()).map_err(|_| DropReason::VxlanMalformed)?;
    let edge = accept(network, &ethernet, &frame.data()[payload..])?;
    frame.trim_front(payload);
    Ok(edge)
}

/// Decides what an inner frame is to us. Group addresses are heard for address
/// resolution only: a router does not forward what came to it by a link-layer
/// broadcast (RFC 1812 section 5.3.4).
#[inline]
fn accept(network: &Network, ethernet: &EthernetRepr, payload: &[u8]) -> Result<Edge, DropReason> {
    let to_us = ethernet.dst == network.mac;
    let own = ethernet.src == network.mac || ethernet.src.is_multicast();
    if own || !(to_us || ethernet.dst.is_multicast()) {
        return Err(DropReason::InnerMacForeign);
    }
    match ethernet.ethertype {
        EtherType::IPV6 if is_ndisc(payload) => Ok(Edge::Ndisc),
        EtherType::ARP => Ok(Edge::Arp),
        EtherType::IPV4 | EtherType::IPV6 if to_us => Ok(Edge::Ip),
        EtherType::IPV4 | EtherType::IPV6 => Err(DropReason::InnerMacForeign),
        _ => Err(DropReason::InnerProtocolUnknown),
    }
}

/// Whether a packet is a neighbour solicitation or advertisement.
#[inline]
fn is_ndisc(data: &[u8]) -> bool {
    let Ok(packet) = Ipv6Packet::new_checked(data) else {
        return false;
    };
    packet.next_header() == IpProtocol::ICMPV6
        && matches!(
            packet.payload().first(),
            Some(&(kind::NEIGHBOUR_SOLICIT | kind::NEIGHBOUR_ADVERT))
        )
}

/// Whether a neighbour's claim to `address` may be believed: not if the address
/// is ours, and only unicast MAC addresses.
pub(super) fn credible(tables: &Tables, network: &Network, address: IpAddr, mac: MacAddr) -> bool {
    !mac.is_multicast()
        && mac != network.mac
        && !address.is_unspecified()
        && !super::answers_for(tables, network, address)
}
