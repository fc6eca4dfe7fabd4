//! What the plugin answers when it cannot do what it is asked.
//!
//! Codes and JSON are those of the CNI specification, section 5 "Error".

use std::io;

use serde_json::{Value, json};
use thiserror::Error;

use crate::spec_version::SpecVersion;

/// A failure, by the specification's codes; those from 100 on are ours.
#[derive(Debug, Error)]
pub(crate) enum CniError {
    #[error("CNI version {found} is not supported")]
    IncompatibleVersion { found: String },
    #[error("{command} does not exist in CNI version {}", .version.as_str())]
    CommandTooNew {
        command: &'static str,
        version: SpecVersion,
    },
    #[error("CNI_CONTAINERID is missing")]
    UnknownContainer,
    #[error("{reason}")]
    InvalidEnvironment { reason: String },
    #[error("cannot {what}")]
    Io {
        what: &'static str,
        source: io::Error,
    },
    #[error("the network configuration cannot be decoded")]
    Decode { source: serde_json::Error },
    #[error("network configuration, key `{key}`: {reason}")]
    InvalidConfig { key: &'static str, reason: String },
    #[error("{reason}")]
    Unavailable { reason: String },
    #[error("attaching containers is not supported by this version")]
    AttachUnsupported,
}

impl CniError {
    fn code(&self) -> u32 {
        match self {
            Self::IncompatibleVersion { .. } | Self::CommandTooNew { .. } => 1,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment { .. } => 4,
            Self::Io { .. } => 5,
            Self::Decode { .. } => 6,
            Self::InvalidConfig { .. } => 7,
            Self::Unavailable { .. } => 50,
            Self::AttachUnsupported => 100,
        }
    }

    /// What helps to mend it.
    fn details(&self) -> String {
        match self {
            Self::IncompatibleVersion { .. } => {
                let known: Vec<_> = SpecVersion::ALL
                    .iter()
                    .map(|known| known.as_str())
                    .collect();
                format!("supported versions: {}", known.join(", "))
            }
            Self::Io { source, .. } => source.to_string(),
            Self::Decode { source } => source.to_string(),
            Self::AttachUnsupported => {
                format!(
                    "ringlay-cni {}; nothing was changed on the host",
                    env!("CARGO_PKG_VERSION")
                )
            }
            _ => String::new(),
        }
    }
}

/// An error together with the version that it is reported in.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: CniError,
    version: SpecVersion,
}

impl Failure {
    pub(crate) fn new(error: CniError, version: SpecVersion) -> Self {
        Self { error, version }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut answer = json!({
            "cniVersion": self.version.as_str(),
            "code": self.error.code(),
            "msg": self.error.to_string(),
        });
        let details = self.error.details();
        if !details.is_empty() {
            answer["details"] = details.into();
        }
        answer
    }
}

/// For errors found before the runtime's version is known.
impl From<CniError> for Failure {
    fn from(error: CniError) -> Self {
        Self::new(error, SpecVersion::LATEST)
    }
}
