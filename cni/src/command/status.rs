//! STATUS: could an ADD succeed now?
//!
//! The specification wants an error unless it could. While ADD attaches nothing the answer is
//! always one; it still tells first what else is in the way.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::daemon;
use crate::environment::Environment;
use crate::error::CniError;

pub(super) fn run(
    _environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    daemon::find_network(&config.socket, &config.network)?;
    let network = &config.network;
    let reason = format!(
        "network `{network}` is ready, but attaching containers is not supported by this version"
    );
    Err(CniError::Unavailable { reason })
}
