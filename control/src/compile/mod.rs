//! Compiles the desired state into the tables that workers look up.
//!
//! Each change is worked into what is there: a route costs one update of a persistent table,
//! however many there are, and nothing that the change is not about gets another identifier or
//! leaves the tables for a moment. Which MAC addresses far ends have is told from outside.

mod bridges;
mod fib;
mod id_pool;
mod links;
mod load;
mod mtus;
mod networks;
mod next_hops;
mod plain;
mod spread;
mod templates;
mod tunnels;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use ringlay_dataplane::{
    id::{NetworkId, PortId, TunnelId, UnderlayId},
    tables::{self, Tables},
};
use ringlay_encap::MacAddr;

pub use self::links::LinkView;
pub use self::tunnels::TunnelKey;
pub use self::wire::Wire;
use self::{
    fib::first_host,
    id_pool::IdPool,
    links::PortEntry,
    networks::{Carrier, NetworkEntry},
    next_hops::NextHops,
    tunnels::Tunnels,
};
use crate::{
    mtu::Sizes,
    object::{Inner, Name, Path, Route, RouteKey, VtepKey},
    rib::{Change, Delta, Rib},
};

/// What the tables depend on besides the desired state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The local VTEP address.
    pub local: IpAddr,
    /// The largest outer IP packet that the underlay takes where nothing else is known.
    pub mtu: u16,
    /// Whether outer packets that fit must not be fragmented.
    pub dont_fragment: bool,
    /// Whether tunnel frames from unlisted VTEPs are accepted, unless a network says.
    pub accept_unknown_vteps: bool,
    /// Whether each local tunnel endpoint has an uplink for super-frames.
    pub uplink: bool,
}

/// The tables' contents, kept up to date by changes.
#[derive(Clone, Debug)]
pub struct Compiler {
    environment: Environment,
    wire: Option<Wire>,
    /// The link of the endpoint for packets without encapsulation.
    onward: Option<Wire>,
    /// The far ends that are on the same link.
    on_link: BTreeSet<IpAddr>,
    networks: BTreeMap<Name, NetworkEntry>,
    ports: BTreeMap<Name, PortEntry>,
    /// By what tells them apart, with the number of networks that use it.
    underlays: BTreeMap<Carrier, (UnderlayId, u32)>,
    tunnels: Tunnels,
    next_hops: NextHops,
    /// What is known of the paths to the far ends.
    paths: BTreeMap<IpAddr, Sizes>,
    /// Tunnels whose far end may have to be resolved anew.
    touched: BTreeSet<TunnelId>,
    network_ids: IdPool,
    port_ids: IdPool,
    underlay_ids: IdPool,
}

/// What one tunnel's far end must be asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelView {
    /// The network.
    pub network: NetworkId,
    /// The outer address of the far end.
    pub vtep: IpAddr,
    /// The inner address of the far router, if a route names it.
    pub via: Option<IpAddr>,
    /// An inner address that may be behind it.
    pub hint: Option<IpAddr>,
    /// Our MAC address in the network.
    pub mac: MacAddr,
    /// Our inner addresses in the network.
    pub addresses: Vec<IpAddr>,
    /// Whether packets need the far end's MAC address.
    pub needs_mac: bool,
    /// The far end's MAC address, if it is configured.
    pub configured: Option<MacAddr>,
}

impl TunnelView {
    /// Whether nobody need be asked.
    pub fn is_settled(&self) -> bool {
        !self.needs_mac || self.configured.is_some()
    }
}

impl Compiler {
    /// Empty tables.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            wire: None,
            onward: None,
            on_link: BTreeSet::new(),
            networks: BTreeMap::new(),
            ports: BTreeMap::new(),
            underlays: BTreeMap::new(),
            tunnels: Tunnels::default(),
            next_hops: NextHops::default(),
            paths: BTreeMap::new(),
            touched: BTreeSet::new(),
            network_ids: IdPool::default(),
            port_ids: IdPool::default(),
            underlay_ids: IdPool::default(),
        }
    }

    /// Works in a change, after which the desired state is `rib`.
    pub fn apply(&mut self, rib: &Rib, delta: &Delta) {
        let mut prefixes = BTreeSet::new();
        // What appears comes first and what goes comes last, so that shared things stay.
        for change in &delta.networks {
            if let Some(network) = &change.after {
                self.put_network(network);
            }
        }
        delta
            .ports
            .iter()
            .for_each(|change| self.put_port(rib, change, &mut prefixes));
        for vtep in delta.vteps.iter().filter(|change| change.before.is_none()) {
            let vtep = vtep.latest();
            self.tunnels
                .acquire(&TunnelKey::to(&vtep.network, vtep.address, None), 1);
        }
        let released = self.put_routes(&delta.routes, &mut prefixes);
        for key in &prefixes {
            self.resolve(rib, key);
        }
        released.iter().for_each(|key| self.let_tunnel_go(key, 1));
        for vtep in delta.vteps.iter().filter(|change| change.after.is_none()) {
            let vtep = vtep.latest();
            self.tunnels
                .release(&TunnelKey::to(&vtep.network, vtep.address, None), 1);
        }
        for change in delta.ports.iter().filter(|change| change.after.is_none()) {
            if let Some(entry) = self.ports.remove(&change.latest().name) {
                self.port_ids.give_back(entry.id.0.into());
            }
        }
        for change in delta
            .networks
            .iter()
            .filter(|change| change.after.is_none())
        {
            self.remove_network(&change.latest().name);
        }
        self.refresh(rib, delta);
    }

    /// Notes the MAC address that was resolved for a tunnel's far end, or that there is none.
    pub fn learn(&mut self, rib: &Rib, id: TunnelId, mac: Option<MacAddr>) {
        let Some(key) = self.tunnels.key(id).cloned() else {
            return;
        };
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            tunnel.learned = mac;
        }
        self.refresh_template(rib, &key);
    }

    /// The tables as they are now.
    pub fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        self.next_hops.write(&mut tables, |id| self.leads_to(id));
        for (id, endpoint) in self.underlays() {
            tables.insert_underlay(id, endpoint);
            if let Some(wire) = &self.wire {
                tables.insert_wire(id, wire.largest());
            }
        }
        for entry in self.networks.values() {
            tables.insert_network(entry.id, entry.table.clone());
            if let Some(bridge) = &entry.bridge {
                tables.insert_bridge(entry.id, bridge.table.clone());
            }
        }
        for entry in self.ports.values() {
            let network = self.networks[&entry.network].id;
            tables.insert_port(entry.id, tables::Port { network });
            if let Some(link) = self.link_table(entry) {
                tables.insert_link(entry.id, link);
            }
        }
        for (key, tunnel) in self.tunnels.iter() {
            let network = &self.networks[&key.network];
            let plain = self.plain_endpoint().filter(|_| key.direct);
            let port = if plain.is_some() {
                0
            } else {
                network.table.port
            };
            let tunnel_table = tables::Tunnel {
                network: network.id,
                underlay: plain.unwrap_or(network.table.underlay),
                local: self.environment.local,
                remote: SocketAddr::new(key.vtep, port),
                mtu: self.tunnel_mtu(key).into(),
                template: tunnel.template.clone(),
            };
            tables.insert_tunnel(tunnel.id, tunnel_table);
        }
        tables
    }

    /// What the tables depend on besides the desired state.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The identifier of a port.
    pub fn port(&self, name: &Name) -> Option<PortId> {
        self.ports.get(name).map(|entry| entry.id)
    }

    /// The ports' names and identifiers, by name.
    pub fn ports(&self) -> impl Iterator<Item = (&Name, PortId)> {
        self.ports.iter().map(|(name, entry)| (name, entry.id))
    }

    /// The identifier and table of a network.
    pub fn network(&self, name: &Name) -> Option<(NetworkId, &tables::Network)> {
        self.networks
            .get(name)
            .map(|entry| (entry.id, &entry.table))
    }

    /// The identifier of a tunnel.
    pub fn tunnel(&self, key: &TunnelKey) -> Option<TunnelId> {
        self.tunnels.get(key).map(|tunnel| tunnel.id)
    }

    /// What distinguishes the tunnel with this identifier.
    pub fn tunnel_key(&self, id: TunnelId) -> Option<&TunnelKey> {
        self.tunnels.key(id)
    }

    /// The tunnels of a network.
    pub fn tunnels_of<'a>(&'a self, network: &'a Name) -> impl Iterator<Item = &'a TunnelKey> {
        self.tunnels.of(network)
    }

    /// The tunnels that changed since the last call; those that are gone have no view.
    pub fn take_touched(&mut self, rib: &Rib) -> Vec<(TunnelId, Option<TunnelView>)> {
        let touched = std::mem::take(&mut self.touched);
        touched
            .into_iter()
            .map(|id| (id, self.view(rib, id)))
            .collect()
    }

    /// What a tunnel's far end must be asked with.
    pub fn view(&self, rib: &Rib, id: TunnelId) -> Option<TunnelView> {
        let key = self.tunnels.key(id).filter(|key| !key.direct)?;
        let network = &self.networks[&key.network];
        Some(TunnelView {
            network: network.id,
            vtep: key.vtep,
            via: key.via,
            hint: self.tunnels.get(key)?.hint,
            mac: network.table.mac,
            addresses: network.table.addresses.clone(),
            needs_mac: network.inner == Inner::Ethernet && network.bridge.is_none(),
            configured: configured_mac(rib, key),
        })
    }

    /// Holds the tunnels of new routes; returns those that old routes no longer need.
    fn put_routes(
        &mut self,
        changes: &[Change<Route>],
        prefixes: &mut BTreeSet<RouteKey>,
    ) -> Vec<TunnelKey> {
        let mut released = Vec::new();
        for change in changes {
            if let Some(route) = &change.after {
                for key in route_tunnels(route) {
                    if key.is_of_routes() {
                        let id = self.hold_tunnel(&key, 1);
                        self.touched.insert(id);
                    }
                    self.hint(&key.tunnelled(), route.prefix);
                }
            }
            if let Some(route) = &change.before {
                released.extend(route_tunnels(route).filter(TunnelKey::is_of_routes));
            }
            let latest = change.latest();
            prefixes.insert(RouteKey {
                network: latest.network.clone(),
                prefix: latest.prefix,
            });
        }
        let ids = released
            .iter()
            .filter_map(|key| self.tunnels.get(key))
            .map(|tunnel| tunnel.id);
        self.touched.extend(ids);
        released
    }

    /// Notes that the hosts of a prefix are behind a tunnel.
    fn hint(&mut self, key: &TunnelKey, prefix: IpNet) {
        if let Some(tunnel) = self.tunnels.get_mut(key)
            && tunnel.hint.is_none()
        {
            tunnel.hint = first_host(prefix);
            self.touched.insert(tunnel.id);
        }
    }

    /// Brings up to date what networks and tunnels take from their objects.
    fn refresh(&mut self, rib: &Rib, delta: &Delta) {
        let networks = delta.networks.iter().map(|change| &change.latest().name);
        let ports = delta
            .ports
            .iter()
            .flat_map(|change| change.before.iter().chain(&change.after));
        let vteps = delta.vteps.iter().map(|change| &change.latest().network);
        let neighbours = delta
            .neighbours
            .iter()
            .map(|change| &change.latest().network);
        let fdb = delta.fdb.iter().map(|change| &change.latest().network);
        let changed: BTreeSet<&Name> = networks
            .chain(ports.map(|port| &port.network))
            .chain(vteps)
            .chain(neighbours)
            .chain(fdb)
            .collect();
        for name in changed {
            if let Some(entry) = self.networks.get_mut(name) {
                // `vteps_of` goes by address, as the table wants it.
                entry.table.vteps = rib.vteps_of(name).map(|vtep| vtep.address).collect();
                // The node's own addresses before those of its containers: it speaks for itself.
                let (own, guests): (Vec<_>, Vec<_>) =
                    rib.ports_of(name).partition(|port| port.guest.is_none());
                let ports = own.into_iter().chain(guests);
                // On a bridged network only its stations have addresses.
                let ports = ports.filter(|_| entry.bridge.is_none());
                entry.table.addresses = ports.flat_map(links::addresses).collect();
            }
            self.refresh_mtu(name);
            self.refresh_bridge(rib, name);
            for key in self.tunnels.of(name).cloned().collect::<Vec<_>>() {
                self.refresh_template(rib, &key);
                self.touched
                    .extend(self.tunnels.get(&key).map(|tunnel| tunnel.id));
            }
        }
        for change in &delta.routes {
            for key in change
                .after
                .iter()
                .flat_map(route_tunnels)
                .filter(TunnelKey::is_of_routes)
            {
                self.refresh_template(rib, &key);
            }
        }
    }
}

impl TunnelKey {
    /// The tunnel to a VTEP, or to a router behind it.
    pub fn to(network: &Name, vtep: IpAddr, via: Option<IpAddr>) -> Self {
        Self {
            network: network.clone(),
            vtep,
            via,
            direct: false,
        }
    }

    /// The tunnel to the same end for packets that are encapsulated.
    pub fn tunnelled(&self) -> Self {
        Self {
            direct: false,
            ..self.clone()
        }
    }

    /// Whether routes have it, rather than the VTEP itself.
    fn is_of_routes(&self) -> bool {
        self.via.is_some() || self.direct
    }
}

/// The tunnels that a route leads to.
fn route_tunnels(route: &Route) -> impl Iterator<Item = TunnelKey> {
    let key = |vtep: &IpAddr| TunnelKey {
        direct: route.direct,
        ..TunnelKey::to(&route.network, *vtep, route.via)
    };
    route.target.vteps().iter().map(key)
}

/// The tunnels that routes along a path lead to.
fn path_tunnels(network: &Name, path: &Path) -> impl Iterator<Item = TunnelKey> {
    let key = |vtep: &IpAddr| TunnelKey {
        direct: path.direct,
        ..TunnelKey::to(network, *vtep, path.via)
    };
    path.target.vteps().iter().map(key)
}

/// The MAC address that the desired state gives the far end of a tunnel.
fn configured_mac(rib: &Rib, key: &TunnelKey) -> Option<MacAddr> {
    let mut neighbours = rib
        .neighbours_of(&key.network)
        .filter(|it| it.vtep == key.vtep);
    if let Some(via) = key.via {
        return neighbours
            .find(|neighbour| neighbour.address == via)
            .map(|it| it.mac);
    }
    let vtep = VtepKey {
        network: key.network.clone(),
        address: key.vtep,
    };
    let of_vtep = rib.vtep(&vtep).and_then(|vtep| vtep.mac);
    let usual = || rib.network(&key.network)?.usual_mac(key.vtep);
    of_vtep
        .or_else(|| neighbours.next().map(|neighbour| neighbour.mac))
        .or_else(usual)
}

/// Numbers of the dataplane's small kinds fit 16 bits: it has no room for more.
fn narrow(id: u32) -> u16 {
    u16::try_from(id).expect("fewer than 65536 networks, ports and underlays")
}
