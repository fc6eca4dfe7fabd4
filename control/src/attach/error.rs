//! Why a container is not attached, or not as it should be.

use std::{io, net::IpAddr, path::PathBuf};

use thiserror::Error;

use super::{kind::AttachKind, record::AttachmentKey, store::StoreError};
use crate::{app::ChangeError, netlink::NetlinkError, object::Name};

/// Why a container was not attached. Nothing of it was done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// It is attached already.
    #[error("{0} is attached already")]
    Exists(AttachmentKey),
    /// There is no such network.
    #[error("there is no network `{0}`")]
    UnknownNetwork(Name),
    /// A MAC address is asked for where there is none.
    #[error("a {0} device has no MAC address")]
    NoMac(AttachKind),
    /// The device cannot take part in a bridged network.
    #[error("a {0} device cannot be on network `{1}`, which is bridged")]
    NotBridged(AttachKind, Name),
    /// The path leads to no network namespace.
    #[error("{} is no network namespace that the daemon can see", path.display())]
    Netns {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody said which addresses to give.
    #[error("network `{0}` has no [[ipam]], and the request names no addresses")]
    NoPool(Name),
    /// An address that was asked for is outside the ranges.
    #[error("{address} is not among the addresses for containers of network `{network}`")]
    NotInPool {
        /// The address.
        address: IpAddr,
        /// The network.
        network: Name,
    },
    /// An address that was asked for belongs to somebody else.
    #[error("{address} is taken on network `{network}`")]
    Taken {
        /// The address.
        address: IpAddr,
        /// The network.
        network: Name,
    },
    /// All addresses are given away.
    #[error("all addresses of {ranges} on network `{network}` are taken")]
    Exhausted {
        /// The network.
        network: Name,
        /// The ranges.
        ranges: String,
    },
    /// The record cannot be written.
    #[error("{}", crate::app::HostError::chain(.0))]
    Store(#[from] StoreError),
    /// The device or its place among the others cannot be had.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// What is wrong with an attachment.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There is none.
    #[error("{0} is not attached")]
    Missing(AttachmentKey),
    /// It is on another network.
    #[error("{key} is on network `{network}`")]
    OtherNetwork {
        /// The attachment.
        key: AttachmentKey,
        /// Its network.
        network: String,
    },
    /// Nothing serves it.
    #[error("{key} is not served: {problem}")]
    Unserved {
        /// The attachment.
        key: AttachmentKey,
        /// Why.
        problem: String,
    },
    /// The namespace cannot be entered.
    #[error("cannot look into {}", path.display())]
    Netns {
        /// The namespace.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel cannot be asked.
    #[error("{}", crate::app::HostError::chain(.0))]
    Look(#[from] NetlinkError),
    /// The device differs from what was made.
    #[error("{key}: {what}")]
    Differs {
        /// The attachment.
        key: AttachmentKey,
        /// How.
        what: String,
    },
}
