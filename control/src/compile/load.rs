//! Works many routes of one network into its forwarding tables.

use ipnet::IpNet;
use ringlay_dataplane::{id::NextHopId, tables::Fib};

use super::{
    Compiler, TunnelKey,
    fib::{first_host, host},
    next_hops::NextHops,
    path_tunnels,
};
use crate::{
    object::{Name, Path, RouteKey},
    rib::{Rib, RouteChange, RouteDelta},
};

/// How often a path is named by changes.
#[derive(Clone, Copy, Default)]
struct Tally {
    before: u32,
    after: u32,
    /// A prefix that leads there now, other than the default route.
    prefix: Option<IpNet>,
}

impl Compiler {
    /// Works in a load, after which the desired state is `rib`.
    pub fn load(&mut self, rib: &Rib, delta: &RouteDelta) {
        let network = &delta.network;
        let tallies = tally(delta);
        let paths = || delta.paths.iter().zip(&tallies);
        // What appears comes first and what goes comes last, so that shared things stay.
        let hops: Vec<_> = paths()
            .map(|(path, tally)| self.acquire_path(network, path, tally))
            .collect();
        let special = port_prefixes(rib, network);
        self.place_all(delta, &hops, &special);
        for prefix in special {
            let network = network.clone();
            self.resolve(rib, &RouteKey { network, prefix });
        }
        for (path, tally) in paths().filter(|(path, _)| path.via.is_some() || path.direct) {
            for key in path_tunnels(network, path) {
                self.refresh_template(rib, &key);
                if let Some(tunnel) = self.tunnels.get(&key).filter(|_| tally.before > 0) {
                    self.touched.insert(tunnel.id);
                    self.let_tunnel_go(&key, tally.before);
                }
            }
        }
    }

    /// Puts the changed routes into the forwarding tables, but for those with a prefix among
    /// `special`, and gives back what nobody uses. `hops` has what was acquired for each path.
    fn place_all(&mut self, delta: &RouteDelta, hops: &[Option<NextHopId>], special: &[IpNet]) {
        let Some(entry) = self.networks.get_mut(&delta.network) else {
            return;
        };
        let Fib { v4, v6 } = &mut entry.table.fib;
        let mut placing = Placing {
            hops,
            special,
            next_hops: &mut self.next_hops,
        };
        if is_bulk(delta.v4.len(), v4.len()) {
            let old = v4.iter().map(|(prefix, id)| (prefix.into(), *id));
            let merged = placing.merge(old, &delta.v4);
            *v4 = merged
                .into_iter()
                .map(|(prefix, id)| (prefix.into(), id))
                .collect();
        } else {
            placing.each(&delta.v4, |prefix, next_hop| match next_hop {
                Some(next_hop) => v4.insert(prefix.into(), next_hop),
                None => v4.remove(&prefix.into()),
            });
        }
        if is_bulk(delta.v6.len(), v6.len()) {
            let old = v6.iter().map(|(prefix, id)| (prefix.into(), *id));
            let merged = placing.merge(old, &delta.v6);
            *v6 = merged
                .into_iter()
                .map(|(prefix, id)| (prefix.into(), id))
                .collect();
        } else {
            placing.each(&delta.v6, |prefix, next_hop| match next_hop {
                Some(next_hop) => v6.insert(prefix.into(), next_hop),
                None => v6.remove(&prefix.into()),
            });
        }
    }

    /// Holds what the routes need that lead along a path now.
    fn acquire_path(&mut self, network: &Name, path: &Path, tally: &Tally) -> Option<NextHopId> {
        if tally.after == 0 {
            return None;
        }
        let keys: Vec<TunnelKey> = path_tunnels(network, path).collect();
        for key in &keys {
            if key.is_of_routes() {
                let id = self.hold_tunnel(key, tally.after);
                self.touched.insert(id);
            }
            if let Some(prefix) = tally.prefix {
                self.hint(&key.tunnelled(), prefix);
            }
        }
        let ways = self.ways(network, path);
        Some(self.next_hops.acquire(&ways, tally.after))
    }
}

/// Whether a table is better built anew than changed.
fn is_bulk(changes: usize, present: usize) -> bool {
    changes > present / BULK_SHARE + FEW
}

/// Building takes about this part of the time that as many single changes take.
const BULK_SHARE: usize = 6;

/// So many changes are no bulk.
const FEW: usize = 64;

/// What it takes to put changes into tables.
struct Placing<'a> {
    /// What was acquired for each path.
    hops: &'a [Option<NextHopId>],
    /// Prefixes to leave alone.
    special: &'a [IpNet],
    next_hops: &'a mut NextHops,
}

impl Placing<'_> {
    /// Places one by one; `place` says what was in the place before.
    fn each<P: Copy + Into<IpNet>>(
        &mut self,
        changes: &[RouteChange<P>],
        mut place: impl FnMut(P, Option<NextHopId>) -> Option<NextHopId>,
    ) {
        for change in changes {
            let next_hop = self.next_hop(change);
            let replaced = if self.is_special(change.prefix) {
                next_hop
            } else {
                place(change.prefix, next_hop)
            };
            self.give_back(replaced);
        }
    }

    /// The contents of a table after changes, both by prefix.
    fn merge<P: Copy + Ord + Into<IpNet>>(
        &mut self,
        old: impl ExactSizeIterator<Item = (P, NextHopId)>,
        changes: &[RouteChange<P>],
    ) -> Vec<(P, NextHopId)> {
        let mut merged = Vec::with_capacity(old.len() + changes.len());
        let mut old = old.peekable();
        for change in changes {
            merged.extend(std::iter::from_fn(|| {
                old.next_if(|(prefix, _)| *prefix < change.prefix)
            }));
            let before = old.next_if(|(prefix, _)| *prefix == change.prefix);
            let before = before.map(|(_, next_hop)| next_hop);
            let after = self.next_hop(change);
            let (kept, released) = if self.is_special(change.prefix) {
                (before, after)
            } else {
                (after, before)
            };
            merged.extend(kept.map(|next_hop| (change.prefix, next_hop)));
            self.give_back(released);
        }
        merged.extend(old);
        merged
    }

    fn next_hop<P>(&self, change: &RouteChange<P>) -> Option<NextHopId> {
        change.after.and_then(|path| self.hops[path.index()])
    }

    fn is_special(&self, prefix: impl Into<IpNet>) -> bool {
        self.special.binary_search(&prefix.into()).is_ok()
    }

    fn give_back(&mut self, next_hop: Option<NextHopId>) {
        if let Some(next_hop) = next_hop {
            self.next_hops.release(next_hop);
        }
    }
}

fn tally(delta: &RouteDelta) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); delta.paths.len()];
    for change in delta.iter() {
        if let Some(before) = change.before {
            tallies[before.index()].before += 1;
        }
        if let Some(after) = change.after {
            let tally = &mut tallies[after.index()];
            tally.after += 1;
            if tally.prefix.is_none() && first_host(change.prefix).is_some() {
                tally.prefix = Some(change.prefix);
            }
        }
    }
    tallies
}

/// The prefixes of a network that its ports have a say in, sorted.
fn port_prefixes(rib: &Rib, network: &Name) -> Vec<IpNet> {
    let addresses = rib.ports_of(network).flat_map(|port| &port.addresses);
    let mut prefixes: Vec<_> = addresses
        .flat_map(|net| [net.trunc(), host(net.addr())])
        .collect();
    prefixes.sort_unstable();
    prefixes
}
