//! Lookups by one thread while another updates the table a million times a second and publishes
//! snapshots.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringlay_benches::addresses::announced;
use ringlay_benches::routes::Route;
use ringlay_benches::sized;
use ringlay_lpm::Table;

use crate::contender::{BURST, Family};
use crate::stats::median;

/// Updates a second that the writer is asked for.
const RATE: f64 = 1e6;

/// Updates between two snapshots.
const BATCHES: [usize; 2] = [1_000, 10_000];

const ROUND: Duration = Duration::from_millis(sized(500, 20) as u64);

/// A table on its way to readers: the protocol of the data plane's publisher.
struct Published<A, V> {
    generation: AtomicU64,
    current: Mutex<Table<A, V>>,
}

/// Compares lookups with and without updates, in turn.
pub(crate) fn compare<A: Family>(rounds: usize) {
    let routes = A::routes(A::ROUTES);
    let addrs = announced(&routes, 1 << 20);
    let mut table: Table<A, u32> = routes.iter().copied().collect();
    for batch in BATCHES {
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let published = Published {
                generation: AtomicU64::new(0),
                current: Mutex::new(table.clone()),
            };
            let quiet = lookups(&published, &addrs, || thread::sleep(ROUND));
            let mut rate = 0.0;
            let busy = lookups(&published, &addrs, || {
                rate = update(&published, &mut table, &routes, batch);
            });
            ratios.push(busy / quiet);
            rates.push(rate);
        }
        println!(
            "{}: {:.2} M updates/s, a snapshot every {batch}: lookups at {:.1} % of their rate without",
            A::NAME,
            median(rates) / 1e6,
            median(ratios) * 100.0
        );
    }
}

/// Lookups a second while `meanwhile` runs.
fn lookups<A: Family>(published: &Published<A, u32>, addrs: &[A], meanwhile: impl FnOnce()) -> f64 {
    let stop = AtomicBool::new(false);
    let (stop, read) = (&stop, || read(published, addrs, &stop));
    thread::scope(|scope| {
        let reader = scope.spawn(read);
        meanwhile();
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    })
}

fn read<A: Family>(published: &Published<A, u32>, addrs: &[A], stop: &AtomicBool) -> f64 {
    let mut generation = published.generation.load(Ordering::Acquire);
    let mut table = published.current.lock().unwrap().clone();
    let mut out = [None; BURST];
    let (mut done, start) = (0, Instant::now());
    for addrs in addrs.as_chunks::<BURST>().0.iter().cycle() {
        let latest = published.generation.load(Ordering::Acquire);
        if latest != generation {
            generation = latest;
            table = published.current.lock().unwrap().clone();
        }
        table.lookup_batch(addrs, &mut out);
        black_box(&out);
        done += BURST;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Updates at [`RATE`] for a [`ROUND`], or as fast as it goes; returns how fast.
fn update<A: Family>(
    published: &Published<A, u32>,
    table: &mut Table<A, u32>,
    routes: &[Route<A>],
    batch: usize,
) -> f64 {
    let (mut done, start) = (0, Instant::now());
    let mut routes = routes.iter().cycle();
    while start.elapsed() < ROUND {
        for (prefix, value) in routes.by_ref().take(batch / 2) {
            table.remove(prefix);
            table.insert(*prefix, value + 1);
        }
        *published.current.lock().unwrap() = table.clone();
        published.generation.fetch_add(1, Ordering::Release);
        done += batch;
        let due = Duration::from_secs_f64(done as f64 / RATE);
        while start.elapsed() < due {
            std::hint::spin_loop();
        }
    }
    done as f64 / start.elapsed().as_secs_f64()
}
