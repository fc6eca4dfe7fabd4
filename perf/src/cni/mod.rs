//! `ringlay-perf cni`: how long it takes to attach a container, beside plugins that everybody uses.

mod args;
mod bench;
mod report;

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

pub(crate) use args::CniArgs;
use bench::Bench;
use report::{AtOnce, PluginReport, Report};
use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::namespace::Namespace;

use crate::{binary, command};

/// Runs the command.
pub(crate) fn run(args: &CniArgs) -> ExitCode {
    command::run(|cleanup| {
        let report = measure(cleanup, args)?;
        command::tell(args.json.as_ref(), &report)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn measure(cleanup: &Cleanup, args: &CniArgs) -> Result<Report, LabError> {
    bench::check_plugins(&args.plugins)?;
    let ringlay = binary::find(args.ringlay.as_deref())?;
    let machine = Machine::look()?;
    let bench = Bench::start(cleanup, &ringlay, &args.plugins)?;
    let containers = bench.containers(args.containers.max(args.at_once))?;
    let mut plugins: Vec<PluginReport> = bench
        .contenders
        .iter()
        .map(|contender| PluginReport {
            name: contender.name,
            ..PluginReport::default()
        })
        .collect();
    let few = &containers[..usize::from(args.containers)];
    for round in 0..args.rounds {
        for turn in 0..plugins.len() {
            let index = (usize::from(round) + turn) % plugins.len();
            take(&bench, index, few, &mut plugins[index])?;
        }
        eprintln!("round {} of {}", round + 1, args.rounds);
    }
    let at_once = match args.at_once {
        0 => None,
        count => Some(attach_at_once(
            &bench,
            args,
            &containers[..usize::from(count)],
        )?),
    };
    Ok(Report {
        machine,
        containers: args.containers,
        rounds: args.rounds,
        plugins,
        at_once,
    })
}

/// Attaches all containers by one plugin, and detaches them.
fn take(
    bench: &Bench,
    index: usize,
    containers: &[Namespace],
    report: &mut PluginReport,
) -> Result<(), LabError> {
    let contender = &bench.contenders[index];
    for (command, times) in [("ADD", &mut report.add), ("DEL", &mut report.del)] {
        for container in containers {
            let took = bench.run(contender, command, container)?;
            times.push(took.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

fn attach_at_once(
    bench: &Bench,
    args: &CniArgs,
    containers: &[Namespace],
) -> Result<AtOnce, LabError> {
    let all = |command: &'static str| {
        let begun = Instant::now();
        let parallel = usize::from(args.parallel);
        let part = |first: usize| {
            let mut part = containers.iter().skip(first).step_by(parallel);
            part.try_for_each(|it| bench.run(&bench.contenders[0], command, it).map(drop))
        };
        thread::scope(|scope| {
            let parts: Vec<_> = (0..parallel)
                .map(|first| scope.spawn(move || part(first)))
                .collect();
            let mut parts = parts.into_iter();
            parts.try_for_each(|part| part.join().expect("the parts do not panic"))
        })?;
        Ok::<_, LabError>(begun.elapsed().as_secs_f64())
    };
    Ok(AtOnce {
        containers: args.at_once,
        parallel: args.parallel,
        add_seconds: all("ADD")?,
        del_seconds: all("DEL")?,
    })
}
