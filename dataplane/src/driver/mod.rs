//! How queues do their IO. One driver instance serves all queues of one worker.

pub mod epoll;
pub mod probe;
pub mod uring;
pub mod xdp;

mod datagram;
mod errors;
mod ledger;
mod packets;
mod raw;
mod vnet;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use ringlay_encap::IpProtocol;
use ringlay_encap::ip::IpVersion;

use crate::batch::Batch;
use crate::counters::QueueCounters;
use crate::frame::{Frame, Meta};
use crate::id::{PortId, UnderlayId};
use crate::sys::xdp::Copying;

/// A worker's own queue of a port or of the underlay, handed to its driver.
#[derive(Debug)]
pub enum Queue {
    /// One queue of a TUN device. Each read and write starts with a virtio-net
    /// header of [`crate::port::tun::VNET_HEADER_LEN`] bytes.
    Tun {
        /// The port it belongs to.
        port: PortId,
        /// The queue's descriptor, non-blocking.
        fd: OwnedFd,
    },
    /// One queue of the TAP device of an Ethernet port, with the same header in front of frames.
    Tap {
        /// The port it belongs to.
        port: PortId,
        /// The queue's descriptor, non-blocking.
        fd: OwnedFd,
    },
    /// A packet socket on the device of an Ethernet port, with the same header in front of frames. A
    /// worker sends by the first that it gets for a port, and receives by all.
    Packet {
        /// The port it belongs to.
        port: PortId,
        /// The socket, non-blocking.
        fd: OwnedFd,
    },
    /// One queue of the TAP device that is the uplink of a local tunnel endpoint. Each read
    /// and write starts with a virtio-net header of
    /// [`crate::port::uplink::VNET_HEADER_LEN`] bytes.
    Uplink {
        /// The endpoint it belongs to.
        id: UnderlayId,
        /// The queue's descriptor, non-blocking.
        fd: OwnedFd,
    },
    /// One queue of a device that is served past the kernel's own stack. Frames are as on the wire.
    Xdp {
        /// What it belongs to.
        owner: Owner,
        /// An AF_XDP socket, neither set up nor bound: that takes the worker's mempool.
        socket: OwnedFd,
        /// The interface index of the device.
        device: u32,
        /// The number of the queue.
        queue: u32,
        /// The device does not send by it, or its driver added it for the XDP program: it is received
        /// from, in copies, and nothing is sent by it. See [`crate::port::wire::WireDevice::lasting`].
        added: bool,
        /// Whether to insist on one way to move frames; otherwise without copies where the device's
        /// driver can do so.
        copying: Option<Copying>,
    },
    /// A worker's sockets of a local tunnel endpoint.
    Underlay {
        /// The endpoint they belong to.
        id: UnderlayId,
        /// The socket on the tunnel's port; the kernel spreads flows over the
        /// sockets of all workers (SO_REUSEPORT).
        receiver: OwnedFd,
        /// Sockets to send from, each on a port of its own, so that the flows of
        /// one pair of endpoints differ in their outer source port. The last is for
        /// oversized frames alone, if there are several; the flow's hash chooses among
        /// the others.
        senders: Vec<OwnedFd>,
        /// Whether those send trains (UDP_SEGMENT). The kernel refuses to cut what is to have no
        /// checksum.
        trains: bool,
    },
    /// A worker's raw IP socket of a local tunnel endpoint, to receive and send.
    Raw {
        /// The endpoint it belongs to.
        id: UnderlayId,
        /// The socket.
        socket: RawSocket,
    },
}

/// What the device of an AF_XDP queue is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The wire of all local tunnel endpoints.
    Wire,
    /// An Ethernet port.
    Port(PortId),
}

/// A raw IP socket.
#[derive(Debug)]
pub struct RawSocket {
    /// The descriptor, non-blocking.
    pub fd: OwnedFd,
    /// A second one, to send oversized frames from, if the first does not fragment.
    pub fragmenting: Option<OwnedFd>,
    /// A third one, to send those with an encapsulation limit from, if the first does not send them
    /// as long as the device takes them.
    pub limited: Option<OwnedFd>,
    /// The version of the outer IP header.
    pub version: IpVersion,
    /// What that header announces.
    pub protocol: IpProtocol,
}

/// A driver's name for an attached queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueId(pub u16);

/// The kinds of driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// `io_uring(7)`.
    IoUring,
    /// `epoll(7)` with `recvmmsg(2)` and `sendmmsg(2)`.
    Epoll,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// Which of so many sending sockets a frame leaves by.
#[inline]
pub(crate) fn sender_of(meta: &Meta, senders: usize) -> usize {
    let fragmenting = senders.saturating_sub(1);
    if meta.oversized || fragmenting == 0 {
        fragmenting
    } else {
        meta.flow_hash as usize % fragmenting
    }
}

/// Sizes of a driver. What a kind of driver has no use for it ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverConfig {
    /// Entries of the submission ring: requests handed over in one system call.
    pub submissions: u32,
    /// Entries of the completion ring. More completions than that at once cost
    /// the kernel an allocation, but are not lost.
    pub completions: u32,
    /// Frames in flight to the kernel.
    pub sends: u16,
    /// Frames that each attached queue lends to the kernel to receive into, at most; a
    /// power of two.
    pub receive_buffers: u16,
    /// Bytes that the frames lent by one queue are expected to be filled with, at most.
    /// The kernel fills the frame that it has had longest, so with more than a part of
    /// the CPU's cache lent, each would have left the cache by the time it is filled again.
    pub receive_bytes: usize,
    /// Descriptors that can be attached at a time, if the process may open so many.
    pub files: u32,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            submissions: 256,
            completions: 2048,
            sends: 256,
            receive_buffers: 64,
            receive_bytes: 512 << 10,
            files: 8192,
        }
    }
}

/// Moves frames between a worker and the kernel.
///
/// A driver owns every frame it is given until the kernel took it (then it
/// counts it as sent) or refused it (then it counts the drop reason), and takes
/// the frames it receives from the worker's mempool. It sets `ingress`, `remote`
/// (underlay), `traffic_class`, `ttl`, `segment_size` and `offload` of received frames.
pub trait Driver {
    /// Starts serving a queue.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to register or poll the descriptor.
    fn attach(&mut self, queue: Queue, counters: Arc<QueueCounters>) -> io::Result<QueueId>;

    /// Stops serving a queue and closes its descriptors. Frames on their way out
    /// are sent or dropped first.
    fn detach(&mut self, id: QueueId);

    /// Adds received frames to `batch`, at most as many as fit, without blocking.
    fn receive(&mut self, batch: &mut Batch);

    /// Queues a frame to be sent; the kernel need not see it before [`Self::flush`].
    fn send(&mut self, id: QueueId, frame: Frame);

    /// Hands all queued frames to the kernel.
    fn flush(&mut self);

    /// Blocks until a queue has something to receive, the worker is woken, or the
    /// timeout is over. Returns at once if there is known work.
    ///
    /// # Errors
    ///
    /// When the kernel facility itself fails; the worker cannot go on.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Asks the kernel what it dropped before it became a frame, for [`QueueCounters::missed`].
    fn count_missed(&mut self) {}

    /// Lets waits also end when `fd` is readable, for good. There is one such descriptor.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to register the descriptor.
    fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;
}
