//! `ringlay-perf routes`: what a full table costs the packets of a running node.
//!
//! One node all the time; its table is exchanged between measurements, and the packets are the same
//! whatever the table.

mod args;
mod bench;
mod flood;
mod report;

use std::fs;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use args::RoutesArgs;
use bench::{Bench, Cpus};
use report::{Report, TableReport};
use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::topology::UNDERLAY_B;

use crate::table::Table;
use crate::{binary, command, routers};

/// Runs the command.
pub(crate) fn run(args: &RoutesArgs) -> ExitCode {
    command::run(|cleanup| {
        let report = measure(cleanup, args)?;
        command::tell(args.json.as_ref(), &report)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn measure(cleanup: &Cleanup, args: &RoutesArgs) -> Result<Report, LabError> {
    let program = binary::find(args.ringlay.as_deref())?;
    let machine = Machine::look()?;
    let cpus = Cpus::of(&Placement::split());
    let bench = Bench::start(cleanup, args, &program, &cpus)?;
    let destinations = prepare(&bench, args)?;
    let mut report = Report {
        machine,
        mode: bench.mode()?,
        worker_cpu: cpus.worker,
        sender_cpus: cpus.senders,
        rounds: args.rounds,
        seconds: args.seconds,
        payload: args.payload,
        destinations: args.destinations,
        next_hops: args.next_hops,
        tables: args.routes.iter().copied().map(TableReport::new).collect(),
    };
    for round in 0..args.rounds {
        for turn in 0..report.tables.len() {
            let index = (usize::from(round) + turn) % report.tables.len();
            let table = &mut report.tables[index];
            take(&bench, args, &destinations, round, table)?;
        }
    }
    report.conclude();
    Ok(report)
}

/// Writes the tables; the destinations are within the largest.
fn prepare(bench: &Bench, args: &RoutesArgs) -> Result<Arc<[Ipv4Addr]>, LabError> {
    eprintln!("making tables of {:?} routes", args.routes);
    let mut largest = Table::generate(1, args.next_hops);
    for count in &args.routes {
        let table = Table::generate(*count, args.next_hops);
        let file = bench.file(&file_name(*count));
        fs::write(
            &file,
            table.text(|number| routers::next_hop(UNDERLAY_B, number)),
        )
        .map_err(LabError::io(format!("write {}", file.display())))?;
        if table.len() > largest.len() {
            largest = table;
        }
    }
    Ok(largest.addresses(args.destinations).into())
}

/// One measurement with one table.
fn take(
    bench: &Bench,
    args: &RoutesArgs,
    destinations: &Arc<[Ipv4Addr]>,
    round: u16,
    table: &mut TableReport,
) -> Result<(), LabError> {
    let load_seconds = bench.load(&bench.file(&file_name(table.routes)), table.routes)?;
    let duration = Duration::from_secs(args.seconds);
    let mut sample = bench.measure(destinations, args.payload.into(), duration)?;
    (sample.round, sample.load_seconds) = (round, load_seconds);
    eprintln!(
        "round {} of {}: {} routes, loaded in {load_seconds:.2} s: {:.0} kpps, {:.0} ns a packet",
        round + 1,
        args.rounds,
        table.routes,
        sample.packets_per_second().unwrap_or_default() / 1e3,
        sample.worker_ns_per_packet().unwrap_or_default()
    );
    table.add(sample);
    Ok(())
}

fn file_name(routes: u32) -> String {
    format!("routes-{routes}.txt")
}
