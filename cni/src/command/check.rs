//! CHECK: is a container attached as its ADD said? ADD attaches none, so no answer is "yes".

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::environment::Environment;
use crate::error::CniError;

pub(super) fn run(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    environment.check_attachment()?;
    environment.check_netns()?;
    if !config.has_previous_result {
        let reason = "is missing: there is nothing to compare with".to_owned();
        return Err(CniError::InvalidConfig {
            key: "prevResult",
            reason,
        });
    }
    Err(CniError::AttachUnsupported)
}
