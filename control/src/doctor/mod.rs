//! `ringlay doctor`: what this host offers and what Ringlay will use of it.

use std::process::ExitCode;

/// Arguments of `ringlay doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {}

/// Runs the command.
pub fn run(_args: DoctorArgs) -> ExitCode {
    eprintln!("ringlay doctor: not in this build");
    ExitCode::FAILURE
}
