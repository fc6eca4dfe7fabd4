//! `ringlay check`: whether `ringlay run` would take a configuration file.

use std::path::PathBuf;

use clap::Args;

use super::{failure::Failure, print::print};
use crate::app;

/// Arguments of `ringlay check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Configuration file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let (config, local) = app::check(&args.config).map_err(Failure::usage)?;
    let (objects, address) = (config.objects.len(), local.address);
    print(&format!(
        "{}: ok, {objects} objects, underlay {address}\n",
        args.config.display()
    ))
}
