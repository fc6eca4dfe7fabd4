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
    #[error("{field}: {reason}")]
    UnsupportedField { field: &'static str, reason: String },
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
    /// The daemon cannot be asked now.
    #[error("{reason}")]
    TryAgain { reason: String },
    /// An ADD could not succeed now; only STATUS says so.
    #[error("{reason}")]
    Unavailable { reason: String },
    /// The daemon refused.
    #[error("{reason}")]
    Refused { reason: String, hint: String },
    #[error("{reason}")]
    NoAddress { reason: String, hint: String },
    #[error("{reason}")]
    Differs { reason: String },
    /// What a plugin that we ran says, in its words.
    #[error("{plugin}: {message}")]
    Delegate {
        plugin: String,
        code: u32,
        message: String,
        details: String,
    },
    #[error("{} attachments could not be removed", problems.len())]
    Leftovers { problems: Vec<String> },
}

impl CniError {
    fn code(&self) -> u32 {
        match self {
            Self::IncompatibleVersion { .. } | Self::CommandTooNew { .. } => 1,
            Self::UnsupportedField { .. } => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment { .. } => 4,
            Self::Io { .. } => 5,
            Self::Decode { .. } => 6,
            Self::InvalidConfig { .. } => 7,
            Self::TryAgain { .. } => 11,
            Self::Unavailable { .. } => 50,
            Self::Refused { .. } => 100,
            Self::NoAddress { .. } => 101,
            Self::Differs { .. } => 102,
            Self::Leftovers { .. } => 103,
            Self::Delegate { code, .. } => *code,
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
            Self::Refused { hint, .. } | Self::NoAddress { hint, .. } => hint.clone(),
            Self::Delegate { details, .. } => details.clone(),
            Self::Leftovers { problems } => problems.join("; "),
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
