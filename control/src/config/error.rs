//! Why a configuration file was refused: one message that names file, line, key and remedy.

use std::{fmt, io, ops::Range, path::PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// It cannot be read.
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says is wrong.
    Fault {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, dotted; empty if the text is no TOML.
        key: String,
        /// What is wrong, and what to do about it.
        problem: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, source } => write!(f, "{}: {source}", file.display()),
            Self::Fault {
                file,
                line,
                key,
                problem,
            } => {
                write!(f, "{}:{line}: ", file.display())?;
                if !key.is_empty() {
                    write!(f, "{key}: ")?;
                }
                f.write_str(problem)
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Fault { .. } => None,
        }
    }
}

/// What is wrong with a part of the text.
#[derive(Debug)]
pub(super) struct Fault {
    /// Empty if it is about something that is not there.
    pub(super) span: Range<usize>,
    /// The key, where the span alone does not tell.
    pub(super) key: Option<&'static str>,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Self {
            span,
            key: None,
            problem: problem.into(),
        }
    }

    /// With the name of a key that the span lacks.
    pub(super) fn with_key(self, key: &'static str) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// Names file, line and key.
    pub(super) fn locate(self, file: PathBuf, text: &str) -> ConfigError {
        let start = self.span.start.min(text.len());
        let line = 1 + text
            .bytes()
            .take(start)
            .filter(|byte| *byte == b'\n')
            .count();
        let mut path = match DeTable::parse(text) {
            Ok(document) if !self.span.is_empty() => path_to(document.get_ref(), start),
            _ => Vec::new(),
        };
        if let Some(key) = self.key
            && path.last().is_none_or(|last| last != key)
        {
            path.push(key.to_owned());
        }
        ConfigError::Fault {
            file,
            line,
            key: path.join("."),
            problem: self.problem,
        }
    }
}

/// The keys that lead to the innermost value, or its key, at `offset`.
fn path_to(table: &DeTable<'_>, offset: usize) -> Vec<String> {
    // Tables made by headers have spans that do not cover their entries: try all, deepest first.
    let mut best = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().to_string();
        let mut path = vec![name];
        path.extend(path_within(value, offset));
        let hit = path.len() > 1 || key.span().contains(&offset) || value.span().contains(&offset);
        if hit && path.len() > best.len() {
            best = path;
        }
    }
    best
}

fn path_within(value: &Spanned<DeValue<'_>>, offset: usize) -> Vec<String> {
    match value.get_ref() {
        DeValue::Table(table) => path_to(table, offset),
        DeValue::Array(items) => {
            let within = items.iter().map(|item| path_within(item, offset));
            within.max_by_key(Vec::len).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
