//! DEL: detach a container. ADD attaches none, so there is nothing to undo.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::environment::Environment;
use crate::error::CniError;

pub(super) fn run(
    environment: &Environment,
    _config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    environment.check_attachment()?;
    Ok(None)
}
