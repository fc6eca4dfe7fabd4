//! Loading many routes at once, its peak memory, and updates of a table nobody reads.

use std::env;
use std::fs;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Instant;

use ringlay_benches::routes::Route;
use ringlay_benches::sized;
use ringlay_lpm::Table;

use crate::contender::Family;
use crate::stats::{median, mib};

/// Updates between two publications.
const BATCHES: [usize; 4] = [1, 100, 1_000, 10_000];

/// Measures loading, inserts one by one, and updates.
pub(crate) fn compare<A: Family>(rounds: usize) {
    let routes = A::routes(A::ROUTES);
    let (mut bulk, mut single) = (Vec::new(), Vec::new());
    let mut updates = BATCHES.map(|_| Vec::new());
    for _ in 0..rounds {
        bulk.push(millis(|| routes.iter().copied().collect::<Table<A, u32>>()));
        single.push(millis(|| {
            let mut table = Table::new();
            for (prefix, value) in &routes {
                table.insert(*prefix, *value);
            }
            table
        }));
        let mut table: Table<A, u32> = routes.iter().copied().collect();
        for (batch, rates) in BATCHES.into_iter().zip(&mut updates) {
            rates.push(rate(&mut table, &routes, batch));
        }
    }
    let [bulk, single] = [bulk, single].map(median);
    println!("\n{}, {} routes: loading and updates", A::NAME, A::ROUTES);
    println!("at once: {bulk:.0} ms; one by one: {single:.0} ms");
    let exe = env::current_exe().unwrap();
    let peak = Command::new(exe)
        .args(["--peak", A::NAME])
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&peak.stdout));
    for (batch, rates) in BATCHES.into_iter().zip(updates) {
        println!(
            "a snapshot every {batch:>6} updates: {:.2} M updates/s",
            median(rates) / 1e6
        );
    }
}

fn millis<T>(build: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(build());
    start.elapsed().as_secs_f64() * 1e3
}

/// Removes random routes and puts them back with another value; takes a snapshot after each
/// `batch`, while the one before is alive.
fn rate<A: Family>(table: &mut Table<A, u32>, routes: &[Route<A>], batch: usize) -> f64 {
    const UPDATES: usize = sized(200_000, 20_000);
    let mut published = table.clone();
    let start = Instant::now();
    let mut done = 0;
    for (prefix, value) in routes.iter().cycle() {
        table.remove(prefix);
        table.insert(*prefix, value + 1);
        done += 2;
        if done % batch.next_multiple_of(2) == 0 {
            published = table.clone();
        }
        if done == UPDATES {
            break;
        }
    }
    black_box(published);
    done as f64 / start.elapsed().as_secs_f64()
}

/// Loads a table, alone in its process, and prints what that took at most.
pub(crate) fn peak(family: &str) {
    match family {
        "ipv4" => peak_of::<Ipv4Addr>(),
        "ipv6" => peak_of::<Ipv6Addr>(),
        _ => panic!("no family {family}"),
    }
}

fn peak_of<A: Family>() {
    let routes = A::routes(A::ROUTES);
    // Makes the kernel forget the peak of what came before.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let table: Table<A, u32> = routes.iter().copied().collect();
    let (peak, after) = (status("VmHWM:") - before, status("VmRSS:") - before);
    let memory = table.memory();
    println!(
        "resident while loading: at most {:.1} MiB more, {:.1} MiB afterwards; of it read by lookups {:.2}, routes {:.2}, writer {:.2}, spare {:.2}",
        mib(peak),
        mib(after),
        mib(memory.lookup + memory.values),
        mib(memory.routes),
        mib(memory.writer),
        mib(memory.spare),
    );
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
