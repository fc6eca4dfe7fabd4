//! What an import came to, for people and for machines.

use std::{fmt::Write, time::Duration};

use serde_json::{Value, json};

use crate::{
    cli::{
        failure::Failure,
        object::Object,
        print::{print, print_json},
    },
    proto::{LoadDifference, LoadResult},
};

/// How long it took, from the first byte read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Until every worker forwarded by the routes.
    pub(super) forwarding: Duration,
    /// Until the kernel's routes had followed, too.
    pub(super) total: Duration,
}

/// What happened, or would happen.
#[derive(Debug)]
pub(super) struct Outcome {
    dry_run: bool,
    difference: LoadDifference,
    result: LoadResult,
    times: Times,
}

impl Outcome {
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            difference: LoadDifference::default(),
            result: LoadResult::default(),
            times: Times::default(),
        }
    }

    /// Adds a piece of the difference.
    pub(super) fn add(&mut self, piece: LoadDifference) {
        self.difference.added.extend(piece.added);
        self.difference.changed.extend(piece.changed);
        self.difference.removed.extend(piece.removed);
    }

    pub(super) fn set(&mut self, result: LoadResult, times: Times) {
        self.result = result;
        self.times = times;
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print_json(&self.value());
        }
        print(&self.text())
    }

    fn rate(&self) -> f64 {
        let seconds = self.times.forwarding.as_secs_f64();
        self.result.received as f64 / seconds.max(f64::EPSILON)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let LoadDifference {
            added,
            changed,
            removed,
        } = &self.difference;
        // Writing to a string does not fail.
        for (mark, routes) in [('+', added), ('~', changed)] {
            routes.iter().for_each(|route| {
                let _ = writeln!(text, "{mark} {}", route.line());
            });
        }
        for key in removed {
            let _ = writeln!(text, "- {} network {}", key.prefix, key.network);
        }
        let result = &self.result;
        let _ = write!(
            text,
            "{} routes: {} added, {} changed, {} unchanged, {} removed",
            result.received, result.added, result.changed, result.unchanged, result.removed
        );
        if result.overridden > 0 {
            let _ = write!(text, ", {} overridden by other sources", result.overridden);
        }
        if self.dry_run {
            text.push_str("; nothing was done\n");
            return text;
        }
        let seconds = self.times.forwarding.as_secs_f64();
        let _ = writeln!(text, "; {seconds:.3} s, {:.0} routes/s", self.rate());
        text
    }

    fn value(&self) -> Value {
        let result = &self.result;
        let seconds = |micros: u64| micros as f64 / 1e6;
        let mut value = json!({
            "received": result.received,
            "added": result.added,
            "changed": result.changed,
            "unchanged": result.unchanged,
            "removed": result.removed,
            "overridden": result.overridden,
            "dry_run": self.dry_run,
            "generation": result.instance.as_ref().map(|instance| instance.generation),
            "seconds": self.times.forwarding.as_secs_f64(),
            "total_seconds": self.times.total.as_secs_f64(),
            "routes_per_second": self.rate(),
            "receive_seconds": seconds(result.receive_us),
            "merge_seconds": seconds(result.merge_us),
            "compile_seconds": seconds(result.compile_us),
            "confirm_seconds": seconds(result.confirm_us),
        });
        if self.dry_run {
            let routes = |routes: &[_]| routes.iter().map(value_of).collect::<Vec<_>>();
            let removed = self.difference.removed.iter();
            value["difference"] = json!({
                "added": routes(&self.difference.added),
                "changed": routes(&self.difference.changed),
                "removed": removed.map(|key| key.prefix.as_str()).collect::<Vec<_>>(),
            });
        }
        value
    }
}

fn value_of(route: &crate::proto::Route) -> Value {
    route.value()
}
