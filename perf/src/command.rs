//! How the commands of the rig begin and end: with one clean-up for all that they make, and one
//! report, told as tables or as JSON.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::signals;
use serde::Serialize;

/// Does the work of a command. What it made is taken back at its end, when it fails and on signals.
pub(crate) fn run(work: impl FnOnce(&Cleanup) -> Result<ExitCode, LabError>) -> ExitCode {
    let cleanup = Cleanup::new();
    let result = signals::clean_up_on_signals(&cleanup).and_then(|()| work(&cleanup));
    match result {
        Ok(code) => code,
        Err(_) if cleanup.is_closed() => signals::wait_for_exit(),
        Err(error) => {
            cleanup.close();
            eprintln!("ringlay-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a report as `--json` asks for it: a table, JSON, or a table with JSON in a file beside it.
pub(crate) fn tell<R: Serialize + Display>(
    json: Option<&Option<PathBuf>>,
    report: &R,
) -> Result<(), LabError> {
    let text = || serde_json::to_string_pretty(report).expect("a report is plain") + "\n";
    match json {
        Some(None) => print!("{}", text()),
        Some(Some(path)) => {
            print!("{report}");
            fs::write(path, text()).map_err(LabError::io(format!("write {}", path.display())))?;
        }
        None => print!("{report}"),
    }
    Ok(())
}
