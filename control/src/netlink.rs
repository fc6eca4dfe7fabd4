//! Addresses, routes and links of the kernel, by rtnetlink.
//!
//! The daemon's only module that knows rtnetlink, whose interface changes often. Each call opens a
//! socket of its own, in the namespace it is about, and blocks until the kernel has answered.

mod device;
mod guest;
mod links;
mod neighbours;
pub mod vanish;
pub mod veth;
mod ways;

use std::{io, path::Path, thread, time::Duration};

use ringlay_dataplane::sys::netns;
use rtnetlink::{Handle, MulticastGroup};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_stream::StreamExt;

pub use self::device::{Device, RouteChange};
pub use self::guest::{Found, furnish, look};
pub use self::links::{Link, addresses_of, link_of, links};
pub use self::neighbours::{Neighbourhood, neighbourhood};
pub use self::ways::{links_toward, ways};

/// How long to wait for what else a change entails.
const SETTLE: Duration = Duration::from_millis(50);

/// The kernel refused, or could not be asked.
#[derive(Debug, Error)]
#[error("cannot {action}")]
pub struct NetlinkError {
    /// What was tried.
    pub action: String,
    source: io::Error,
}

/// Notifies `changed` whenever a link, an address, a rule or a route may have changed, and once when
/// it has begun to listen. Many changes at once lead to few notices.
///
/// # Errors
///
/// When it cannot listen any more.
pub async fn follow(changed: &Notify) -> Result<(), NetlinkError> {
    const GROUPS: &[MulticastGroup] = &[
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Nexthop,
    ];
    let error = |source| NetlinkError {
        action: "follow changes of links and routes".to_owned(),
        source,
    };
    let connection = rtnetlink::new_multicast_connection(GROUPS);
    let (connection, _handle, mut messages) = connection.map_err(error)?;
    tokio::spawn(connection);
    loop {
        changed.notify_one();
        if messages.next().await.is_none() {
            return Err(error(io::Error::other("the kernel's messages ended")));
        }
        // One cause has many messages; what follows soon belongs together.
        tokio::time::sleep(SETTLE).await;
        while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, messages.next()).await {}
    }
}

/// Talks to the kernel on a thread of its own, which alone enters the namespace.
fn run<T, F>(netns: Option<&Path>, action: &str, work: F) -> Result<T, NetlinkError>
where
    T: Send,
    F: AsyncFnOnce(Handle) -> Result<T, NetlinkError> + Send,
{
    let error = |source| NetlinkError {
        action: action.to_owned(),
        source,
    };
    let talk = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.map_err(error)?.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().map_err(error)?;
            tokio::spawn(connection);
            work(handle).await
        })
    };
    match netns {
        Some(path) => netns::run_in(path, talk).map_err(error)?,
        None => thread::scope(|scope| scope.spawn(talk).join())
            .unwrap_or_else(|_| Err(error(io::Error::other("the thread panicked")))),
    }
}

fn failed(action: impl Into<String>, error: rtnetlink::Error) -> NetlinkError {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    };
    NetlinkError {
        action: action.into(),
        source,
    }
}
