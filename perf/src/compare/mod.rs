//! `ringlay-perf compare`: all legs in turn, each time on fresh hosts.
//!
//! One section for each state of the underlay. Within a section the rounds alternate between the
//! legs, so that what disturbs the machine disturbs them alike.

mod args;
pub(crate) mod measure;
mod output;
mod pace;
mod rounds;

use std::process::ExitCode;

pub(crate) use args::CompareArgs;
use output::Output;
use pace::Pace;
use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::leg::Plan;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::tsc::Tsc;
use rounds::Rounds;

use crate::report::{Comparison, METHOD, Settings};
use crate::{binary, command};

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> ExitCode {
    command::run(|cleanup| {
        let comparison = compare(cleanup, args)?;
        Ok(match comparison.has_failed() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    })
}

/// Compares, and tells each section as soon as it is done.
fn compare(cleanup: &Cleanup, args: &CompareArgs) -> Result<Comparison, LabError> {
    let (legs, measures, underlays) = (args.legs(), args.measures(), args.underlays());
    let (plan, placement) = (args.plan(), args.placement());
    let ringlay = binary::find(args.ringlay.as_deref())?;
    let mut comparison = Comparison {
        settings: settings(args, &plan, &placement)?,
        method: METHOD,
        sections: Vec::new(),
    };
    let output = Output::new(args);
    output.begin(&comparison);
    let turns = underlays.len() * usize::from(args.rounds) * legs.len();
    let mut pace = Pace::new(turns, &measures, &plan);
    eprintln!("{pace}");
    for underlay in underlays {
        let rounds = Rounds {
            cleanup,
            count: args.rounds,
            legs: &legs,
            measures: &measures,
            plan: &plan,
            placement: &placement,
            ringlay: &ringlay,
            tsc: comparison.settings.tsc.as_ref(),
            underlay,
        };
        let section = rounds.run(&mut pace)?;
        comparison.sections.push(section);
        output.section(&comparison)?;
    }
    output.end(&comparison);
    Ok(comparison)
}

fn settings(args: &CompareArgs, plan: &Plan, placement: &Placement) -> Result<Settings, LabError> {
    Ok(Settings {
        machine: Machine::look()?,
        tsc: Tsc::look(),
        rounds: args.rounds,
        seconds: args.seconds,
        traffic: plan.traffic(),
        workers: placement.to_string(),
    })
}
