//! Lookups: every structure in turn, round after round, and the medians of that.

use std::hint::black_box;

use ringlay_benches::addresses::{announced, anywhere, hot};
use ringlay_benches::routes::Route;
use ringlay_benches::sized;
use ringlay_dataplane::sys::tsc;
use ringlay_lpm::Table;

use crate::contender::{BURST, Contender, Family, answers, looked_up, ours};
use crate::dpdk::Dpdk;
use crate::plot::{Bar, Chart};
use crate::stats::{median, mib};

/// Addresses looked up in a round: as many as `dpdk-test-fib` is given.
const ADDRESSES: usize = sized(1 << 20, 1 << 14);

/// Every structure gives the same answers.
pub(crate) fn agree<A: Family>(count: usize) {
    let routes = A::routes(count);
    let addrs: Vec<A> = announced(&routes, 1 << 16)
        .into_iter()
        .chain(anywhere(1 << 16))
        .collect();
    let contenders = A::contenders(&routes);
    let expected = answers(contenders[0].as_ref(), &addrs);
    for contender in &contenders[1..] {
        let name = contender.name();
        assert!(
            answers(contender.as_ref(), &addrs) == expected,
            "{name} answers otherwise"
        );
    }
}

/// Cycles a lookup, by how the addresses come.
#[derive(Default)]
struct Rounds {
    announced: Vec<f64>,
    fenced: Vec<f64>,
    anywhere: Vec<f64>,
    hot: Vec<f64>,
    chain: Vec<f64>,
}

/// Compares all structures on the main table.
pub(crate) fn compare<A: Family>(rounds: usize, dpdk: Option<&str>) -> Chart {
    let routes = A::routes(A::ROUTES);
    let contenders = A::contenders(&routes);
    let addrs = Addresses::new(&routes);
    let dpdk = dpdk.map(|command| Dpdk::new(command, &routes, &addrs.announced));
    let mut measured: Vec<Rounds> = contenders.iter().map(|_| Rounds::default()).collect();
    let mut dpdk_cycles: Vec<Vec<f64>> = Vec::new();
    for _ in 0..rounds {
        for (contender, rounds) in contenders.iter().zip(&mut measured) {
            addrs.measure(contender.as_ref(), rounds);
        }
        if let Some(dpdk) = &dpdk {
            dpdk_cycles.push(dpdk.measure());
        }
    }
    report::<A>(&contenders, measured, dpdk.as_ref(), dpdk_cycles)
}

/// Ringlay's table alone, by the number of routes.
pub(crate) fn sizes<A: Family>(rounds: usize) {
    println!(
        "\n{}, by table size: TSC cycles a lookup of announced addresses",
        A::NAME
    );
    println!(
        "{:>10} {:>8} {:>8} {:>10} {:>12}",
        "routes", "batch", "single", "dependent", "memory KiB"
    );
    for count in [10, 1_000, sized(100_000, 5_000), sized(1_000_000, 10_000)] {
        let routes = A::routes(count);
        let table: Table<A, u32> = routes.iter().copied().collect();
        let contenders = ours(&routes);
        let addrs = Addresses::new(&routes);
        let mut measured: Vec<Rounds> = contenders.iter().map(|_| Rounds::default()).collect();
        for _ in 0..rounds {
            for (contender, rounds) in contenders.iter().zip(&mut measured) {
                addrs.measure(contender.as_ref(), rounds);
            }
        }
        let chain = median(std::mem::take(&mut measured[0].chain));
        let [batch, single] = [0, 1].map(|i| median(std::mem::take(&mut measured[i].announced)));
        println!(
            "{count:>10} {batch:>8.1} {single:>8.1} {chain:>10.1} {:>12.0}",
            looked_up(&table) as f64 / 1024.0
        );
    }
}

/// What is looked up.
struct Addresses<A> {
    announced: Vec<A>,
    anywhere: Vec<A>,
    hot: Vec<A>,
}

impl<A: Family> Addresses<A> {
    fn new(routes: &[Route<A>]) -> Self {
        Self {
            announced: announced(routes, ADDRESSES),
            anywhere: anywhere(ADDRESSES),
            hot: hot(routes, ADDRESSES),
        }
    }

    fn measure(&self, contender: &dyn Contender<A>, rounds: &mut Rounds) {
        // Brings into the caches what the others have driven out.
        throughput(contender, &self.announced);
        rounds
            .announced
            .push(throughput(contender, &self.announced));
        rounds.fenced.push(fenced(contender, &self.announced));
        rounds.anywhere.push(throughput(contender, &self.anywhere));
        rounds.hot.push(throughput(contender, &self.hot));
        let start = tsc::fenced();
        black_box(contender.chain(&self.announced));
        rounds
            .chain
            .push((tsc::fenced() - start) as f64 / ADDRESSES as f64);
    }
}

/// Cycles a lookup, burst after burst.
fn throughput<A>(contender: &dyn Contender<A>, addrs: &[A]) -> f64 {
    let mut out = [None; BURST];
    let start = tsc::fenced();
    for addrs in addrs.as_chunks().0 {
        contender.burst(addrs, &mut out);
        black_box(&out);
    }
    (tsc::fenced() - start) as f64 / addrs.len() as f64
}

/// Cycles a lookup with the clock read around each burst, as `dpdk-test-fib` does: no burst
/// overlaps the next.
fn fenced<A>(contender: &dyn Contender<A>, addrs: &[A]) -> f64 {
    let mut out = [None; BURST];
    let mut cycles = 0;
    for addrs in addrs.as_chunks().0 {
        let start = tsc::fenced();
        contender.burst(addrs, &mut out);
        cycles += tsc::fenced() - start;
        black_box(&out);
    }
    cycles as f64 / addrs.len() as f64
}

fn report<A: Family>(
    contenders: &[Box<dyn Contender<A>>],
    measured: Vec<Rounds>,
    dpdk: Option<&Dpdk>,
    dpdk_rounds: Vec<Vec<f64>>,
) -> Chart {
    let per_ns = tsc::cycles_per_ns();
    println!(
        "\n{}, {} routes: TSC cycles a lookup ({per_ns:.2} in a nanosecond)",
        A::NAME,
        A::ROUTES
    );
    println!(
        "{:<22} {:>9} {:>7} {:>8} {:>9} {:>8} {:>7} {:>9} {:>8} {:>8}",
        "", "announced", "ns", "M/s", "fenced", "anywhere", "hot", "dependent", "MiB", "times us"
    );
    let mut bars = Vec::new();
    let mut batched = None;
    for (contender, rounds) in contenders.iter().zip(measured) {
        let [announced, fenced, anywhere, hot, chain] = [
            rounds.announced,
            rounds.fenced,
            rounds.anywhere,
            rounds.hot,
            rounds.chain,
        ]
        .map(median);
        let first = *batched.get_or_insert(announced);
        let ns = announced / per_ns;
        let memory = contender.memory();
        println!(
            "{:<22} {announced:>9.1} {ns:>7.2} {:>8.1} {fenced:>9.1} {anywhere:>8.1} {hot:>7.1} {chain:>9.1} {:>8.1} {:>8.2}",
            contender.name(),
            1e3 / ns,
            memory.map_or(f64::NAN, mib),
            announced / first,
        );
        bars.push(Bar::new(contender.name(), 1e3 / ns, memory));
        if bars.len() == 1 {
            bars[0].fenced = Some(fenced);
        }
    }
    let fenced = bars[0].fenced.unwrap();
    for (at, (name, memory)) in dpdk
        .into_iter()
        .flat_map(|dpdk| dpdk.variants().into_iter().enumerate())
    {
        let cycles = median(dpdk_rounds.iter().map(|round| round[at]).collect());
        let ns = cycles / per_ns;
        println!(
            "{name:<22} {:>9} {ns:>7.2} {:>8.1} {cycles:>9.1} {:>8} {:>7} {:>9} {:>8.1} {:>8.2}",
            "",
            1e3 / ns,
            "",
            "",
            "",
            mib(memory),
            cycles / fenced,
        );
        bars.push(Bar::new(&name, 1e3 / ns, Some(memory)));
    }
    Chart {
        title: format!("{}, {} routes", A::NAME, A::ROUTES),
        bars,
    }
}
