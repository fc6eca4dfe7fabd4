//! The driver for kernels and containers without `io_uring`: `epoll(7)` to learn
//! what is readable, `recvmmsg(2)` and `sendmmsg(2)` on the underlay, one
//! `read(2)` or `write(2)` a packet on the queues of devices.
//!
//! Readiness is edge-triggered: a queue stays marked as ready until the kernel
//! says that it is empty, so that nothing is asked twice.

mod queue;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::utils::CachePadded;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::{QueueCounters, WorkerCounters};
use crate::driver::epoll::queue::{Attached, Io, Kind, Sender, Turn};
use crate::driver::ledger::Ledger;
use crate::driver::packets::PacketSender;
use crate::driver::vnet::Device;
use crate::driver::{Driver, DriverConfig, Queue, QueueId, errors};
use crate::drop_reason::DropReason;
use crate::frame::Frame;
use crate::mempool::{HEADROOM, Mempool};
use crate::sys::eventfd::Waker;
use crate::sys::mmsg::{ReceiveArray, SendArray};

/// The token of the waker; queues have their index.
const WAKER: Token = Token(usize::MAX);
/// That of what else ends a wait.
const WATCHED: Token = Token(usize::MAX - 1);

/// How long to wait for frames to come back to an empty mempool.
const STARVED_WAIT: Duration = Duration::from_millis(1);

/// See the module's documentation.
#[derive(Debug)]
pub struct EpollDriver {
    poll: Poll,
    events: Events,
    /// Keeps the watched descriptor open.
    _waker: Waker,
    watched: Option<OwnedFd>,
    queues: Vec<Option<Attached>>,
    /// The queue whose turn it is.
    turn: usize,
    /// Whether nothing was received since the kernel was last asked for readiness.
    polled: bool,
    /// Whether the last receive found a ready queue and no memory.
    starved: bool,
    io: Io,
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
            watched: None,
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
            Queue::Tun { port, fd } => Kind::Device {
                device: Device::Port(port),
                file: File::from(fd),
            },
            Queue::Tap { port, fd } => Kind::Device {
                device: Device::Ethernet(port),
                file: File::from(fd),
            },
            Queue::Packet { port, fd } => Kind::Device {
                device: Device::Packet(port),
                file: File::from(fd),
            },
            Queue::Uplink { id, fd } => Kind::Device {
                device: Device::Uplink(id),
                file: File::from(fd),
            },
            Queue::Xdp { .. } => return Err(io::ErrorKind::Unsupported.into()),
            Queue::Underlay {
                id,
                receiver,
                senders,
                trains,
            } => {
                let sender = |socket| Sender::new(socket, trains);
                let senders = senders.into_iter().map(sender).collect();
                Kind::Underlay {
                    id,
                    receiver,
                    senders,
                }
            }
            Queue::Raw { id, socket } => Kind::Raw {
                id,
                version: socket.version,
                receiver: socket.fd.try_clone()?,
                sender: PacketSender::new(socket.fd)
                    .with_others(socket.fragmenting, socket.limited),
            },
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
        attached.count_missed();
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
            _ => self.io.ledger.dropped(DropReason::PortGone, &frame),
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

    fn count_missed(&mut self) {
        let queues = self.queues.iter().flatten();
        queues.for_each(Attached::count_missed);
    }

    fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fd = fd.try_clone_to_owned()?;
        let mut source = SourceFd(&fd.as_raw_fd());
        let registry = self.poll.registry();
        registry.register(&mut source, WATCHED, Interest::READABLE)?;
        self.watched = Some(fd);
        Ok(())
    }
}

impl Drop for EpollDriver {
    /// Sends what is on its way.
    fn drop(&mut self) {
        self.flush();
    }
}
