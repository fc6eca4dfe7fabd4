//! Counts what a driver does, so that every frame it took or was given is
//! accounted for once.

use std::sync::Arc;

use crossbeam::utils::CachePadded;

use crate::counters::{QueueCounters, WorkerCounters};
use crate::drop_reason::DropReason;

/// The driver's view of its worker's counters.
#[derive(Debug)]
pub(crate) struct Ledger {
    worker: Arc<CachePadded<WorkerCounters>>,
}

impl Ledger {
    pub(crate) fn new(worker: Arc<CachePadded<WorkerCounters>>) -> Self {
        Self { worker }
    }

    /// A frame of `bytes` was received and goes on.
    #[inline]
    pub(crate) fn received(&self, queue: &QueueCounters, bytes: usize) {
        self.worker.received.add(1);
        queue.rx_frames.add(1);
        queue.rx_bytes.add(bytes as u64);
    }

    /// A frame was received and goes no further.
    #[inline]
    pub(crate) fn received_in_vain(&self, reason: DropReason) {
        self.worker.received.add(1);
        self.worker.dropped(reason, 1);
    }

    /// The kernel took a frame of `bytes`.
    #[inline]
    pub(crate) fn sent(&self, queue: &QueueCounters, bytes: usize) {
        self.worker.sent.add(1);
        queue.tx_frames.add(1);
        queue.tx_bytes.add(bytes as u64);
    }

    /// `frames` frames to be sent were not.
    #[inline]
    pub(crate) fn dropped(&self, reason: DropReason, frames: usize) {
        self.worker.dropped(reason, frames as u64);
    }

    /// The driver entered the kernel.
    #[inline]
    pub(crate) fn system_calls(&self, calls: u64) {
        self.worker.syscalls.add(calls);
    }
}
