//! Where in the file each object and field stands, for errors found later.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use super::error::{ConfigError, Fault};
use crate::{
    object::Key,
    rib::{ApplyError, Problem},
};

/// The text of a configuration file, and the place of each object in it.
#[derive(Debug)]
pub(super) struct Places {
    file: PathBuf,
    pub(super) text: String,
    /// Where the underlay's address or device stands.
    pub(super) underlay: Range<usize>,
    objects: BTreeMap<Key, Place>,
}

/// Where an object and its fields stand.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) whole: Range<usize>,
    pub(super) fields: Vec<(&'static str, Range<usize>)>,
}

impl Places {
    pub(super) fn new(file: PathBuf, text: String) -> Self {
        Self {
            file,
            text,
            underlay: 0..0,
            objects: BTreeMap::new(),
        }
    }

    /// Notes where an object stands.
    pub(super) fn insert(&mut self, key: Key, place: Place) -> Result<(), Fault> {
        if let Some(first) = self.objects.get(&key) {
            let line = self.line(first.whole.start);
            let problem = format!("{key} is on line {line} already; keep one of them");
            return Err(Fault::new(place.whole, problem));
        }
        self.objects.insert(key, place);
        Ok(())
    }

    /// Names file, line and key of a fault.
    pub(super) fn error(&self, fault: Fault) -> ConfigError {
        fault.locate(self.file.clone(), &self.text)
    }

    /// Names file, line and key of what the desired state refused.
    pub(super) fn apply_error(&self, error: &ApplyError) -> ConfigError {
        let problem = format!("{}; {}", error.problem, error.problem.hint());
        // What is missed by another object stands where that object is.
        let key = match &error.problem {
            Problem::InUse(user) => user,
            _ => &error.key,
        };
        let fault = match self.objects.get(key) {
            None => Fault::new(0..0, format!("{}: {problem}", error.key)),
            Some(place) => {
                let field = place.fields.iter().find(|(field, _)| *field == error.field);
                let span = field.map_or(&place.whole, |(_, span)| span);
                Fault::new(span.clone(), problem)
            }
        };
        self.error(fault)
    }

    fn line(&self, offset: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
    }
}
