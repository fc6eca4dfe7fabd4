//! `ringlay run`: the daemon.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::app::{self, RunError};

/// Arguments of `ringlay run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Configuration file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// How to write the log, which goes to standard error.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What to log, e.g. `debug` or `ringlay_control=debug`.
    #[arg(long, env = "RINGLAY_LOG", default_value = "info")]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub(super) fn run(args: &RunArgs, socket: &Path) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log);
    let filter = filter.map_err(|error| Failure::usage(format!("--log: {error}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => log.json().init(),
    }
    app::run(&args.config, socket).map_err(|error| match error {
        RunError::Config(error) => Failure::usage(error),
        other => Failure::new(other),
    })
}
