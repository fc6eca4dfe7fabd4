//! Mark and sweep: makes the objects of one source be exactly a given set.

use std::collections::BTreeSet;

use super::{Operation, Rib};
use crate::object::{Object, Source};

impl Rib {
    /// The operations after which the objects of `source` are exactly `objects`. Objects of other
    /// sources are left alone. If two of `objects` have one key, the operations will fail.
    pub fn snapshot(&self, source: Source, objects: Vec<Object>) -> Vec<Operation> {
        let mut marked = BTreeSet::new();
        let mut operations = Vec::new();
        for object in objects {
            // The second object under one key meets the first, and is an error.
            let exist_ok = marked.insert(object.key());
            operations.push(Operation::Apply { object, exist_ok });
        }
        let present = self.iter_all().filter(|(owner, _)| *owner == source);
        let swept = present
            .map(|(_, object)| object.key())
            .filter(|key| !marked.contains(key));
        operations.extend(swept.map(|key| Operation::Delete {
            key,
            missing_ok: false,
        }));
        operations
    }
}
