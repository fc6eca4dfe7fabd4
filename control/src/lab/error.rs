//! What can go wrong while a laboratory is built or measured.

use std::io;

use crate::client::ConnectError;

/// Failure of a step of the laboratory; each names the object it was about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The clean-up has begun (a signal arrived): nothing new may be made.
    #[error("interrupted")]
    Interrupted,
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its object, as in `open /dev/net/tun`.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Netlink {
        /// The operation and its object, as in `add veth eth0`.
        what: String,
        /// Why.
        source: Box<rtnetlink::Error>,
    },
    /// This host lacks or forbids what is needed.
    #[error("{reason}")]
    Unsupported {
        /// What it lacks, as in `this kernel has no VXLAN device`.
        reason: String,
    },
    /// Data arrived different from how it was sent.
    #[error("data changed on the way: byte {offset} of the stream differs")]
    Corrupted {
        /// Offset of the first wrong byte.
        offset: u64,
    },
    /// A process of the laboratory ended early or with an error.
    #[error("{program} ended with {status}: {tail}")]
    Process {
        /// Program name.
        program: String,
        /// Exit status as text.
        status: String,
        /// Last lines it wrote.
        tail: String,
    },
    /// Nobody answers on a node's socket.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A node refused a request.
    #[error("{what}: {source}")]
    Rpc {
        /// The method.
        what: &'static str,
        /// Its answer.
        source: Box<tonic::Status>,
    },
    /// Something did not happen within its time.
    #[error("{what} took longer than {seconds} s")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl LabError {
    /// What this host lacks.
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported {
            reason: reason.into(),
        }
    }

    /// For `map_err`: an I/O error about `what`.
    pub fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Io {
            what,
            source: source.into(),
        }
    }

    /// For `map_err`: a netlink error about `what`.
    pub fn netlink(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let what = what.into();
        move |source| Self::Netlink {
            what,
            source: Box::new(source),
        }
    }
}
