//! How a command fails: what it says, and its exit status.

use std::{fmt, process::ExitCode};

use tonic::{Code, Status};

use crate::{
    client::{ConnectError, error_detail},
    proto::ErrorDetail,
};

/// Exit status of wrong usage and wrong configuration.
pub(super) const EXIT_USAGE: u8 = 2;

/// Why a command failed, for people to read.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Something went wrong.
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            code: 1,
        }
    }

    /// The user asked for something that cannot be.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            code: EXIT_USAGE,
        }
    }

    /// Says it on standard error.
    pub(super) fn report(&self) -> ExitCode {
        eprintln!("ringlay: {}", self.message);
        ExitCode::from(self.code)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::new(error)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let hint = error_detail(&status)
            .map(hint)
            .filter(|hint| !hint.is_empty());
        let message = match hint {
            Some(hint) => format!("{}; {hint}", status.message()),
            None if status.message().is_empty() => status.code().to_string(),
            None => status.message().to_owned(),
        };
        match status.code() {
            Code::InvalidArgument => Self::usage(message),
            _ => Self::new(message),
        }
    }
}

/// The remedy, in words of the command line where it has its own.
fn hint(detail: ErrorDetail) -> String {
    match detail.reason.as_str() {
        "EXISTS" => "use --replace to replace it".to_owned(),
        "MISSING" => "see `list` for what there is".to_owned(),
        "NOT_YOURS" => "change it where it comes from, or name that --source".to_owned(),
        "INVALID" => "see --help".to_owned(),
        _ => detail.hint,
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}
