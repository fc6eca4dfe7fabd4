//! Ports, and what the tables say of those with Ethernet: who Ringlay is there, and which hosts are
//! known. Who is asked is for [`crate::neighbour`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use ringlay_dataplane::{
    id::PortId,
    sys::xdp,
    tables::{IPV6_MTU_MIN, Link, Neighbours},
};
use ringlay_encap::{MacAddr, eth};

use super::{Compiler, fib::host, narrow, next_hops::Hop};
use crate::{
    object::{Name, Port, PortKind, RouteKey, Target, is_link_local},
    rib::{Change, Rib},
};

#[derive(Clone, Debug)]
pub(super) struct PortEntry {
    pub(super) id: PortId,
    pub(super) network: Name,
    /// If it has Ethernet.
    link: Option<LinkEntry>,
}

#[derive(Clone, Debug)]
struct LinkEntry {
    mac: MacAddr,
    addresses: Vec<IpNet>,
    proxy: bool,
    hosts: BTreeMap<IpAddr, MacAddr>,
    /// The same, as the tables have them.
    neighbours: Neighbours,
    /// Whether super-frames cross the device.
    offloads: bool,
    /// Whether the device is our own.
    ours: bool,
    /// The MTU of the device, if that is not ours to choose.
    mtu: Option<u32>,
}

/// What hosts on an Ethernet port must be asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Our MAC address.
    pub mac: MacAddr,
    /// Our addresses, with the prefixes that they are for.
    pub addresses: Vec<IpNet>,
}

impl PortEntry {
    /// Where routes through the port lead, to a router there if they name one.
    pub(super) fn hop(&self, via: Option<IpAddr>) -> Hop {
        match (&self.link, via) {
            (Some(_), Some(router)) => Hop::Gateway(self.id, router),
            (Some(_), None) => Hop::Link(self.id),
            (None, _) => Hop::Port(self.id),
        }
    }

    /// Where packets to the port's own addresses go.
    pub(super) fn own_address(&self) -> Hop {
        match self.link {
            Some(_) => Hop::Local,
            None => Hop::Port(self.id),
        }
    }
}

impl Compiler {
    /// Ringlay's own MAC address on an Ethernet port.
    pub fn link_mac(&self, port: &Name) -> Option<MacAddr> {
        Some(self.ports.get(port)?.link.as_ref()?.mac)
    }

    /// What hosts on an Ethernet port must be asked with.
    pub fn link_view(&self, port: &Name) -> Option<(PortId, LinkView)> {
        let entry = self.ports.get(port)?;
        let link = entry.link.as_ref()?;
        let view = LinkView {
            mac: link.mac,
            addresses: link.addresses.clone(),
        };
        Some((entry.id, view))
    }

    /// Notes the MAC address of a host on a port, or that there is none.
    pub fn learn_host(&mut self, port: &Name, host: IpAddr, mac: Option<MacAddr>) {
        let entry = self.ports.get_mut(port);
        let Some(link) = entry.and_then(|entry| entry.link.as_mut()) else {
            return;
        };
        match mac {
            Some(mac) => link.hosts.insert(host, mac),
            None => link.hosts.remove(&host),
        };
        let hosts = link.hosts.iter();
        link.neighbours = hosts.map(|(host, mac)| (*host, *mac)).collect();
    }

    /// Notes the MTU of a device that is not ours.
    pub fn set_link_mtu(&mut self, port: &Name, mtu: u32) {
        let entry = self.ports.get_mut(port);
        if let Some(link) = entry.and_then(|entry| entry.link.as_mut()) {
            link.mtu = Some(mtu).filter(|_| !link.ours);
        }
    }

    /// Whether hosts of a network may send larger packets than the network takes: their devices are
    /// not ours.
    pub(super) fn has_wide_hosts(&self, network: &Name) -> bool {
        let mut ports = self.ports.values().filter(|it| it.network == *network);
        ports.any(|it| it.link.as_ref().is_some_and(|link| !link.ours))
    }

    /// The name of a port.
    pub fn port_name(&self, id: PortId) -> Option<&Name> {
        let mut ports = self.ports();
        ports.find(|(_, other)| *other == id).map(|(name, _)| name)
    }

    /// Takes up a port, or what changed about it, and tells which routes that may change.
    pub(super) fn put_port(
        &mut self,
        rib: &Rib,
        change: &Change<Port>,
        prefixes: &mut BTreeSet<RouteKey>,
    ) {
        if let Some(port) = &change.after {
            let ids = &mut self.port_ids;
            let known = self.ports.get(&port.name);
            let id = known.map_or_else(|| PortId(narrow(ids.take())), |entry| entry.id);
            self.put_link(rib, id, port, change.before.as_ref());
        }
        prefixes.extend(turned_routes(rib, change));
        let ports = change.before.iter().chain(&change.after);
        for port in ports.filter(|port| !rib.is_bridged(&port.network)) {
            let touched = port
                .addresses
                .iter()
                .flat_map(|net| [net.trunc(), host(net.addr())]);
            let network = port.network.clone();
            prefixes.extend(touched.map(|prefix| RouteKey {
                network: network.clone(),
                prefix,
            }));
        }
    }

    /// Takes up a port, or what changed about it. Hosts are known for as long as the device stays.
    fn put_link(&mut self, rib: &Rib, id: PortId, port: &Port, before: Option<&Port>) {
        let known = self.ports.remove(&port.name);
        let same = before.is_some_and(|before| before.same_device(port));
        let known = known.and_then(|entry| entry.link).filter(|_| same);
        let known = known.map(|it| (it.hosts, it.neighbours, it.mtu));
        let (hosts, neighbours, mtu) = known.unwrap_or_default();
        let mac = port.mac.unwrap_or_else(|| self.derive_link_mac(port));
        // On a bridged network nobody is a router.
        let routes = port.kind.is_ethernet() && !rib.is_bridged(&port.network);
        let link = routes.then(|| LinkEntry {
            mac,
            addresses: with_link_local(&port.addresses, mac),
            proxy: port.proxy,
            hosts,
            neighbours,
            offloads: port.kind != PortKind::AfXdp,
            ours: !port.kind.is_station(),
            mtu,
        });
        let network = port.network.clone();
        self.ports
            .insert(port.name.clone(), PortEntry { id, network, link });
    }

    /// What the tables say of a port, if it has Ethernet.
    pub(super) fn link_table(&self, entry: &PortEntry) -> Option<Link> {
        let link = entry.link.as_ref()?;
        let mtu = self.mtu(&entry.network)? as usize;
        let has_v6 = link.addresses.iter().any(|net| {
            let address = net.addr();
            address.is_ipv6() && !is_link_local(address)
        });
        Some(Link {
            mac: link.mac,
            addresses: link.addresses.iter().map(IpNet::addr).collect(),
            proxy: link.proxy,
            mtu: match link.mtu {
                Some(mtu) if link.offloads => mtu as usize,
                Some(mtu) => (mtu as usize).min(xdp::CHUNK - eth::HEADER_LEN),
                None if has_v6 => mtu.max(IPV6_MTU_MIN),
                None => mtu,
            },
            offloads: link.offloads,
            neighbours: link.neighbours.clone(),
        })
    }

    /// The same on every start, and different on every node and port.
    fn derive_link_mac(&self, port: &Port) -> MacAddr {
        let seed = format!("{} {} {}", self.environment.local, port.network, port.name);
        MacAddr::derive_local(seed.as_bytes())
    }
}

/// What a network may take for an address of the node: not what is good on one link only.
pub(super) fn addresses(port: &Port) -> impl Iterator<Item = IpAddr> {
    let addresses = port.addresses.iter().map(IpNet::addr);
    addresses.filter(|it| !(port.kind.is_ethernet() && is_link_local(*it)))
}

/// All addresses of a router, its link-local one last: every IPv6 interface has one.
fn with_link_local(addresses: &[IpNet], mac: MacAddr) -> Vec<IpNet> {
    let mut all = addresses.to_vec();
    // What errors come from and requests are made with must be good beyond the link, if possible.
    all.sort_by_key(|net| is_link_local(net.addr()));
    let own = IpNet::from(IpAddr::V6(mac.link_local()));
    if !all.iter().any(|net| net.addr() == own.addr()) {
        all.push(own);
    }
    all
}

/// The routes through a port that lead elsewhere because it has Ethernet now, or no longer.
fn turned_routes(rib: &Rib, change: &Change<Port>) -> Vec<RouteKey> {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return Vec::new();
    };
    if before.kind.is_ethernet() == after.kind.is_ethernet() {
        return Vec::new();
    }
    let target = Target::Port(after.name.clone());
    let routes = rib.routes_of(&after.network);
    let through = routes.filter(|route| route.path.target == target);
    let keys = through.map(|route| RouteKey {
        network: after.network.clone(),
        prefix: route.prefix,
    });
    keys.collect()
}
