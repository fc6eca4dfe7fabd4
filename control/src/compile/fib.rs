//! The forwarding tables of networks: which next hop each prefix has.

use std::net::IpAddr;

use ipnet::IpNet;
use ringlay_dataplane::{id::NextHopId, tables::Fib};

use super::{
    Compiler, TunnelKey,
    next_hops::{Hop, Way},
    path_tunnels,
};
use crate::{
    object::{Name, Path, Port, RouteKey, Target},
    rib::Rib,
};

impl Compiler {
    /// Puts the route of one prefix into the forwarding table, or takes it out.
    ///
    /// A port's own address comes before a configured route, and that before the prefix that is
    /// reached directly through a port.
    pub(super) fn resolve(&mut self, rib: &Rib, key: &RouteKey) {
        let hops = self
            .own_address(rib, key)
            .or_else(|| {
                let route = rib.routed(key)?;
                Some(self.ways(route.network, route.path))
            })
            .or_else(|| self.connected(rib, key));
        let next_hop = hops.map(|ways| self.next_hops.acquire(&ways, 1));
        let Some(entry) = self.networks.get_mut(&key.network) else {
            return;
        };
        let before = place(&mut entry.table.fib, key.prefix, next_hop);
        if let Some(before) = before {
            self.next_hops.release(before);
        }
    }

    fn own_address(&self, rib: &Rib, key: &RouteKey) -> Option<Vec<Way>> {
        if key.prefix.prefix_len() != key.prefix.max_prefix_len() {
            return None;
        }
        let owns = |port: &&Port| {
            port.addresses
                .iter()
                .any(|net| net.addr() == key.prefix.addr())
        };
        let port = rib.ports_of(&key.network).find(owns)?;
        Some(Way::only(self.ports[&port.name].own_address()))
    }

    fn connected(&self, rib: &Rib, key: &RouteKey) -> Option<Vec<Way>> {
        let reaches = |port: &&Port| port.addresses.iter().any(|net| net.trunc() == key.prefix);
        let port = rib.ports_of(&key.network).find(reaches)?;
        Some(Way::only(self.ports[&port.name].hop(None)))
    }

    /// The ways that routes along a path lead.
    pub(super) fn ways(&self, network: &Name, path: &Path) -> Vec<Way> {
        match &path.target {
            Target::Port(name) => Way::only(self.ports[name].hop(path.via)),
            Target::Drop => Way::only(Hop::Drop),
            Target::Vteps(_) => path_tunnels(network, path)
                .filter_map(|key| {
                    let hop = Hop::Tunnel(self.tunnels.get(&key)?.id);
                    let identity = identity(&key);
                    Some(Way { hop, identity })
                })
                .collect(),
        }
    }
}

/// What a far end is, for ever: a hash of its addresses (FNV-1a).
fn identity(key: &TunnelKey) -> u64 {
    fn octets(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
    let via = key.via.map(octets);
    let octets = octets(key.vtep)
        .into_iter()
        .chain(via.into_iter().flatten());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Sets or removes the value of a prefix; returns the one it had.
fn place(fib: &mut Fib, prefix: IpNet, value: Option<NextHopId>) -> Option<NextHopId> {
    match (prefix, value) {
        (IpNet::V4(prefix), Some(value)) => fib.v4.insert(prefix.into(), value),
        (IpNet::V6(prefix), Some(value)) => fib.v6.insert(prefix.into(), value),
        (IpNet::V4(prefix), None) => fib.v4.remove(&prefix.into()),
        (IpNet::V6(prefix), None) => fib.v6.remove(&prefix.into()),
    }
}

pub(super) fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// The first address of a prefix that a host can have. The default route's tells nothing.
pub(super) fn first_host(prefix: IpNet) -> Option<IpAddr> {
    if prefix.prefix_len() == 0 {
        None
    } else {
        prefix.hosts().next()
    }
}
