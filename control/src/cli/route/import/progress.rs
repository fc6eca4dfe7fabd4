//! Shows on standard error how far a load is: one line that changes on a terminal, else one a
//! second.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::proto::{LoadProgress, LoadStage};

/// Time between two lines where standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The display.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    told: Instant,
    terminal: bool,
    dirty: bool,
}

impl Progress {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            told: started,
            terminal: io::stderr().is_terminal(),
            dirty: false,
        }
    }

    /// Shows the latest.
    pub(super) fn show(&mut self, news: &LoadProgress) {
        if !self.terminal && self.told.elapsed() < LINE_EVERY {
            return;
        }
        self.told = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let doing = match news.stage() {
            LoadStage::Receiving => "read",
            LoadStage::Merging => "read, being merged",
            LoadStage::Published => "published to the workers",
            LoadStage::Confirmed => "forwarded by every worker",
        };
        let line = format!("{seconds:7.1} s  {} routes {doing}", news.received);
        let mut out = io::stderr().lock();
        // Nothing is lost if nobody can read it.
        let _ = if self.terminal {
            self.dirty = true;
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }
}

impl Drop for Progress {
    /// Leaves an empty line to whatever comes next.
    fn drop(&mut self) {
        if self.dirty {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
