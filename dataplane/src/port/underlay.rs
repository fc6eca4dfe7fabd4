//! The sockets of a local tunnel endpoint, a set for each worker: UDP sockets (`udp`) or,
//! for encapsulations that have no port, raw IP sockets (`raw`).
//!
//! Don't fragment: what fits a tunnel's MTU is sent with the DF bit, if the configuration
//! wants it so, and routers tell if their links are narrower. What has to be fragmented
//! leaves by a socket without it.

mod raw;
mod spread;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use ringlay_encap::IpProtocol;
use ringlay_encap::ip::IpVersion;
use thiserror::Error;

pub use self::raw::Claim;
use crate::driver::{Queue, RawSocket};
use crate::endpoint::Endpoint;
use crate::id::UnderlayId;
use crate::sys::sockopt;

/// Bytes that a receiver holds while its worker is busy: some 4,000 full frames
/// as the kernel accounts for them.
const RECEIVE_BUFFER: u32 = 8 << 20;

/// Bytes on their way through the local link; a queue discipline that holds less
/// drops first, as it does for the kernel's own tunnels.
const SEND_BUFFER: u32 = 8 << 20;

/// What sockets to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderlayConfig {
    /// The local address and what announces the endpoint's packets there.
    pub endpoint: Endpoint,
    /// The number of workers.
    pub workers: usize,
    /// Sending UDP sockets of each worker, besides the one that fragments.
    pub senders: usize,
    /// Whether what those send must not be fragmented, by this host or underway.
    pub dont_fragment: bool,
    /// Whether to receive trains of UDP datagrams as one frame with a `segment_size`.
    pub gro: bool,
}

/// The sockets of an endpoint.
#[derive(Debug)]
pub struct UnderlaySockets {
    /// Those of each worker.
    pub queues: Vec<UnderlayQueue>,
    /// What keeps others from the endpoint where sockets do not; to be held as long as the
    /// sockets are in use.
    pub claim: Option<Claim>,
    /// The receiving ones, to be told what to report; to be given up before the workers close theirs.
    pub receivers: Receivers,
}

/// The sockets that an endpoint receives by.
#[derive(Debug)]
pub struct Receivers {
    version: IpVersion,
    /// Copies, as far as they have to be told.
    sockets: Vec<OwnedFd>,
}

impl Receivers {
    fn of(local: SocketAddr, queues: &[UnderlayQueue]) -> io::Result<Self> {
        let version = match local {
            SocketAddr::V4(_) => IpVersion::V4,
            SocketAddr::V6(_) => IpVersion::V6,
        };
        let told = |queue: &UnderlayQueue| match queue {
            UnderlayQueue::Udp { receiver, .. } => vec![receiver.try_clone()],
            // Those deliver the whole header over IPv4.
            UnderlayQueue::Raw { .. } if version == IpVersion::V4 => Vec::new(),
            UnderlayQueue::Raw { sockets } => {
                sockets.iter().map(|socket| socket.fd.try_clone()).collect()
            }
        };
        let sockets = queues.iter().flat_map(told).collect::<Result<_, _>>()?;
        Ok(Self { version, sockets })
    }

    /// Has the outer time to live, or hop limit, of each datagram reported from now on, or no more.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn report_ttl(&self, on: bool) -> io::Result<()> {
        let report = match self.version {
            IpVersion::V4 => sockopt::report_ttl_v4,
            IpVersion::V6 => sockopt::report_ttl_v6,
        };
        self.sockets
            .iter()
            .try_for_each(|socket| report(socket.as_fd(), on))
    }
}

/// The sockets of one worker, non-blocking.
#[derive(Debug)]
pub enum UnderlayQueue {
    /// UDP sockets.
    Udp {
        /// The socket on the endpoint's port.
        receiver: OwnedFd,
        /// Sockets to send from. The last is for what has to be fragmented.
        senders: Vec<OwnedFd>,
        /// Whether those send trains.
        trains: bool,
    },
    /// A raw socket for each of the endpoint's IP protocols.
    Raw {
        /// In the order of [`Endpoint::protocols`].
        sockets: Vec<RawSocket>,
    },
}

impl UnderlayQueue {
    /// The sockets as queues of endpoint `id`.
    pub fn into_queues(self, id: UnderlayId) -> Vec<Queue> {
        match self {
            Self::Udp {
                receiver,
                senders,
                trains,
            } => vec![Queue::Underlay {
                id,
                receiver,
                senders,
                trains,
            }],
            Self::Raw { sockets } => {
                let queue = |socket| Queue::Raw { id, socket };
                sockets.into_iter().map(queue).collect()
            }
        }
    }
}

/// Why the sockets could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindUnderlayError {
    /// The configuration asks for no sockets, or for port 0.
    #[error(
        "the tunnel endpoint {endpoint} needs at least one worker and, over UDP, a port and one \
         sender each"
    )]
    InvalidConfig {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Somebody else has the UDP port.
    #[error(
        "UDP port {} of {} is in use: another process has it (see `ss -lunp sport = :{}`) or a \
         tunnel device of the kernel (see `ip -d link show type vxlan`)",
        endpoint.local.port(), endpoint.local.ip(), endpoint.local.port()
    )]
    InUse {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Another ringlay receives the endpoint's IP protocol.
    #[error("protocol {protocol} on {address} is in use by another ringlay: see `ss -wnp`")]
    Claimed {
        /// The local address.
        address: IpAddr,
        /// The IP protocol.
        protocol: IpProtocol,
    },
    /// Raw sockets are not allowed.
    #[error("raw IP sockets take CAP_NET_RAW, which {endpoint} needs")]
    NotPermitted {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// The address is not one of this host.
    #[error("{address} is not an address of this host: see `ip address show`")]
    NoSuchAddress {
        /// The address.
        address: IpAddr,
    },
    /// Too few free ports to send from.
    #[error("no free UDP port between 49152 and 65535 on {address} to send from")]
    NoSenderPort {
        /// The local address.
        address: IpAddr,
    },
    /// Another step failed.
    #[error("cannot {step} for the tunnel endpoint {endpoint}")]
    Step {
        /// The endpoint.
        endpoint: Endpoint,
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes the sockets of a tunnel endpoint, one [`UnderlayQueue`] for each worker.
///
/// # Errors
///
/// See [`BindUnderlayError`]; then no socket is left open.
pub fn bind(config: &UnderlayConfig) -> Result<UnderlaySockets, BindUnderlayError> {
    if config.workers == 0 {
        let endpoint = config.endpoint;
        return Err(BindUnderlayError::InvalidConfig { endpoint });
    }
    let (queues, claim) = if config.endpoint.protocols().is_empty() {
        (udp::bind(config)?, None)
    } else {
        let (queues, claim) = raw::bind(config)?;
        (queues, Some(claim))
    };
    let receivers = Receivers::of(config.endpoint.local, &queues)
        .map_err(failed(config, "copy a socket's descriptor"))?;
    Ok(UnderlaySockets {
        queues,
        claim,
        receivers,
    })
}

fn bind_error(config: &UnderlayConfig, error: io::Error) -> BindUnderlayError {
    let endpoint = config.endpoint;
    match error.kind() {
        io::ErrorKind::AddrInUse => BindUnderlayError::InUse { endpoint },
        io::ErrorKind::AddrNotAvailable => BindUnderlayError::NoSuchAddress {
            address: endpoint.local.ip(),
        },
        _ => failed(config, "bind a socket")(error),
    }
}

fn failed(
    config: &UnderlayConfig,
    step: &'static str,
) -> impl FnOnce(io::Error) -> BindUnderlayError {
    let endpoint = config.endpoint;
    move |source| BindUnderlayError::Step {
        endpoint,
        step,
        source,
    }
}
