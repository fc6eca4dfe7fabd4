//! The routes of all networks, from several sources. Does not know what they mean: see
//! [`super::check`].
//!
//! Made for a million of them: where routes lead is noted once for all that lead there, so that a
//! route is its prefix, a number and a source.

mod layers;
mod merge;
mod paths;

use std::{collections::BTreeMap, net::IpAddr, ops::Bound};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::{
    layers::{Entry, Layers},
    paths::Paths,
};
pub use self::{
    merge::{Counts, RouteChange, RouteDelta},
    paths::PathId,
};
use crate::object::{Name, Path, Route, RouteKey, Source};

/// A route, where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct RouteRef<'a> {
    /// Who asked for it.
    pub source: Source,
    /// The network.
    pub network: &'a Name,
    /// The prefix.
    pub prefix: IpNet,
    /// Where it leads.
    pub path: &'a Path,
}

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    networks: BTreeMap<Name, NetworkRoutes>,
}

/// The routes of one network.
#[derive(Debug, Default)]
struct NetworkRoutes {
    v4: Layers<Ipv4Net>,
    v6: Layers<Ipv6Net>,
    paths: Paths,
}

impl RouteRef<'_> {
    /// The route by itself.
    pub fn to_route(self) -> Route {
        self.path.route(self.network, self.prefix)
    }
}

impl Routes {
    /// Sets a source's route; returns the one it had under this key.
    pub(crate) fn put(&mut self, source: Source, route: Route) -> Option<Route> {
        let (network, prefix, path) = route.into_parts();
        let routes = self.networks.entry(network.clone()).or_default();
        let path = routes.paths.name(&path);
        routes.paths.add(path);
        let entry = Entry { path, source };
        let before = match prefix {
            IpNet::V4(prefix) => routes.v4.put(prefix, entry),
            IpNet::V6(prefix) => routes.v6.put(prefix, entry),
        }?;
        Some(routes.take_back(&network, prefix, before))
    }

    /// Removes a source's route under this key.
    pub(crate) fn remove(&mut self, source: Source, key: &RouteKey) -> Option<Route> {
        let routes = self.networks.get_mut(&key.network)?;
        let path = match key.prefix {
            IpNet::V4(prefix) => routes.v4.remove(prefix, source),
            IpNet::V6(prefix) => routes.v6.remove(prefix, source),
        }?;
        let removed = routes.take_back(&key.network, key.prefix, path);
        if routes.is_empty() {
            self.networks.remove(&key.network);
        }
        Some(removed)
    }

    /// Whether a source has a route under this key.
    pub(crate) fn has(&self, source: Source, key: &RouteKey) -> bool {
        let found = self
            .networks
            .get(&key.network)
            .and_then(|routes| match key.prefix {
                IpNet::V4(prefix) => routes.v4.of(prefix, source),
                IpNet::V6(prefix) => routes.v6.of(prefix, source),
            });
        found.is_some()
    }

    /// The route in force under this key.
    pub(crate) fn get(&self, key: &RouteKey) -> Option<RouteRef<'_>> {
        self.in_force(&key.network, key.prefix)
    }

    /// The route in force of the longest prefix that covers an address.
    pub(crate) fn longest(&self, network: &Name, address: IpAddr) -> Option<RouteRef<'_>> {
        let bits = IpNet::from(address).max_prefix_len();
        (0..=bits).rev().find_map(|length| {
            let prefix = IpNet::new(address, length).ok()?.trunc();
            self.in_force(network, prefix)
        })
    }

    /// The routes in force, by network and prefix.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RouteRef<'_>> {
        self.networks
            .iter()
            .flat_map(|(name, routes)| routes.iter(name, None, false))
    }

    /// All routes, by network, prefix and precedence.
    pub(crate) fn iter_all(&self) -> impl Iterator<Item = RouteRef<'_>> {
        self.networks
            .iter()
            .flat_map(|(name, routes)| routes.iter(name, None, true))
    }

    /// The routes in force of one network, by prefix.
    pub(crate) fn of(&self, network: &Name) -> impl Iterator<Item = RouteRef<'_>> {
        self.named(network)
            .flat_map(|(name, routes)| routes.iter(name, None, false))
    }

    /// The routes of one network behind a prefix, by prefix and precedence: those in force, or
    /// `all`.
    pub(crate) fn after(
        &self,
        network: &Name,
        prefix: Bound<IpNet>,
        all: bool,
    ) -> impl Iterator<Item = RouteRef<'_>> {
        self.named(network)
            .flat_map(move |(name, routes)| routes.iter(name, Some(prefix), all))
    }

    /// The networks that have routes.
    pub(crate) fn networks(&self) -> impl Iterator<Item = &Name> {
        self.networks.keys()
    }

    /// The first route in force of a network whose path fits. Quick if no path does.
    pub(crate) fn find(
        &self,
        network: &Name,
        fits: impl Fn(&Path) -> bool,
    ) -> Option<RouteRef<'_>> {
        let routes = self.networks.get(network)?;
        if routes.paths.find(&fits).is_empty() {
            return None;
        }
        self.of(network).find(|route| fits(route.path))
    }

    fn named(&self, network: &Name) -> impl Iterator<Item = (&Name, &NetworkRoutes)> {
        self.networks.get_key_value(network).into_iter()
    }

    fn in_force(&self, network: &Name, prefix: IpNet) -> Option<RouteRef<'_>> {
        let (network, routes) = self.networks.get_key_value(network)?;
        let entry = match prefix {
            IpNet::V4(prefix) => routes.v4.get(prefix),
            IpNet::V6(prefix) => routes.v6.get(prefix),
        }?;
        Some(routes.show(network, prefix, entry))
    }
}

impl NetworkRoutes {
    fn is_empty(&self) -> bool {
        self.v4.in_force.is_empty() && self.v6.in_force.is_empty()
    }

    /// Notes that a route goes by a path no longer; returns that route.
    fn take_back(&mut self, network: &Name, prefix: IpNet, path: PathId) -> Route {
        let route = self.paths.get(path).route(network, prefix);
        self.paths.subtract(path);
        route
    }

    fn show<'a>(&'a self, network: &'a Name, prefix: IpNet, entry: Entry) -> RouteRef<'a> {
        RouteRef {
            source: entry.source,
            network,
            prefix,
            path: self.paths.get(entry.path),
        }
    }

    fn iter<'a>(
        &'a self,
        network: &'a Name,
        first: Option<Bound<IpNet>>,
        all: bool,
    ) -> impl Iterator<Item = RouteRef<'a>> {
        let (v4, v6) = split(first.unwrap_or(Bound::Unbounded));
        let v4 = v4.into_iter().flat_map(move |first| {
            let (all, in_force) = either(all, || self.v4.all_from(first), || self.v4.from(first));
            all.chain(in_force)
        });
        let v6 = v6.into_iter().flat_map(move |first| {
            let (all, in_force) = either(all, || self.v6.all_from(first), || self.v6.from(first));
            all.chain(in_force)
        });
        let v4 = v4.map(|(prefix, entry)| (IpNet::V4(prefix), entry));
        let v6 = v6.map(|(prefix, entry)| (IpNet::V6(prefix), entry));
        v4.chain(v6)
            .map(move |(prefix, entry)| self.show(network, prefix, entry))
    }
}

/// One of two iterators; the other one is empty.
fn either<A: IntoIterator, B: IntoIterator>(
    first: bool,
    a: impl FnOnce() -> A,
    b: impl FnOnce() -> B,
) -> (
    std::iter::Flatten<std::option::IntoIter<A>>,
    std::iter::Flatten<std::option::IntoIter<B>>,
) {
    let (a, b) = if first {
        (Some(a()), None)
    } else {
        (None, Some(b()))
    };
    (a.into_iter().flatten(), b.into_iter().flatten())
}

/// The bound for each IP version, where it has prefixes within it: IPv4 comes before IPv6.
fn split(first: Bound<IpNet>) -> (Option<Bound<Ipv4Net>>, Option<Bound<Ipv6Net>>) {
    let all_v6 = Some(Bound::Unbounded);
    match first {
        Bound::Unbounded => (Some(Bound::Unbounded), all_v6),
        Bound::Included(IpNet::V4(prefix)) => (Some(Bound::Included(prefix)), all_v6),
        Bound::Excluded(IpNet::V4(prefix)) => (Some(Bound::Excluded(prefix)), all_v6),
        Bound::Included(IpNet::V6(prefix)) => (None, Some(Bound::Included(prefix))),
        Bound::Excluded(IpNet::V6(prefix)) => (None, Some(Bound::Excluded(prefix))),
    }
}
