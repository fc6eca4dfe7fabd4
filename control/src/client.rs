//! Reaches a daemon over its Unix socket. Knows no service: see [`crate::proto`].

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use prost::Message;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::proto::ErrorDetail;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/ringlay/ringlay.sock";

/// The longest reply that a client accepts, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The daemon cannot be reached.
#[derive(Debug)]
pub struct ConnectError {
    /// The socket that was tried.
    pub socket: PathBuf,
    source: Box<dyn Error + Send + Sync>,
}

impl ConnectError {
    /// For who connects by other means.
    pub fn new(socket: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            socket: socket.to_owned(),
            source: source.into(),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut deepest: &dyn Error = &*self.source;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        let socket = self.socket.display();
        write!(
            f,
            "no daemon at {socket}: {deepest}; start `ringlay run`, or name its socket"
        )
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Connects to the daemon that listens on `socket`.
///
/// # Errors
///
/// If nobody listens there, or the caller may not connect.
pub async fn connect(socket: &Path) -> Result<Channel, ConnectError> {
    let error = |source| ConnectError::new(socket, source);
    let endpoint = Endpoint::try_from(format!("unix:{}", socket.display())).map_err(error)?;
    endpoint.connect().await.map_err(error)
}

/// Where the CNI plugin notes what is to be detached when the daemon that listens on `socket` is
/// back: files NAME.json, each an object with `container_id` and `device`.
pub fn journal_directory(socket: &Path) -> PathBuf {
    let mut beside = socket.as_os_str().to_owned();
    beside.push(".detach");
    beside.into()
}

/// What an error status says about field, reason and remedy, if it does.
pub fn error_detail(status: &Status) -> Option<ErrorDetail> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let detail = details
        .iter()
        .find(|detail| detail.type_url == ERROR_DETAIL_URL)?;
    ErrorDetail::decode(detail.value.as_slice()).ok()
}

/// The bytes of a status's details that carry `detail`.
pub fn encode_error_detail(code: tonic::Code, message: &str, detail: &ErrorDetail) -> Vec<u8> {
    let any = prost_types::Any {
        type_url: ERROR_DETAIL_URL.to_owned(),
        value: detail.encode_to_vec(),
    };
    let status = RpcStatus {
        code: code as i32,
        message: message.to_owned(),
        details: vec![any],
    };
    status.encode_to_vec()
}

/// `google.rpc.Status`, which gRPC libraries expect in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

const ERROR_DETAIL_URL: &str = "type.googleapis.com/ringlay.v1.ErrorDetail";
