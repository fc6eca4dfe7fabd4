//! Bridged networks: where stations are, from what workers see to the tables.

use std::time::{Duration, Instant};

use ringlay_dataplane::id::NetworkId;
use ringlay_encap::MacAddr;

use super::{Done, Engine};
use crate::{
    fdb::Stations,
    object::{FdbKey, Name, Site},
    rib::Delta,
};

impl Engine {
    /// The learned stations.
    pub fn stations(&self) -> &Stations {
        &self.stations
    }

    /// The learned stations of a network that have no entry in the desired state: where they are, and
    /// how long ago they were heard.
    pub fn stations_of<'a>(
        &'a self,
        network: &'a Name,
    ) -> impl Iterator<Item = (MacAddr, Site, Duration)> + 'a {
        let id = self.compiler.network(network).map(|(id, _)| id);
        let now = Instant::now();
        let stations = id.into_iter().flat_map(move |id| self.stations.of(id, now));
        let fixed = move |mac: MacAddr| {
            let network = network.clone();
            self.rib.fdb_entry(&FdbKey { network, mac }).is_some()
        };
        stations
            .filter(move |(mac, ..)| !fixed(*mac))
            .filter_map(|(mac, place, age)| Some((mac, self.compiler.site(place)?, age)))
    }

    /// Takes up the bridged networks, and forgets stations whose port or tunnel is gone.
    pub(super) fn follow_bridges(&mut self, delta: &Delta) {
        if delta.networks.is_empty() && delta.ports.is_empty() && delta.vteps.is_empty() {
            return;
        }
        let now = Instant::now();
        for (id, learning) in self.compiler.bridges() {
            self.stations.put(id, learning, now);
        }
        let compiler = &self.compiler;
        self.stations.retain(|id, place| match place {
            Some(place) => compiler.has_place(id, place),
            None => compiler.bridges().any(|(other, _)| other == id),
        });
    }

    /// Looks who sent something where that is due, and passes on what is known anew.
    pub(super) fn poll_stations(&mut self) {
        let now = Instant::now();
        for id in self.stations.due(now) {
            let used = self.compiler.take_used(id);
            self.stations.look(id, used, now);
        }
        let changed = self.stations.take_changed(now);
        if changed.is_empty() {
            return;
        }
        self.pass_on(changed, now);
    }

    /// Forgets the learned stations of a network, or of all, that are at a site, or anywhere. Returns
    /// how many there were.
    pub fn flush_stations(&mut self, network: Option<&Name>, site: Option<&Site>) -> (usize, Done) {
        let is_meant = |id| network.is_none_or(|it| self.compiler.network_name(id) == Some(it));
        let bridges = self.compiler.bridges().map(|(id, _)| id);
        let meant: Vec<_> = bridges.filter(|id| is_meant(*id)).collect();
        let compiler = &self.compiler;
        let is_there = |place| site.is_none_or(|it| compiler.site(place).as_ref() == Some(it));
        let stations = &mut self.stations;
        let flushed = meant.iter().map(|id| stations.flush(*id, is_there)).sum();
        let tables = (flushed > 0).then(|| self.pass_on(meant, Instant::now()));
        let delta = Delta::default();
        (flushed, Done { delta, tables })
    }

    fn pass_on(&mut self, networks: impl IntoIterator<Item = NetworkId>, now: Instant) -> u64 {
        for id in networks {
            let stations = self.stations.of(id, now);
            let learned = stations.map(|(mac, place, _)| (mac, place));
            self.compiler.learn_stations(&self.rib, id, learned);
        }
        self.host.publish(self.compiler.tables())
    }
}
