//! What workers tell the control plane, through a bounded queue.
//!
//! Losing an event is harmless: every one of them recurs while its cause lasts.

use std::net::IpAddr;

use ringlay_encap::MacAddr;

use crate::id::{NetworkId, PortId, TunnelId};
use crate::tables::Place;

/// Something the control plane should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet waits because the tunnel's far end has no known MAC address.
    Unresolved {
        /// The tunnel.
        tunnel: TunnelId,
        /// The inner address to ask for: the packet's destination.
        destination: IpAddr,
    },
    /// A VTEP told, by ARP or neighbour discovery, which MAC address an inner
    /// address has.
    NeighbourHeard {
        /// The network it was heard in.
        network: NetworkId,
        /// The outer address of the VTEP that sent it.
        vtep: IpAddr,
        /// The inner address.
        address: IpAddr,
        /// Its MAC address.
        mac: MacAddr,
        /// Whether it was told in answer to a request, rather than with one.
        answered: bool,
    },
    /// A tunnel's far end answered a probe.
    ProbeAnswered {
        /// The outer address of the VTEP that sent it.
        vtep: IpAddr,
        /// That of the request.
        token: u64,
        /// That of the request.
        number: u16,
    },
    /// A packet waits because a host on an Ethernet port has no known MAC address.
    HostUnresolved {
        /// The port.
        port: PortId,
        /// The host, or the router that a route names.
        address: IpAddr,
    },
    /// A host on an Ethernet port told, by ARP or neighbour discovery, which MAC address it has.
    HostHeard {
        /// The port.
        port: PortId,
        /// The host.
        address: IpAddr,
        /// Its MAC address.
        mac: MacAddr,
        /// Whether it was told in answer to a request, rather than with one.
        answered: bool,
    },
    /// A station of a bridged network sent something from where the tables do not say that it is.
    StationSeen {
        /// The network.
        network: NetworkId,
        /// The station.
        mac: MacAddr,
        /// Where it is.
        place: Place,
    },
}
