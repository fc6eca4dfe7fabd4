//! The driver for kernels and containers without `io_uring`: `epoll(7)` to learn
//! what is readable, `recvmmsg(2)` and `sendmmsg(2)` on the underlay, one
//! `read(2)` or `write(2)` a packet on TUN queues.
//!
//! Readiness is edge-triggered: a queue stays marked as ready until the kernel
//! says that it is empty, so that nothing is asked twice.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::utils::CachePadded;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::{QueueCounters, WorkerCounters};
use crate::driver::ledger::Ledger;
use crate::driver::{Driver, DriverConfig, Queue, QueueId, datagram, errors, vnet};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::{PortId, UnderlayId};
use crate::mempool::{HEADROOM, Mempool};
use crate::sys::eventfd::Waker;
use crate::sys::mmsg::{ReceiveArray, SendArray};

/// The token of the waker; queues have their index.
const WAKER: Token = Token(usize::MAX);

/// How long to wait for frames to come back to an empty mempool.
const STARVED_WAIT: Duration = Duration::from_millis(1);

/// See the module's documentation.
#[derive(Debug)]
pub struct EpollDriver {
    poll: Poll,
    events: Events,
    /// Keeps the watched descriptor open.
    _waker: Waker,
    queues: Vec<Option<Attached>>,
    /// The queue whose turn it is.
    turn: usize,
    /// Whether nothing was received since the kernel was last asked for readiness.
    polled: bool,
    /// Whether the last receive found a ready queue and no memory.
    starved: bool,
    io: Io,
}

/// What queues need to do their IO.
#[derive(Debug)]
struct Io {
    pool: Mempool,
    ledger: Ledger,
    datagrams: ReceiveArray,
    sends: SendArray,
}

#[derive(Debug)]
struct Attached {
    kind: Kind,
    counters: Arc<QueueCounters>,
    ready: bool,
    /// Errors in a row.
    failures: u32,
}

#[derive(Debug)]
enum Kind {
    Tun {
        port: PortId,
        file: File,
    },
    Underlay {
        id: UnderlayId,
        receiver: OwnedFd,
        senders: Vec<Sender>,
    },
}

/// A socket and the frames to leave by it, in order.
#[derive(Debug)]
struct Sender {
    socket: OwnedFd,
    pending: Vec<Frame>,
}

/// Why a queue's turn ended.
enum Turn {
    /// It has had its share.
    Over,
    /// There is nothing more to receive.
    Empty,
    /// The mempool has no frame.
    Starved,
    /// The kernel refused.
    Failed(io::Error),
}

impl EpollDriver {
    /// A driver that takes frames from `pool` and returns from its wait when
    /// `waker` wakes it. To be used on the thread that makes it.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new(
        _config: DriverConfig,
        pool: Mempool,
        counters: Arc<CachePadded<WorkerCounters>>,
        waker: &Waker,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let fd = waker.as_fd().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), WAKER, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(64),
            _waker: waker.clone(),
            queues: Vec::new(),
            turn: 0,
            polled: false,
            starved: false,
            io: Io {
                pool,
                ledger: Ledger::new(counters),
                datagrams: ReceiveArray::new(BATCH_SIZE, HEADROOM),
                sends: SendArray::new(BATCH_SIZE),
            },
        })
    }

    /// Asks the kernel which queues became ready.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.ledger.system_calls(1);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            if let Some(Some(queue)) = self.queues.get_mut(event.token().0) {
                queue.ready = true;
            }
        }
        self.polled = true;
        Ok(())
    }

    fn ready(&self) -> usize {
        self.queues
            .iter()
            .flatten()
            .filter(|queue| queue.ready)
            .count()
    }

    fn all_ready(&self) -> bool {
        self.queues.iter().flatten().all(|queue| queue.ready)
    }

    /// The next queue that is ready, in turn.
    fn next_ready(&mut self) -> Option<usize> {
        let count = self.queues.len();
        let index = (self.turn..self.turn + count)
            .map(|turn| turn % count)
            .find(|&index| self.queues[index].as_ref().is_some_and(|queue| queue.ready))?;
        self.turn = (index + 1) % count;
        Some(index)
    }

    /// Ends the service of a queue that reports `error`, or counts it.
    fn failed(&mut self, index: usize, error: &io::Error) {
        let Some(queue) = &mut self.queues[index] else {
            return;
        };
        queue.failures += 1;
        let gone = error.raw_os_error().is_some_and(errors::is_gone);
        if !gone && queue.failures < errors::MAX_FAILURES {
            return;
        }
        queue.ready = false;
        let fd = queue.receive_fd();
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        tracing::warn!(queue = %queue.kind.label(), %error, "queue receives nothing any more");
    }
}

impl Driver for EpollDriver {
    fn attach(&mut self, queue: Queue, counters: Arc<QueueCounters>) -> io::Result<QueueId> {
        let vacant = self.queues.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.queues.len());
        let id = u16::try_from(index).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let kind = match queue {
            Queue::Tun { port, fd } => Kind::Tun {
                port,
                file: File::from(fd),
            },
            Queue::Underlay {
                id,
                receiver,
                senders,
            } => {
                let senders = senders.into_iter().map(Sender::new).collect();
                Kind::Underlay {
                    id,
                    receiver,
                    senders,
                }
            }
        };
        // Ready until read: what came before the registration makes no edge.
        let attached = Attached {
            kind,
            counters,
            ready: true,
            failures: 0,
        };
        let fd = attached.receive_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), Token(index), Interest::READABLE)?;
        if index == self.queues.len() {
            self.queues.push(None);
        }
        self.queues[index] = Some(attached);
        Ok(QueueId(id))
    }

    fn detach(&mut self, id: QueueId) {
        let Some(mut queue) = self
            .queues
            .get_mut(usize::from(id.0))
            .and_then(Option::take)
        else {
            return;
        };
        queue.flush(&mut self.io);
        let fd = queue.receive_fd();
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
    }

    fn receive(&mut self, batch: &mut Batch) {
        // Queues that are not ready must not wait for those that always are.
        if !std::mem::take(&mut self.polled) && !self.all_ready() {
            // An error here recurs in `wait`, which reports it.
            let _ = self.poll(Some(Duration::ZERO));
            self.polled = false;
        }
        self.starved = false;
        let before = batch.len();
        while batch.room() > 0
            && let Some(index) = self.next_ready()
        {
            let share = batch.room().div_ceil(self.ready());
            let Some(queue) = &mut self.queues[index] else {
                break;
            };
            match queue.receive(&mut self.io, share, batch) {
                Turn::Over => queue.failures = 0,
                Turn::Empty => queue.ready = false,
                Turn::Starved => {
                    self.starved = batch.len() == before;
                    break;
                }
                Turn::Failed(error) => self.failed(index, &error),
            }
        }
    }

    fn send(&mut self, id: QueueId, frame: Frame) {
        match self.queues.get_mut(usize::from(id.0)) {
            Some(Some(queue)) => queue.send(&mut self.io, frame),
            _ => self.io.ledger.dropped(DropReason::PortGone, 1),
        }
    }

    fn flush(&mut self) {
        for queue in self.queues.iter_mut().flatten() {
            queue.flush(&mut self.io);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.ready() == 0 {
            return self.poll(timeout);
        }
        if self.starved && self.io.pool.available() == 0 {
            return self.poll(Some(timeout.map_or(STARVED_WAIT, |t| t.min(STARVED_WAIT))));
        }
        Ok(())
    }
}

impl Drop for EpollDriver {
    /// Sends what is on its way.
    fn drop(&mut self) {
        self.flush();
    }
}

impl Kind {
    fn label(&self) -> String {
        match self {
            Self::Tun { port, .. } => format!("port {port}"),
            Self::Underlay { id, .. } => format!("underlay {id}"),
        }
    }
}

impl Sender {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            pending: Vec::with_capacity(BATCH_SIZE),
        }
    }

    fn flush(&mut self, io: &mut Io, counters: &QueueCounters) {
        let mut rest = &self.pending[..];
        while !rest.is_empty() {
            io.ledger.system_calls(1);
            let error = match io.sends.send(self.socket.as_fd(), rest) {
                Ok(sent) => {
                    rest[..sent]
                        .iter()
                        .for_each(|frame| io.ledger.sent(counters, frame.len()));
                    rest = &rest[sent..];
                    continue;
                }
                Err(error) => error.raw_os_error().unwrap_or(0),
            };
            // A full socket is full for all of them; any other error is about one.
            let refused = if errors::is_full(error) {
                rest.len()
            } else {
                1
            };
            if error != libc::EINTR {
                io.ledger
                    .dropped(errors::underlay_drop_reason(error), refused);
                rest = &rest[refused..];
            }
        }
        self.pending.clear();
    }
}

impl Attached {
    /// The descriptor that frames come in by.
    fn receive_fd(&self) -> RawFd {
        match &self.kind {
            Kind::Tun { file, .. } => file.as_raw_fd(),
            Kind::Underlay { receiver, .. } => receiver.as_raw_fd(),
        }
    }

    /// Receives up to `share` frames.
    fn receive(&mut self, io: &mut Io, share: usize, batch: &mut Batch) -> Turn {
        let counters = &self.counters;
        match &mut self.kind {
            Kind::Tun { port, file } => {
                let ingress = Ingress::Port(*port);
                (0..share)
                    .find_map(|_| io.read_packet(file, ingress, counters, batch))
                    .unwrap_or(Turn::Over)
            }
            Kind::Underlay { id, receiver, .. } => {
                io.receive_datagrams(receiver, Ingress::Underlay(*id), counters, share, batch)
            }
        }
    }

    fn send(&mut self, io: &mut Io, frame: Frame) {
        match &mut self.kind {
            Kind::Tun { file, .. } => io.write_packet(file, &self.counters, frame),
            Kind::Underlay { senders, .. } => {
                let count = senders.len().max(1);
                let Some(sender) = senders.get_mut(frame.meta.flow_hash as usize % count) else {
                    return io.ledger.dropped(DropReason::UnderlayTxError, 1);
                };
                sender.pending.push(frame);
                if sender.pending.len() == BATCH_SIZE {
                    sender.flush(io, &self.counters);
                }
            }
        }
    }

    /// Sends what is pending on every socket.
    fn flush(&mut self, io: &mut Io) {
        if let Kind::Underlay { senders, .. } = &mut self.kind {
            senders
                .iter_mut()
                .for_each(|sender| sender.flush(io, &self.counters));
        }
    }
}

impl Io {
    /// Reads one packet into `batch`; says why if there was none.
    fn read_packet(
        &mut self,
        mut file: &File,
        ingress: Ingress,
        counters: &QueueCounters,
        batch: &mut Batch,
    ) -> Option<Turn> {
        let Some(mut slot) = self.pool.allocate().map(Frame::into_slot) else {
            return Some(Turn::Starved);
        };
        self.ledger.system_calls(1);
        match file.read(&mut slot.bytes_mut()[vnet::READ_OFFSET..]) {
            // Packets have a header at least: this is the end of a file.
            Ok(0) => return Some(Turn::Failed(io::Error::from_raw_os_error(libc::ENODEV))),
            Ok(len) => match vnet::unwrap(slot, len) {
                Ok(mut frame) => {
                    frame.meta.ingress = ingress;
                    self.ledger.received(counters, frame.len());
                    let refused = batch.push(frame);
                    debug_assert!(refused.is_ok(), "a share is never more than the room");
                }
                Err(reason) => self.ledger.received_in_vain(reason),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(Turn::Empty),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(Turn::Failed(error)),
        }
        None
    }

    /// Receives up to `share` datagrams into `batch` with one system call.
    fn receive_datagrams(
        &mut self,
        socket: &OwnedFd,
        ingress: Ingress,
        counters: &QueueCounters,
        share: usize,
        batch: &mut Batch,
    ) -> Turn {
        let pool = &self.pool;
        let room = self
            .datagrams
            .fill(share, || pool.allocate().map(Frame::into_slot));
        if room == 0 {
            return Turn::Starved;
        }
        self.ledger.system_calls(1);
        let received = self.datagrams.receive(socket.as_fd(), room);
        for datagram in (0..).map_while(|index| {
            let received = received.as_ref().is_ok_and(|&received| index < received);
            if received {
                self.datagrams.take(index)
            } else {
                None
            }
        }) {
            match datagram::into_frame(datagram) {
                Ok(mut frame) => {
                    frame.meta.ingress = ingress;
                    self.ledger.received(counters, frame.len());
                    let refused = batch.push(frame);
                    debug_assert!(refused.is_ok(), "a share is never more than the room");
                }
                Err(reason) => self.ledger.received_in_vain(reason),
            }
        }
        if self.pool.available() < BATCH_SIZE {
            // Other queues and this node's own messages need memory too.
            self.datagrams.release();
        }
        match received {
            Ok(received) if received < room => Turn::Empty,
            Ok(_) => Turn::Over,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Turn::Empty,
                io::ErrorKind::Interrupted => Turn::Over,
                _ => Turn::Failed(error),
            },
        }
    }

    fn write_packet(&mut self, mut file: &File, counters: &QueueCounters, mut frame: Frame) {
        let len = frame.len();
        if !vnet::wrap(&mut frame) {
            return self.ledger.dropped(DropReason::PortTxError, 1);
        }
        self.ledger.system_calls(1);
        let mut written = file.write(frame.data());
        while written
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
        {
            written = file.write(frame.data());
        }
        match written {
            Ok(_) => self.ledger.sent(counters, len),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                self.ledger.dropped(errors::port_drop_reason(errno), 1);
            }
        }
    }
}
