//! Counts what a driver does, so that every frame it took or was given is
//! accounted for once.

use std::sync::Arc;

use crossbeam::utils::CachePadded;

use crate::counters::{QueueCounters, WorkerCounters};
use crate::drop_reason::DropReason;
use crate::frame::Frame;

/// The driver's view of its worker's counters.
#[derive(Debug)]
pub(crate) struct Ledger {
    worker: Arc<CachePadded<WorkerCounters>>,
}

impl Ledger {
    pub(crate) fn new(worker: Arc<CachePadded<WorkerCounters>>) -> Self {
        Self { worker }
    }

    /// A frame was received and goes on.
    #[inline]
    pub(crate) fn received(&self, queue: &QueueCounters, frame: &Frame) {
        let datagrams = frame.datagrams() as u64;
        self.worker.received.add(datagrams);
        queue.rx_frames.add(datagrams);
        queue.rx_bytes.add(frame.len() as u64);
    }

    /// A frame was received and goes no further.
    #[inline]
    pub(crate) fn received_in_vain(&self, reason: DropReason) {
        self.worker.received.add(1);
        self.worker.dropped(reason, 1);
    }

    /// The kernel took a frame, of which `header` bytes in front are the driver's own.
    #[inline]
    pub(crate) fn sent(&self, queue: &QueueCounters, frame: &Frame, header: usize) {
        let datagrams = frame.datagrams() as u64;
        self.worker.sent.add(datagrams);
        queue.tx_frames.add(datagrams);
        queue.tx_bytes.add((frame.len() - header) as u64);
    }

    /// The kernel took one packet of a frame.
    #[inline]
    pub(crate) fn sent_packet(&self, queue: &QueueCounters, len: usize) {
        self.worker.sent.add(1);
        queue.tx_frames.add(1);
        queue.tx_bytes.add(len as u64);
    }

    /// One packet of a frame to be sent was not.
    #[inline]
    pub(crate) fn dropped_packet(&self, reason: DropReason) {
        self.worker.dropped(reason, 1);
    }

    /// A frame to be sent was not.
    #[inline]
    pub(crate) fn dropped(&self, reason: DropReason, frame: &Frame) {
        self.worker.dropped(reason, frame.datagrams() as u64);
    }

    /// The driver entered the kernel.
    #[inline]
    pub(crate) fn system_calls(&self, calls: u64) {
        self.worker.syscalls.add(calls);
    }
}
