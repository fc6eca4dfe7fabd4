//! Adds AF_XDP queues to a driver. Their rings are looked at without entering the kernel, so they
//! need of the other driver no more than that its wait ends when a packet comes.
//!
//! The kernel receives into small frames of the mempool and sends from them. All of those are
//! therefore pinned: 32 MiB. What is in a large frame is copied, once, into a small one.
//!
//! With zero-copy the device itself does so, for the host's packets too: those stop when a queue has
//! no slot left. It therefore has more than the ring of what was received takes, what is on its way
//! out gets no more than a share either, and slots come back before they are missed.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;

use super::{Driver, Owner, Queue, QueueId, errors, ledger::Ledger};
use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::{Missed, QueueCounters, WorkerCounters};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::mempool::{Mempool, SMALL_FRAMES};
use crate::sys::epoll::WatchSet;
use crate::sys::xdp::{CHUNK, Closed, Copying, XdpConfig, XdpSocket};

/// Names from here on are of AF_XDP queues; the other driver has fewer.
const FIRST: u16 = 1 << 15;

/// Entries of each ring.
const ENTRIES: u32 = 2048;

/// Frames that each queue lends to the kernel to receive into, at most: as many as come in a
/// few milliseconds, for which a worker may not run.
const LENT: usize = ENTRIES as usize;

/// The least that each of many queues lends.
const LENT_MIN: usize = 16;

/// After so many batches without a wait, packets need wake nobody any more.
const STREAK: u32 = 16;

/// How long to wait when the kernel needs no packet but time, or frames, to go on.
const STARVED_WAIT: Duration = Duration::from_millis(1);

/// How long to wait at most with zero-copy: a device may run out of slots, and ask to be woken, just
/// after that was looked at.
const ASLEEP_WAIT: Duration = Duration::from_millis(100);

/// After so many turns without a wait, what the kernel did not take is shown to it again.
const PATIENCE: usize = 64;

/// How long a device may use the slots of a socket that is closed.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub struct XdpDriver<D> {
    inner: D,
    pool: Mempool,
    ledger: Ledger,
    queues: Vec<Option<Attached>>,
    /// What the other driver watches: readable when a queue is. None before the first one.
    watched: Option<WatchSet>,
    /// Batches received since the last wait.
    streak: u32,
    /// Whose turn it is to receive first.
    turn: usize,
    /// What devices may still use, and since when they should no more.
    leaving: Vec<(Instant, Closed)>,
}

#[derive(Debug)]
struct Attached {
    owner: Owner,
    socket: XdpSocket,
    counters: Arc<QueueCounters>,
    /// Frames that it may have to send, with zero-copy.
    sends: usize,
    /// It is in the set that the other driver watches.
    watched: bool,
    /// The device is gone.
    gone: bool,
}

impl<D: Driver> XdpDriver<D> {
    /// A driver that serves AF_XDP queues with frames from `pool`, and leaves others to `inner`.
    pub fn new(inner: D, pool: Mempool, counters: Arc<CachePadded<WorkerCounters>>) -> Self {
        Self {
            inner,
            pool,
            ledger: Ledger::new(counters),
            queues: Vec::new(),
            watched: None,
            streak: 0,
            turn: 0,
            leaving: Vec::new(),
        }
    }

    /// Makes the other driver's wait end when there is something to read from this queue.
    fn watch_queue(&mut self, socket: &XdpSocket) -> io::Result<()> {
        let watched = match &mut self.watched {
            Some(watched) => watched,
            none => {
                let set = WatchSet::new()?;
                self.inner.watch(set.as_fd())?;
                none.insert(set)
            }
        };
        watched.add(socket.as_fd())
    }

    /// Takes what has arrived, beginning with another queue each time.
    fn receive_own(&mut self, batch: &mut Batch) {
        let (count, before) = (self.queues.len(), batch.len());
        let share = share(count);
        for offset in 0..count {
            if let Some(queue) = &mut self.queues[(self.turn + offset) % count] {
                queue.receive(&self.ledger, batch);
                queue.replenish(&self.pool, &self.ledger, share);
            }
        }
        if self.turn.is_multiple_of(PATIENCE) {
            self.push_on();
        }
        if batch.len() > before {
            self.streak = self.streak.saturating_add(1);
            if self.streak == STREAK {
                self.unwatch();
            }
        }
    }

    /// Has the kernel send what it did not take.
    fn push_on(&mut self) {
        for queue in self.queues.iter_mut().flatten() {
            if queue.socket.has_backlog() {
                queue.flush(&self.ledger);
            }
        }
    }

    /// Frees slots that no device can use any more.
    fn reclaim(&mut self) {
        if !self.leaving.is_empty() {
            let is_there = |since: Instant| since.elapsed() < LEAVE_TIME;
            self.leaving.retain(|(since, _)| is_there(*since));
        }
    }

    /// Spares the kernel waking someone for each packet that comes, and for each that has left,
    /// until there is a wait again: that took a tenth of what a small packet costs.
    fn unwatch(&mut self) {
        for queue in self.queues.iter_mut().flatten() {
            if let Some(set) = &self.watched
                && std::mem::take(&mut queue.watched)
            {
                self.ledger.system_calls(1);
                // It was added, so the set has it.
                let _ = set.remove(queue.socket.as_fd());
            }
        }
    }
}

/// Frames that each of so many queues lends, so that half of all are left for what is on its way.
#[inline]
fn share(queues: usize) -> usize {
    (SMALL_FRAMES as usize / 2 / queues.max(1)).clamp(LENT_MIN, LENT)
}

impl Owner {
    /// Where its frames come from.
    fn ingress(self) -> Ingress {
        match self {
            Self::Wire => Ingress::Wire,
            Self::Port(id) => Ingress::Ethernet(id),
        }
    }

    /// Why a frame is dropped that finds no room.
    fn full(self) -> DropReason {
        match self {
            Self::Wire => DropReason::UnderlayTxFull,
            Self::Port(_) => DropReason::PortTxFull,
        }
    }

    /// Why a frame is dropped that cannot be sent.
    fn refused(self) -> DropReason {
        match self {
            Self::Wire => DropReason::UnderlayTxError,
            Self::Port(_) => DropReason::PortTxError,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire => f.write_str("wire"),
            Self::Port(id) => write!(f, "port {id}"),
        }
    }
}

impl Attached {
    #[inline]
    fn receive(&mut self, ledger: &Ledger, batch: &mut Batch) {
        while batch.room() > 0
            && let Some(received) = self.socket.receive()
        {
            let mut frame = Frame::from_slot(received.slot, received.start, received.len);
            frame.meta.ingress = self.owner.ingress();
            ledger.received(&self.counters, &frame);
            let refused = batch.push(frame);
            debug_assert!(refused.is_ok(), "there was room");
        }
    }

    /// Whether the device reads and writes the slots itself.
    #[inline]
    fn is_shared(&self) -> bool {
        self.socket.copying() == Copying::ZeroCopy
    }

    /// Takes back what was sent, and lends up to `share` slots, as long as others do not need them
    /// more. Wakes the device if it waits for them.
    #[inline]
    fn replenish(&mut self, pool: &Mempool, ledger: &Ledger, share: usize) {
        self.socket.complete();
        self.sends = share;
        let most = if self.is_shared() {
            share + share / 4
        } else {
            share
        };
        while self.socket.lent() < most && pool.available_small() > BATCH_SIZE {
            let Some(frame) = pool.allocate_small() else {
                break;
            };
            // The kernel shows packets before it shows that their slots are off the ring.
            if self.socket.lend(frame.into_slot()).is_err() {
                break;
            }
        }
        // Whether the device is down, or gone, those who send learn.
        if let Ok(calls) = self.socket.advance_to_receive()
            && calls > 0
        {
            ledger.system_calls(calls);
        }
    }

    /// Has the other driver's wait end when a packet comes; false if that cannot be had.
    fn watch(&mut self, set: Option<&WatchSet>, ledger: &Ledger) -> bool {
        if !self.watched
            && let Some(set) = set
        {
            ledger.system_calls(1);
            self.watched = set.add(self.socket.as_fd()).is_ok();
        }
        self.watched
    }

    fn send(&mut self, pool: &Mempool, ledger: &Ledger, frame: Frame) {
        if self.gone || !(1..=CHUNK).contains(&frame.len()) {
            return ledger.dropped(self.owner.refused(), &frame);
        }
        if self.is_full() {
            self.flush(ledger);
        }
        if self.is_full() {
            return ledger.dropped(self.owner.full(), &frame);
        }
        let shrunk = match pool.shrink(frame) {
            // What was sent meanwhile makes room.
            Err(frame) if self.socket.complete() > 0 => pool.shrink(frame),
            shrunk => shrunk,
        };
        let frame = match shrunk {
            Ok(frame) => frame,
            Err(frame) => return ledger.dropped(DropReason::PoolExhausted, &frame),
        };
        ledger.sent(&self.counters, &frame, 0);
        let (start, len) = (frame.headroom(), frame.len());
        let refused = self.socket.send(frame.into_slot(), start, len);
        debug_assert!(refused.is_ok(), "there is room, and it is one of the pool");
    }

    /// Whether there is no room for another frame. A device takes its time, as long as it likes if its
    /// link is down.
    #[inline]
    fn is_full(&mut self) -> bool {
        self.socket.is_full() || self.is_shared() && self.socket.in_flight() >= self.sends
    }

    /// Asks the kernel what it dropped of this queue.
    fn count_missed(&self) {
        let missed = self.counters.missed.get_or_init(Missed::default);
        if let Ok(drops) = self.socket.drops() {
            missed.ring_full.set(drops.ring_full);
            missed.no_slot.set(drops.no_slot);
            missed.too_long.set(drops.too_long);
            missed.invalid.set(drops.invalid);
        }
    }

    /// Enters the kernel if there is something to send.
    fn flush(&mut self, ledger: &Ledger) {
        if self.gone {
            return;
        }
        match self.socket.advance() {
            Ok(calls) => ledger.system_calls(calls),
            // What is queued goes when the device is up again.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            // Devices say so too while they are set up anew.
            Err(error)
                if !self.is_shared() && error.raw_os_error().is_some_and(errors::is_gone) =>
            {
                self.gone = true;
                tracing::warn!(owner = %self.owner, %error, "AF_XDP queue serves nothing any more");
            }
            Err(error) => {
                tracing::debug!(owner = %self.owner, %error, "AF_XDP queue");
            }
        }
        self.socket.complete();
    }
}

impl<D: Driver> Driver for XdpDriver<D> {
    fn attach(&mut self, queue: Queue, counters: Arc<QueueCounters>) -> io::Result<QueueId> {
        let Queue::Xdp {
            owner,
            socket,
            device,
            queue,
            copying,
            ..
        } = queue
        else {
            return self.inner.attach(queue, counters);
        };
        let vacant = self.queues.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.queues.len());
        let name = u16::try_from(index).ok().and_then(|i| FIRST.checked_add(i));
        let name = name.ok_or(io::ErrorKind::QuotaExceeded)?;
        self.reclaim();
        let share = share(index + 1);
        let spare = self.pool.available_small().saturating_sub(BATCH_SIZE);
        let config = XdpConfig {
            device,
            queue,
            copying,
            entries: ENTRIES,
            lent: share.min(spare),
        };
        let socket = XdpSocket::new(socket, Rc::clone(self.pool.shared()), config)?;
        self.watch_queue(&socket)?;
        let mut attached = Attached {
            owner,
            socket,
            counters,
            sends: share,
            watched: true,
            gone: false,
        };
        attached.count_missed();
        attached.replenish(&self.pool, &self.ledger, share);
        if index == self.queues.len() {
            self.queues.push(None);
        }
        self.queues[index] = Some(attached);
        Ok(QueueId(name))
    }

    fn detach(&mut self, id: QueueId) {
        let Some(index) = id.0.checked_sub(FIRST).map(usize::from) else {
            return self.inner.detach(id);
        };
        let Some(mut queue) = self.queues.get_mut(index).and_then(Option::take) else {
            return;
        };
        queue.flush(&self.ledger);
        queue.count_missed();
        if let Some(watched) = &self.watched {
            // It was added, and closing it would do, unless others have a copy.
            let _ = watched.remove(queue.socket.as_fd());
        }
        let is_shared = queue.is_shared();
        let closed = queue.socket.close();
        if is_shared {
            self.leaving.push((Instant::now(), closed));
        }
    }

    fn receive(&mut self, batch: &mut Batch) {
        if self.queues.is_empty() {
            return self.inner.receive(batch);
        }
        // Whoever comes first may take all the room.
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(2) {
            self.receive_own(batch);
            self.inner.receive(batch);
        } else {
            self.inner.receive(batch);
            self.receive_own(batch);
        }
    }

    fn send(&mut self, id: QueueId, frame: Frame) {
        if id.0 < FIRST {
            return self.inner.send(id, frame);
        }
        let index = usize::from(id.0 - FIRST);
        match self.queues.get_mut(index) {
            Some(Some(queue)) => queue.send(&self.pool, &self.ledger, frame),
            _ => self.ledger.dropped(DropReason::PortGone, &frame),
        }
    }

    fn flush(&mut self) {
        for queue in self.queues.iter_mut().flatten() {
            queue.flush(&self.ledger);
        }
        self.inner.flush();
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut longest = timeout;
        self.streak = 0;
        self.reclaim();
        let share = share(self.queues.len());
        for queue in self.queues.iter_mut().flatten().filter(|queue| !queue.gone) {
            queue.replenish(&self.pool, &self.ledger, share);
            let watched = queue.watch(self.watched.as_ref(), &self.ledger);
            if queue.socket.has_packets() {
                return Ok(());
            }
            let limit = if queue.socket.has_backlog() || queue.socket.lent() == 0 {
                queue.flush(&self.ledger);
                STARVED_WAIT
            } else if !watched {
                STARVED_WAIT
            } else if queue.is_shared() {
                ASLEEP_WAIT
            } else {
                continue;
            };
            longest = Some(longest.map_or(limit, |it| it.min(limit)));
        }
        self.inner.wait(longest)
    }

    fn count_missed(&mut self) {
        let queues = self.queues.iter().flatten();
        queues.for_each(Attached::count_missed);
        self.inner.count_missed();
    }

    fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.inner.watch(fd)
    }
}

impl<D> Drop for XdpDriver<D> {
    /// Sends what is on its way.
    fn drop(&mut self) {
        for queue in self.queues.iter_mut().flatten() {
            queue.flush(&self.ledger);
        }
    }
}
