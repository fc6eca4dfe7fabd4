//! CHECK: is a container attached as its ADD said? Changes nothing.

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::daemon;
use crate::delegate;
use crate::environment::Environment;
use crate::error::CniError;
use crate::result::addresses_of;

pub(super) fn run(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    let attachment = environment.attachment()?;
    environment.netns()?;
    let Some(previous) = &config.previous_result else {
        let reason = "is missing: there is nothing to compare with".to_owned();
        return Err(CniError::InvalidConfig {
            key: "prevResult",
            reason,
        });
    };
    if let Some(plugin) = &config.ipam {
        delegate::tell(plugin, "CHECK", environment, config)?;
    }
    let there = daemon::check(&config.socket, &attachment, &config.network)?;
    let mut expected = addresses_of(previous, &attachment.interface);
    let mut found = there.addresses;
    expected.sort();
    found.sort();
    if expected == found {
        return Ok(None);
    }
    let interface = &attachment.interface;
    let (expected, found) = (expected.join(", "), found.join(", "));
    let reason = format!("{interface} has the addresses {found}, but prevResult says [{expected}]");
    Err(CniError::Differs { reason })
}
