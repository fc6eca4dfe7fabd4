//! GC: remove what belongs to attachments that are gone.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::daemon;
use crate::delegate;
use crate::environment::Environment;
use crate::error::CniError;

/// Does all it can before it reports what it could not.
pub(super) fn run(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    let keep = config.valid_attachments()?;
    let ours = daemon::retain(&config.socket, &config.name, &keep);
    let theirs = match &config.ipam {
        Some(plugin) => delegate::tell_if_known(plugin, "GC", environment, config),
        None => Ok(()),
    };
    let problems = ours?;
    theirs?;
    if problems.is_empty() {
        return Ok(None);
    }
    Err(CniError::Leftovers { problems })
}
