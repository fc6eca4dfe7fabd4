//! Runs the plugin as a container runtime would and compares every byte that a runtime reads.
//!
//! The cases are in `tests/cases/`, a file for each command. A case sets environment variables and
//! standard input, perhaps starts a daemon, and says what must be on standard output. `$SOCKET`
//! stands for a path in a fresh directory, `$VERSION` for the version of the plugin.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod daemon;

use std::fs;
use std::path::Path;
use std::process::Command;

use case::Case;

const PLUGIN: &str = env!("CARGO_BIN_EXE_ringlay-cni");

#[test]
fn every_case_gets_its_answer() {
    let mut failures = Vec::new();
    for command in ["add", "check", "command", "del", "gc", "status", "version"] {
        for case in read_cases(command) {
            let outcome = case.run();
            if outcome != case.expected() {
                let expected = case.expected();
                failures.push(format!(
                    "{command}: {}\n  expected {expected:?}\n  got      {outcome:?}",
                    case.about()
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} cases fail\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_case_file_is_walked() {
    let files = fs::read_dir(cases_directory()).unwrap();
    assert_eq!(files.count(), 7, "a file that no test reads proves nothing");
}

#[test]
fn a_person_gets_help_and_the_version() {
    for (argument, expected) in [("--help", "CNI_COMMAND"), ("--version", "ringlay-cni 0.")] {
        let output = Command::new(PLUGIN)
            .env_clear()
            .arg(argument)
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected));
    }
    let output = Command::new(PLUGIN)
        .env_clear()
        .arg("--nonsense")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "standard output is the runtime's");
}

fn read_cases(command: &str) -> Vec<Case> {
    let path = Path::new(cases_directory())
        .join(command)
        .with_extension("json");
    let text = fs::read(&path).unwrap();
    let cases: Vec<Case> =
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!cases.is_empty(), "{} has no case", path.display());
    cases
}

fn cases_directory() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases")
}
