//! STATUS: could an ADD succeed now?

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::daemon;
use crate::delegate;
use crate::environment::Environment;
use crate::error::CniError;

pub(super) fn run(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    let ours = config.ipam.is_none();
    daemon::check_ready(&config.socket, &config.network, ours).map_err(|error| {
        let reason = error.text();
        CniError::Unavailable { reason }
    })?;
    if let Some(plugin) = &config.ipam {
        delegate::tell_if_known(plugin, "STATUS", environment, config)?;
    }
    Ok(None)
}
