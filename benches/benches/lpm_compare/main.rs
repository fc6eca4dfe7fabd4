//! Longest-prefix match side by side: the same routes and addresses through Ringlay's table, a
//! plain DIR-24-8, other crates and DPDK's `rte_fib`, in alternating rounds; then updates, loading
//! and lookups during updates. Prints a table; can draw it. `scripts/lpm-compare` runs it.
//!
//! Options: `--dpdk COMMAND` (a `dpdk-test-fib`), `--rounds N`, `--svg FILE`, `--only ipv4|ipv6`, `--updates`
//! (no lookups).
//! With `--test` it compares answers in small tables, and measures nothing. Without optimisation, as
//! `cargo test` runs it, it does all of this with small tables.

#![allow(clippy::unwrap_used, reason = "a measurement may fail loudly")]

mod churn;
mod contender;
mod count;
mod dpdk;
mod load;
mod lookup;
mod plot;
mod stats;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ringlay_benches::sized;

use contender::Family;

/// What the command line asks for.
struct Options {
    dpdk: Option<String>,
    rounds: usize,
    svg: Option<PathBuf>,
    only: Option<String>,
    updates: bool,
    test: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            dpdk: None,
            rounds: sized(5, 1),
            svg: None,
            only: None,
            updates: false,
            test: false,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            match &*arg {
                "--dpdk" => options.dpdk = Some(value()),
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--svg" => options.svg = Some(value().into()),
                "--only" => options.only = Some(value()),
                "--updates" => options.updates = true,
                "--test" => options.test = true,
                "--bench" => (),
                _ => panic!("unknown option {arg}"),
            }
        }
        options
    }
}

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if_eq("--peak").is_some() {
        return load::peak(&args.next().expect("--peak needs a family"));
    }
    if args.next_if_eq("--count").is_some() {
        let family = args.next().expect("--count needs a family");
        let number = args.next().and_then(|number| number.parse().ok());
        return count::run(&family, number.expect("--count needs a number"));
    }
    let options = Options::parse(args);
    if options.test {
        lookup::agree::<Ipv4Addr>(10_000);
        lookup::agree::<Ipv6Addr>(10_000);
        return;
    }
    let mut charts = Vec::new();
    run::<Ipv4Addr>(&options, &mut charts);
    run::<Ipv6Addr>(&options, &mut charts);
    if let Some(file) = options.svg {
        std::fs::write(&file, plot::draw(&charts)).unwrap();
        println!("plot: {}", file.display());
    }
}

fn run<A: Family>(options: &Options, charts: &mut Vec<plot::Chart>) {
    if options.only.as_deref().is_some_and(|only| only != A::NAME) {
        return;
    }
    if !options.updates {
        lookup::agree::<A>(A::ROUTES);
        let dpdk = options.dpdk.as_deref();
        charts.push(lookup::compare::<A>(options.rounds, dpdk));
        lookup::sizes::<A>(options.rounds);
    }
    load::compare::<A>(options.rounds);
    churn::compare::<A>(options.rounds);
}
