//! Whether the objects in force make sense together. Looks only at what a change can have broken.

mod bridged;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use ringlay_encap::{MacAddr, UdpChecksum};

use super::{ApplyError, Change, Delta, Problem, Rib, RouteRef};
use crate::object::{
    Encap, Headers, Inner, Key, Kind, Name, Neighbour, Network, Path, Port, PortKind, Route,
    RouteKey, Site, Target, Vtep, VtepKey, ZeroCopy, is_link_local,
};

/// No address sorts before it.
pub(super) const FIRST_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// No prefix sorts before it.
pub(super) const FIRST_PREFIX: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));

type Checked = Result<(), ApplyError>;

/// What is wrong with which field.
pub(super) type Fault = (&'static str, Problem);

/// Networks, and ports, that a node may have: the dataplane counts them with 16 bits, and does not
/// use a number again at once.
const COUNT_MAX: usize = 60_000;

pub(super) fn check(rib: &Rib, delta: &Delta) -> Checked {
    bridged::modes_stay(rib, &delta.networks)?;
    each(
        &delta.networks,
        Key::Network,
        |it| network(rib, it),
        |it| network_unused(rib, it),
    )?;
    each(
        &delta.ports,
        Key::Port,
        |it| port(rib, it),
        |it| port_unused(rib, it),
    )?;
    for change in &delta.ports {
        if let Change {
            before: Some(before),
            after: Some(after),
        } = change
            && before.network != after.network
        {
            port_unused(rib, before).map_err(|fault| at(Key::Port(after.key()), fault))?;
        }
        if let Some(after) = &change.after
            && change
                .before
                .as_ref()
                .is_some_and(|it| it.kind.is_ethernet())
        {
            no_router_behind(rib, after).map_err(|fault| at(Key::Port(after.key()), fault))?;
        }
    }
    each(
        &delta.vteps,
        Key::Vtep,
        |it| vtep(rib, it),
        |it| vtep_unused(rib, it),
    )?;
    let with_family = |it: &Route| route(rib, it).and_then(|()| family(rib, it));
    each(&delta.routes, Key::Route, with_family, |_| Ok(()))?;
    each(
        &delta.neighbours,
        Key::Neighbour,
        |it| neighbour(rib, it),
        |_| Ok(()),
    )?;
    each(
        &delta.fdb,
        Key::FdbEntry,
        |it| bridged::entry(rib, it),
        |_| Ok(()),
    )
}

/// Checks the objects that are there, and that those which went are not missed.
fn each<T: Kind>(
    changes: &[Change<T>],
    key: fn(T::Key) -> Key,
    present: impl Fn(&T) -> Result<(), Fault>,
    gone: impl Fn(&T) -> Result<(), Fault>,
) -> Checked {
    for change in changes {
        let result = match &change.after {
            Some(object) => present(object),
            None => gone(change.latest()),
        };
        result.map_err(|fault| at(key(change.latest().key()), fault))?;
    }
    Ok(())
}

fn at(key: Key, (field, problem): Fault) -> ApplyError {
    ApplyError::new(key, field, problem)
}

fn network(rib: &Rib, network: &Network) -> Result<(), Fault> {
    few("", rib.networks.len())?;
    for (_, other) in rib.networks().filter(|(_, it)| it.name != network.name) {
        told_apart(network, other)?;
        if share_no_key(network, other) {
            let mut vteps = rib.vteps_of(&network.name);
            vteps.try_for_each(|vtep| pair_is_free(rib, other, vtep.address))?;
        }
    }
    if network.accept_unknown_vteps == Some(true)
        && rib.local.is_ipv6()
        && network.headers.udp_checksum != UdpChecksum::On
    {
        return Err(("udp_checksum", Problem::ZeroFromStrangers));
    }
    if network.headers.encap_limit.is_some() && rib.local.is_ipv4() {
        return Err(("encap_limit", Problem::LimitNeedsV6(rib.local)));
    }
    mac(network.mac)?;
    bridged::network(network)?;
    if network.encap.inner() == Inner::Ip {
        no_mac_needed(rib, network)?;
    }
    if network.encap == Encap::Plain {
        no_tunnel_needed(rib, network)?;
    }
    Ok(())
}

/// Whether nothing is configured about tunnels in a network that has none.
fn no_tunnel_needed(rib: &Rib, network: &Network) -> Result<(), Fault> {
    let usual = Headers::default();
    let settings = [
        ("ecn", network.headers.ecn != usual.ecn),
        ("dscp", network.headers.dscp != usual.dscp),
        ("ttl", network.headers.ttl != usual.ttl),
        (
            "accept_unknown_vteps",
            network.accept_unknown_vteps.is_some(),
        ),
    ];
    if let Some((setting, _)) = settings.iter().find(|(_, there)| *there) {
        return Err((setting, Problem::NoTunnel));
    }
    let mut routes = rib.routes_of(&network.name);
    routes.try_for_each(|route| {
        let fits = family(rib, &route.to_route());
        fits.map_err(|(_, problem)| ("encap", problem))
    })
}

/// Whether a packet's headers tell two networks apart.
fn told_apart(network: &Network, other: &Network) -> Result<(), Fault> {
    let (one, two) = (network.encap, other.encap);
    let by = || other.name.clone();
    if let Some(port) = one.port()
        && two.port() == Some(port)
    {
        let encapsulation = two.encapsulation();
        if encapsulation != one.encapsulation() {
            let by = by();
            let problem = Problem::UdpPortTaken {
                by,
                encapsulation,
                port,
            };
            return Err(("port", problem));
        }
        if network.headers.udp_checksum != other.headers.udp_checksum {
            let (by, checksum) = (by(), other.headers.udp_checksum);
            return Err((
                "udp_checksum",
                Problem::ChecksumShared { by, port, checksum },
            ));
        }
        if let Some(vni) = one.vni().filter(|vni| two.vni() == Some(*vni)) {
            let by = by();
            return Err(("vni", Problem::VniTaken { by, vni, port }));
        }
    }
    if let Some(key) = one.key().filter(|key| two.key() == Some(*key)) {
        return Err(("key", Problem::GreKeyTaken { by: by(), key }));
    }
    let accepting = |it: &Network| it.accept_unknown_vteps == Some(true);
    if share_no_key(network, other) && accepting(network) && accepting(other) {
        return Err(("accept_unknown_vteps", Problem::StrangersTaken(by())));
    }
    Ok(())
}

/// Whether only outer addresses tell two networks apart.
fn share_no_key(network: &Network, other: &Network) -> bool {
    let key = network.encap.tunnel_key();
    key.is_absent() && other.encap.tunnel_key() == key
}

/// Whether another network, which only outer addresses tell from this one, lacks the VTEP.
fn pair_is_free(rib: &Rib, other: &Network, vtep: IpAddr) -> Result<(), Fault> {
    let key = VtepKey {
        network: other.name.clone(),
        address: vtep,
    };
    if rib.vtep(&key).is_some() {
        let by = other.name.clone();
        let problem = Problem::PairTaken { by, vtep };
        return Err(("address", problem));
    }
    Ok(())
}

/// Whether nothing is configured about MAC addresses inside the tunnels of a network without.
fn no_mac_needed(rib: &Rib, network: &Network) -> Result<(), Fault> {
    let name = &network.name;
    let users = [
        (
            "a vtep with mac",
            rib.vteps_of(name).any(|it| it.mac.is_some()),
        ),
        ("a neighbour", rib.neighbours_of(name).next().is_some()),
        (
            "a route with via",
            rib.routes.find(name, leads_behind_a_vtep).is_some(),
        ),
    ];
    if let Some((user, _)) = users.iter().find(|(_, there)| *there) {
        return Err(("encap", Problem::InnerEthernetInUse(user)));
    }
    match network.mac {
        Some(_) => Err(("mac", no_ethernet(network))),
        None => Ok(()),
    }
}

/// Whether a path names a router behind a VTEP.
fn leads_behind_a_vtep(path: &Path) -> bool {
    path.via.is_some() && matches!(path.target, Target::Vteps(_))
}

fn no_ethernet(network: &Network) -> Problem {
    Problem::NoInnerEthernet(network.encap.encapsulation())
}

/// Refuses a field that is about MAC addresses inside the tunnels of a network without.
fn needs_ethernet(rib: &Rib, network: &Name, field: &'static str) -> Result<(), Fault> {
    match rib.network(network) {
        Some(network) if network.encap.inner() == Inner::Ip => Err((field, no_ethernet(network))),
        _ => Ok(()),
    }
}

fn network_unused(rib: &Rib, network: &Network) -> Result<(), Fault> {
    let name = &network.name;
    let port = rib.ports_of(name).map(|port| Key::Port(port.key())).next();
    let route = || rib.routes_of(name).next().map(route_key);
    let neighbour = || {
        rib.neighbours_of(name)
            .map(|it| Key::Neighbour(it.key()))
            .next()
    };
    let vtep = || rib.vteps_of(name).map(|vtep| Key::Vtep(vtep.key())).next();
    let entry = || rib.fdb_of(name).map(|it| Key::FdbEntry(it.key())).next();
    unused(
        port.or_else(route)
            .or_else(neighbour)
            .or_else(entry)
            .or_else(vtep),
    )
}

fn port(rib: &Rib, port: &Port) -> Result<(), Fault> {
    few("", rib.ports.len())?;
    network_exists(rib, &port.network)?;
    for (_, other) in rib.ports().filter(|(_, other)| other.name != port.name) {
        if (&other.device, &other.netns) == (&port.device, &port.netns) {
            return Err(("device", Problem::DeviceTaken(other.name.clone())));
        }
        if other.network == port.network
            && let Some(address) = first_shared(port, other)
        {
            let by = other.name.clone();
            return Err(("addresses", Problem::AddressTaken { by, address }));
        }
    }
    bridged::port(rib, port)?;
    ethernet(port)?;
    let addresses: Vec<IpAddr> = port.addresses.iter().map(IpNet::addr).collect();
    distinct("addresses", &addresses)?;
    addresses
        .iter()
        .try_for_each(|address| unicast("addresses", *address))
}

/// Whether nothing is said of a port that is of no use for its kind.
fn ethernet(port: &Port) -> Result<(), Fault> {
    if port.kind != PortKind::AfXdp && port.zero_copy != ZeroCopy::Auto {
        return Err(("zero_copy", Problem::NotAfXdp));
    }
    if port.kind.is_ethernet() {
        if port.routes {
            return Err(("routes", Problem::NoKernelRoutes));
        }
        if port.kind == PortKind::AfXdp && port.queues.is_some() {
            return Err(("queues", Problem::OwnQueues));
        }
        return mac(port.mac);
    }
    for (field, is_there) in [("mac", port.mac.is_some()), ("proxy", port.proxy)] {
        if is_there {
            return Err((field, Problem::NoEthernetPort));
        }
    }
    Ok(())
}

/// Whether no route leads to a router on a port, unless it has Ethernet.
fn no_router_behind(rib: &Rib, port: &Port) -> Result<(), Fault> {
    if port.kind.is_ethernet() {
        return Ok(());
    }
    let has_router =
        |path: &Path| path.via.is_some() && path.target == Target::Port(port.name.clone());
    match rib.routes.find(&port.network, has_router).map(route_key) {
        Some(user) => Err(("kind", Problem::InUse(user))),
        None => Ok(()),
    }
}

fn port_unused(rib: &Rib, port: &Port) -> Result<(), Fault> {
    let uses = |path: &Path| matches!(&path.target, Target::Port(name) if *name == port.name);
    let route = rib.routes.find(&port.network, uses).map(route_key);
    let site = Site::Port(port.name.clone());
    unused(route.or_else(|| bridged::at(rib, &port.network, &site)))
}

fn vtep(rib: &Rib, vtep: &Vtep) -> Result<(), Fault> {
    network_exists(rib, &vtep.network)?;
    let (address, local) = (vtep.address, rib.local);
    unicast("address", address)?;
    if address == local {
        return Err(("address", Problem::VtepIsLocal(address)));
    }
    if address.is_ipv4() != local.is_ipv4() {
        return Err(("address", Problem::VtepFamily { address, local }));
    }
    let network = rib.network(&vtep.network);
    if let Some(network) = network.filter(|it| it.encap.tunnel_key().is_absent()) {
        let others = rib.networks().map(|(_, other)| other);
        let mut rivals = others.filter(|it| it.name != network.name && share_no_key(network, it));
        rivals.try_for_each(|other| pair_is_free(rib, other, address))?;
    }
    if vtep.mac.is_some() {
        bridged::needs_routed(rib, &vtep.network, "mac")?;
        needs_ethernet(rib, &vtep.network, "mac")?;
    }
    mac(vtep.mac)
}

fn vtep_unused(rib: &Rib, vtep: &Vtep) -> Result<(), Fault> {
    let uses = |path: &Path| path.target.vteps().contains(&vtep.address);
    let route = rib.routes.find(&vtep.network, uses).map(route_key);
    let neighbour = || {
        rib.neighbours_of(&vtep.network)
            .find(|neighbour| neighbour.vtep == vtep.address)
            .map(|neighbour| Key::Neighbour(neighbour.key()))
    };
    let entry = || bridged::at(rib, &vtep.network, &Site::Vtep(vtep.address));
    unused(route.or_else(neighbour).or_else(entry))
}

pub(super) fn route(rib: &Rib, route: &Route) -> Result<(), Fault> {
    network_exists(rib, &route.network)?;
    bridged::needs_routed(rib, &route.network, "network")?;
    match &route.target {
        Target::Vteps(vteps) if vteps.is_empty() => return Err(("vtep", Problem::NoVteps)),
        Target::Vteps(vteps) => {
            distinct("vtep", vteps)?;
            vteps
                .iter()
                .try_for_each(|vtep| vtep_exists(rib, &route.network, *vtep))?;
        }
        Target::Port(name) => {
            let port = rib.port(name).filter(|port| port.network == route.network);
            port.ok_or_else(|| ("port", Problem::UnknownPort(name.clone())))?;
        }
        Target::Drop => {}
    }
    if route.direct && (route.via.is_some() || route.target.vteps().is_empty()) {
        return Err(("direct", Problem::DirectNeedsVteps));
    }
    match route.via {
        Some(via) => {
            via_makes_sense(rib, route)?;
            unicast("via", via)
        }
        None => Ok(()),
    }
}

/// Whether there can be a router where a route leads.
fn via_makes_sense(rib: &Rib, route: &Route) -> Result<(), Fault> {
    match &route.target {
        Target::Port(name) if rib.port(name).is_some_and(|it| it.kind.is_ethernet()) => Ok(()),
        Target::Vteps(vteps) if vteps.len() == 1 => needs_ethernet(rib, &route.network, "via"),
        _ => Err(("via", Problem::ViaNeedsOneVtep)),
    }
}

/// Whether a route's packets are of the IP version of the underlay, if they are to leave without
/// encapsulation: the kernel leads no others to a neighbour.
pub(super) fn family(rib: &Rib, route: &Route) -> Result<(), Fault> {
    let same = route.prefix.addr().is_ipv4() == rib.local.is_ipv4();
    if same || !is_plain(rib, &route.network, route.direct, &route.target) {
        return Ok(());
    }
    Err(("prefix", Problem::PlainFamily(rib.local)))
}

/// Whether packets of a network's routes to `target` may leave without encapsulation.
pub(super) fn is_plain(rib: &Rib, network: &Name, direct: bool, target: &Target) -> bool {
    let network = rib.network(network);
    let plain = direct || network.is_some_and(|it| it.encap == Encap::Plain);
    plain && matches!(target, Target::Vteps(_))
}

fn neighbour(rib: &Rib, neighbour: &Neighbour) -> Result<(), Fault> {
    network_exists(rib, &neighbour.network)?;
    bridged::needs_routed(rib, &neighbour.network, "network")?;
    vtep_exists(rib, &neighbour.network, neighbour.vtep)?;
    needs_ethernet(rib, &neighbour.network, "mac")?;
    unicast("address", neighbour.address)?;
    mac(Some(neighbour.mac))
}

fn route_key(route: RouteRef<'_>) -> Key {
    Key::Route(RouteKey {
        network: route.network.clone(),
        prefix: route.prefix,
    })
}

fn network_exists(rib: &Rib, name: &Name) -> Result<(), Fault> {
    match rib.network(name) {
        Some(_) => Ok(()),
        None => Err(("network", Problem::UnknownNetwork(name.clone()))),
    }
}

fn vtep_exists(rib: &Rib, network: &Name, address: IpAddr) -> Result<(), Fault> {
    match rib.vtep(&VtepKey {
        network: network.clone(),
        address,
    }) {
        Some(_) => Ok(()),
        None => Err(("vtep", Problem::UnknownVtep(address))),
    }
}

fn few(field: &'static str, count: usize) -> Result<(), Fault> {
    if count <= COUNT_MAX {
        Ok(())
    } else {
        Err((field, Problem::TooMany(COUNT_MAX)))
    }
}

fn unused(user: Option<Key>) -> Result<(), Fault> {
    match user {
        Some(user) => Err(("", Problem::InUse(user))),
        None => Ok(()),
    }
}

fn distinct(field: &'static str, addresses: &[IpAddr]) -> Result<(), Fault> {
    let repeated = |(at, address): (usize, &IpAddr)| addresses[..at].contains(address);
    match addresses.iter().enumerate().find(|item| repeated(*item)) {
        Some((_, address)) => Err((field, Problem::Twice(*address))),
        None => Ok(()),
    }
}

fn unicast(field: &'static str, address: IpAddr) -> Result<(), Fault> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast {
        return Err((field, Problem::NotUnicast(address)));
    }
    Ok(())
}

fn mac(mac: Option<MacAddr>) -> Result<(), Fault> {
    match mac {
        Some(mac) if !mac.is_unicast() => Err(("mac", Problem::MacNotUnicast)),
        _ => Ok(()),
    }
}

/// An address that two ports have. As a router on several links Ringlay may have the same link-local
/// address on each.
fn first_shared(one: &Port, other: &Port) -> Option<IpAddr> {
    let routers = one.kind.is_ethernet() && other.kind.is_ethernet();
    let shared = |address: &IpAddr| {
        let local = routers && is_link_local(*address);
        !local && other.addresses.iter().any(|net| net.addr() == *address)
    };
    one.addresses.iter().map(IpNet::addr).find(shared)
}
