//! The open ports: their devices, and the kernel routes through them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;
use ringlay_dataplane::{id::PortId, tables::IPV6_MTU_MIN};

use super::{
    error::ChangeError,
    host::{Host, HostError, OpenPort, PortChange},
};
use crate::{
    compile::{Compiler, LinkView},
    netlink::RouteChange,
    object::{Name, Path, Port, PortKind, Target},
    rib::{Change, Delta, Rib},
};

/// A port whose device is open.
#[derive(Debug)]
pub struct Entry {
    id: PortId,
    port: Port,
    /// What it was opened with.
    link: Option<LinkView>,
    /// The device.
    pub open: OpenPort,
    /// Prefixes that are kernel routes through the device, with the MTU that they have of their
    /// own.
    routes: BTreeMap<IpNet, Option<u32>>,
    /// Prefixes that should be, and why they are not.
    refused: BTreeMap<IpNet, String>,
    /// Why the device has not the MTU that it should have.
    mtu_refused: Option<String>,
    /// Why the device is not served now.
    unserved: Option<String>,
}

impl Entry {
    /// What is not as it should be, for people to read.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        let refused = self.refused.values().chain(&self.mtu_refused);
        refused.chain(&self.unserved)
    }
}

/// All open ports.
#[derive(Debug)]
pub struct Ports {
    host: Arc<dyn Host>,
    entries: BTreeMap<Name, Entry>,
}

/// How to get back to where a change began.
enum Undo {
    Close(Name),
    Reopen(Name, PortId, Port, u32, Option<LinkView>),
    Change(Name, Port, PortChange, u32),
}

impl Ports {
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        Self {
            host,
            entries: BTreeMap::new(),
        }
    }

    /// The open port of this name.
    pub fn get(&self, name: &Name) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Opens and changes devices as the compiled state wants them. Those that are to go stay open:
    /// see [`Self::close_unused`].
    pub(super) fn apply(&mut self, compiler: &Compiler, delta: &Delta) -> Result<(), ChangeError> {
        let mut undo = Vec::new();
        let mut done = self.apply_ports(compiler, &delta.ports, &mut undo);
        if done.is_ok() {
            done = self.apply_mtus(compiler, delta, &mut undo);
        }
        if done.is_err() {
            undo.into_iter().rev().for_each(|step| self.undo(step));
        }
        done
    }

    /// Takes note of what became of a device that is not ours.
    pub(super) fn tended(&mut self, name: &Name, outcome: Result<OpenPort, String>) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        match outcome {
            Ok(open) => {
                let peer = open.peer.or_else(|| entry.open.peer.take());
                entry.open = OpenPort { peer, ..open };
                entry.unserved = None;
            }
            Err(why) => entry.unserved = Some(why),
        }
    }

    /// Closes the devices that the compiled state does not name.
    pub(super) fn close_unused(&mut self, compiler: &Compiler) {
        let host = &self.host;
        self.entries.retain(|name, entry| {
            let keep = compiler.port(name) == Some(entry.id);
            if !keep {
                host.close_port(entry.id);
            }
            keep
        });
    }

    /// Closes all devices but those of containers, which stay without service.
    pub(super) fn close_all(&mut self) {
        for entry in std::mem::take(&mut self.entries).into_values() {
            self.host.leave_port(entry.id);
        }
    }

    /// Makes the kernel's routes through the devices follow the networks' routes.
    pub(super) fn sync_routes(&mut self, rib: &Rib, compiler: &Compiler, delta: &Delta) {
        for change in &delta.ports {
            if let Some(port) = &change.after {
                let prefixes: BTreeSet<_> = rib
                    .routes_of(&port.network)
                    .map(|route| route.prefix)
                    .chain(
                        self.entries
                            .get(&port.name)
                            .into_iter()
                            .flat_map(Entry::prefixes),
                    )
                    .collect();
                self.sync_port(rib, compiler, &port.name, prefixes);
            }
        }
        let mut changed: BTreeMap<&Name, BTreeSet<IpNet>> = BTreeMap::new();
        for route in delta.routes.iter().map(Change::latest) {
            changed
                .entry(&route.network)
                .or_default()
                .insert(route.prefix);
        }
        for (network, prefixes) in changed {
            for port in rib.ports_of(network) {
                self.sync_port(rib, compiler, &port.name, prefixes.clone());
            }
        }
    }

    /// Gives devices and their routes the MTUs of their networks. What the kernel refuses becomes a
    /// warning: the packets are as large as they are. `paths` tells whether tunnels have changed
    /// that routes lead to already.
    pub(super) fn sync_mtus(&mut self, rib: &Rib, compiler: &Compiler, paths: bool) {
        let mut changed = Vec::new();
        for entry in self.entries.values_mut() {
            let mtu = compiler.mtu(&entry.port.network);
            let Some(mtu) = mtu.filter(|_| is_ours(&entry.port)) else {
                continue;
            };
            let mtu = device_mtu(&entry.port, mtu);
            if entry.open.mtu != mtu {
                set_mtu(&*self.host, entry, mtu);
                changed.push(entry.port.name.clone());
            }
        }
        if paths {
            changed = self.entries.keys().cloned().collect();
        }
        for name in changed {
            let prefixes = self.entries[&name].routes.keys().copied().collect();
            self.sync_port(rib, compiler, &name, prefixes);
        }
    }

    /// The same for a network's routes of these prefixes.
    pub(super) fn sync_prefixes(
        &mut self,
        rib: &Rib,
        compiler: &Compiler,
        network: &Name,
        prefixes: &[IpNet],
    ) {
        for port in rib.ports_of(network) {
            self.sync_port(
                rib,
                compiler,
                &port.name,
                prefixes.iter().copied().collect(),
            );
        }
    }

    fn apply_ports(
        &mut self,
        compiler: &Compiler,
        changes: &[Change<Port>],
        undo: &mut Vec<Undo>,
    ) -> Result<(), ChangeError> {
        for port in changes.iter().filter_map(|change| change.after.as_ref()) {
            let mtu = compiler.mtu(&port.network).expect("checked by the rib");
            let mtu = device_mtu(port, mtu);
            let link = compiler.link_view(&port.name).map(|(_, view)| view);
            let id = compiler
                .port(&port.name)
                .expect("compiled before devices are opened");
            match self.entries.get(&port.name) {
                None => self.open(id, port, mtu, link)?,
                Some(entry)
                    if entry.port.same_device(port) && entry.link.is_some() == link.is_some() =>
                {
                    undo.push(self.change(port, mtu)?);
                    continue;
                }
                // Two devices of one name cannot be open at once.
                Some(_) => {
                    undo.extend(self.close(&port.name));
                    self.open(id, port, mtu, link)?;
                }
            }
            undo.push(Undo::Close(port.name.clone()));
        }
        Ok(())
    }

    /// Gives the devices of changed networks their new MTU.
    fn apply_mtus(
        &mut self,
        compiler: &Compiler,
        delta: &Delta,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ChangeError> {
        for network in delta
            .networks
            .iter()
            .filter_map(|change| change.after.as_ref())
        {
            let mtu = compiler.mtu(&network.name).expect("compiled");
            let ports = self.entries.values().map(|entry| &entry.port);
            let ports: Vec<_> = ports
                .filter(|port| port.network == network.name)
                .cloned()
                .collect();
            for port in ports
                .iter()
                .filter(|port| compiler.port(&port.name).is_some())
            {
                undo.push(self.change(port, device_mtu(port, mtu))?);
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        id: PortId,
        port: &Port,
        mtu: u32,
        link: Option<LinkView>,
    ) -> Result<(), ChangeError> {
        let open = self
            .host
            .open_port(id, port, mtu, link.as_ref())
            .map_err(|source| failed(&port.name, source))?;
        let (device, index, mode) = (&port.device, open.device.index, &open.mode);
        tracing::info!(port = %port.name, network = %port.network, %device, index, mtu, %mode, "port open");
        let entry = Entry {
            id,
            port: port.clone(),
            link,
            open,
            routes: BTreeMap::new(),
            refused: BTreeMap::new(),
            mtu_refused: None,
            unserved: None,
        };
        self.entries.insert(port.name.clone(), entry);
        Ok(())
    }

    fn close(&mut self, name: &Name) -> Option<Undo> {
        let entry = self.entries.remove(name)?;
        self.host.close_port(entry.id);
        Some(Undo::Reopen(
            name.clone(),
            entry.id,
            entry.port,
            entry.open.mtu,
            entry.link,
        ))
    }

    /// Changes what can change about an open device.
    fn change(&mut self, port: &Port, mtu: u32) -> Result<Undo, ChangeError> {
        let entry = self
            .entries
            .get_mut(&port.name)
            .expect("the caller found it");
        let missing = |from: &[IpNet], net: &&IpNet| !from.contains(net);
        // A router's addresses are none of the device's.
        let is_router = entry.link.is_some();
        let of_device = |port: &'_ Port| match is_router {
            true => Vec::new(),
            false => port.addresses.clone(),
        };
        let (old, new) = (&of_device(&entry.port), &of_device(port));
        let mtu = if is_ours(port) { mtu } else { entry.open.mtu };
        let change = PortChange {
            add: new
                .iter()
                .filter(|net| missing(old, net))
                .copied()
                .collect(),
            remove: old
                .iter()
                .filter(|net| missing(new, net))
                .copied()
                .collect(),
            mtu: (entry.open.mtu != mtu).then_some(mtu),
        };
        let old_mtu = std::mem::replace(&mut entry.open.mtu, mtu);
        let open = entry.open.clone();
        let old_port = std::mem::replace(&mut entry.port, port.clone());
        let undo = Undo::Change(
            port.name.clone(),
            old_port,
            change.reversed(old_mtu),
            old_mtu,
        );
        if change.is_empty() {
            return Ok(undo);
        }
        if let Err(source) = change_device(&*self.host, &open, &change) {
            self.undo(undo);
            return Err(failed(&port.name, source));
        }
        Ok(undo)
    }

    fn undo(&mut self, step: Undo) {
        let result = match step {
            Undo::Close(name) => {
                self.close(&name);
                Ok(())
            }
            Undo::Reopen(name, id, port, mtu, link) => self
                .open(id, &port, mtu, link)
                .map_err(|error| (name, error.to_string())),
            Undo::Change(name, port, change, mtu) => self.undo_change(&name, port, &change, mtu),
        };
        if let Err((name, error)) = result {
            tracing::error!(port = %name, error, "cannot restore the port");
        }
    }

    fn undo_change(
        &mut self,
        name: &Name,
        port: Port,
        change: &PortChange,
        mtu: u32,
    ) -> Result<(), (Name, String)> {
        let Some(entry) = self.entries.get_mut(name) else {
            return Ok(());
        };
        entry.port = port;
        entry.open.mtu = mtu;
        let result = change_device(&*self.host, &entry.open, change);
        result.map_err(|error| (name.clone(), error.to_string()))
    }

    /// Adds and removes kernel routes for some prefixes through one port's device.
    fn sync_port(
        &mut self,
        rib: &Rib,
        compiler: &Compiler,
        name: &Name,
        prefixes: BTreeSet<IpNet>,
    ) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let mut change = RouteChange::default();
        for prefix in prefixes {
            entry.refused.remove(&prefix);
            let Some(path) = wanted_route(rib, &entry.port, prefix) else {
                if entry.routes.remove(&prefix).is_some() {
                    change.remove.push(prefix);
                }
                continue;
            };
            let mtu = compiler.route_mtu(&entry.port.network, prefix, path);
            let mtu = mtu.filter(|mtu| *mtu < entry.open.mtu);
            match entry.routes.insert(prefix, mtu) {
                None => change.add.push((prefix, mtu)),
                Some(before) if before != mtu => change.replace.push((prefix, mtu)),
                Some(_) => {}
            }
        }
        if change == RouteChange::default() {
            return;
        }
        let refused = self.host.change_routes(&entry.open.device, &change);
        for (prefix, error) in refused {
            tracing::warn!(port = %name, %prefix, %error, "kernel route refused");
            if entry.routes.remove(&prefix).is_some() {
                entry.refused.insert(prefix, format!("{prefix}: {error}"));
            }
        }
    }
}

impl Entry {
    fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.routes.keys().chain(self.refused.keys()).copied()
    }
}

/// Whether the device is one that we made, and may change. Those that AF_XDP serves keep the MTU that
/// they were made with.
fn is_ours(port: &Port) -> bool {
    !port.kind.is_station() || (port.kind == PortKind::Packet && port.guest.is_some())
}

/// Changes a device, and the MTU of the other end of a pair with it.
fn change_device(host: &dyn Host, open: &OpenPort, change: &PortChange) -> Result<(), HostError> {
    host.change_port(&open.device, change)?;
    let of_peer = PortChange {
        mtu: change.mtu,
        ..PortChange::default()
    };
    match &open.peer {
        Some(peer) if !of_peer.is_empty() => host.change_port(peer, &of_peer),
        _ => Ok(()),
    }
}

/// The MTU of a port's device in a network of MTU `mtu`. IPv6 would be gone from a device with
/// less than its minimum; the tunnels make up for it.
fn device_mtu(port: &Port, mtu: u32) -> u32 {
    let has_v6 = port.addresses.iter().any(|net| net.addr().is_ipv6());
    if has_v6 {
        mtu.max(IPV6_MTU_MIN as u32)
    } else {
        mtu
    }
}

fn set_mtu(host: &dyn Host, entry: &mut Entry, mtu: u32) {
    let change = PortChange {
        mtu: Some(mtu),
        ..PortChange::default()
    };
    let name = &entry.port.name;
    entry.mtu_refused = match change_device(host, &entry.open, &change) {
        Ok(()) => {
            tracing::info!(port = %name, before = entry.open.mtu, mtu, "MTU changed");
            entry.open.mtu = mtu;
            None
        }
        Err(error) => {
            tracing::warn!(port = %name, mtu, %error, "MTU refused");
            Some(format!("MTU {mtu}: {error}"))
        }
    };
}

/// Where a prefix leads that should be a kernel route through a port's device: away from this
/// node, and the kernel does not reach it through the device anyway.
fn wanted_route<'a>(rib: &'a Rib, port: &Port, prefix: IpNet) -> Option<&'a Path> {
    let key = crate::object::RouteKey {
        network: port.network.clone(),
        prefix,
    };
    let path = rib.routed(&key).map(|route| route.path);
    let path = path.filter(|path| matches!(path.target, Target::Vteps(_)));
    let connected = port.addresses.iter().any(|net| net.trunc() == prefix);
    path.filter(|_| port.routes && !connected)
}

fn failed(name: &Name, source: HostError) -> ChangeError {
    ChangeError::Host {
        object: format!("port {name}"),
        source,
    }
}
