//! Where a comparison goes: tables to standard output as they come, JSON to a file or instead.

use std::fs;
use std::path::PathBuf;

use ringlay_control::lab::LabError;

use super::CompareArgs;
use crate::report::Comparison;

/// What `--json` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// Tables.
    Tables,
    /// Tables, and the same as JSON in a file that is whole after each section: a long run that is
    /// stopped leaves what it had.
    TablesAndFile(PathBuf),
    /// JSON at the end, and nothing else.
    Json,
}

impl Output {
    pub(super) fn new(args: &CompareArgs) -> Self {
        match &args.json {
            None => Self::Tables,
            Some(Some(path)) => Self::TablesAndFile(path.clone()),
            Some(None) => Self::Json,
        }
    }

    /// Before the first section.
    pub(super) fn begin(&self, comparison: &Comparison) {
        if *self != Self::Json {
            print!("{}", comparison.settings);
        }
    }

    /// After each section.
    pub(super) fn section(&self, comparison: &Comparison) -> Result<(), LabError> {
        if let (Some(section), false) = (comparison.sections.last(), *self == Self::Json) {
            println!("\n{section}");
        }
        if let Self::TablesAndFile(path) = self {
            fs::write(path, json(comparison) + "\n")
                .map_err(LabError::io(format!("write {}", path.display())))?;
        }
        Ok(())
    }

    /// After the last.
    pub(super) fn end(&self, comparison: &Comparison) {
        match self {
            Self::Json => println!("{}", json(comparison)),
            _ => comparison.method.iter().for_each(|line| println!("{line}")),
        }
    }
}

fn json(comparison: &Comparison) -> String {
    serde_json::to_string_pretty(comparison).expect("a comparison is plain")
}
