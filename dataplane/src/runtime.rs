//! Starts and stops workers, gives them queues, and publishes tables to them.
//!
//! This is the whole interface of the dataplane to the control plane. None of it
//! makes a worker wait for the caller.

mod error;
mod led;
mod packet;
mod seed;
mod stages;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use crossbeam::utils::CachePadded;

use crate::counters::{QueueCounters, WorkerCounters};
use crate::driver::Queue;
use crate::driver::probe::{self, DriverChoice, DriverReport};
use crate::event::Event;
use crate::id::{PortId, TunnelId, UnderlayId, WorkerId};
use crate::port::classifier::Hook;
use crate::port::tun::TunDevice;
use crate::port::underlay::{Claim, Receivers, UnderlaySockets};
use crate::port::uplink::UplinkDevice;
use crate::snapshot::Publisher;
use crate::stats::{QueueStats, Stats, WorkerStats};
use crate::sys::affinity;
use crate::sys::eventfd::Waker;
use crate::sys::tun::Layer;
use crate::tables::Tables;
use crate::worker::Command;

pub use self::error::{AttachError, StartError};
pub use self::led::Led;
use self::seed::Seed;
use self::stages::Measurement;
pub use crate::worker::PollMode;

/// Events that may wait for the control plane.
const EVENT_QUEUE: usize = 1024;

/// How often [`Runtime::wait_confirmed`] looks.
const CONFIRM_POLL: Duration = Duration::from_micros(50);

/// How long it looks all the time before: a worker that sleeps wakes up in less.
const CONFIRM_SPIN: Duration = Duration::from_micros(200);

/// How long [`Runtime::stats`] waits for workers to ask the kernel what it dropped.
const MISSED_PATIENCE: Duration = Duration::from_millis(20);

/// How to run the workers.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// One entry a worker: the CPU to pin it to, or `None` to leave it to the kernel.
    pub workers: Vec<Option<usize>>,
    /// Which driver to use.
    pub driver: DriverChoice,
    /// How workers wait.
    pub poll: PollMode,
    /// Frames in each worker's mempool. Those that are never needed cost no memory.
    pub frames: u32,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            workers: affinity::allowed_cpus().into_iter().map(Some).collect(),
            driver: DriverChoice::Auto,
            poll: PollMode::default(),
            frames: 8192,
        }
    }
}

/// The running workers.
#[derive(Debug)]
pub struct Runtime {
    driver: DriverReport,
    workers: Vec<Handle>,
    publisher: Mutex<Publisher<Tables>>,
    events: Receiver<Event>,
    queues: Mutex<Queues>,
    measurement: Mutex<Option<Measurement>>,
}

/// One worker as others see it.
#[derive(Debug)]
struct Handle {
    id: WorkerId,
    cpu: Option<usize>,
    commands: Sender<Command>,
    waker: Waker,
    counters: Arc<CachePadded<WorkerCounters>>,
    thread: JoinHandle<()>,
}

/// Counters of what is attached, one for each worker.
#[derive(Debug, Default)]
struct Queues {
    ports: HashMap<PortId, Vec<Arc<QueueCounters>>>,
    underlays: HashMap<UnderlayId, Vec<Arc<QueueCounters>>>,
    /// Also of wires that are gone.
    wire: Vec<Arc<QueueCounters>>,
    held: HashMap<UnderlayId, (Receivers, Option<Claim>)>,
}

impl Queues {
    /// Whether the kernel drops of some queues what workers never see.
    fn have_missed(&self) -> bool {
        let mut all = self.ports.values().flatten().chain(&self.wire);
        all.any(|queue| queue.missed.get().is_some())
    }
}

impl Runtime {
    /// Starts the workers with empty tables.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; then no worker is left running.
    pub fn start(config: RuntimeConfig) -> Result<Self, StartError> {
        if config.workers.is_empty() {
            return Err(StartError::NoWorkers);
        }
        let driver = probe::choose(config.driver)?;
        let (event_sender, events) = bounded(EVENT_QUEUE);
        let mut runtime = Self {
            driver,
            workers: Vec::with_capacity(config.workers.len()),
            publisher: Mutex::new(Publisher::new(Tables::default())),
            events,
            queues: Mutex::default(),
            measurement: Mutex::default(),
        };
        for (index, &cpu) in config.workers.iter().enumerate() {
            let id = WorkerId(index as u16);
            match runtime.spawn(id, cpu, &config, event_sender.clone()) {
                Ok(handle) => runtime.workers.push(handle),
                Err(error) => {
                    runtime.halt();
                    return Err(error);
                }
            }
        }
        Ok(runtime)
    }

    fn spawn(
        &self,
        id: WorkerId,
        cpu: Option<usize>,
        config: &RuntimeConfig,
        events: Sender<Event>,
    ) -> Result<Handle, StartError> {
        let failed = |action| {
            move |source| StartError::Worker {
                worker: id,
                action,
                source,
            }
        };
        let (commands, receiver) = unbounded();
        let waker = Waker::new().map_err(failed("create its eventfd"))?;
        let counters = Arc::new(WorkerCounters::new());
        let seed = Seed {
            id,
            cpu,
            kind: self.driver.kind,
            frames: config.frames,
            poll: config.poll,
            commands: receiver,
            events,
            reader: self.publisher().reader(),
            counters: Arc::clone(&counters),
            waker: waker.clone(),
        };
        let (ready, started) = bounded(1);
        let thread = std::thread::Builder::new()
            .name(format!("ringlay-w{id}"))
            .spawn(move || seed.grow(&ready))
            .map_err(failed("start its thread"))?;
        let gone = || {
            Err(StartError::Worker {
                worker: id,
                action: "start",
                source: io::ErrorKind::BrokenPipe.into(),
            })
        };
        started.recv().unwrap_or_else(|_| gone())?;
        Ok(Handle {
            id,
            cpu,
            commands,
            waker,
            counters,
            thread,
        })
    }

    /// The driver in use, and why.
    pub fn driver(&self) -> &DriverReport {
        &self.driver
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Serves the queues of a device, one by each worker.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; then the device is closed.
    pub fn add_port(&self, id: PortId, device: TunDevice) -> Result<(), AttachError> {
        self.check_count(device.queues.len())?;
        if self.queues().ports.contains_key(&id) {
            return Err(AttachError::InUse);
        }
        let port = id;
        let queue = |fd: OwnedFd| match device.layer {
            Layer::Ip => vec![Queue::Tun { port, fd }],
            Layer::Ethernet => vec![Queue::Tap { port, fd }],
        };
        match self.attach(device.queues.into_iter().map(queue)) {
            Ok(counters) => {
                self.queues().ports.insert(id, counters);
                Ok(())
            }
            Err(error) => {
                self.broadcast(|done| Command::DetachPort { id, done });
                Err(error)
            }
        }
    }

    /// Closes a port's queues; when it returns no worker uses them.
    pub fn remove_port(&self, id: PortId) {
        if self.queues().ports.remove(&id).is_some() {
            self.broadcast(|done| Command::DetachPort { id, done });
        }
    }

    /// Serves a local tunnel endpoint, each worker with sockets of its own.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; then the sockets are closed.
    pub fn add_underlay(
        &self,
        id: UnderlayId,
        sockets: UnderlaySockets,
    ) -> Result<(), AttachError> {
        self.check_count(sockets.queues.len())?;
        if self.queues().underlays.contains_key(&id) {
            return Err(AttachError::InUse);
        }
        let queues = sockets.queues.into_iter();
        match self.attach(queues.map(|queue| queue.into_queues(id))) {
            Ok(counters) => {
                let mut queues = self.queues();
                queues.underlays.insert(id, counters);
                queues.held.insert(id, (sockets.receivers, sockets.claim));
                Ok(())
            }
            Err(error) => {
                self.broadcast(|done| Command::DetachUnderlay { id, done });
                Err(error)
            }
        }
    }

    /// Has an endpoint's sockets report the outer time to live of each datagram, or no more. What
    /// comes by an uplink has its header anyway.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn report_ttl(&self, id: UnderlayId, on: bool) -> io::Result<()> {
        match self.queues().held.get(&id) {
            Some((receivers, _)) => receivers.report_ttl(on),
            None => Ok(()),
        }
    }

    /// Serves the queues of an endpoint's uplink, one by each worker, besides its sockets. Returns
    /// what leads packets to the uplink or marks them; drop it before [`Self::remove_underlay`].
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; then neither uplink nor sockets are served.
    pub fn add_uplink(&self, id: UnderlayId, device: UplinkDevice) -> Result<Hook, AttachError> {
        self.check_count(device.queues.len())?;
        let queue = |fd: OwnedFd| vec![Queue::Uplink { id, fd }];
        match self.attach(device.queues.into_iter().map(queue)) {
            Ok(counters) => {
                let mut queues = self.queues();
                queues.underlays.entry(id).or_default().extend(counters);
                Ok(device.hook)
            }
            Err(error) => {
                self.remove_underlay(id);
                Err(error)
            }
        }
    }

    /// Closes a tunnel endpoint's sockets and uplink; when it returns no worker uses them.
    pub fn remove_underlay(&self, id: UnderlayId) {
        if self.queues().underlays.remove(&id).is_some() {
            let held = self.queues().held.remove(&id);
            let claim = held.map(|(_, claim)| claim);
            self.broadcast(|done| Command::DetachUnderlay { id, done });
            drop(claim);
        }
    }

    /// Puts `tables` in force, each worker after the batch it is working on, and
    /// returns their generation.
    pub fn publish(&self, tables: Tables) -> u64 {
        let generation = self.publisher().publish(tables);
        for worker in &self.workers {
            worker.waker.wake();
        }
        generation
    }

    /// The oldest generation that a worker may still use.
    pub fn confirmed(&self) -> u64 {
        self.publisher().confirmed()
    }

    /// Waits until every worker forwards by `generation` or a later one; false if
    /// the time is over first.
    pub fn wait_confirmed(&self, generation: u64, timeout: Duration) -> bool {
        let begun = Instant::now();
        while self.confirmed() < generation {
            match begun.elapsed() {
                waited if waited >= timeout => return false,
                waited if waited < CONFIRM_SPIN => std::thread::yield_now(),
                _ => std::thread::sleep(CONFIRM_POLL),
            }
        }
        true
    }

    /// Sends an Ethernet frame of this node's own (ARP, neighbour discovery), or an IP packet where
    /// there are none (a probe), through a tunnel of the latest tables.
    pub fn inject(&self, tunnel: TunnelId, frame: Vec<u8>) {
        if let Some(worker) = self.workers.first() {
            worker.tell(Command::Inject { tunnel, frame });
        }
    }

    /// Sends an Ethernet frame of this node's own out of an Ethernet port.
    pub fn inject_link(&self, port: PortId, frame: Vec<u8>) {
        if let Some(worker) = self.workers.first() {
            worker.tell(Command::InjectLink { port, frame });
        }
    }

    /// What the workers have to tell. All receivers share one queue.
    pub fn events(&self) -> Receiver<Event> {
        self.events.clone()
    }

    /// All counters, as they are now. What only the kernel counts is as old as when a worker last
    /// had the time to ask.
    pub fn stats(&self) -> Stats {
        let workers = self.workers.iter();
        if self.queues().have_missed() {
            let counted = self.tell_all(|done| Command::CountMissed { done });
            let deadline = Instant::now() + MISSED_PATIENCE;
            while counted.recv_deadline(deadline).is_ok() {}
        }
        let queues = self.queues();
        Stats {
            generation: self.confirmed(),
            workers: workers
                .map(|w| WorkerStats::read(w.id, w.cpu, &w.counters))
                .collect(),
            ports: QueueStats::sum_each(&queues.ports),
            underlays: QueueStats::sum_each(&queues.underlays),
            wire: (!queues.wire.is_empty()).then(|| QueueStats::sum(&queues.wire)),
            measured: self.measured(),
        }
    }

    /// Stops the workers and closes all queues.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        for worker in &self.workers {
            worker.tell(Command::Stop);
        }
        for worker in self.workers.drain(..) {
            if worker.thread.join().is_err() {
                tracing::error!(worker = %worker.id, "worker panicked");
            }
        }
    }

    fn check_count(&self, queues: usize) -> Result<(), AttachError> {
        let workers = self.workers.len();
        if queues == workers {
            Ok(())
        } else {
            Err(AttachError::QueueCount { queues, workers })
        }
    }

    /// Gives each worker its queues, all at the same time.
    fn attach(
        &self,
        queues: impl Iterator<Item = Vec<Queue>>,
    ) -> Result<Vec<Arc<QueueCounters>>, AttachError> {
        let queues = self.workers.iter().zip(queues);
        let queues =
            queues.flat_map(|(worker, queues)| queues.into_iter().map(move |q| (worker, q)));
        let told = queues.map(|(worker, queue)| {
            let counters = Arc::new(QueueCounters::default());
            let (done, result) = bounded(1);
            worker.tell(Command::Attach {
                queue,
                counters: Arc::clone(&counters),
                done,
            });
            (worker.id, counters, result)
        });
        let told: Vec<_> = told.collect();
        let attached = told.into_iter().map(|(worker, counters, result)| {
            let result = result.recv().map_err(|_| AttachError::Stopped { worker })?;
            result.map_err(|source| AttachError::Driver { worker, source })?;
            Ok(counters)
        });
        attached.collect()
    }

    /// Tells every worker the same and waits until each has done it or is gone.
    fn broadcast(&self, command: impl Fn(Sender<io::Result<()>>) -> Command) {
        let results = self.tell_all(command);
        while results.recv().is_ok() {}
    }

    /// Tells every worker the same; the answers end when each has done it or is gone.
    fn tell_all(
        &self,
        command: impl Fn(Sender<io::Result<()>>) -> Command,
    ) -> Receiver<io::Result<()>> {
        let (done, results) = bounded(self.workers.len());
        for worker in &self.workers {
            worker.tell(command(done.clone()));
        }
        results
    }

    fn publisher(&self) -> MutexGuard<'_, Publisher<Tables>> {
        self.publisher
            .lock()
            .expect("no holder of this lock panics")
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Handle {
    /// Queues a command; a worker that is gone drops it.
    fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
        self.waker.wake();
    }
}
