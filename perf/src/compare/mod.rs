//! `ringlay-perf compare`: all legs in turn, each time on fresh hosts.
//!
//! One section for each state of the underlay. Within a section the rounds alternate between the
//! legs, so that what disturbs the machine disturbs them alike.

mod args;
pub(crate) mod measure;
mod pace;
mod rounds;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use args::CompareArgs;
use pace::Pace;
use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::signals;
use ringlay_control::lab::tsc::Tsc;
use rounds::Rounds;

use crate::report::{Comparison, METHOD, Settings};

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> ExitCode {
    let cleanup = Cleanup::new();
    let result = signals::clean_up_on_signals(&cleanup).and_then(|()| compare(&cleanup, args));
    match result {
        Ok(comparison) if comparison.has_failed() => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(_) if cleanup.is_closed() => signals::wait_for_exit(),
        Err(error) => {
            cleanup.close();
            eprintln!("ringlay-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compares, and tells each section as soon as it is done.
fn compare(cleanup: &Cleanup, args: &CompareArgs) -> Result<Comparison, LabError> {
    let (legs, measures, underlays) = (args.legs(), args.measures(), args.underlays());
    let plan = args.plan();
    let placement = args.placement()?;
    let ringlay = args.ringlay_binary()?;
    let mut comparison = Comparison {
        settings: Settings {
            machine: Machine::look()?,
            tsc: Tsc::look(),
            rounds: args.rounds,
            seconds: args.seconds,
            traffic: plan.traffic(),
            workers: placement.to_string(),
        },
        method: METHOD,
        sections: Vec::new(),
    };
    let prints_tables = args.json != Some(None);
    if prints_tables {
        print!("{}", comparison.settings);
    }
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
        if prints_tables {
            println!("\n{section}");
        }
        comparison.sections.push(section);
        if let Some(Some(path)) = &args.json {
            write_json(&comparison, path)?;
        }
    }
    if prints_tables {
        METHOD.iter().for_each(|line| println!("{line}"));
    } else {
        println!("{}", json(&comparison));
    }
    Ok(comparison)
}

fn json(comparison: &Comparison) -> String {
    serde_json::to_string_pretty(comparison).expect("a comparison is plain")
}

fn write_json(comparison: &Comparison, path: &Path) -> Result<(), LabError> {
    fs::write(path, json(comparison) + "\n")
        .map_err(LabError::io(format!("write {}", path.display())))
}
