//! `ringlay demo`: two nodes on this machine, traffic through them, and a table.
//!
//! It needs root and `/dev/net/tun` and nothing else. What it sets up is in [`crate::lab`]; this
//! module decides what is shown.

mod keep;
mod report;
mod requirements;
mod session;

use std::process::ExitCode;

use crate::lab::LabError;
use crate::lab::cleanup::Cleanup;
use crate::lab::signals;

/// Arguments of `ringlay demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Length of each bulk measurement in seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Rounds, alternating between the overlays; the table has their medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// How the nodes do their I/O.
    #[arg(long, default_value = "auto", value_parser = ["auto", "io_uring", "epoll"])]
    pub driver: String,
    /// MTU of the underlay.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=9000))]
    pub mtu: u16,
    /// What sends TCP and UDP: iperf3 where it is installed, or the built-in traffic.
    #[arg(long, default_value = "auto", value_parser = ["auto", "built-in", "iperf3"])]
    pub traffic: String,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
    /// Leave hosts and nodes up, and tell how to explore them.
    #[arg(long)]
    pub keep: bool,
    /// Remove what an earlier `--keep` or a killed demo left, and do nothing else.
    #[arg(long)]
    pub clean: bool,
}

/// Runs the command.
pub fn run(args: DemoArgs) -> ExitCode {
    let missing = requirements::missing(&args);
    if !missing.is_empty() {
        eprintln!("ringlay demo cannot run here:");
        missing.iter().for_each(|line| eprintln!("  {line}"));
        return ExitCode::FAILURE;
    }
    if args.clean {
        keep::clean();
        return ExitCode::SUCCESS;
    }
    let cleanup = Cleanup::new();
    let result =
        signals::clean_up_on_signals(&cleanup).and_then(|()| session::run(&cleanup, &args));
    finish(&cleanup, &args, result)
}

/// Everything is removed before the results are printed, so that what is printed last is true.
fn finish(
    cleanup: &Cleanup,
    args: &DemoArgs,
    result: Result<session::Outcome, LabError>,
) -> ExitCode {
    match result {
        Ok(session::Outcome { report, kept }) => {
            if !args.keep {
                cleanup.close();
            }
            if args.json {
                println!(
                    "{}",
                    serde_json::to_string_pretty(&report).expect("a report is plain")
                );
            } else {
                print!("\n{report}");
            }
            if let Some(kept) = kept {
                eprint!("\n{kept}");
            }
            ExitCode::SUCCESS
        }
        Err(_) if cleanup.is_closed() => signals::wait_for_exit(),
        Err(error) => {
            cleanup.close();
            eprintln!("ringlay demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line of progress, apart from the results.
fn progress(line: impl std::fmt::Display) {
    eprintln!("{line}");
}
