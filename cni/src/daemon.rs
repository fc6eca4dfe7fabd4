//! Asks the daemon, with a deadline.
//!
//! Each plugin process asks once or twice; what it asks is `AttachService`.

use std::path::Path;
use std::time::Duration;

use prost::Message;
use ringlay_control::client::{self, ConnectError};
use ringlay_control::proto::attach_service_server::SERVICE_NAME;
use ringlay_control::proto::{
    AttachRequest, AttachResponse, Attachment, AttachmentKey, CheckAttachmentRequest,
    CheckAttachmentResponse, CheckReadyRequest, CheckReadyResponse, DetachRequest, DetachResponse,
    RetainAttachmentsRequest, RetainAttachmentsResponse,
};
use tonic::{Code, Status};

use crate::call::{CallError, call};
use crate::environment;
use crate::error::CniError;

/// What changes something may have to wait for the kernel, and for others that do the same.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runtimes ask for the status every few seconds: later than this no answer is of use.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum DaemonError {
    /// The daemon cannot be asked now.
    Away(String),
    /// It refused.
    Refused(Status),
}

impl DaemonError {
    /// What it says, for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Away(reason) => reason.clone(),
            Self::Refused(status) => status.message().to_owned(),
        }
    }
}

/// What ADD and CHECK answer with.
impl From<DaemonError> for CniError {
    fn from(error: DaemonError) -> Self {
        let status = match error {
            DaemonError::Away(reason) => return Self::TryAgain { reason },
            DaemonError::Refused(status) => status,
        };
        let detail = client::error_detail(&status).unwrap_or_default();
        let (reason, hint) = (status.message().to_owned(), detail.hint);
        match detail.reason.as_str() {
            "NETNS" => Self::InvalidEnvironment {
                reason: format!("CNI_NETNS: {reason}"),
            },
            "UNKNOWN_NETWORK" => Self::InvalidConfig {
                key: "network",
                reason,
            },
            "NO_POOL" => Self::InvalidConfig {
                key: "ipam",
                reason,
            },
            "EXHAUSTED" => Self::NoAddress { reason, hint },
            "DIFFERS" | "MISSING" => Self::Differs { reason },
            _ => Self::Refused { reason, hint },
        }
    }
}

/// Attaches a container.
pub(crate) fn attach(socket: &Path, request: AttachRequest) -> Result<Attachment, DaemonError> {
    let reply: AttachResponse = ask(socket, PATIENCE, "Attach", &request)?;
    Ok(reply.attachment.unwrap_or_default())
}

/// Takes an attachment back.
pub(crate) fn detach(
    socket: &Path,
    attachment: &environment::Attachment,
) -> Result<(), DaemonError> {
    let key = Some(key(attachment));
    let request = DetachRequest { key };
    ask(socket, PATIENCE, "Detach", &request).map(drop::<DetachResponse>)
}

/// Finds out whether an attachment is as it should be.
pub(crate) fn check(
    socket: &Path,
    attachment: &environment::Attachment,
    network: &str,
) -> Result<Attachment, DaemonError> {
    let request = CheckAttachmentRequest {
        key: Some(key(attachment)),
        network: network.to_owned(),
    };
    let reply: CheckAttachmentResponse = ask(socket, PATIENCE, "CheckAttachment", &request)?;
    Ok(reply.attachment.unwrap_or_default())
}

/// Takes back all attachments of `owner` but `keep`; returns what went wrong.
pub(crate) fn retain(
    socket: &Path,
    owner: &str,
    keep: &[environment::Attachment],
) -> Result<Vec<String>, DaemonError> {
    let request = RetainAttachmentsRequest {
        owner: owner.to_owned(),
        keys: keep.iter().map(key).collect(),
    };
    let reply: RetainAttachmentsResponse = ask(socket, PATIENCE, "RetainAttachments", &request)?;
    Ok(reply.problems)
}

/// Finds out whether an attachment could succeed now.
pub(crate) fn check_ready(
    socket: &Path,
    network: &str,
    addresses: bool,
) -> Result<(), DaemonError> {
    let request = CheckReadyRequest {
        network: network.to_owned(),
        addresses,
    };
    ask(socket, STATUS_PATIENCE, "CheckReady", &request).map(drop::<CheckReadyResponse>)
}

fn key(attachment: &environment::Attachment) -> AttachmentKey {
    AttachmentKey {
        container_id: attachment.container_id.clone(),
        device: attachment.interface.clone(),
    }
}

fn ask<A: Message + Default>(
    socket: &Path,
    patience: Duration,
    method: &str,
    question: &impl Message,
) -> Result<A, DaemonError> {
    let asked = call(
        socket,
        &format!("/{SERVICE_NAME}/{method}"),
        question,
        patience,
    );
    let shown = socket.display();
    let went_away =
        |how: &str| DaemonError::Away(format!("the daemon at {shown} went away: {how}"));
    asked.map_err(|error| match error {
        CallError::Connect(source) => {
            DaemonError::Away(ConnectError::new(socket, source).to_string())
        }
        CallError::TimedOut => {
            let seconds = patience.as_secs();
            DaemonError::Away(format!(
                "the daemon at {shown} did not answer within {seconds} s"
            ))
        }
        CallError::Broken(how) => went_away(&how),
        CallError::Refused(status) => match status.code() {
            Code::Unavailable | Code::Cancelled => went_away(status.message()),
            _ => DaemonError::Refused(status),
        },
    })
}
