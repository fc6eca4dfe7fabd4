//! `ringlay demo`: two nodes on this machine and traffic through them.

use std::process::ExitCode;

/// Arguments of `ringlay demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {}

/// Runs the command.
pub fn run(_args: DemoArgs) -> ExitCode {
    eprintln!("ringlay demo: not in this build");
    ExitCode::FAILURE
}
