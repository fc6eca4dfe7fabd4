//! DEL: detach a container. Succeeds if there is nothing left to do, and without a daemon.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::daemon::{self, DaemonError};
use crate::delegate;
use crate::environment::{Attachment, Environment};
use crate::error::CniError;
use crate::journal::Entry;

pub(super) fn run(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    let attachment = environment.attachment()?;
    detach(config, &attachment)?;
    // Only now: an address that is still in use must not be given to somebody else.
    if let Some(plugin) = &config.ipam {
        delegate::tell(plugin, "DEL", environment, config)?;
    }
    Ok(None)
}

fn detach(config: &NetworkConfig, attachment: &Attachment) -> Result<(), CniError> {
    let away = match daemon::detach(&config.socket, attachment) {
        Err(DaemonError::Away(reason)) => reason,
        done => return done.map_err(CniError::from),
    };
    let entry = Entry::write(&config.socket, attachment).map_err(|source| CniError::Io {
        what: "note for the daemon what is to be detached",
        source,
    })?;
    let Some(entry) = entry else {
        return Ok(());
    };
    // It may have started, and read the journal, before the entry was there.
    match daemon::detach(&config.socket, attachment) {
        Ok(()) => entry.remove(),
        Err(_) => crate::log(&format!("DEL: noted for later, since {away}")),
    }
    Ok(())
}
