//! Longest-prefix match: lookups by how addresses hit the table, updates, bulk build and
//! snapshots, for tables of 10 to 1,000,000 routes. Lookups are beside a plain DIR-24-8 and the crates
//! `prefix-trie` and `ip_network_table` (the heir of `treebitmap`); updates and builds beside
//! `prefix-trie`. `lpm_compare` measures the same structures in alternating rounds, with DPDK's.

#[allow(
    dead_code,
    reason = "what they take in memory is printed by `lpm_compare`"
)]
#[path = "lpm_compare/contender.rs"]
mod contender;

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use ipnet::{Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use ringlay_benches::addresses::{announced, anywhere, hot};
use ringlay_benches::routes::Route;
use ringlay_benches::sized;
use ringlay_lpm::{Prefix, Table};

use contender::{BURST, Contender, answers};

/// Routes in a table.
const SIZES: [usize; 4] = [10, 1_000, sized(100_000, 5_000), sized(1_000_000, 10_000)];
const ADDRESSES: usize = sized(1 << 16, 1 << 12);
const UPDATES: usize = 1_000;

/// An address family with the network type `prefix-trie` takes for it.
trait Family: contender::Family {
    type Net: prefix_trie::Prefix + From<Prefix<Self>>;
}

impl Family for Ipv4Addr {
    type Net = Ipv4Net;
}

impl Family for Ipv6Addr {
    type Net = Ipv6Net;
}

fn peer<A: Family>(routes: &[Route<A>]) -> PrefixMap<A::Net, u32> {
    routes
        .iter()
        .map(|(prefix, value)| (A::Net::from(*prefix), *value))
        .collect()
}

fn bench_lookup<A: Family>(criterion: &mut Criterion) {
    for size in SIZES {
        let routes = A::routes(size);
        let contenders = A::contenders(&routes);
        let patterns = [
            ("announced", announced(&routes, ADDRESSES)),
            ("hot", hot(&routes, ADDRESSES)),
            ("anywhere", anywhere(ADDRESSES)),
        ];
        for (pattern, addrs) in patterns {
            let expected = answers(contenders[0].as_ref(), &addrs);
            let mut group = criterion.benchmark_group(format!("{}/{pattern}", A::NAME));
            group.throughput(Throughput::Elements(ADDRESSES as u64));
            for contender in &contenders {
                assert!(answers(contender.as_ref(), &addrs) == expected);
                throughput(&mut group, contender.as_ref(), size, &addrs);
            }
            chained(&mut group, contenders[0].as_ref(), size, &addrs);
            group.finish();
        }
    }
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn throughput<A: Family>(
    group: &mut Group<'_>,
    contender: &dyn Contender<A>,
    size: usize,
    addrs: &[A],
) {
    let mut out = [None; BURST];
    group.bench_function(BenchmarkId::new(contender.name(), size), |bencher| {
        bencher.iter(|| {
            for addrs in addrs.as_chunks().0 {
                contender.burst(addrs, &mut out);
                black_box(&out);
            }
        });
    });
}

/// Each lookup waits for the one before: latency, where the others show throughput.
fn chained<A: Family>(
    group: &mut Group<'_>,
    contender: &dyn Contender<A>,
    size: usize,
    addrs: &[A],
) {
    group.bench_function(BenchmarkId::new("ringlay dependent", size), |bencher| {
        bencher.iter(|| contender.chain(addrs));
    });
}

/// Takes out and puts back routes that are there: the whole table stays as it is.
fn bench_update<A: Family>(criterion: &mut Criterion) {
    for size in SIZES {
        let routes = A::routes(size);
        let changed = &routes[..size.min(UPDATES)];
        let mut group = criterion.benchmark_group(format!("{}/update", A::NAME));
        group.throughput(Throughput::Elements(2 * changed.len() as u64));
        let mut table: Table<A, u32> = routes.iter().copied().collect();
        group.bench_function(BenchmarkId::new("in place", size), |bencher| {
            bencher.iter(|| replace(&mut table, changed, |_| ()));
        });
        group.bench_function(BenchmarkId::new("published each", size), |bencher| {
            let mut published = table.clone();
            bencher.iter(|| replace(&mut table, changed, |table| published = table.clone()));
        });
        let mut map = peer(&routes);
        group.bench_function(BenchmarkId::new("prefix-trie", size), |bencher| {
            bencher.iter(|| {
                for (prefix, value) in changed {
                    let net = A::Net::from(*prefix);
                    black_box(map.remove(&net));
                    black_box(map.insert(net, *value));
                }
            });
        });
        group.finish();
    }
}

fn replace<A: Family>(
    table: &mut Table<A, u32>,
    routes: &[Route<A>],
    mut publish: impl FnMut(&Table<A, u32>),
) {
    for (prefix, value) in routes {
        black_box(table.remove(prefix));
        publish(table);
        black_box(table.insert(*prefix, *value));
        publish(table);
    }
}

fn bench_build<A: Family>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("{}/build", A::NAME));
    group.sample_size(10);
    for size in SIZES {
        let routes = A::routes(size);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("table", size), |bencher| {
            let build = || routes.iter().copied().collect::<Table<A, u32>>();
            bencher.iter_batched(|| (), |()| build(), BatchSize::PerIteration);
        });
        group.bench_function(BenchmarkId::new("prefix-trie", size), |bencher| {
            bencher.iter_batched(|| (), |()| peer(&routes), BatchSize::PerIteration);
        });
        let table: Table<A, u32> = routes.iter().copied().collect();
        eprintln!("{}/memory/{size}: {:?}", A::NAME, table.memory());
    }
    group.finish();
}

criterion_group!(
    ipv4,
    bench_lookup::<Ipv4Addr>,
    bench_update::<Ipv4Addr>,
    bench_build::<Ipv4Addr>
);
criterion_group!(
    ipv6,
    bench_lookup::<Ipv6Addr>,
    bench_update::<Ipv6Addr>,
    bench_build::<Ipv6Addr>
);
criterion_main!(ipv4, ipv6);
