//! Merges sorted routes of one source into those of a network, and says what that changes.

use std::{cmp::Ordering, iter::Peekable};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    NetworkRoutes, Routes,
    layers::{Entry, Layers},
    paths::{PathId, Paths},
};
use crate::{
    object::{Name, Path, RouteKey, Source},
    rib::load::{Load, Record},
};

/// What a load did to the routes in force of one network.
#[derive(Clone, Debug)]
pub struct RouteDelta {
    /// The network.
    pub network: Name,
    /// Whose routes were loaded.
    pub source: Source,
    /// The paths that the changes name.
    pub paths: Vec<Path>,
    /// IPv4 routes, by prefix.
    pub v4: Vec<RouteChange<Ipv4Net>>,
    /// IPv6 routes, by prefix.
    pub v6: Vec<RouteChange<Ipv6Net>>,
    /// What became of the source's routes, in force or not.
    pub counts: Counts,
}

/// A route in force that appeared, changed or went. It did one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteChange<P> {
    /// The prefix.
    pub prefix: P,
    /// Where it led, if it did.
    pub before: Option<PathId>,
    /// Where it leads, if it does.
    pub after: Option<PathId>,
}

/// What became of a source's routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub added: u64,
    /// Those that lead elsewhere now.
    pub changed: u64,
    /// Those that were the same already.
    pub unchanged: u64,
    /// Those that went.
    pub removed: u64,
    /// Of all but the removed: those that another source overrides.
    pub overridden: u64,
}

impl RouteDelta {
    /// Whether nothing changed among the routes in force.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many routes in force changed.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Every change, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = RouteChange<IpNet>> {
        let v4 = self.v4.iter().map(RouteChange::widen);
        v4.chain(self.v6.iter().map(RouteChange::widen))
    }

    /// The keys of the routes that changed.
    pub fn keys(&self) -> impl Iterator<Item = RouteKey> {
        self.iter().map(|change| RouteKey {
            network: self.network.clone(),
            prefix: change.prefix,
        })
    }
}

impl<P: Copy + Into<IpNet>> RouteChange<P> {
    fn widen(&self) -> RouteChange<IpNet> {
        RouteChange {
            prefix: self.prefix.into(),
            before: self.before,
            after: self.after,
        }
    }
}

impl Routes {
    /// What becomes of a network's routes when a sorted load without prefixes that are there twice
    /// is merged into them.
    pub(in crate::rib) fn merged(&self, load: &Load) -> (Merged, RouteDelta) {
        let none = NetworkRoutes::default();
        let routes = self.networks.get(&load.network).unwrap_or(&none);
        routes.merged(load)
    }

    /// Puts in force what was merged.
    pub(in crate::rib) fn install(&mut self, network: &Name, merged: Merged) {
        let routes = self.networks.entry(network.clone()).or_default();
        merged.install(routes);
        if routes.is_empty() {
            self.networks.remove(network);
        }
    }
}

/// What takes the place of a network's routes. Versions that nothing happens to are absent.
pub(in crate::rib) struct Merged {
    v4: Option<Layers<Ipv4Net>>,
    v6: Option<Layers<Ipv6Net>>,
    paths: Paths,
}

impl Merged {
    fn install(self, routes: &mut NetworkRoutes) {
        routes.paths = self.paths;
        if let Some(v4) = self.v4 {
            routes.v4 = v4;
        }
        if let Some(v6) = self.v6 {
            routes.v6 = v6;
        }
    }
}

impl NetworkRoutes {
    fn merged(&self, load: &Load) -> (Merged, RouteDelta) {
        let mut paths = self.paths.clone();
        let names: Vec<_> = load.paths.iter().map(|path| paths.name(path)).collect();
        let mut merge = Merge {
            source: load.source,
            replace: load.replace,
            gone: Vec::new(),
            came: Vec::new(),
            names,
            counts: Counts::default(),
        };
        let (v4, v4_changes) = merge.version(&self.v4, &load.v4);
        let (v6, v6_changes) = merge.version(&self.v6, &load.v6);
        merge.came.iter().for_each(|id| paths.add(*id));
        // What the changes name stays readable there, also where no route goes by it any more.
        let all = paths.all();
        merge.gone.iter().for_each(|id| paths.subtract(*id));
        merge.names.iter().for_each(|id| paths.forget_unused(*id));
        let delta = RouteDelta {
            network: load.network.clone(),
            source: load.source,
            paths: all,
            v4: v4_changes,
            v6: v6_changes,
            counts: merge.counts,
        };
        (Merged { v4, v6, paths }, delta)
    }
}

/// A merge under way.
struct Merge {
    source: Source,
    replace: bool,
    /// Of each path of the load.
    names: Vec<PathId>,
    /// Paths that the source's routes no longer go by, and that they go by now.
    gone: Vec<PathId>,
    came: Vec<PathId>,
    counts: Counts,
}

/// One IP version's routes while they are merged.
struct Version<P> {
    in_force: Vec<(P, Entry)>,
    layers: Layers<P>,
    changes: Vec<RouteChange<P>>,
}

impl Merge {
    /// The routes of one IP version with those of the load, and the difference.
    fn version<P: Copy + Ord>(
        &mut self,
        old: &Layers<P>,
        records: &[Record<P>],
    ) -> (Option<Layers<P>>, Vec<RouteChange<P>>) {
        if records.is_empty() && !self.replace {
            return (None, Vec::new());
        }
        let mut version = Version {
            in_force: Vec::with_capacity(old.in_force.len() + records.len()),
            layers: Layers {
                in_force: std::collections::BTreeMap::new(),
                overridden: old.overridden.clone(),
            },
            changes: Vec::new(),
        };
        let mut present = old.in_force.iter().map(|(prefix, entry)| (*prefix, *entry));
        let mut present = present.by_ref().peekable();
        for record in records {
            while let Some((prefix, top)) = before(&mut present, record.prefix) {
                self.unmentioned(&mut version, prefix, top);
            }
            let top = present.next_if(|(prefix, _)| *prefix == record.prefix);
            let path = self.names[record.path as usize];
            self.mentioned(&mut version, record.prefix, path, top.map(|(_, top)| top));
        }
        for (prefix, top) in present {
            self.unmentioned(&mut version, prefix, top);
        }
        // In order, so that the tree is built from its leaves up.
        version.layers.in_force = version.in_force.into_iter().collect();
        (Some(version.layers), version.changes)
    }

    /// A prefix that the load has.
    fn mentioned<P: Copy + Ord>(
        &mut self,
        version: &mut Version<P>,
        prefix: P,
        path: PathId,
        top: Option<Entry>,
    ) {
        let entry = Entry {
            path,
            source: self.source,
        };
        self.came.push(path);
        let (old, now) = match top {
            None => (None, entry),
            Some(top) if top.source == self.source => (Some(top.path), entry),
            Some(top) if self.source < top.source => {
                version.layers.put_below(prefix, top);
                (None, entry)
            }
            Some(top) => {
                self.counts.overridden += 1;
                (version.layers.put_below(prefix, entry), top)
            }
        };
        match old {
            None => self.counts.added += 1,
            Some(old) => {
                self.gone.push(old);
                if old == path {
                    self.counts.unchanged += 1;
                } else {
                    self.counts.changed += 1;
                }
            }
        }
        version.set(prefix, top, Some(now));
    }

    /// A prefix that the load does not have.
    fn unmentioned<P: Copy + Ord>(&mut self, version: &mut Version<P>, prefix: P, top: Entry) {
        if !self.replace {
            return version.set(prefix, Some(top), Some(top));
        }
        let (gone, now) = if top.source == self.source {
            (Some(top.path), version.layers.pop_below(prefix))
        } else {
            let is_ours = |entry: &Entry| entry.source == self.source;
            (version.layers.take_below(prefix, is_ours), Some(top))
        };
        self.counts.removed += u64::from(gone.is_some());
        self.gone.extend(gone);
        version.set(prefix, Some(top), now);
    }
}

impl<P: Copy> Version<P> {
    /// Puts a route in force where another was, or was not.
    fn set(&mut self, prefix: P, before: Option<Entry>, after: Option<Entry>) {
        self.in_force.extend(after.map(|entry| (prefix, entry)));
        let (before, after) = (before.map(|it| it.path), after.map(|it| it.path));
        if before != after {
            self.changes.push(RouteChange {
                prefix,
                before,
                after,
            });
        }
    }
}

/// The next route, if its prefix sorts before another.
fn before<P: Copy + Ord>(
    routes: &mut Peekable<impl Iterator<Item = (P, Entry)>>,
    other: P,
) -> Option<(P, Entry)> {
    routes.next_if(|(prefix, _)| prefix.cmp(&other) == Ordering::Less)
}
