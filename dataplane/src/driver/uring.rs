//! The driver for `io_uring(7)`: multishot reads and receives into frames lent to
//! the kernel, and writes and sends handed over in batches.
//!
//! A receive that finds completions in the ring costs no system call, and a flush
//! collects what arrived in the meantime, so that under load one call serves a
//! batch in both directions.

mod open;
mod queue;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;

use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::{QueueCounters, WorkerCounters};
use crate::driver::ledger::Ledger;
use crate::driver::uring::queue::{Attached, Chosen, Kind, Lengths, Senders};
use crate::driver::{Driver, DriverConfig, Queue, QueueId, datagram, raw, sender_of};
use crate::drop_reason::DropReason;
use crate::frame::Frame;
use crate::mempool::Mempool;
use crate::sys::eventfd::Waker;
use crate::sys::mmsg::SendArray;
use crate::sys::uring::{Completion, FileId, Uring, UringConfig};

/// How long to wait for frames to come back to an empty mempool.
const STARVED_WAIT: Duration = Duration::from_millis(1);

/// How long a detached queue's requests may take to end.
const DETACH_LIMIT: Duration = Duration::from_secs(2);

/// Descriptors that can be attached where the process may open few.
const FEWEST_FILES: u32 = 1024;

/// Attempts to hand over requests while the kernel is short of memory.
const SUBMIT_ATTEMPTS: usize = 8;

/// See the module's documentation.
#[derive(Debug)]
pub struct UringDriver {
    uring: Uring,
    pool: Mempool,
    ledger: Ledger,
    queues: Vec<Option<Attached>>,
    /// Frames received and not yet asked for, with the queue they came from.
    arrived: VecDeque<(u16, Frame)>,
    receive_buffers: u16,
    receive_bytes: usize,
    /// The queues that may lack slots or need arming, each once.
    needy: Vec<u16>,
    /// Frames that all queues together may lend the kernel.
    lendable: usize,
    /// For sockets that packets leave by one by one.
    sends: SendArray,
    /// Whether frames may wait to be sent by those.
    packets_pending: bool,
}

impl UringDriver {
    /// A driver that takes frames from `pool` and returns from its wait when
    /// `waker` wakes it. To be used on the thread that makes it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a ring; see [`crate::driver::probe::choose`].
    pub fn new(
        config: DriverConfig,
        pool: Mempool,
        counters: Arc<CachePadded<WorkerCounters>>,
        waker: &Waker,
    ) -> io::Result<Self> {
        let sized = |files| {
            Uring::new(UringConfig {
                submissions: config.submissions,
                completions: config.completions,
                sends: config.sends,
                files,
            })
        };
        // The kernel refuses a table beyond the number of files that the process may open.
        let mut uring = sized(config.files).or_else(|error| match error.raw_os_error() {
            Some(libc::EMFILE) => sized(FEWEST_FILES),
            _ => Err(error),
        })?;
        uring.watch(waker.as_fd())?;
        let lendable = pool.available() / 2;
        Ok(Self {
            uring,
            pool,
            ledger: Ledger::new(counters),
            queues: Vec::new(),
            arrived: VecDeque::new(),
            receive_buffers: config.receive_buffers,
            receive_bytes: config.receive_bytes,
            needy: Vec::new(),
            lendable,
            sends: SendArray::new(BATCH_SIZE),
            packets_pending: false,
        })
    }

    /// Hands over all requests.
    fn submit(&mut self) {
        for _ in 0..SUBMIT_ATTEMPTS {
            let result = self.uring.submit();
            self.reap();
            if result.is_ok() {
                break;
            }
        }
        self.ledger.system_calls(self.uring.take_system_calls());
    }

    /// Takes in all completions.
    fn reap(&mut self) {
        while let Some(completion) = self.uring.complete() {
            match completion {
                Completion::Packet { tag, slot, len } => {
                    let queue = self.queues.get(usize::from(tag));
                    let frame = match queue.and_then(Option::as_ref).map(|queue| &queue.kind) {
                        Some(Kind::Device(device)) => device.unwrap(slot, len),
                        _ => Err(DropReason::PortGone),
                    };
                    self.arrive(tag, frame);
                }
                Completion::Datagram { tag, datagram } => {
                    let queue = self.queues.get(usize::from(tag));
                    let queue = queue.and_then(Option::as_ref).map(|queue| &queue.kind);
                    let frame = datagram.ok_or(DropReason::RxTruncated);
                    let frame = frame.and_then(|datagram| match queue {
                        Some(Kind::Raw { version, .. }) => raw::into_frame(datagram, *version),
                        _ => datagram::into_frame(datagram),
                    });
                    self.arrive(tag, frame);
                }
                Completion::Sent { tag, frame, result } => self.sent(tag, frame, result),
                Completion::Stopped { tag, errno } => self.stopped(tag, errno),
                Completion::Woken => {}
            }
        }
    }

    #[inline]
    fn arrive(&mut self, index: u16, frame: Result<Frame, DropReason>) {
        // The slot's place is vacant, and the source may have stopped with it.
        self.mark(index);
        match frame {
            Ok(frame) => {
                if let Some(Some(queue)) = self.queues.get_mut(usize::from(index)) {
                    queue.waiting += 1;
                    queue.lengths.add(frame.len());
                    self.arrived.push_back((index, frame));
                }
            }
            Err(reason) => self.ledger.received_in_vain(reason),
        }
    }

    #[inline]
    fn sent(&mut self, index: u16, frame: Frame, result: Result<usize, i32>) {
        let Some(Some(queue)) = self.queues.get_mut(usize::from(index)) else {
            return;
        };
        queue.in_flight -= 1;
        match (&queue.kind, result) {
            (Kind::Device(device), Ok(_)) => {
                let header = device.header_len();
                self.ledger.sent(&queue.counters, &frame, header);
            }
            (Kind::Underlay { .. } | Kind::Raw { .. }, Ok(_)) => {
                self.ledger.sent(&queue.counters, &frame, 0);
            }
            (kind, Err(errno)) => self.ledger.dropped(kind.drop_reason(errno), &frame),
        }
    }

    fn stopped(&mut self, index: u16, errno: i32) {
        let Some(Some(queue)) = self.queues.get_mut(usize::from(index)) else {
            return;
        };
        if !queue.needy {
            queue.needy = true;
            self.needy.push(index);
        }
        if let Some(reason) = queue.ended(errno) {
            self.ledger.received_in_vain(reason);
        }
    }

    fn flush_packets(&mut self) {
        for queue in self.queues.iter_mut().flatten() {
            let senders = match &mut queue.kind {
                Kind::Raw { sender, .. } => std::slice::from_mut(sender),
                Kind::Underlay {
                    senders: Senders::Packets(senders),
                    ..
                } => senders,
                Kind::Device(_) | Kind::Underlay { .. } => continue,
            };
            for sender in senders.iter_mut().filter(|sender| !sender.is_empty()) {
                sender.flush(&mut self.sends, &self.ledger, &queue.counters);
            }
        }
    }

    /// Notes that a queue may lack slots or need arming.
    #[inline]
    fn mark(&mut self, index: u16) {
        if let Some(Some(queue)) = self.queues.get_mut(usize::from(index))
            && !queue.needy
        {
            queue.needy = true;
            self.needy.push(index);
        }
    }

    /// Lends slots to the queues that lack some and arms those that stopped.
    fn replenish(&mut self) {
        let share = (self.lendable / self.queues.len().max(1)).max(Lengths::FEWEST_SHARED);
        let most = share.min(self.receive_buffers.into());
        for at in (0..self.needy.len()).rev() {
            let index = usize::from(self.needy[at]);
            if !self.replenish_queue(index, most) {
                self.needy.swap_remove(at);
                if let Some(queue) = &mut self.queues[index] {
                    queue.needy = false;
                }
            }
        }
    }

    /// The same for one queue, which gets `most` slots at most; returns whether it is still needy.
    fn replenish_queue(&mut self, index: usize, most: usize) -> bool {
        let Some(queue) = self.queues[index].as_ref().filter(|queue| !queue.gone) else {
            return false;
        };
        let mut needy = false;
        let target = queue.lengths.fitting(self.receive_bytes).min(most);
        while self.uring.lent(queue.source) + queue.waiting < target {
            let Some(frame) = self.pool.allocate() else {
                needy = true;
                break;
            };
            let returned = self.uring.lend(queue.source, frame.into_slot());
            debug_assert!(returned.is_ok(), "there was a vacancy");
        }
        if !self.uring.is_armed(queue.source) && self.uring.lent(queue.source) > 0 {
            needy |= self.uring.arm(queue.source).is_err();
        }
        needy
    }

    /// Whether a queue can receive nothing before frames return to the pool.
    fn is_starved(&mut self) -> bool {
        let (uring, queues) = (&mut self.uring, &self.queues);
        self.needy.iter().any(|&index| {
            let queue = queues[usize::from(index)].as_ref();
            queue.is_some_and(|queue| !queue.gone && !uring.is_armed(queue.source))
        })
    }

    /// Whether no request refers to queue `index`.
    fn is_settled(&mut self, index: usize) -> bool {
        match &self.queues[index] {
            Some(queue) => queue.in_flight == 0 && !self.uring.is_armed(queue.source),
            None => true,
        }
    }

    /// Cancels the receiving of queue `index` and waits for its requests to end.
    fn settle(&mut self, index: usize) {
        let Some(queue) = &mut self.queues[index] else {
            return;
        };
        queue.gone = true;
        let source = queue.source;
        self.submit();
        let deadline = Instant::now() + DETACH_LIMIT;
        while !self.is_settled(index) && Instant::now() < deadline {
            if self.uring.is_armed(source) && self.uring.cancel(source).is_err() {
                break;
            }
            let result = self.uring.submit_and_wait(Some(Duration::from_millis(10)));
            self.reap();
            if result.is_err() {
                break;
            }
        }
        self.ledger.system_calls(self.uring.take_system_calls());
    }

    /// Queues a frame on a file, making room by taking in completions.
    fn transmit(
        &mut self,
        index: u16,
        file: FileId,
        mut frame: Frame,
    ) -> Result<(), (DropReason, Frame)> {
        for _ in 0..SUBMIT_ATTEMPTS {
            let Some(Some(queue)) = self.queues.get_mut(usize::from(index)) else {
                return Err((DropReason::PortGone, frame));
            };
            let queued = match queue.kind {
                Kind::Device(_) => self.uring.write(file, frame, index),
                Kind::Underlay { .. } | Kind::Raw { .. } => self.uring.send(file, frame, index),
            };
            match queued {
                Ok(()) => {
                    queue.in_flight += 1;
                    return Ok(());
                }
                Err(returned) => frame = returned,
            }
            self.submit();
        }
        let queue = self.queues.get(usize::from(index)).and_then(Option::as_ref);
        let reason = queue.map_or(DropReason::PortGone, |queue| {
            queue.kind.drop_reason(libc::EAGAIN)
        });
        Err((reason, frame))
    }

    /// Prepares a frame for its queue and queues it.
    fn try_send(&mut self, index: u16, mut frame: Frame) -> Result<(), (DropReason, Frame)> {
        let Some(Some(queue)) = self.queues.get_mut(usize::from(index)) else {
            return Err((DropReason::PortGone, frame));
        };
        let file = match &mut queue.kind {
            Kind::Device(device) if !device.wrap(&mut frame) => {
                return Err((device.drop_reason(0), frame));
            }
            Kind::Device(_) => queue.file,
            Kind::Raw { sender, .. } => {
                self.packets_pending = true;
                sender.send(frame, &mut self.sends, &self.ledger, &queue.counters);
                return Ok(());
            }
            Kind::Underlay { senders, .. } => {
                let choice = sender_of(&frame.meta, senders.len());
                match senders.choose(choice) {
                    Some(Chosen::Ring(file)) => file,
                    Some(Chosen::Packets(sender)) => {
                        self.packets_pending = true;
                        sender.send(frame, &mut self.sends, &self.ledger, &queue.counters);
                        return Ok(());
                    }
                    None => return Err((DropReason::UnderlayTxError, frame)),
                }
            }
        };
        self.transmit(index, file, frame)
    }
}

impl Driver for UringDriver {
    fn attach(&mut self, queue: Queue, counters: Arc<QueueCounters>) -> io::Result<QueueId> {
        let vacant = self.queues.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.queues.len());
        let id = u16::try_from(index).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let attached = self.open(id, queue, counters)?;
        if index == self.queues.len() {
            self.queues.push(None);
        }
        attached.count_missed(&self.uring);
        let source = attached.source;
        self.queues[index] = Some(attached);
        self.arrived
            .reserve(self.queues.len() * usize::from(self.receive_buffers));
        self.needy.reserve(self.queues.len());
        self.mark(id);
        self.replenish();
        if self.uring.lent(source) == 0 {
            self.detach(QueueId(id));
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "the mempool is used up",
            ));
        }
        self.submit();
        Ok(QueueId(id))
    }

    fn detach(&mut self, id: QueueId) {
        let index = usize::from(id.0);
        if !matches!(self.queues.get(index), Some(Some(_))) {
            return;
        }
        self.flush_packets();
        self.settle(index);
        self.needy.retain(|&queue| queue != id.0);
        let before = self.arrived.len();
        self.arrived.retain(|&(queue, _)| queue != id.0);
        for _ in self.arrived.len()..before {
            self.ledger.received_in_vain(DropReason::PortGone);
        }
        if let Some(queue) = self.queues[index].take()
            && !self.close(&queue)
        {
            tracing::error!(queue = queue.kind.label(), "requests of a queue do not end");
            // Its number stays taken, so that late completions find it.
            self.queues[index] = Some(queue);
        }
    }

    fn receive(&mut self, batch: &mut Batch) {
        self.reap();
        if self.arrived.len() < batch.room()
            && (self.uring.has_deferred() || self.uring.has_queued())
        {
            self.submit();
        }
        while batch.room() > 0
            && let Some((index, mut frame)) = self.arrived.pop_front()
        {
            if let Some(Some(queue)) = self.queues.get_mut(usize::from(index)) {
                queue.failures = 0;
                queue.waiting -= 1;
                if !queue.needy {
                    queue.needy = true;
                    self.needy.push(index);
                }
                frame.meta.ingress = queue.kind.ingress();
                self.ledger.received(&queue.counters, &frame);
                let refused = batch.push(frame);
                debug_assert!(refused.is_ok(), "there was room");
            }
        }
        self.replenish();
    }

    fn send(&mut self, id: QueueId, frame: Frame) {
        if let Err((reason, frame)) = self.try_send(id.0, frame) {
            self.ledger.dropped(reason, &frame);
        }
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.packets_pending) {
            self.flush_packets();
        }
        if self.uring.has_queued() {
            self.submit();
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.replenish();
        if !self.arrived.is_empty() || self.uring.has_completions() {
            return Ok(());
        }
        let timeout = match timeout {
            timeout if !self.is_starved() => timeout,
            timeout => Some(timeout.map_or(STARVED_WAIT, |timeout| timeout.min(STARVED_WAIT))),
        };
        self.uring.watch_awaited()?;
        let result = self.uring.submit_and_wait(timeout);
        self.ledger.system_calls(self.uring.take_system_calls());
        match result {
            // The kernel wants completions to be taken out first, or is short of memory.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN)) => {
                Ok(())
            }
            result => result,
        }
    }

    fn count_missed(&mut self) {
        let queues = self.queues.iter().flatten();
        queues.for_each(|queue| queue.count_missed(&self.uring));
    }

    fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.uring.set_awaited(fd)
    }
}

impl Drop for UringDriver {
    /// Sends or counts what is on its way.
    fn drop(&mut self) {
        for index in 0..self.queues.len() {
            self.detach(QueueId(index as u16));
        }
    }
}
