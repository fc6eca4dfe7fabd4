//! Why workers, or what is given to them, cannot be had.

use std::io;

use thiserror::Error;

use crate::driver::probe::ChooseDriverError;
use crate::id::WorkerId;

/// Why the workers did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// No worker was asked for.
    #[error("at least one worker is needed")]
    NoWorkers,
    /// The driver asked for, or any driver, is not to be had.
    #[error(transparent)]
    Driver(#[from] ChooseDriverError),
    /// A worker could not set itself up.
    #[error("worker {worker} cannot {action}")]
    Worker {
        /// The worker.
        worker: WorkerId,
        /// What it tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why a port or underlay could not be given to the workers. None of them serves it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There must be one queue for each worker.
    #[error("{queues} queues for {workers} workers: there must be one for each")]
    QueueCount {
        /// Queues given.
        queues: usize,
        /// Workers running.
        workers: usize,
    },
    /// The identifier is in use.
    #[error("the identifier is in use")]
    InUse,
    /// A worker's driver refused the queue.
    #[error("worker {worker} cannot serve its queue")]
    Driver {
        /// The worker.
        worker: WorkerId,
        /// Why.
        source: io::Error,
    },
    /// The device's packets cannot be led to the workers.
    #[error("cannot lead packets of the device to the workers")]
    Lead(#[source] io::Error),
    /// A worker is gone.
    #[error("worker {worker} has stopped")]
    Stopped {
        /// The worker.
        worker: WorkerId,
    },
}

impl AttachError {
    fn errno(&self) -> Option<i32> {
        match self {
            Self::Driver { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether a queue is taken; that of a process that has ended is so for a moment more.
    pub fn is_busy(&self) -> bool {
        self.errno() == Some(libc::EBUSY)
    }

    /// Whether the device's driver, or the kernel for it, refused what was asked of a queue.
    pub fn is_refused(&self) -> bool {
        let refusals = [libc::EOPNOTSUPP, libc::EINVAL, libc::ENOENT];
        self.errno().is_some_and(|errno| refusals.contains(&errno))
    }

    /// Whether the workers may not pin the memory that they would share with the kernel.
    pub fn is_unpinned(&self) -> bool {
        self.errno() == Some(libc::ENOBUFS)
    }
}
