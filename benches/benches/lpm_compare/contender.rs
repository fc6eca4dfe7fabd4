//! The structures that are compared, behind one interface. Measures nothing.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use ip_network_table_deps_treebitmap as treebitmap;
use ipnet::{Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use ringlay_benches::addresses::Draw;
use ringlay_benches::dir24::Dir24;
use ringlay_benches::routes::{Route, ipv4_routes, ipv6_routes};
use ringlay_benches::sized;
use ringlay_lpm::{Prefix, Table};

/// Addresses handed over at once, as many as `dpdk-test-fib` does.
pub(crate) const BURST: usize = 64;

/// The results for a burst.
pub(crate) type Answers = [Option<u32>; BURST];

/// A structure that holds the routes.
pub(crate) trait Contender<A> {
    /// How it is called in the report.
    fn name(&self) -> &'static str;
    /// Bytes that lookups may read, if it can be told.
    fn memory(&self) -> Option<usize>;
    /// Looks up every address.
    fn burst(&self, addrs: &[A; BURST], out: &mut Answers);
    /// Looks up every address after the one before is found.
    fn chain(&self, addrs: &[A]) -> u32;
}

/// A way to look up one address: what is generic over addresses is written once for all peers.
struct Single<T, F> {
    name: &'static str,
    memory: Option<usize>,
    table: T,
    lookup: F,
}

impl<A: Copy, T, F: Fn(&T, A) -> Option<u32>> Contender<A> for Single<T, F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn memory(&self) -> Option<usize> {
        self.memory
    }

    fn burst(&self, addrs: &[A; BURST], out: &mut Answers) {
        for (addr, out) in addrs.iter().zip(out) {
            *out = (self.lookup)(&self.table, *addr);
        }
    }

    fn chain(&self, addrs: &[A]) -> u32 {
        chain(addrs, |addr| (self.lookup)(&self.table, addr))
    }
}

/// Ringlay's table, many addresses at a time.
struct Batched<A: Draw>(Table<A, u32>);

impl<A: Draw> Contender<A> for Batched<A> {
    fn name(&self) -> &'static str {
        "ringlay batch"
    }

    fn memory(&self) -> Option<usize> {
        Some(looked_up(&self.0))
    }

    fn burst(&self, addrs: &[A; BURST], out: &mut Answers) {
        self.0.lookup_batch(addrs, out);
    }

    fn chain(&self, addrs: &[A]) -> u32 {
        chain(addrs, |addr| self.0.lookup(addr).copied())
    }
}

fn chain<A: Copy>(addrs: &[A], lookup: impl Fn(A) -> Option<u32>) -> u32 {
    (0..addrs.len()).fold(0, |last, at| {
        // Always zero, but the processor has to know the last result to find out.
        let skip = (last >> 31) as usize;
        lookup(addrs[at ^ skip]).unwrap_or(0)
    })
}

/// Bytes that lookups may read.
pub(crate) fn looked_up<A: Draw>(table: &Table<A, u32>) -> usize {
    let memory = table.memory();
    memory.lookup + memory.values
}

/// An address family: its routes, and the structures for it.
pub(crate) trait Family: Draw {
    const NAME: &str;
    /// Routes of the main table: what the internet has, and some more.
    const ROUTES: usize;

    fn routes(count: usize) -> Vec<Route<Self>>;
    fn contenders(routes: &[Route<Self>]) -> Vec<Box<dyn Contender<Self>>>;
}

impl Family for Ipv4Addr {
    const NAME: &str = "ipv4";
    const ROUTES: usize = sized(1_000_000, 10_000);

    fn routes(count: usize) -> Vec<Route<Self>> {
        ipv4_routes(count)
    }

    fn contenders(routes: &[Route<Self>]) -> Vec<Box<dyn Contender<Self>>> {
        let dir24 = Dir24::new(routes);
        let memory = Some(dir24.memory());
        let mut contenders = ours(routes);
        contenders.push(Box::new(Single {
            name: "DIR-24-8 (ours)",
            memory,
            table: dir24,
            lookup: |table: &Dir24, addr| table.lookup(addr),
        }));
        contenders.push(peer(routes, |map: &PrefixMap<Ipv4Net, u32>, addr| {
            let net = Ipv4Net::from(addr);
            map.get_lpm(&net).map(|(_, value)| *value)
        }));
        contenders.push(treebitmap(routes));
        contenders
    }
}

impl Family for Ipv6Addr {
    const NAME: &str = "ipv6";
    const ROUTES: usize = sized(250_000, 10_000);

    fn routes(count: usize) -> Vec<Route<Self>> {
        ipv6_routes(count)
    }

    fn contenders(routes: &[Route<Self>]) -> Vec<Box<dyn Contender<Self>>> {
        let mut contenders = ours(routes);
        contenders.push(peer(routes, |map: &PrefixMap<Ipv6Net, u32>, addr| {
            let net = Ipv6Net::from(addr);
            map.get_lpm(&net).map(|(_, value)| *value)
        }));
        contenders.push(treebitmap(routes));
        contenders
    }
}

/// Ringlay's table, many addresses at a time and one by one.
pub(crate) fn ours<A: Draw>(routes: &[Route<A>]) -> Vec<Box<dyn Contender<A>>> {
    let table: Table<A, u32> = routes.iter().copied().collect();
    let single = Single {
        name: "ringlay single",
        memory: Some(looked_up(&table)),
        table: table.clone(),
        lookup: |table: &Table<A, u32>, addr| table.lookup(addr).copied(),
    };
    vec![Box::new(Batched(table)), Box::new(single)]
}

fn peer<A, P>(
    routes: &[Route<A>],
    lookup: impl Fn(&PrefixMap<P, u32>, A) -> Option<u32> + 'static,
) -> Box<dyn Contender<A>>
where
    A: Draw,
    P: prefix_trie::Prefix + From<Prefix<A>> + 'static,
{
    let table: PrefixMap<P, u32> = routes
        .iter()
        .map(|(prefix, value)| (P::from(*prefix), *value))
        .collect();
    Box::new(Single {
        name: "prefix-trie",
        memory: Some(table.mem_size()),
        table,
        lookup,
    })
}

/// What `ip_network_table` is made of: the maintained heir of the crate `treebitmap`, whose last
/// version was withdrawn.
fn treebitmap<A: Draw + treebitmap::address::Address>(
    routes: &[Route<A>],
) -> Box<dyn Contender<A>> {
    let mut table = treebitmap::IpLookupTable::new();
    for (prefix, value) in routes {
        table.insert(prefix.addr(), prefix.len().into(), *value);
    }
    let (nodes, results) = table.mem_usage();
    Box::new(Single {
        name: "ip_network_table",
        memory: Some(nodes + results),
        table,
        lookup: |table: &treebitmap::IpLookupTable<A, u32>, addr| {
            table.longest_match(addr).map(|(_, _, value)| *value)
        },
    })
}

/// All answers, for comparing.
pub(crate) fn answers<A: Copy>(contender: &dyn Contender<A>, addrs: &[A]) -> Vec<Option<u32>> {
    let mut answers = Vec::with_capacity(addrs.len());
    let mut out = [None; BURST];
    for addrs in addrs.as_chunks().0 {
        contender.burst(addrs, &mut out);
        answers.extend(black_box(out));
    }
    answers
}
