//! The network configuration on standard input (CNI specification, section 1).
//!
//! Keys that this version has no use for are left to the plugins chained with it.

use std::path::PathBuf;

use ringlay_control::client::DEFAULT_SOCKET;
use serde::Deserialize;
use serde_json::Value;

use crate::environment::is_identifier;
use crate::error::{CniError, Failure};
use crate::spec_version::SpecVersion;

/// A configuration in a version that we speak.
#[derive(Debug)]
pub(crate) struct NetworkConfig {
    pub(crate) version: SpecVersion,
    /// The Ringlay network to attach to.
    pub(crate) network: String,
    /// Where the daemon listens.
    pub(crate) socket: PathBuf,
    /// Whether it carries the result of the plugins before.
    pub(crate) has_previous_result: bool,
    /// The attachments that GC must keep.
    pub(crate) valid_attachments: Option<Value>,
}

impl NetworkConfig {
    /// Reads a configuration, its version first: what the keys mean depends on it.
    pub(crate) fn parse(input: &[u8]) -> Result<Self, Failure> {
        let raw: RawConfig =
            serde_json::from_slice(input).map_err(|source| CniError::Decode { source })?;
        // Before there was such a key there was version 0.1.0.
        let found = raw.cni_version.as_deref().unwrap_or("0.1.0");
        let version = SpecVersion::parse(found).ok_or_else(|| CniError::IncompatibleVersion {
            found: found.to_owned(),
        })?;
        raw.check().map_err(|error| Failure::new(error, version))?;
        let name = raw.name.unwrap_or_default();
        Ok(Self {
            version,
            network: raw.network.unwrap_or(name),
            socket: raw.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            has_previous_result: raw.previous_result.is_some_and(|result| result.is_object()),
            valid_attachments: raw.valid_attachments,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfig {
    cni_version: Option<String>,
    name: Option<String>,
    network: Option<String>,
    socket: Option<PathBuf>,
    #[serde(rename = "prevResult")]
    previous_result: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Value>,
}

impl RawConfig {
    fn check(&self) -> Result<(), CniError> {
        let invalid = |key, reason: String| Err(CniError::InvalidConfig { key, reason });
        match self.name.as_deref() {
            None | Some("") => return invalid("name", "is missing".to_owned()),
            Some(name) if !is_identifier(name) => {
                return invalid(
                    "name",
                    format!("`{name}` has a character that is not allowed"),
                );
            }
            Some(_) => {}
        }
        if self.network.as_deref() == Some("") {
            return invalid("network", "is empty".to_owned());
        }
        match &self.socket {
            Some(socket) if !socket.is_absolute() => invalid(
                "socket",
                format!("`{}` is no absolute path", socket.display()),
            ),
            _ => Ok(()),
        }
    }
}
