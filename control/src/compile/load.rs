//! Works many routes of one network into its forwarding tables.

use ipnet::IpNet;
use ringlay_dataplane::id::NextHopId;

use super::{
    Compiler, TunnelKey,
    fib::{first_host, host, place},
    path_tunnels,
};
use crate::{
    object::{Name, Path, RouteKey},
    rib::{Rib, RouteDelta},
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
        for (path, tally) in paths().filter(|(path, _)| path.via.is_some()) {
            for key in path_tunnels(network, path) {
                self.refresh_template(rib, &key);
                if let Some(tunnel) = self.tunnels.get(&key).filter(|_| tally.before > 0) {
                    self.touched.insert(tunnel.id);
                    self.tunnels.release(&key, tally.before);
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
        let fib = &mut entry.table.fib;
        for change in delta.iter() {
            let next_hop = change.after.and_then(|path| hops[path.index()]);
            let replaced = if special.binary_search(&change.prefix).is_ok() {
                next_hop
            } else {
                place(fib, change.prefix, next_hop)
            };
            if let Some(replaced) = replaced {
                self.next_hops.release(replaced);
            }
        }
    }

    /// Holds what the routes need that lead along a path now.
    fn acquire_path(&mut self, network: &Name, path: &Path, tally: &Tally) -> Option<NextHopId> {
        if tally.after == 0 {
            return None;
        }
        let keys: Vec<TunnelKey> = path_tunnels(network, path).collect();
        for key in &keys {
            if key.via.is_some() {
                let id = self.tunnels.acquire(key, tally.after);
                self.touched.insert(id);
            }
            if let Some(prefix) = tally.prefix {
                self.hint(key, prefix);
            }
        }
        let ways = self.ways(network, path);
        Some(self.next_hops.acquire(&ways, tally.after))
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
