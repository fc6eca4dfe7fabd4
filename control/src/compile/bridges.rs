//! Bridged networks: which ports and tunnels they consist of, and where their stations are. Static
//! entries come before learned ones.

use ringlay_dataplane::{
    id::NetworkId,
    tables::{Bridge, Fdb, FdbEntry, Place},
};
use ringlay_encap::MacAddr;

use super::{Compiler, TunnelKey};
use crate::{
    object::{self, Learning, Name, Site},
    rib::Rib,
};

/// A bridged network.
#[derive(Clone, Debug, Default)]
pub(super) struct BridgeEntry {
    pub(super) learning: Learning,
    pub(super) learned: Vec<(MacAddr, Place)>,
    /// As the tables have it.
    pub(super) table: Bridge,
}

impl Compiler {
    /// The bridged networks, and how they learn.
    pub fn bridges(&self) -> impl Iterator<Item = (NetworkId, Learning)> {
        let entries = self.networks.values();
        entries.filter_map(|entry| Some((entry.id, entry.bridge.as_ref()?.learning)))
    }

    /// Whether a bridged network has a port or tunnel.
    pub fn has_place(&self, id: NetworkId, place: Place) -> bool {
        self.bridge(id).is_some_and(|bridge| match place {
            Place::Port(port) => bridge.table.ports.binary_search(&port).is_ok(),
            Place::Tunnel(tunnel) => {
                let mut tunnels = bridge.table.tunnels.iter();
                tunnels.any(|(_, other)| *other == tunnel)
            }
        })
    }

    fn bridge(&self, id: NetworkId) -> Option<&BridgeEntry> {
        let mut entries = self.networks.values();
        entries.find(|entry| entry.id == id)?.bridge.as_ref()
    }

    /// What a place is called.
    pub fn site(&self, place: Place) -> Option<Site> {
        match place {
            Place::Port(port) => self.port_name(port).cloned().map(Site::Port),
            Place::Tunnel(tunnel) => self.tunnel_key(tunnel).map(|key| Site::Vtep(key.vtep)),
        }
    }

    /// The name of a network.
    pub fn network_name(&self, id: NetworkId) -> Option<&Name> {
        let mut networks = self.networks.iter();
        networks
            .find(|(_, entry)| entry.id == id)
            .map(|(name, _)| name)
    }

    /// The stations of a bridged network that sent something since the last call.
    pub fn take_used(&self, id: NetworkId) -> Vec<MacAddr> {
        let stations = self
            .bridge(id)
            .into_iter()
            .flat_map(|it| it.table.fdb.iter());
        let used = stations.filter(|station| !station.fixed && station.take_used());
        used.map(|station| station.mac).collect()
    }

    /// Takes up all that was learned in a bridged network.
    pub fn learn_stations(
        &mut self,
        rib: &Rib,
        id: NetworkId,
        learned: impl IntoIterator<Item = (MacAddr, Place)>,
    ) {
        let Some(name) = self.network_name(id).cloned() else {
            return;
        };
        let entry = self.networks.get_mut(&name);
        if let Some(bridge) = entry.and_then(|entry| entry.bridge.as_mut()) {
            bridge.learned = learned.into_iter().collect();
            self.refresh_fdb(rib, &name);
        }
    }

    /// Brings up to date which ports, tunnels and stations a bridged network has.
    pub(super) fn refresh_bridge(&mut self, rib: &Rib, name: &Name) {
        if !rib.is_bridged(name) {
            return;
        }
        let ports = rib.ports_of(name).filter_map(|port| self.port(&port.name));
        let mut ports: Vec<_> = ports.collect();
        ports.sort_unstable();
        // By address already.
        let tunnels = self.tunnels_of(name);
        let tunnels = tunnels.filter_map(|key| Some((key.vtep, self.tunnel(key)?)));
        let tunnels: Vec<_> = tunnels.collect();
        let entry = self.networks.get_mut(name);
        if let Some(bridge) = entry.and_then(|entry| entry.bridge.as_mut()) {
            bridge.table.ports = ports;
            bridge.table.tunnels = tunnels;
            bridge.table.learns = bridge.learning.limit > 0;
            self.refresh_fdb(rib, name);
        }
    }

    fn refresh_fdb(&mut self, rib: &Rib, name: &Name) {
        let Some(bridge) = self.networks.get(name).and_then(|it| it.bridge.as_ref()) else {
            return;
        };
        let before = &bridge.table.fdb;
        let fixed = rib.fdb_of(name).filter_map(|entry| {
            let place = self.place(entry)?;
            Some(FdbEntry::new(entry.mac, place, true))
        });
        let learned = bridge.learned.iter().map(|&(mac, place)| {
            let entry = FdbEntry::new(mac, place, false);
            // Who sent something before stays noted.
            if before.entry(mac).is_some_and(FdbEntry::is_used) {
                entry.mark_used();
            }
            entry
        });
        // Of two for one station the first counts.
        let fdb: Fdb = fixed.chain(learned).collect();
        let entry = self.networks.get_mut(name);
        if let Some(bridge) = entry.and_then(|entry| entry.bridge.as_mut()) {
            bridge.table.fdb = fdb;
        }
    }

    fn place(&self, entry: &object::FdbEntry) -> Option<Place> {
        match &entry.site {
            Site::Port(port) => self.port(port).map(Place::Port),
            Site::Vtep(vtep) => {
                let key = TunnelKey::to(&entry.network, *vtep, None);
                self.tunnel(&key).map(Place::Tunnel)
            }
        }
    }
}
