//! What the decapsulation nodes have in common: the frame must belong to a network, come from
//! a peer of it and be for us. What the tunnel header says is for the node of its encapsulation
//! to tell.

use std::net::IpAddr;

use ringlay_encap::eth::EthernetRepr;
use ringlay_encap::icmpv6::kind;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::{
    Decap, DscpPolicy, Encapsulation, EtherType, InnerType, IpFields, IpProtocol, MacAddr,
    Propagation, TtlPolicy, TunnelKey, eth,
};

use super::{Context, Edges, geneve_decap, gre_decap, ip_input, ipip_decap, put, vxlan_decap};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Ingress};
use crate::id::{NetworkId, UnderlayId};
use crate::probe;
use crate::tables::{Network, Tables};

/// Where an inner frame goes.
enum Edge {
    Ip,
    Arp,
    Ndisc,
    Probe,
    Bridge,
}

/// The reasons that an encapsulation has names of its own for.
pub(super) struct Reasons {
    /// Headers are truncated or contradict themselves.
    pub(super) malformed: DropReason,
    /// There is no network with this key.
    pub(super) unknown: DropReason,
}

/// The reasons of an encapsulation.
#[inline]
pub(super) fn reasons(encapsulation: Encapsulation) -> &'static Reasons {
    match encapsulation {
        Encapsulation::Vxlan => &vxlan_decap::REASONS,
        Encapsulation::Geneve => &geneve_decap::REASONS,
        Encapsulation::Gre => &gre_decap::REASONS,
        // Nothing comes in that is not encapsulated.
        Encapsulation::Ipip | Encapsulation::Plain => &ipip_decap::REASONS,
    }
}

/// Decapsulates each frame of `input`, as `recognise` says what is in it.
#[inline]
pub(super) fn each(
    input: &mut Batch,
    edges: &mut Edges,
    context: &Context<'_>,
    reasons: &Reasons,
    recognise: impl Fn(&[u8]) -> Result<Decap, DropReason>,
) {
    let mut last = LastNetwork::default();
    for mut frame in input.drain() {
        let edge = recognise(frame.data())
            .and_then(|decap| take_off(&mut frame, decap, &mut last, context.tables, reasons));
        match edge {
            Ok(Edge::Ip) => put(&mut edges.ip_input, frame),
            Ok(Edge::Arp) => put(&mut edges.arp_input, frame),
            Ok(Edge::Ndisc) => put(&mut edges.ndisc_input, frame),
            Ok(Edge::Probe) => put(&mut edges.probe_input, frame),
            Ok(Edge::Bridge) => {
                ip_input::note_unfinished(&mut frame, context);
                put(&mut edges.bridge, frame);
            }
            Err(reason) => context.discard(frame, reason),
        }
    }
}

/// What decides about the network of a frame. The remote address counts where there is no key.
type Asked = (UnderlayId, TunnelKey, Option<IpAddr>);

/// The network of the previous frame: most batches hold one.
#[derive(Default)]
struct LastNetwork(Option<(Asked, NetworkId)>);

impl LastNetwork {
    #[inline]
    fn find(&mut self, tables: &Tables, frame: &Frame, key: TunnelKey) -> Option<NetworkId> {
        let Ingress::Underlay(underlay) = frame.meta.ingress else {
            return None;
        };
        let remote = frame.meta.remote.ip();
        let asked = (underlay, key, key.is_absent().then_some(remote));
        match self.0 {
            Some((last, id)) if last == asked => Some(id),
            _ => {
                let id = tables.network_by_key(underlay, key, remote)?;
                self.0 = Some((asked, id));
                Some(id)
            }
        }
    }
}

#[inline]
fn take_off(
    frame: &mut Frame,
    decap: Decap,
    last: &mut LastNetwork,
    tables: &Tables,
    reasons: &Reasons,
) -> Result<Edge, DropReason> {
    let found = last
        .find(tables, frame, decap.key)
        .and_then(|id| Some((id, tables.network(id)?)));
    let (id, network) = found.ok_or_else(|| {
        if decap.key.is_absent() {
            DropReason::VtepUnknown
        } else {
            reasons.unknown
        }
    })?;
    if !network.accept_unknown_vteps && !network.knows_vtep(frame.meta.remote.ip()) {
        return Err(DropReason::VtepUnknown);
    }
    frame.meta.network = id;
    frame.trim_front(decap.offset);
    if tables.bridge(id).is_some() {
        bridged(frame, decap.inner, network, reasons)?;
        return Ok(Edge::Bridge);
    }
    let mut edge = Edge::Ip;
    if let InnerType::Ethernet = decap.inner {
        let (ethernet, payload) =
            EthernetRepr::parse(frame.data()).map_err(|_| reasons.malformed)?;
        edge = accept(network, &ethernet, &frame.data()[payload..])?;
        frame.trim_front(payload);
    } else if probe::seems_one(frame.data()) {
        edge = Edge::Probe;
    }
    if let Edge::Ip | Edge::Probe = edge {
        take_over(frame, network)?;
    }
    Ok(edge)
}

/// Takes over what the underlay says in the outer header: congestion (RFC 6040), and, where they
/// were copied on the way out, the DSCP (RFC 2983) and the time to live (the uniform model of
/// RFC 3443).
#[inline]
fn take_over(frame: &mut Frame, network: &Network) -> Result<(), DropReason> {
    match told_outside(frame, network) {
        Some((propagation, outer)) => propagation.decapsulate(frame.data_mut(), outer),
        None => Ok(()),
    }
    .map_err(|_| DropReason::EcnCongestion)
}

/// Makes ready what came through a tunnel of a bridged network, whatever it is.
#[inline]
fn bridged(
    frame: &mut Frame,
    inner: InnerType,
    network: &Network,
    reasons: &Reasons,
) -> Result<(), DropReason> {
    const HEADER: u16 = eth::HEADER_LEN as u16;
    if !matches!(inner, InnerType::Ethernet) {
        return Err(DropReason::InnerProtocolUnknown);
    }
    if frame.len() < eth::HEADER_LEN {
        return Err(reasons.malformed);
    }
    // What is to be done is told of the packet; only of untagged ones.
    let offload = &mut frame.meta.offload;
    if offload.needs_checksum || offload.gso != Gso::None {
        offload.csum_start = offload.csum_start.saturating_add(HEADER);
        offload.header_len = offload.header_len.saturating_add(HEADER);
    }
    match told_outside(frame, network) {
        Some((propagation, outer)) => propagation.decapsulate_frame(frame.data_mut(), outer),
        None => Ok(()),
    }
    .map_err(|_| DropReason::EcnCongestion)
}

/// What the outer header says, and what becomes of it, if anything can.
#[inline]
fn told_outside(frame: &Frame, network: &Network) -> Option<(Propagation, IpFields)> {
    const ECN: u8 = 0b11;
    let outer = IpFields {
        traffic_class: frame.meta.traffic_class,
        ttl: match frame.meta.ttl {
            0 => u8::MAX, // not known
            ttl => ttl,
        },
    };
    let propagation = Propagation {
        dscp: network.dscp,
        ttl: network.ttl.unwrap_or_default(),
    };
    let copies = propagation.dscp == DscpPolicy::Copy || propagation.ttl == TtlPolicy::Copy;
    let counts = outer.traffic_class & ECN != 0 || copies;
    counts.then_some((propagation, outer))
}

/// Decides what an inner frame is to us. Group addresses are heard for address
/// resolution only: a router does not forward what came to it by a link-layer
/// broadcast (RFC 1812 section 5.3.4).
#[inline]
fn accept(network: &Network, ethernet: &EthernetRepr, payload: &[u8]) -> Result<Edge, DropReason> {
    let to_us = ethernet.dst == network.mac || network.shared_mac == Some(ethernet.dst);
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
pub(super) fn is_ndisc(data: &[u8]) -> bool {
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
