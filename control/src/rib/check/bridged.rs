//! What is peculiar to bridged networks: which objects and settings have a meaning there.

use super::{Checked, Fault, at as error_at, mac, network_exists, route_key, unused, vtep_exists};
use crate::{
    object::{FdbEntry, Key, Kind, MssClamp, Name, Network, Port, PortKind, Site},
    rib::{Change, Problem, Rib},
};

/// Whether networks are routed, or bridged, as before while there is something in them: ports, for
/// one, are opened otherwise.
pub(super) fn modes_stay(rib: &Rib, networks: &[Change<Network>]) -> Checked {
    for change in networks {
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            continue;
        };
        if before.mode.is_bridged() != after.mode.is_bridged() {
            let key = Key::Network(after.name.clone());
            unused(user(rib, &after.name)).map_err(|(_, why)| error_at(key, ("mode", why)))?;
        }
    }
    Ok(())
}

/// Something in a network.
fn user(rib: &Rib, name: &Name) -> Option<Key> {
    let port = rib.ports_of(name).map(|it| Key::Port(it.key())).next();
    let vtep = || rib.vteps_of(name).map(|it| Key::Vtep(it.key())).next();
    let route = || rib.routes_of(name).next().map(route_key);
    let entry = || rib.fdb_of(name).map(|it| Key::FdbEntry(it.key())).next();
    port.or_else(vtep).or_else(route).or_else(entry)
}

/// Whether nothing is said of a bridged network that has no meaning there.
pub(super) fn network(network: &Network) -> Result<(), Fault> {
    if !network.mode.is_bridged() {
        return Ok(());
    }
    let settings = [
        ("preset", network.preset.is_some()),
        ("mac", network.mac.is_some()),
        ("mss_clamp", network.mss_clamp == MssClamp::On),
        ("fragment", network.fragment),
    ];
    match settings.into_iter().find(|(_, there)| *there) {
        Some((field, _)) => Err((field, Problem::RoutedOnly(network.name.clone()))),
        None => Ok(()),
    }
}

/// Whether a port can take part in its network, if that is bridged.
pub(super) fn port(rib: &Rib, port: &Port) -> Result<(), Fault> {
    if !rib.is_bridged(&port.network) {
        return Ok(());
    }
    if port.kind != PortKind::Tap {
        return Err(("kind", Problem::BridgedKind(port.network.clone())));
    }
    for (field, is_there) in [("mac", port.mac.is_some()), ("proxy", port.proxy)] {
        if is_there {
            needs_routed(rib, &port.network, field)?;
        }
    }
    Ok(())
}

/// Refuses what has no meaning in a bridged network.
pub(super) fn needs_routed(rib: &Rib, network: &Name, field: &'static str) -> Result<(), Fault> {
    match rib.is_bridged(network) {
        true => Err((field, Problem::RoutedOnly(network.clone()))),
        false => Ok(()),
    }
}

pub(super) fn entry(rib: &Rib, entry: &FdbEntry) -> Result<(), Fault> {
    network_exists(rib, &entry.network)?;
    if !rib.is_bridged(&entry.network) {
        return Err(("network", Problem::BridgedOnly(entry.network.clone())));
    }
    match &entry.site {
        Site::Vtep(vtep) => vtep_exists(rib, &entry.network, *vtep)?,
        Site::Port(name) => {
            let port = rib.port(name).filter(|port| port.network == entry.network);
            port.ok_or_else(|| ("port", Problem::UnknownPort(name.clone())))?;
        }
    }
    mac(Some(entry.mac))
}

/// An entry that needs a port or VTEP.
pub(super) fn at(rib: &Rib, network: &Name, site: &Site) -> Option<Key> {
    let mut entries = rib.fdb_of(network);
    let entry = entries.find(|entry| entry.site == *site)?;
    Some(Key::FdbEntry(entry.key()))
}
