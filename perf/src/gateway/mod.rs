//! `ringlay-perf gateway`: small packets through a VXLAN gateway, by whatever forwards there.
//!
//! Each leg has fresh hosts at each turn, and the rounds alternate between the legs. The generator and
//! the far ends' receive paths have one CPU, what forwards has another.

mod args;
mod bucket;
mod direction;
mod frame;
mod generator;
mod hosts;
mod leg;
mod report;
mod search;
mod trial;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use args::GatewayArgs;
use direction::Direction;
use leg::{Leg, LegKind, Setting};
use report::{Report, Settings};
use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::workdir::Workdir;
use search::{Verdict, highest_passing};
use trial::{Range, Trial};

use crate::table::Table;
use crate::{binary, command, routers};

/// Runs the command.
pub(crate) fn run(args: &GatewayArgs) -> ExitCode {
    command::run(|cleanup| {
        let report = measure(cleanup, args)?;
        command::tell(args.json.as_ref(), &report)?;
        Ok(match report.has_failed() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    })
}

fn measure(cleanup: &Cleanup, args: &GatewayArgs) -> Result<Report, LabError> {
    let program = binary::find(args.ringlay.as_deref())?;
    let machine = Machine::look()?;
    let [traffic_cpu, gateway_cpu] = cpus(&Placement::split());
    let prefix = format!("ringlay-perf-{}", std::process::id());
    let directory = Workdir::create(cleanup, &prefix)?;
    let routes = directory.path().join("routes.txt");
    let far = prepare(args, &routes)?;
    let setting = Setting {
        cleanup,
        prefix: &prefix,
        directory: directory.path(),
        program: &program,
        routes: (&routes, args.routes),
        next_hops: args.next_hops,
        poll: &args.poll,
        traffic_cpu,
        gateway_cpu,
        steered: args.kernel_cpu == "gateway",
        far: &far,
    };
    let legs = args.legs();
    let settings = Settings::new(args, machine, [traffic_cpu, gateway_cpu]);
    let mut report = Report::new(settings, &legs, &args.directions, &args.frames);
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for turn in 0..legs.len() {
            let index = (usize::from(round) + turn) % legs.len();
            take_turn(&setting, args, round, (index, legs[index]), &mut report)?;
        }
    }
    report.conclude();
    Ok(report)
}

/// Two CPUs: of the traffic, and of what forwards.
fn cpus(placement: &Placement) -> [Option<usize>; 2] {
    match placement {
        Placement::Split([first, second]) => [first.first().copied(), second.first().copied()],
        Placement::Auto => [None, None],
    }
}

/// Writes the table; the far hosts are within it.
fn prepare(args: &GatewayArgs, file: &Path) -> Result<Arc<[Ipv4Addr]>, LabError> {
    eprintln!("making a table of {} routes", args.routes);
    let table = Table::generate(args.routes, args.next_hops);
    let text = table.text(|number| routers::next_hop(hosts::OUTSIDE, number));
    fs::write(file, text).map_err(LabError::io(format!("write {}", file.display())))?;
    Ok(table.addresses(args.destinations).into())
}

/// A leg that fails has no further turns; the others go on.
fn take_turn(
    setting: &Setting<'_>,
    args: &GatewayArgs,
    round: u16,
    (index, kind): (usize, LegKind),
    report: &mut Report,
) -> Result<(), LabError> {
    if report.is_out(index) {
        return Ok(());
    }
    match measure_leg(setting, args, round, (index, kind), report) {
        Ok(()) => Ok(()),
        Err(LabError::Interrupted) => Err(LabError::Interrupted),
        Err(error) => {
            eprintln!("{kind}: {error}");
            report.leave_out(index, &error);
            Ok(())
        }
    }
}

fn measure_leg(
    setting: &Setting<'_>,
    args: &GatewayArgs,
    round: u16,
    (index, kind): (usize, LegKind),
    report: &mut Report,
) -> Result<(), LabError> {
    let leg = Leg::start(kind, setting, &args.directions)?;
    report.legs[index].mode = Some(leg.mode.clone());
    let before = leg.drops()?;
    for direction in &args.directions {
        for frame in &args.frames {
            let range = leg.range(setting, *direction, usize::from(*frame));
            let flood = range.measure(None, args.duration())?;
            leg.drops()?;
            let wanted = round < args.searches && args.search.contains(frame);
            let found = match kind != LegKind::Wire && wanted {
                true => search(&range, args, flood.received)?,
                false => None,
            };
            tell(kind, *direction, *frame, &flood, found.as_ref());
            report.add((*direction, *frame), index, flood, found);
            if round == 0 {
                let stages = leg.stages(&range, STAGES.min(args.duration()))?;
                report.add_stages((*direction, *frame), index, stages.as_ref());
            }
        }
    }
    let drops = leg.drops()?.since(&before);
    report.legs[index].drops.add(drops);
    Ok(())
}

/// Looks for the highest rate without loss; it may be a little above what is left of a flood.
fn search(range: &Range<'_>, args: &GatewayArgs, flood: f64) -> Result<Option<Trial>, LabError> {
    let mut best = None;
    let trial = |rate: f64| -> Result<Verdict, LabError> {
        let trial = range.measure(Some(rate), args.duration())?;
        if trial.loss > args.tolerance || trial.offered < rate * REACHED {
            return Ok(Verdict::Failed);
        }
        best = Some(trial);
        Ok(Verdict::Passed)
    };
    highest_passing(flood * ABOVE, PRECISION, trial)?;
    Ok(best)
}

fn tell(kind: LegKind, direction: Direction, frame: u16, flood: &Trial, found: Option<&Trial>) {
    let found = found.map_or(String::new(), |trial| {
        format!(", loss-free {:.0} kpps", trial.received / 1e3)
    });
    eprintln!(
        "{kind:<15}{direction}, {frame} bytes: {:.0} kpps of {:.0}, {:.2} cores{found}",
        flood.received / 1e3,
        flood.offered / 1e3,
        flood.cores
    );
}

/// How long stages are measured, at most.
const STAGES: Duration = Duration::from_millis(300);
/// Where the search for the loss-free rate begins, over what arrives of a flood.
const ABOVE: f64 = 1.2;
/// Width of the range that ends the search, over where it began.
const PRECISION: f64 = 0.03;
/// Part of a rate that the generator has to reach for a trial to count.
const REACHED: f64 = 0.98;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_and_gateway_have_a_cpu_each() {
        let split = Placement::Split([vec![0, 1], vec![2, 3]]);
        assert_eq!(cpus(&split), [Some(0), Some(2)]);
        assert_eq!(cpus(&Placement::Auto), [None, None]);
    }
}
