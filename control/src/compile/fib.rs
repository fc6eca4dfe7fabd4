//! The forwarding tables of networks: which next hop each prefix has.

use std::net::IpAddr;

use ipnet::IpNet;
use ringlay_dataplane::{id::NextHopId, tables::Fib};

use super::{Compiler, next_hops::Hop, route_tunnels};
use crate::{
    object::{Port, Route, RouteKey, Target},
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
            .or_else(|| rib.route(key).map(|route| self.hops(&route)))
            .or_else(|| self.connected(rib, key));
        let next_hop = hops.map(|hops| self.next_hops.acquire(&hops));
        let Some(entry) = self.networks.get_mut(&key.network) else {
            return;
        };
        let before = place(&mut entry.table.fib, key.prefix, next_hop);
        if let Some(before) = before {
            self.next_hops.release(before);
        }
    }

    fn own_address(&self, rib: &Rib, key: &RouteKey) -> Option<Vec<Hop>> {
        if key.prefix.prefix_len() != key.prefix.max_prefix_len() {
            return None;
        }
        let owns = |port: &&Port| {
            port.addresses
                .iter()
                .any(|net| net.addr() == key.prefix.addr())
        };
        let port = rib.ports_of(&key.network).find(owns)?;
        Some(vec![Hop::Port(self.ports[&port.name].id)])
    }

    fn connected(&self, rib: &Rib, key: &RouteKey) -> Option<Vec<Hop>> {
        let reaches = |port: &&Port| port.addresses.iter().any(|net| net.trunc() == key.prefix);
        let port = rib.ports_of(&key.network).find(reaches)?;
        Some(vec![Hop::Port(self.ports[&port.name].id)])
    }

    fn hops(&self, route: &Route) -> Vec<Hop> {
        match &route.target {
            Target::Port(name) => vec![Hop::Port(self.ports[name].id)],
            Target::Drop => vec![Hop::Drop],
            Target::Vteps(_) => route_tunnels(route)
                .filter_map(|key| self.tunnels.get(&key))
                .map(|tunnel| Hop::Tunnel(tunnel.id))
                .collect(),
        }
    }
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
