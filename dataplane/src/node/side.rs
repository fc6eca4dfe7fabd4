//! Where a neighbour speaks: in a tunnel, or on an Ethernet port. Says what this node answers for
//! there, what may be believed, and how an answer goes back.

use std::net::{IpAddr, SocketAddr};

use ringlay_encap::{EtherType, MacAddr};

use super::hold::{Awaited, Hold};
use super::{Context, Edges, answers_for, decap, frame_output, way_to};
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::{Frame, Ingress, Offload};
use crate::id::PortId;
use crate::tables::{Link, Network, NextHop, Tables};

pub(super) enum Side<'a> {
    Tunnel(&'a Network),
    Port {
        id: PortId,
        link: &'a Link,
        network: &'a Network,
    },
}

/// What a neighbour said of itself.
pub(super) struct Told {
    pub(super) address: IpAddr,
    pub(super) mac: MacAddr,
    /// In answer to a request.
    pub(super) answered: bool,
    /// To us, or to somebody that we answer for.
    pub(super) to_us: bool,
}

impl<'a> Side<'a> {
    /// Where a frame came from.
    ///
    /// # Errors
    ///
    /// The drop reason, if that is gone.
    pub(super) fn of(frame: &Frame, tables: &'a Tables) -> Result<Self, DropReason> {
        let network = tables.network(frame.meta.network);
        match frame.meta.ingress {
            Ingress::Port(id) => {
                let both = tables.link(id).zip(network);
                let (link, network) = both.ok_or(DropReason::PortGone)?;
                Ok(Self::Port { id, link, network })
            }
            _ => network.map(Self::Tunnel).ok_or(DropReason::TunnelGone),
        }
    }

    /// Our MAC address there.
    pub(super) fn mac(&self) -> MacAddr {
        match self {
            Self::Tunnel(network) => network.mac,
            Self::Port { link, .. } => link.mac,
        }
    }

    /// Whether an address is this node's own there, which it does not give away.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        match self {
            Self::Tunnel(_) => false,
            Self::Port { link, .. } => link.addresses.contains(&address),
        }
    }

    /// Whether this node answers `asker`'s requests for an address. For others it answers where it
    /// is a proxy, and never somebody who makes sure that an address is free.
    pub(super) fn answers_for(&self, tables: &Tables, address: IpAddr, asker: IpAddr) -> bool {
        match self {
            Self::Tunnel(network) => answers_for(tables, network, address),
            Self::Port { id, link, network } => {
                let elsewhere = || match way_to(tables, network, address) {
                    Some(NextHop::Link(port) | NextHop::Gateway(port, _)) => port != id,
                    Some(NextHop::Drop) | None => false,
                    Some(_) => true,
                };
                self.owns(address) || link.proxy && !asker.is_unspecified() && elsewhere()
            }
        }
    }

    /// Passes on what a neighbour said, if it may be believed and is of use. Returns what an answer
    /// has to wait for.
    pub(super) fn learn(
        &self,
        frame: &Frame,
        told: &Told,
        context: &Context<'_>,
    ) -> Option<Awaited> {
        let &Told {
            address,
            mac,
            answered,
            to_us,
        } = told;
        match self {
            Self::Tunnel(network) => {
                if decap::credible(context.tables, network, address, mac) {
                    context.report(Event::NeighbourHeard {
                        network: frame.meta.network,
                        vtep: frame.meta.remote.ip(),
                        address,
                        mac,
                        answered,
                    });
                }
                None
            }
            &Self::Port { id: port, link, .. } => {
                let known = link.neighbours.mac(address);
                let moved = known.is_some_and(|known| known != mac);
                let news = answered || to_us || moved;
                let credible = mac.is_unicast() && mac != link.mac && !self.owns(address);
                if !news || !credible || address.is_unspecified() {
                    return None;
                }
                context.report(Event::HostHeard {
                    port,
                    address,
                    mac,
                    answered,
                });
                moved.then_some(Awaited::Moved(port, address, mac))
            }
        }
    }

    /// Sends an Ethernet frame back to where `frame` came from, whose data it is, after what it has to
    /// wait for.
    pub(super) fn reply(
        &self,
        mut frame: Frame,
        awaited: Option<Awaited>,
        held: &mut Hold,
        edges: &mut Edges,
        context: &Context<'_>,
    ) {
        context.counters.originated.add(1);
        frame.meta.ingress = Ingress::Node;
        frame.meta.offload = Offload::default();
        match self {
            Self::Tunnel(network) => {
                let remote = SocketAddr::new(frame.meta.remote.ip(), network.port);
                frame_output::encapsulate(&mut frame, network, remote, EtherType::BRIDGED);
                edges.leave_by_underlay(frame, context);
            }
            Self::Port { id, .. } => {
                frame.meta.egress = *id;
                match awaited {
                    Some(awaited) => held.keep_answer(frame, awaited, edges, context),
                    None => edges.leave_by_port(frame, context),
                }
            }
        }
    }
}
