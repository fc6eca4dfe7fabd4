//! The built-in source and sink of traffic, and iperf3 where it is installed.
//!
//! Each kind of traffic is one file with a `run` that blocks until it has its result. Both ends
//! are threads of this process, inside the two hosts' namespaces; nothing here knows which overlay
//! carries the packets.

pub mod iperf3;
mod pattern;
pub mod ping;
pub mod request_response;
pub mod tcp_bulk;
pub mod udp_flood;

use std::fmt;
use std::net::Ipv4Addr;
use std::panic;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use super::LabError;
use super::namespace::Namespace;

/// Which way traffic goes between the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Direction {
    /// From host a to host b.
    #[serde(rename = "a->b")]
    AToB,
    /// From host b to host a.
    #[serde(rename = "b->a")]
    BToA,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AToB => "a->b",
            Self::BToA => "b->a",
        })
    }
}

/// Where traffic goes from and to.
#[derive(Debug, Clone)]
pub struct Path {
    /// Namespace of the source.
    pub from: Namespace,
    /// Namespace of the sink.
    pub to: Namespace,
    /// Overlay address of the sink.
    pub destination: Ipv4Addr,
}

/// A source or sink that hears nothing for this long gives up.
const SILENCE: Duration = Duration::from_secs(5);

/// The result of a thread; its panic becomes ours.
fn join<T>(thread: JoinHandle<Result<T, LabError>>) -> Result<T, LabError> {
    thread
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}
