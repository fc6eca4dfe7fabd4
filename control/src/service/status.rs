//! Errors as gRPC statuses: code, message, and the details field, reason and hint.

use std::fmt::Display;

use tonic::{Code, Status};

use crate::{
    app::ChangeError,
    client::encode_error_detail,
    object::Key,
    proto::ErrorDetail,
    rib::{ApplyError, Problem},
};

/// A status that carries details.
pub(super) fn status(
    code: Code,
    message: impl Display,
    field: impl Into<String>,
    reason: &str,
    hint: &str,
) -> Status {
    let (message, field) = (message.to_string(), field.into());
    let detail = ErrorDetail {
        field,
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let details = encode_error_detail(code, &message, &detail);
    Status::with_details(code, message, details.into())
}

/// A field of a request cannot be understood.
pub(super) fn invalid(field: &str, problem: impl Display) -> Status {
    let hint = "see the message's description in ringlay.v1";
    status(
        Code::InvalidArgument,
        format!("{field}: {problem}"),
        field,
        "INVALID",
        hint,
    )
}

/// There is no object under a key.
pub(super) fn not_found(key: &Key) -> Status {
    let hint = Problem::Missing.hint();
    status(
        Code::NotFound,
        format!("{key}: does not exist"),
        key.to_string(),
        "MISSING",
        hint,
    )
}

/// The workers did not take up a change in time.
pub(super) fn unconfirmed() -> Status {
    let message = "the change is made, but a worker has not taken it up yet";
    status(
        Code::DeadlineExceeded,
        message,
        "",
        "UNCONFIRMED",
        "look at `ringlay stats`",
    )
}

/// The daemon failed in a way it should not.
pub(super) fn internal(error: impl Display) -> Status {
    status(
        Code::Internal,
        error,
        "",
        "INTERNAL",
        "see the daemon's log",
    )
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::Apply(error) => apply_status(&message, &error),
            ChangeError::Host { object, .. } => {
                let hint = "nothing was changed; remove the cause and try again";
                status(Code::FailedPrecondition, message, object, "DEVICE", hint)
            }
            ChangeError::Stale { .. } => {
                let hint = "read the present state, or send generation 0";
                status(
                    Code::FailedPrecondition,
                    message,
                    "generation",
                    "STALE",
                    hint,
                )
            }
        }
    }
}

pub(super) fn apply_status(message: &str, error: &ApplyError) -> Status {
    let code = match error.problem {
        Problem::Exists => Code::AlreadyExists,
        Problem::Missing => Code::NotFound,
        Problem::NotYours { .. } => Code::PermissionDenied,
        Problem::TooMany(_) => Code::ResourceExhausted,
        Problem::UnknownNetwork(_)
        | Problem::UnknownVtep(_)
        | Problem::UnknownPort(_)
        | Problem::InUse(_)
        | Problem::RoutedOnly(_)
        | Problem::BridgedOnly(_)
        | Problem::VniTaken { .. }
        | Problem::DeviceTaken(_)
        | Problem::AddressTaken { .. } => Code::FailedPrecondition,
        _ => Code::InvalidArgument,
    };
    let field = match error.field {
        "" => error.key.to_string(),
        field => format!("{}: {field}", error.key),
    };
    status(
        code,
        message,
        field,
        error.problem.reason(),
        error.problem.hint(),
    )
}
