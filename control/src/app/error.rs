//! Why the engine refused a change.

use thiserror::Error;

use super::host::HostError;
use crate::{config::ConfigError, object::Source, rib::ApplyError};

/// Why a change was refused. Nothing of it was done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The desired state would make no sense.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A device or socket could not be had.
    #[error("{object}: {source}")]
    Host {
        /// What it was for, e.g. `port rl0`.
        object: String,
        /// What went wrong.
        source: HostError,
    },
    /// A snapshot is older than one that was applied.
    #[error("generation {offered} of source {origin} is older than {applied}, which was applied")]
    Stale {
        /// Whose snapshot it is.
        origin: Source,
        /// Its generation.
        offered: u64,
        /// The generation that was applied last.
        applied: u64,
    },
}

/// Why a configuration file was not taken up. Everything is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It changes what cannot change while the daemon runs.
    #[error("{0} cannot change while the daemon runs; restart it, or change that back")]
    Setting(&'static str),
    /// The change was refused.
    #[error(transparent)]
    Change(ChangeError),
}
