//! Output: lines for people in the manner of `ip`, JSON for machines.

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

use super::failure::Failure;

/// Writes to standard output. A reader that goes away, such as `head`, is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints one thing each line, or all as a JSON array.
pub(super) fn list<T>(
    items: &[T],
    json: bool,
    line: fn(&T) -> String,
    value: fn(&T) -> Value,
) -> Result<(), Failure> {
    if json {
        return print_json(&items.iter().map(value).collect());
    }
    print(
        &items
            .iter()
            .map(|item| line(item) + "\n")
            .collect::<String>(),
    )
}

/// Prints a JSON value.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Collects words of a line: a key and its value, where there is one.
#[derive(Default)]
pub(super) struct Line(String);

impl Line {
    /// Begins with a word.
    pub(super) fn new(first: impl ToString) -> Self {
        Self(first.to_string())
    }

    /// Adds `key value`, unless the value is empty.
    pub(super) fn word(mut self, key: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.0.push(' ');
            self.0.push_str(key);
            self.0.push(' ');
            self.0.push_str(&value);
        }
        self
    }

    /// Adds `key value`, if there is a value.
    pub(super) fn optional(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.word(key, value),
            None => self,
        }
    }

    /// Adds a word, if `there`.
    pub(super) fn flag(mut self, word: &str, there: bool) -> Self {
        if there {
            self.0.push(' ');
            self.0.push_str(word);
        }
        self
    }

    /// The line.
    pub(super) fn done(self) -> String {
        self.0
    }
}

/// What is not as it should be, a line each.
pub(super) fn warnings(texts: &[String]) -> String {
    let lines = texts.iter().map(|text| format!("    warning: {text}\n"));
    lines.collect()
}

/// A text as JSON, null if it is empty.
pub(super) fn or_null(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        text.into()
    }
}
