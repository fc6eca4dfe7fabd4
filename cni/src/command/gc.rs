//! GC: remove what belongs to attachments that are gone. ADD leaves nothing behind to find.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::environment::Environment;
use crate::error::CniError;

pub(super) fn run(
    _environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    match &config.valid_attachments {
        Some(Value::Array(_)) => Ok(None),
        found => {
            let reason = if found.is_some() {
                "is no list"
            } else {
                "is missing"
            }
            .to_owned();
            Err(CniError::InvalidConfig {
                key: "cni.dev/valid-attachments",
                reason,
            })
        }
    }
}
