//! Asks the daemon, with a deadline.
//!
//! Each plugin process asks once or twice, so that one thread and one connection do.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use ringlay_control::client;
use ringlay_control::proto::attach_service_client::AttachServiceClient;
use ringlay_control::proto::{
    AttachRequest, Attachment, AttachmentKey, CheckAttachmentRequest, CheckReadyRequest,
    DetachRequest, RetainAttachmentsRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

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
    ask(socket, PATIENCE, async |mut client| {
        let reply = client.attach(request).await?.into_inner();
        Ok(reply.attachment.unwrap_or_default())
    })
}

/// Takes an attachment back.
pub(crate) fn detach(
    socket: &Path,
    attachment: &environment::Attachment,
) -> Result<(), DaemonError> {
    let key = Some(key(attachment));
    ask(socket, PATIENCE, async |mut client| {
        client.detach(DetachRequest { key }).await.map(drop)
    })
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
    ask(socket, PATIENCE, async |mut client| {
        let reply = client.check_attachment(request).await?.into_inner();
        Ok(reply.attachment.unwrap_or_default())
    })
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
    ask(socket, PATIENCE, async |mut client| {
        let reply = client.retain_attachments(request).await?.into_inner();
        Ok(reply.problems)
    })
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
    ask(socket, STATUS_PATIENCE, async |mut client| {
        client.check_ready(request).await.map(drop)
    })
}

fn key(attachment: &environment::Attachment) -> AttachmentKey {
    AttachmentKey {
        container_id: attachment.container_id.clone(),
        device: attachment.interface.clone(),
    }
}

fn ask<T, F>(
    socket: &Path,
    patience: Duration,
    question: impl FnOnce(AttachServiceClient<Channel>) -> F,
) -> Result<T, DaemonError>
where
    F: Future<Output = Result<T, Status>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DaemonError::Away(format!("cannot start the client: {error}")))?;
    let asked = async {
        let channel = client::connect(socket)
            .await
            .map_err(|error| DaemonError::Away(error.to_string()))?;
        let answer = question(AttachServiceClient::new(channel)).await;
        answer.map_err(|status| match status.code() {
            Code::Unavailable | Code::Cancelled => DaemonError::Away(format!(
                "the daemon at {} went away: {}",
                socket.display(),
                status.message()
            )),
            _ => DaemonError::Refused(status),
        })
    };
    let in_time = async { tokio::time::timeout(patience, asked).await };
    runtime.block_on(in_time).unwrap_or_else(|_| {
        let seconds = patience.as_secs();
        let socket = socket.display();
        Err(DaemonError::Away(format!(
            "the daemon at {socket} did not answer within {seconds} s"
        )))
    })
}
