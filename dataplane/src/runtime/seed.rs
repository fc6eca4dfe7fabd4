//! What a worker grows from on a thread of its own, with the driver and the mempool that never leave it.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender};
use crossbeam::utils::CachePadded;

use super::StartError;
use crate::counters::WorkerCounters;
use crate::driver::epoll::EpollDriver;
use crate::driver::uring::UringDriver;
use crate::driver::xdp::XdpDriver;
use crate::driver::{Driver, DriverConfig, DriverKind};
use crate::event::Event;
use crate::id::WorkerId;
use crate::mempool::Mempool;
use crate::snapshot::Reader;
use crate::sys::affinity;
use crate::sys::eventfd::Waker;
use crate::tables::Tables;
use crate::worker::{Command, PollMode, Wiring, Worker};

/// The rank of workers that sleep when there is no work: before the applications whose
/// packets they carry, as the kernel's own packet processing is. A worker that waits until an
/// application has used up its time slice lets all its flows wait.
const RANK: i32 = -10;

/// What a worker thread needs to build the worker: pool and driver never leave
/// the thread.
pub(super) struct Seed {
    pub(super) id: WorkerId,
    pub(super) cpu: Option<usize>,
    pub(super) kind: DriverKind,
    pub(super) frames: u32,
    pub(super) poll: PollMode,
    pub(super) commands: Receiver<Command>,
    pub(super) events: Sender<Event>,
    pub(super) reader: Reader<Tables>,
    pub(super) counters: Arc<CachePadded<WorkerCounters>>,
    pub(super) waker: Waker,
}

impl Seed {
    /// The body of the worker's thread.
    pub(super) fn grow(self, ready: &Sender<Result<(), StartError>>) {
        let id = self.id;
        let failed = |action| {
            move |source| StartError::Worker {
                worker: id,
                action,
                source,
            }
        };
        if let Some(cpu) = self.cpu
            && let Err(error) = affinity::pin(cpu)
        {
            let _ = ready.send(Err(failed("be pinned to its CPU")(error)));
            return;
        }
        if self.poll != PollMode::Busy
            && let Err(error) = affinity::rank(RANK)
        {
            tracing::info!(worker = %id, %error, "runs at the priority of ordinary threads");
        }
        let pool = match Mempool::new(self.frames) {
            Ok(pool) => pool,
            Err(error) => {
                let _ = ready.send(Err(failed("map its mempool")(error)));
                return;
            }
        };
        let config = DriverConfig::default();
        let counters = Arc::clone(&self.counters);
        match self.kind {
            DriverKind::IoUring => {
                match UringDriver::new(config, pool.clone(), counters, &self.waker) {
                    Ok(driver) => self.work(driver, pool, ready),
                    Err(error) => drop(ready.send(Err(failed("set up its io_uring")(error)))),
                }
            }
            DriverKind::Epoll => {
                match EpollDriver::new(config, pool.clone(), counters, &self.waker) {
                    Ok(driver) => self.work(driver, pool, ready),
                    Err(error) => drop(ready.send(Err(failed("set up its epoll")(error)))),
                }
            }
        }
    }

    fn work<D: Driver>(self, driver: D, pool: Mempool, ready: &Sender<Result<(), StartError>>) {
        let wiring = Wiring {
            commands: self.commands,
            events: self.events,
            reader: self.reader,
            counters: self.counters,
            pool,
            poll: self.poll,
            // The same on every worker, so that a flow keeps its outer source port.
            hash_seed: 0x5d58_8b65_6c07_8965,
        };
        let driver = XdpDriver::new(driver, wiring.pool.clone(), Arc::clone(&wiring.counters));
        let mut worker = Worker::new(driver, wiring);
        let _ = ready.send(Ok(()));
        if let Err(error) = worker.run() {
            tracing::error!(worker = %self.id, %error, "worker stopped: its driver failed");
        }
    }
}
