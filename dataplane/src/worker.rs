//! One pinned thread that runs frames to completion.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use crossbeam::utils::CachePadded;
use ringlay_encap::IpProtocol;
use ringlay_encap::ip::IpVersion;

use crate::batch::Batch;
use crate::counters::{QueueCounters, WorkerCounters};
use crate::driver::{Driver, Owner, Queue, QueueId};
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::id::{PortId, TunnelId, UnderlayId};
use crate::mempool::Mempool;
use crate::node::{Context, Graph, Output};
use crate::snapshot::Reader;
use crate::stage::Stage;
use crate::tables::Tables;

/// How a worker waits for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollMode {
    /// Look for work a little longer, then sleep.
    Adaptive {
        /// How long.
        spin: Duration,
    },
    /// Never sleep.
    Busy,
    /// Sleep as soon as there is no work.
    Interrupt,
}

impl PollMode {
    /// How long an adaptive worker looks for work unless told otherwise: about what the
    /// far end of a request takes to answer. Waking a sleeping thread costs as much, on
    /// a virtual machine more.
    pub const SPIN: Duration = Duration::from_micros(50);

    /// How long to look for work before sleeping; `None` is forever.
    fn spin(self) -> Option<Duration> {
        match self {
            Self::Adaptive { spin } => Some(spin),
            Self::Busy => None,
            Self::Interrupt => Some(Duration::ZERO),
        }
    }
}

impl Default for PollMode {
    fn default() -> Self {
        Self::Adaptive { spin: Self::SPIN }
    }
}

/// What the runtime tells a worker. Each is rare; the channel is looked at once a batch.
#[derive(Debug)]
pub(crate) enum Command {
    Attach {
        queue: Queue,
        counters: Arc<QueueCounters>,
        done: Sender<io::Result<()>>,
    },
    DetachPort {
        id: PortId,
        done: Sender<io::Result<()>>,
    },
    DetachUnderlay {
        id: UnderlayId,
        done: Sender<io::Result<()>>,
    },
    DetachWire {
        done: Sender<io::Result<()>>,
    },
    Inject {
        tunnel: TunnelId,
        frame: Vec<u8>,
    },
    InjectLink {
        port: PortId,
        frame: Vec<u8>,
    },
    /// Ask the kernel what it dropped of the worker's queues.
    CountMissed {
        done: Sender<io::Result<()>>,
    },
    /// Measure the stages, from zero unless they are measured already, or no more.
    MeasureStages {
        on: bool,
        done: Sender<io::Result<()>>,
    },
    Stop,
}

/// The parts of a worker that do not depend on its driver.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: Sender<Event>,
    pub(crate) reader: Reader<Tables>,
    pub(crate) counters: Arc<CachePadded<WorkerCounters>>,
    pub(crate) pool: Mempool,
    pub(crate) poll: PollMode,
    pub(crate) hash_seed: u64,
}

/// A worker: its driver, its graph, and which queue belongs to what.
#[derive(Debug)]
pub(crate) struct Worker<D> {
    driver: D,
    wiring: Wiring,
    graph: Graph,
    received: Batch,
    /// By [`PortId`].
    ports: Vec<Option<QueueId>>,
    /// By [`UnderlayId`].
    underlays: Vec<Option<QueueId>>,
    /// By [`UnderlayId`], where IPv6 packets inside have a socket of their own.
    ipv6: Vec<Option<QueueId>>,
    /// By [`UnderlayId`].
    uplinks: Vec<Option<QueueId>>,
    /// The first queue of the wire, if there is one: a table of one.
    wire: Vec<Option<QueueId>>,
    /// Queues that are received from only.
    further: Vec<(Owner, QueueId)>,
}

impl<D: Driver> Worker<D> {
    pub(crate) fn new(driver: D, wiring: Wiring) -> Self {
        Self {
            driver,
            graph: Graph::new(wiring.pool.clone(), wiring.hash_seed, Instant::now()),
            wiring,
            received: Batch::new(),
            ports: Vec::new(),
            underlays: Vec::new(),
            ipv6: Vec::new(),
            uplinks: Vec::new(),
            wire: Vec::new(),
            further: Vec::new(),
        }
    }

    /// Forwards until told to stop.
    ///
    /// # Errors
    ///
    /// When the driver cannot wait any more.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut idle_since = None;
        while self.obey() {
            if self.turn() {
                idle_since = None;
                continue;
            }
            self.wiring.counters.stages.resume(Stage::Idle);
            let now = Instant::now();
            let since = *idle_since.get_or_insert(now);
            if self
                .wiring
                .poll
                .spin()
                .is_some_and(|spin| now - since >= spin)
            {
                self.wiring.counters.waits.add(1);
                let timeout = self
                    .graph
                    .held_until()
                    .map(|at| at.saturating_duration_since(now));
                self.wiring.counters.stages.begin(Stage::Wait);
                self.driver.wait(timeout)?;
                self.wiring.counters.stages.resume(Stage::Idle);
                idle_since = None;
            } else {
                // Whoever else wants this CPU, such as the peer of the conversation, has it.
                std::thread::yield_now();
            }
        }
        self.stop();
        Ok(())
    }

    /// One batch: returns whether there was work.
    fn turn(&mut self) -> bool {
        self.wiring.counters.stages.resume(Stage::Receive);
        self.driver.receive(&mut self.received);
        self.wiring.counters.stages.received(self.received.len());
        let changed = self.wiring.reader.refresh();
        let holding = self.graph.held_until();
        if self.received.is_empty() && !changed && holding.is_none() {
            return false;
        }
        let now = Instant::now();
        let worked = changed || !self.received.is_empty() || holding.is_some_and(|at| at <= now);
        let (graph, received, context, output) = &mut self.split(now);
        if !received.is_empty() {
            context.counters.batches.add(1);
            graph.run(received, context, output);
        }
        if holding.is_some() {
            graph.expire_held(context, output);
            if changed {
                graph.release_held(context, output);
            }
        }
        self.wiring.counters.stages.flush();
        self.driver.flush();
        worked
    }

    /// What a batch needs, lent out part by part: the graph, what it is to take, what
    /// it may use, and where its output goes.
    #[inline]
    fn split(&mut self, now: Instant) -> (&mut Graph, &mut Batch, Context<'_>, Queues<'_, D>) {
        let output = Queues {
            driver: &mut self.driver,
            ports: &self.ports,
            underlays: &self.underlays,
            ipv6: &self.ipv6,
            uplinks: &self.uplinks,
            wire: queue_of(&self.wire, 0),
            counters: &self.wiring.counters,
        };
        (
            &mut self.graph,
            &mut self.received,
            self.wiring.context(now),
            output,
        )
    }

    /// Carries out waiting commands; false when told to stop.
    fn obey(&mut self) -> bool {
        // Whether the channel is empty is a plain load; receiving is not.
        while !self.wiring.commands.is_empty() {
            let Ok(command) = self.wiring.commands.try_recv() else {
                break;
            };
            self.wiring.counters.stages.begin(Stage::Control);
            match command {
                Command::Attach {
                    queue,
                    counters,
                    done,
                } => {
                    let _ = done.send(self.attach(queue, counters));
                }
                Command::DetachPort { id, done } => {
                    self.detach_port(id);
                    let _ = done.send(Ok(()));
                }
                Command::DetachUnderlay { id, done } => {
                    self.detach_underlay(id);
                    let _ = done.send(Ok(()));
                }
                Command::DetachWire { done } => {
                    self.detach_wire();
                    let _ = done.send(Ok(()));
                }
                Command::Inject { tunnel, frame } => {
                    self.inject(&frame, |graph, frame, context, output| {
                        graph.inject(frame, tunnel, context, output);
                    });
                }
                Command::InjectLink { port, frame } => {
                    self.inject(&frame, |graph, frame, context, output| {
                        graph.inject_link(frame, port, context, output);
                    });
                }
                Command::CountMissed { done } => {
                    self.driver.count_missed();
                    let _ = done.send(Ok(()));
                }
                Command::MeasureStages { on, done } => {
                    self.measure_stages(on);
                    let _ = done.send(Ok(()));
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn measure_stages(&self, on: bool) {
        let stages = &self.wiring.counters.stages;
        match (on, stages.is_running()) {
            (true, false) => stages.start(),
            (false, true) => stages.stop(),
            _ => {}
        }
    }

    fn attach(&mut self, queue: Queue, counters: Arc<QueueCounters>) -> io::Result<()> {
        let owner = match queue {
            Queue::Xdp { owner, .. } => Some(owner),
            Queue::Packet { port, .. } => Some(Owner::Port(port)),
            _ => None,
        };
        let (table, index) = match &queue {
            Queue::Tun { port, .. } | Queue::Tap { port, .. } | Queue::Packet { port, .. } => {
                (&mut self.ports, port.index())
            }
            Queue::Underlay { id, .. } => (&mut self.underlays, id.index()),
            Queue::Raw { id, socket } if socket.protocol == IpProtocol::IPV6 => {
                (&mut self.ipv6, id.index())
            }
            Queue::Raw { id, .. } => (&mut self.underlays, id.index()),
            Queue::Uplink { id, .. } => (&mut self.uplinks, id.index()),
            Queue::Xdp { owner, .. } => match owner {
                Owner::Wire => (&mut self.wire, 0),
                Owner::Port(id) => (&mut self.ports, id.index()),
            },
        };
        let receives_only = matches!(queue, Queue::Xdp { added: true, .. });
        if let Some(owner) = owner
            && (receives_only || queue_of(table, index).is_some())
        {
            let queue = self.driver.attach(queue, counters)?;
            self.further.push((owner, queue));
            return Ok(());
        }
        if table.len() <= index {
            table.resize(index + 1, None);
        }
        debug_assert!(table[index].is_none(), "identifiers are attached once");
        table[index] = Some(self.driver.attach(queue, counters)?);
        Ok(())
    }

    fn detach_port(&mut self, id: PortId) {
        let first = self.ports.get_mut(id.index()).and_then(Option::take);
        self.detach_all(first, Owner::Port(id));
    }

    fn detach_underlay(&mut self, id: UnderlayId) {
        for table in [&mut self.underlays, &mut self.ipv6, &mut self.uplinks] {
            if let Some(queue) = table.get_mut(id.index()).and_then(Option::take) {
                self.driver.detach(queue);
            }
        }
    }

    fn detach_wire(&mut self) {
        let first = self.wire.first_mut().and_then(Option::take);
        self.detach_all(first, Owner::Wire);
    }

    fn detach_all(&mut self, first: Option<QueueId>, of: Owner) {
        let further = self.further.extract_if(.., |(owner, _)| *owner == of);
        for queue in first.into_iter().chain(further.map(|(_, queue)| queue)) {
            self.driver.detach(queue);
        }
    }

    fn inject(
        &mut self,
        data: &[u8],
        enter: impl FnOnce(&mut Graph, Frame, &Context<'_>, &mut Queues<'_, D>),
    ) {
        self.wiring.reader.refresh();
        let copy = self.wiring.pool.copy_of(data);
        let (graph, _, context, output) = &mut self.split(Instant::now());
        match copy {
            Some(mut frame) => {
                frame.meta.ingress = Ingress::Node;
                enter(graph, frame, context, output);
            }
            None => {
                context.counters.originated.add(1);
                context.counters.dropped(DropReason::PoolExhausted, 1);
            }
        }
        // The refresh may have brought what held frames wait for.
        graph.release_held(context, output);
        self.wiring.counters.stages.flush();
        self.driver.flush();
    }

    fn stop(&mut self) {
        for index in 0..self.ports.len() {
            self.detach_port(PortId(index as u16));
        }
        for index in 0..self.underlays.len() {
            self.detach_underlay(UnderlayId(index as u16));
        }
        self.detach_wire();
        let context = self.wiring.context(Instant::now());
        self.graph.shut_down(&context);
    }
}

/// Where frames go that leave the graph.
struct Queues<'a, D> {
    driver: &'a mut D,
    ports: &'a [Option<QueueId>],
    underlays: &'a [Option<QueueId>],
    ipv6: &'a [Option<QueueId>],
    uplinks: &'a [Option<QueueId>],
    wire: Option<QueueId>,
    counters: &'a WorkerCounters,
}

impl<D: Driver> Output for Queues<'_, D> {
    #[inline]
    fn port(&mut self, frame: Frame) {
        match queue_of(self.ports, frame.meta.egress.index()) {
            Some(queue) => self.driver.send(queue, frame),
            None => self.counters.dropped(DropReason::PortGone, 1),
        }
    }

    #[inline]
    fn underlay(&mut self, frame: Frame) {
        let index = frame.meta.underlay.index();
        let queue = match queue_of(self.ipv6, index) {
            Some(queue) if IpVersion::of(frame.data()) == Ok(IpVersion::V6) => Some(queue),
            _ => queue_of(self.underlays, index),
        };
        match queue {
            Some(queue) => self.driver.send(queue, frame),
            None => self
                .counters
                .dropped(DropReason::TunnelGone, frame.datagrams() as u64),
        }
    }

    #[inline]
    fn uplink(&mut self, frame: Frame) {
        match queue_of(self.uplinks, frame.meta.underlay.index()).or(self.wire) {
            Some(queue) => self.driver.send(queue, frame),
            None => self.without_uplink(frame),
        }
    }
}

impl<D: Driver> Queues<'_, D> {
    /// A wire has fewer queues than there are workers, or its device is gone: a whole frame can
    /// leave by the sockets too.
    fn without_uplink(&mut self, mut frame: Frame) {
        if frame.meta.offload.needs_checksum {
            return self.counters.dropped(DropReason::TunnelGone, 1);
        }
        // Sockets make these headers themselves.
        frame.trim_front(frame.meta.outer.into());
        self.underlay(frame);
    }
}

impl Wiring {
    fn context(&self, now: Instant) -> Context<'_> {
        Context {
            tables: self.reader.value(),
            counters: &self.counters,
            events: &self.events,
            now,
        }
    }
}

#[inline]
fn queue_of(table: &[Option<QueueId>], index: usize) -> Option<QueueId> {
    *table.get(index)?
}
