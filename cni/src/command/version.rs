//! VERSION: which versions of the specification we speak. Needs no daemon and no valid network.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{CniError, Failure};
use crate::spec_version::SpecVersion;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    cni_version: Option<String>,
}

/// Answers in the version asked in, known to us or not, as the specification says.
pub(super) fn run(input: &[u8]) -> Result<Value, Failure> {
    // Runtimes that probe for plugins send nothing.
    let asked_in = if input.trim_ascii().is_empty() {
        None
    } else {
        let query: Query =
            serde_json::from_slice(input).map_err(|source| CniError::Decode { source })?;
        query.cni_version
    };
    Ok(json!({
        "cniVersion": asked_in.as_deref().unwrap_or(SpecVersion::LATEST.as_str()),
        "supportedVersions": SpecVersion::ALL.map(SpecVersion::as_str),
    }))
}
