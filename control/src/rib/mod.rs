//! The desired state: which networks, ports, VTEPs, routes and neighbours there should be, and
//! who asked for each.
//!
//! Changes are checked as a whole and done in full or not at all. Nothing here opens a device or
//! knows the dataplane: see [`crate::compile`] and [`crate::app`].

mod check;
mod delta;
mod error;
mod layered;
mod load;
mod routes;
mod snapshot;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, ops::Bound};

use ipnet::IpNet;
use ringlay_encap::MacAddr;

pub use self::{
    delta::{Change, Delta},
    error::{ApplyError, Problem},
    load::{Load, LoadError, LoadProblem},
    routes::{Counts, PathId, RouteChange, RouteDelta, RouteRef},
};
use self::{layered::Layered, routes::Routes};
use crate::object::{
    FdbEntry, FdbKey, Key, Kind, Name, Neighbour, NeighbourKey, Network, Object, Path, Port, Route,
    RouteKey, Source, Vtep, VtepKey,
};

/// One step of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Create or replace an object.
    Apply {
        /// The object.
        object: Object,
        /// Whether the source may have one under this key.
        exist_ok: bool,
    },
    /// Delete an object.
    Delete {
        /// Its key.
        key: Key,
        /// Whether the source may have none under this key.
        missing_ok: bool,
    },
}

/// A change that was done, and how to undo it.
#[derive(Debug)]
#[must_use]
pub struct Applied {
    /// What changed among the objects in force.
    pub delta: Delta,
    undo: Vec<Undo>,
}

#[derive(Debug)]
struct Undo {
    source: Source,
    key: Key,
    previous: Option<Object>,
}

/// The desired state.
#[derive(Debug)]
pub struct Rib {
    /// The local VTEP address.
    local: IpAddr,
    networks: Layered<Network>,
    ports: Layered<Port>,
    vteps: Layered<Vtep>,
    routes: Routes,
    neighbours: Layered<Neighbour>,
    fdb: Layered<FdbEntry>,
}

impl Rib {
    /// An empty state for a node whose tunnels end at `local`.
    pub fn new(local: IpAddr) -> Self {
        Self {
            local,
            networks: Layered::default(),
            ports: Layered::default(),
            vteps: Layered::default(),
            routes: Routes::default(),
            neighbours: Layered::default(),
            fdb: Layered::default(),
        }
    }

    /// Does all of `operations` for `source`, or none.
    ///
    /// # Errors
    ///
    /// If an operation's flags forbid it, or the state would not make sense afterwards, e.g. a
    /// route to a VTEP that does not exist. The state is then unchanged.
    pub fn apply(
        &mut self,
        source: Source,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<Applied, ApplyError> {
        let mut undo = Vec::new();
        let mut before = BTreeMap::new();
        let done = operations.into_iter().try_for_each(|operation| {
            let key = self.permit(source, &operation)?;
            before
                .entry(key.clone())
                .or_insert_with(|| self.object(&key));
            let previous = match operation {
                Operation::Apply { object, .. } => self.put(source, object),
                Operation::Delete { key, .. } => self.remove(source, &key),
            };
            undo.push(Undo {
                source,
                key,
                previous,
            });
            Ok(())
        });
        let delta = Delta::new(before, self);
        let applied = Applied { delta, undo };
        match done.and_then(|()| check::check(self, &applied.delta)) {
            Ok(()) => Ok(applied),
            Err(error) => {
                self.revert(applied);
                Err(error)
            }
        }
    }

    /// Undoes the latest change.
    pub fn revert(&mut self, applied: Applied) {
        for Undo {
            source,
            key,
            previous,
        } in applied.undo.into_iter().rev()
        {
            match previous {
                Some(object) => self.put(source, object),
                None => self.remove(source, &key),
            };
        }
    }

    /// The local VTEP address.
    pub fn local(&self) -> IpAddr {
        self.local
    }

    /// The network in force under this name.
    pub fn network(&self, name: &Name) -> Option<&Network> {
        self.networks.get(name)
    }

    /// The port in force under this name.
    pub fn port(&self, name: &Name) -> Option<&Port> {
        self.ports.get(name)
    }

    /// The VTEP in force under this key.
    pub fn vtep(&self, key: &VtepKey) -> Option<&Vtep> {
        self.vteps.get(key)
    }

    /// The route in force under this key.
    pub fn route(&self, key: &RouteKey) -> Option<Route> {
        self.routes.get(key).map(RouteRef::to_route)
    }

    /// The same, where it is kept.
    pub fn routed(&self, key: &RouteKey) -> Option<RouteRef<'_>> {
        self.routes.get(key)
    }

    /// The neighbour in force under this key.
    pub fn neighbour(&self, key: &NeighbourKey) -> Option<&Neighbour> {
        self.neighbours.get(key)
    }

    /// The networks in force and their sources, by name.
    pub fn networks(&self) -> impl Iterator<Item = (Source, &Network)> {
        self.networks.iter()
    }

    /// The ports in force and their sources, by name.
    pub fn ports(&self) -> impl Iterator<Item = (Source, &Port)> {
        self.ports.iter()
    }

    /// The VTEPs in force and their sources, by network and address.
    pub fn vteps(&self) -> impl Iterator<Item = (Source, &Vtep)> {
        self.vteps.iter()
    }

    /// The routes in force and their sources, by network and prefix.
    pub fn routes(&self) -> impl Iterator<Item = (Source, Route)> {
        self.routes
            .iter()
            .map(|route| (route.source, route.to_route()))
    }

    /// The neighbours in force and their sources, by network and address.
    pub fn neighbours(&self) -> impl Iterator<Item = (Source, &Neighbour)> {
        self.neighbours.iter()
    }

    /// The FDB entries in force and their sources, by network and MAC address.
    pub fn fdb(&self) -> impl Iterator<Item = (Source, &FdbEntry)> {
        self.fdb.iter()
    }

    /// The FDB entry in force under this key.
    pub fn fdb_entry(&self, key: &FdbKey) -> Option<&FdbEntry> {
        self.fdb.get(key)
    }

    /// The FDB entries in force of one network, by MAC address.
    pub fn fdb_of(&self, network: &Name) -> impl Iterator<Item = &FdbEntry> {
        let first = FdbKey {
            network: network.clone(),
            mac: MacAddr::ZERO,
        };
        self.fdb
            .range(first..)
            .take_while(move |entry| entry.network == *network)
    }

    /// Whether there is a network of this name that bridges frames.
    pub fn is_bridged(&self, network: &Name) -> bool {
        self.network(network).is_some_and(|it| it.mode.is_bridged())
    }

    /// The routes in force of one network, by prefix.
    pub fn routes_of(&self, network: &Name) -> impl Iterator<Item = RouteRef<'_>> {
        self.routes.of(network)
    }

    /// The routes of one network behind a prefix, by prefix and precedence: those in force, or
    /// `all`.
    pub fn routes_after(
        &self,
        network: &Name,
        prefix: Bound<IpNet>,
        all: bool,
    ) -> impl Iterator<Item = RouteRef<'_>> {
        self.routes.after(network, prefix, all)
    }

    /// The networks that have routes, by name.
    pub fn routed_networks(&self) -> impl Iterator<Item = &Name> {
        self.routes.networks()
    }

    /// Whether a route in force of a network goes by a path that is so. Quick if none does.
    pub fn has_path(&self, network: &Name, fits: impl Fn(&Path) -> bool) -> bool {
        self.routes.find(network, fits).is_some()
    }

    /// The route in force of the longest prefix that covers an address. The addresses of ports,
    /// which packets take too, are not among the routes.
    pub fn longest_route(&self, network: &Name, address: IpAddr) -> Option<RouteRef<'_>> {
        self.routes.longest(network, address)
    }

    /// The VTEPs in force of one network, by address.
    pub fn vteps_of(&self, network: &Name) -> impl Iterator<Item = &Vtep> {
        let first = VtepKey {
            network: network.clone(),
            address: check::FIRST_ADDRESS,
        };
        self.vteps
            .range(first..)
            .take_while(move |vtep| vtep.network == *network)
    }

    /// The neighbours in force of one network, by address.
    pub fn neighbours_of(&self, network: &Name) -> impl Iterator<Item = &Neighbour> {
        let first = NeighbourKey {
            network: network.clone(),
            address: check::FIRST_ADDRESS,
        };
        self.neighbours
            .range(first..)
            .take_while(move |neighbour| neighbour.network == *network)
    }

    /// The ports in force of one network, by name.
    pub fn ports_of(&self, network: &Name) -> impl Iterator<Item = &Port> {
        self.ports
            .iter()
            .map(|(_, port)| port)
            .filter(move |port| port.network == *network)
    }

    /// All objects, those that are overridden too, with their sources.
    pub fn iter_all(&self) -> impl Iterator<Item = (Source, Object)> {
        fn objects<T: Kind + Into<Object>>(
            layered: &Layered<T>,
        ) -> impl Iterator<Item = (Source, Object)> {
            layered
                .iter_all()
                .map(|(source, object)| (source, object.clone().into()))
        }
        let routes = self.routes.iter_all();
        let routes = routes.map(|route| (route.source, route.to_route().into()));
        objects(&self.networks)
            .chain(objects(&self.ports))
            .chain(objects(&self.vteps))
            .chain(routes)
            .chain(objects(&self.neighbours))
            .chain(objects(&self.fdb))
    }

    /// The object in force under this key, and whose it is.
    pub fn entry(&self, key: &Key) -> Option<(Source, Object)> {
        fn entry<T: Kind + Into<Object>>(
            layered: &Layered<T>,
            key: &T::Key,
        ) -> Option<(Source, Object)> {
            layered
                .entry(key)
                .map(|(source, object)| (source, object.clone().into()))
        }
        match key {
            Key::Network(key) => entry(&self.networks, key),
            Key::Port(key) => entry(&self.ports, key),
            Key::Vtep(key) => entry(&self.vteps, key),
            Key::Route(key) => {
                let route = self.routes.get(key)?;
                Some((route.source, route.to_route().into()))
            }
            Key::Neighbour(key) => entry(&self.neighbours, key),
            Key::FdbEntry(key) => entry(&self.fdb, key),
        }
    }

    fn object(&self, key: &Key) -> Option<Object> {
        self.entry(key).map(|(_, object)| object)
    }

    /// The key that an operation is about, if its flags allow it.
    fn permit(&self, source: Source, operation: &Operation) -> Result<Key, ApplyError> {
        let (key, problem) = match operation {
            Operation::Apply { object, exist_ok } => {
                let key = object.key();
                let problem = (!exist_ok && self.has(source, &key)).then_some(Problem::Exists);
                (key, problem)
            }
            Operation::Delete { key, missing_ok } => {
                let missing = !missing_ok && !self.has(source, key);
                (key.clone(), missing.then(|| self.missing(source, key)))
            }
        };
        match problem {
            None => Ok(key),
            Some(problem) => Err(ApplyError::new(key, "", problem)),
        }
    }

    fn missing(&self, source: Source, key: &Key) -> Problem {
        match self.entry(key) {
            Some((owner, _)) => Problem::NotYours {
                asker: source,
                owner,
            },
            None => Problem::Missing,
        }
    }

    fn has(&self, source: Source, key: &Key) -> bool {
        match key {
            Key::Network(key) => self.networks.of(source, key).is_some(),
            Key::Port(key) => self.ports.of(source, key).is_some(),
            Key::Vtep(key) => self.vteps.of(source, key).is_some(),
            Key::Route(key) => self.routes.has(source, key),
            Key::Neighbour(key) => self.neighbours.of(source, key).is_some(),
            Key::FdbEntry(key) => self.fdb.of(source, key).is_some(),
        }
    }

    fn put(&mut self, source: Source, object: Object) -> Option<Object> {
        match object {
            Object::Network(object) => self.networks.put(source, object).map(Object::from),
            Object::Port(object) => self.ports.put(source, object).map(Object::from),
            Object::Vtep(object) => self.vteps.put(source, object).map(Object::from),
            Object::Route(object) => self.routes.put(source, object).map(Object::from),
            Object::Neighbour(object) => self.neighbours.put(source, object).map(Object::from),
            Object::FdbEntry(object) => self.fdb.put(source, object).map(Object::from),
        }
    }

    fn remove(&mut self, source: Source, key: &Key) -> Option<Object> {
        match key {
            Key::Network(key) => self.networks.remove(source, key).map(Object::from),
            Key::Port(key) => self.ports.remove(source, key).map(Object::from),
            Key::Vtep(key) => self.vteps.remove(source, key).map(Object::from),
            Key::Route(key) => self.routes.remove(source, key).map(Object::from),
            Key::Neighbour(key) => self.neighbours.remove(source, key).map(Object::from),
            Key::FdbEntry(key) => self.fdb.remove(source, key).map(Object::from),
        }
    }
}
