//! ADD: attach a container to the network. Checks what it is given, and refuses.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::environment::Environment;
use crate::error::CniError;

pub(super) fn run(
    environment: &Environment,
    _config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    environment.check_attachment()?;
    environment.check_netns()?;
    Err(CniError::AttachUnsupported)
}
