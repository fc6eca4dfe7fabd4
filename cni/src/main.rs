//! `ringlay-cni`: attaches containers to Ringlay networks by the Container Network Interface.
//!
//! A container runtime runs it with a command in `CNI_COMMAND`, its arguments in other variables
//! and the network's configuration on standard input; it answers in JSON on standard output and
//! logs to standard error. It forwards no packet and keeps no state: both are the daemon's.

#![forbid(unsafe_code)]

mod by_hand;
mod call;
mod check_host;
mod command;
mod config;
mod daemon;
mod delegate;
mod environment;
mod error;
mod install;
mod journal;
mod result;
mod spec_version;

use std::env;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use serde_json::Value;

use crate::environment::Environment;
use crate::error::{CniError, Failure};

fn main() -> ExitCode {
    let environment = Environment::from_process();
    if environment.command.is_none()
        && let Some(exit) = by_hand::answer(env::args().skip(1))
    {
        return exit;
    }
    let written = match answer(&environment) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(result)) => print(&result).map(|()| ExitCode::SUCCESS),
        Err(failure) => {
            let command = environment.command.as_deref().unwrap_or("no command");
            log(&format!("{command}: {}", failure.error));
            print(&failure.to_json()).map(|()| ExitCode::FAILURE)
        }
    };
    written.unwrap_or_else(|error| {
        log(&format!("cannot write the answer: {error}"));
        ExitCode::FAILURE
    })
}

/// What goes to standard output: nothing, or the result of the command.
fn answer(environment: &Environment) -> Result<Option<Value>, Failure> {
    let mut input = Vec::new();
    let read = io::stdin().read_to_end(&mut input);
    read.map_err(|source| CniError::Io {
        what: "read standard input",
        source,
    })?;
    command::run(environment, &input)
}

fn print(answer: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{answer}")?;
    stdout.flush()
}

/// Runtimes read results on standard output, so everything else goes to standard error.
fn log(message: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "ringlay-cni: {message}");
}
