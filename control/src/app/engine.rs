//! The daemon's state, and how a change goes through it: desired state, tables, devices, workers.
//!
//! A change is done in full or not at all. New things are made before the tables name them, and
//! old ones go after the tables no longer do, so that other traffic does not notice. The engine
//! knows neither gRPC nor files.

mod bridges;
mod endpoints;
mod links;
mod load;
mod mtu;
mod probe;
pub(super) mod reach;
mod settings;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use ringlay_dataplane::{
    endpoint::Endpoint,
    event::Event,
    id::{TunnelId, UnderlayId},
};
use tokio::sync::broadcast;

pub use self::{
    load::Loaded,
    mtu::PeerMtu,
    probe::{CannotProbe, Probed},
};
use self::{probe::Probing, reach::Warnings};
use super::{
    chosen::Chosen,
    error::{ChangeError, ReloadError},
    host::Host,
    ports::Ports,
};
use crate::{
    compile::{Compiler, Environment, TunnelKey, Wire},
    config::{Config, Settings},
    fdb::Stations,
    mtu::Paths,
    neighbour::{Resolver, Status, hosts::Hosts},
    object::{Key, Name, Object, Route, Source, VtepKey},
    rib::{Change, Delta, Operation, Rib},
};

/// Changes that a watcher may be behind before it has to begin anew.
const WATCH_BACKLOG: usize = 1024;

/// What a daemon was started with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// New at each start.
    pub uuid: String,
    /// The node's name.
    pub name: String,
    /// The settings in force.
    pub settings: Settings,
    /// How packets reach the underlay.
    pub underlay_driver: Chosen,
    /// The CPU of each worker.
    pub workers: Vec<Option<usize>>,
    /// When it was started.
    pub started: Instant,
}

/// The daemon's state.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    generation: u64,
    rib: Rib,
    compiler: Compiler,
    resolver: Resolver,
    hosts: Hosts,
    stations: Stations,
    underlays: BTreeMap<UnderlayId, Endpoint>,
    /// Those that report outer times to live.
    ttls: BTreeSet<UnderlayId>,
    ports: Ports,
    paths: Paths,
    probing: Probing,
    warnings: Warnings,
    snapshots: BTreeMap<Source, u64>,
    host: Arc<dyn Host>,
    changes: broadcast::Sender<Arc<[Key]>>,
}

/// A change that is in force, or will be as soon as each worker has looked.
#[derive(Debug)]
pub struct Done {
    /// What changed among the objects in force.
    pub delta: Delta,
    /// The tables to wait for, if there are new ones.
    pub tables: Option<u64>,
}

impl Engine {
    /// An engine without objects.
    pub fn new(
        identity: Identity,
        environment: Environment,
        paths: Paths,
        host: Arc<dyn Host>,
    ) -> Self {
        Self {
            identity,
            generation: 0,
            rib: Rib::new(environment.local),
            compiler: Compiler::new(environment),
            resolver: Resolver::default(),
            hosts: Hosts::default(),
            stations: Stations::default(),
            underlays: BTreeMap::new(),
            ttls: BTreeSet::new(),
            ports: Ports::new(Arc::clone(&host)),
            paths,
            probing: Probing::default(),
            warnings: Warnings::new(),
            snapshots: BTreeMap::new(),
            host,
            changes: broadcast::Sender::new(WATCH_BACKLOG),
        }
    }

    /// Does all of `operations` for `source`, or none.
    ///
    /// # Errors
    ///
    /// If the desired state would make no sense, or a device or socket cannot be had.
    pub fn apply(
        &mut self,
        source: Source,
        operations: Vec<Operation>,
    ) -> Result<Done, ChangeError> {
        let applied = self.rib.apply(source, operations)?;
        if applied.delta.is_empty() {
            return Ok(Done {
                delta: applied.delta,
                tables: None,
            });
        }
        self.look_up_new(&applied.delta);
        if let Err(error) = self.refuse_routed(&applied.delta) {
            self.rib.revert(applied);
            return Err(error);
        }
        let closing = self.closing_links(&applied.delta);
        // Only these can fail to be opened; other changes are spared the copy.
        let opens = opens(&applied.delta);
        let before = opens.then(|| self.compiler.clone());
        self.compiler.apply(&self.rib, &applied.delta);
        if let Some(before) = before
            && let Err(error) = self.open(&applied.delta)
        {
            self.rib.revert(applied);
            self.compiler = before;
            self.close_unused();
            if let Err(error) = self.open_underlays() {
                tracing::error!(%error, "what was closed for the change does not open again");
            }
            self.ttls.clear();
            self.follow_ttls();
            return Err(error);
        }
        let delta = applied.delta;
        self.follow_ttls();
        self.follow_tunnels();
        self.follow_links(&closing, &delta);
        self.follow_bridges(&delta);
        self.follow_reach();
        let tables = self.host.publish(self.compiler.tables());
        self.close_unused();
        if !delta.vteps.is_empty() {
            self.ports.sync_mtus(&self.rib, &self.compiler, false);
        }
        self.ports.sync_routes(&self.rib, &self.compiler, &delta);
        self.warn();
        self.generation += 1;
        self.announce(delta.iter().map(|change| change.latest().key()));
        self.poll();
        Ok(Done {
            delta,
            tables: Some(tables),
        })
    }

    /// Makes the objects of `source` be exactly `objects`. A `generation` other than zero must not
    /// be below the last one of this source.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`], or if the snapshot is stale.
    pub fn apply_snapshot(
        &mut self,
        source: Source,
        generation: u64,
        objects: Vec<Object>,
    ) -> Result<Done, ChangeError> {
        self.check_generation(source, generation)?;
        let operations = self.rib.snapshot(source, objects);
        let done = self.apply(source, operations)?;
        if generation != 0 {
            self.snapshots.insert(source, generation);
        }
        Ok(done)
    }

    /// What [`Self::apply_snapshot`] would change. Devices are not tried.
    ///
    /// # Errors
    ///
    /// If the desired state would make no sense, or the snapshot is stale.
    pub fn try_snapshot(
        &mut self,
        source: Source,
        generation: u64,
        objects: Vec<Object>,
    ) -> Result<Delta, ChangeError> {
        self.check_generation(source, generation)?;
        let operations = self.rib.snapshot(source, objects);
        let applied = self.rib.apply(source, operations)?;
        let delta = applied.delta.clone();
        self.rib.revert(applied);
        Ok(delta)
    }

    /// Takes up a configuration file that was read again: changes what differs from the one
    /// before, and leaves objects of other sources alone.
    ///
    /// # Errors
    ///
    /// If it cannot be taken up; then everything is as it was.
    pub fn reload(&mut self, config: &Config) -> Result<Done, ReloadError> {
        if let Some(setting) = self.identity.settings.first_difference(&config.settings) {
            return Err(ReloadError::Setting(setting));
        }
        let objects = config.objects.clone();
        let done =
            self.apply_snapshot(Source::Static, 0, objects)
                .map_err(|error| match error {
                    ChangeError::Apply(error) => config.locate(&error).into(),
                    other => ReloadError::Change(other),
                })?;
        self.measure_stages(config.settings.stages);
        // Containers keep the addresses that they have.
        let pools = config.settings.pools.clone();
        self.identity.settings.pools = pools;
        Ok(done)
    }

    /// Has the workers measure their stages, from zero unless they do so already, or no more.
    pub fn measure_stages(&mut self, on: bool) {
        self.host.measure_stages(on);
        self.identity.settings.stages = on;
    }

    /// Takes note of what workers told.
    pub fn handle(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = Instant::now();
        let (mut changed, mut hosts) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Unresolved {
                    tunnel,
                    destination,
                } => {
                    self.resolver.unresolved(tunnel, destination, now);
                }
                Event::NeighbourHeard {
                    network,
                    vtep,
                    address,
                    mac,
                    answered,
                } => {
                    if answered {
                        self.heard_from(vtep);
                    }
                    changed.extend(self.resolver.heard(network, vtep, address, mac, now));
                }
                Event::ProbeAnswered {
                    vtep,
                    token,
                    number,
                } => self.probe_answered(vtep, token, number),
                Event::HostUnresolved { port, address } => {
                    self.hosts.unresolved(port, address, now);
                }
                Event::HostHeard {
                    port,
                    address,
                    mac,
                    answered,
                } => hosts.extend(self.hosts.heard(port, address, mac, answered, now)),
                Event::StationSeen {
                    network,
                    mac,
                    place,
                } => {
                    if self.compiler.has_place(network, place) {
                        self.stations.seen(network, mac, place, now);
                    }
                }
            }
        }
        self.learn(&changed);
        self.learn_hosts(&hosts);
        self.poll();
    }

    /// Sends the requests that are due.
    pub fn poll(&mut self) {
        self.expire_paths();
        self.tend_ports();
        self.poll_probes();
        let (requests, lost) = self.resolver.poll(Instant::now());
        self.learn(&lost);
        for request in requests {
            self.host.inject(request.tunnel, request.frame);
        }
        self.poll_hosts();
        self.poll_stations();
    }

    /// Takes note of what the wire is like now, or that there is none.
    pub fn set_wire(&mut self, wire: Option<Wire>) {
        if self.compiler.set_wire(&self.rib, wire) {
            self.host.publish(self.compiler.tables());
        }
    }

    /// Takes note of what the link is like that packets without encapsulation leave by past the
    /// kernel's stack, or that there is none.
    pub fn set_onward(&mut self, onward: Option<Wire>) {
        if self.compiler.set_onward(&self.rib, onward) {
            self.host.publish(self.compiler.tables());
        }
    }

    /// The outer addresses of all VTEPs, each once.
    pub fn vteps(&self) -> Vec<IpAddr> {
        let vteps: BTreeSet<_> = self.rib.vteps().map(|(_, vtep)| vtep.address).collect();
        vteps.into_iter().collect()
    }

    /// When [`Self::poll`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.resolver.deadline(),
            self.hosts.deadline(),
            self.stations.deadline(),
            self.paths.deadline(),
            self.probe_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What the daemon was started with.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How many changes there were.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The desired state.
    pub fn rib(&self) -> &Rib {
        &self.rib
    }

    /// The tables' contents.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// The open ports.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The open local tunnel endpoints.
    pub fn underlays(&self) -> &BTreeMap<UnderlayId, Endpoint> {
        &self.underlays
    }

    /// The machine.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// How far the far end of a tunnel is known.
    pub fn far_end(&self, key: &TunnelKey) -> Option<(TunnelId, Status)> {
        let id = self.compiler.tunnel(key)?;
        Some((id, self.resolver.status(id, Instant::now())?))
    }

    /// The keys of objects that change from now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<[Key]>> {
        self.changes.subscribe()
    }

    /// Closes everything: devices and with them their routes, and sockets.
    pub fn close(&mut self) {
        self.ports.close_all();
        for id in std::mem::take(&mut self.underlays).into_keys() {
            self.host.close_underlay(id);
        }
    }

    fn check_generation(&self, origin: Source, offered: u64) -> Result<(), ChangeError> {
        match self.snapshots.get(&origin) {
            Some(&applied) if offered != 0 && offered < applied => Err(ChangeError::Stale {
                origin,
                offered,
                applied,
            }),
            _ => Ok(()),
        }
    }

    /// Opens what the compiled tables will name; what fails leaves ports as they were.
    fn open(&mut self, delta: &Delta) -> Result<(), ChangeError> {
        self.make_way();
        self.open_underlays()?;
        self.ports.apply(&self.compiler, delta)?;
        self.note_link_mtus(delta);
        Ok(())
    }

    /// Tells the resolver which tunnels came, changed and went.
    fn follow_tunnels(&mut self) {
        let now = Instant::now();
        for (id, view) in self.compiler.take_touched(&self.rib) {
            match view {
                None => self.resolver.remove(id),
                Some(view) => {
                    if self.resolver.put(id, view, now) {
                        self.compiler.learn(&self.rib, id, None);
                    }
                }
            }
        }
    }

    /// Puts what the resolver found, or lost, into the tables.
    fn learn(&mut self, tunnels: &[TunnelId]) {
        if tunnels.is_empty() {
            return;
        }
        for &id in tunnels {
            let mac = self.resolver.mac(id);
            self.compiler.learn(&self.rib, id, mac);
            if let Some(key) = self.compiler.tunnel_key(id) {
                match mac {
                    Some(mac) => tracing::info!(%key, %mac, "far end resolved"),
                    None => tracing::warn!(%key, "far end no longer answers"),
                }
            }
        }
        self.host.publish(self.compiler.tables());
        self.generation += 1;
        let keys: BTreeSet<_> = tunnels
            .iter()
            .filter_map(|id| self.compiler.tunnel_key(*id))
            .map(|key| {
                Key::Vtep(VtepKey {
                    network: key.network.clone(),
                    address: key.vtep,
                })
            })
            .collect();
        self.announce(keys);
    }

    fn announce(&self, keys: impl IntoIterator<Item = Key>) {
        // Without watchers nobody receives it, and that is fine.
        let _ = self.changes.send(keys.into_iter().collect());
    }
}

/// Whether a change may need a device or socket.
fn opens(delta: &Delta) -> bool {
    let is_direct = |change: &Change<Route>| change.after.as_ref().is_some_and(|it| it.direct);
    let routes = || delta.routes.iter().any(is_direct);
    !(delta.networks.is_empty() && delta.ports.is_empty()) || routes()
}

/// The name of a network as the far end's messages show it.
impl std::fmt::Display for TunnelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let network: &Name = &self.network;
        write!(f, "vtep {} network {network}", self.vtep)?;
        match self.via {
            Some(via) => write!(f, " via {via}"),
            None if self.direct => f.write_str(" direct"),
            None => Ok(()),
        }
    }
}
