//! The slow obvious table: a list of routes that is searched from end to end. Its bit arithmetic
//! is ipnet's, not the crate's.

use std::net::IpAddr;

use ipnet::IpNet;
use ringlay_lpm::{Address, Prefix, Table};

/// An address that also ipnet understands.
pub(crate) trait Family: Address + Into<IpAddr> {}

impl<A: Address + Into<IpAddr>> Family for A {}

#[derive(Clone, Debug)]
pub(crate) struct Oracle<A: Family> {
    routes: Vec<(Prefix<A>, u32)>,
}

impl<A: Family> Oracle<A> {
    pub(crate) fn new() -> Self {
        Self { routes: Vec::new() }
    }

    pub(crate) fn insert(&mut self, prefix: Prefix<A>, value: u32) -> Option<u32> {
        let old = self.remove(&prefix);
        self.routes.push((prefix, value));
        old
    }

    pub(crate) fn remove(&mut self, prefix: &Prefix<A>) -> Option<u32> {
        let at = self.routes.iter().position(|(p, _)| p == prefix)?;
        Some(self.routes.swap_remove(at).1)
    }

    pub(crate) fn exact(&self, prefix: &Prefix<A>) -> Option<u32> {
        self.routes
            .iter()
            .find(|(p, _)| p == prefix)
            .map(|(_, v)| *v)
    }

    pub(crate) fn lookup(&self, addr: A) -> Option<(Prefix<A>, u32)> {
        let addr: IpAddr = addr.into();
        let covering = self
            .routes
            .iter()
            .filter(|(prefix, _)| net(prefix).contains(&addr));
        covering.max_by_key(|(prefix, _)| prefix.len()).copied()
    }

    pub(crate) fn nth(&self, n: usize) -> Option<Prefix<A>> {
        let at = n.checked_rem(self.routes.len())?;
        Some(self.routes[at].0)
    }

    pub(crate) fn clear(&mut self) {
        self.routes.clear();
    }

    /// All routes by address, then by length.
    pub(crate) fn sorted(&self) -> Vec<(Prefix<A>, u32)> {
        let mut routes = self.routes.clone();
        routes.sort_by_key(|(prefix, _)| (prefix.addr(), prefix.len()));
        routes
    }

    /// Asserts that `table` holds the same routes and nothing else, answers alike for each of
    /// `probes` and at the edges of each route, and has the shape of a table freshly built.
    pub(crate) fn check(&self, table: &Table<A, u32>, probes: &[A]) {
        let sorted = self.sorted();
        let listed: Vec<_> = table
            .iter()
            .map(|(prefix, value)| (prefix, *value))
            .collect();
        assert_eq!(listed, sorted);
        let mut routes = table.iter();
        for left in (0..=sorted.len()).rev() {
            assert_eq!(routes.len(), left);
            routes.next();
        }
        assert_eq!(
            (table.len(), table.is_empty()),
            (sorted.len(), sorted.is_empty())
        );

        let edges = sorted.iter().map(|(prefix, _)| last(prefix));
        let starts = sorted.iter().map(|(prefix, _)| prefix.addr());
        let probes: Vec<A> = probes.iter().copied().chain(starts).chain(edges).collect();
        let mut batch = vec![Some(u32::MAX); probes.len()];
        table.lookup_batch(&probes, &mut batch);
        for (probe, batched) in probes.into_iter().zip(batch) {
            let expected = self.lookup(probe);
            let found = table
                .lookup_prefix(probe)
                .map(|(prefix, value)| (prefix, *value));
            assert_eq!(found, expected, "{probe}");
            assert_eq!(
                table.lookup(probe).copied(),
                expected.map(|(_, value)| value),
                "{probe}"
            );
            assert_eq!(batched, expected.map(|(_, value)| value), "{probe}");
        }
        for (prefix, value) in &sorted {
            assert_eq!(table.get(prefix), Some(value), "{prefix}");
        }

        let fresh: Table<A, u32> = sorted.into_iter().collect();
        assert_eq!(
            in_use(table),
            in_use(&fresh),
            "the shape depends on the history"
        );
        assert_eq!(*table, fresh);
    }
}

fn net<A: Family>(prefix: &Prefix<A>) -> IpNet {
    IpNet::new(prefix.addr().into(), prefix.len()).unwrap()
}

/// The last address in a prefix.
fn last<A: Family>(prefix: &Prefix<A>) -> A {
    net(prefix).broadcast().to_string().parse().ok().unwrap()
}

/// Bytes of nodes in use: what does not depend on the table's past.
pub(crate) fn in_use<A: Family>(table: &Table<A, u32>) -> (usize, usize) {
    let memory = table.memory();
    (memory.lookup, memory.routes)
}
