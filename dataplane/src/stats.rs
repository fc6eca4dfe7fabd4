//! Counter values as plain data, added up for readers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::counters::{Missed, QueueCounters, WorkerCounters};
use crate::drop_reason::DropReason;
use crate::id::{PortId, UnderlayId, WorkerId};
use crate::stage::{Stage, StageStats};

/// Every counter of the dataplane at one moment.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The oldest generation of the tables that a worker may still use.
    pub generation: u64,
    /// Each worker, in order.
    pub workers: Vec<WorkerStats>,
    /// Each port, summed over its queues.
    pub ports: Vec<(PortId, QueueStats)>,
    /// Each local tunnel endpoint, summed over its sockets.
    pub underlays: Vec<(UnderlayId, QueueStats)>,
    /// The wire of all of them, summed over its queues, if there is or was one.
    pub wire: Option<QueueStats>,
    /// How the workers' stages were measured, if they were.
    pub measured: Option<Measured>,
}

/// A measurement of the workers' stages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Whether it goes on.
    pub running: bool,
    /// How long it took so far.
    pub duration: Duration,
    /// What a second is in [`StageStats::cycles`].
    pub hertz: f64,
}

/// A worker's counters; see [`WorkerCounters`] for their meaning.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "documented at WorkerCounters")]
pub struct WorkerStats {
    pub id: WorkerId,
    /// The CPU it is pinned to.
    pub cpu: Option<usize>,
    pub received: u64,
    pub sent: u64,
    pub originated: u64,
    pub consumed: u64,
    pub segmented: u64,
    pub flooded: u64,
    pub fragmented: u64,
    pub coalesced: u64,
    pub held: u64,
    pub icmp_limited: u64,
    pub events_lost: u64,
    pub batches: u64,
    pub waits: u64,
    pub syscalls: u64,
    /// Every reason, also those that never occurred.
    pub drops: Vec<(DropReason, u64)>,
    /// Every stage, also those that did nothing.
    pub stages: Vec<(Stage, StageStats)>,
}

impl WorkerStats {
    /// Reads a worker's counters.
    pub fn read(id: WorkerId, cpu: Option<usize>, counters: &WorkerCounters) -> Self {
        Self {
            id,
            cpu,
            received: counters.received.value(),
            sent: counters.sent.value(),
            originated: counters.originated.value(),
            consumed: counters.consumed.value(),
            segmented: counters.segmented.value(),
            flooded: counters.flooded.value(),
            fragmented: counters.fragmented.value(),
            coalesced: counters.coalesced.value(),
            held: counters.held.value(),
            icmp_limited: counters.icmp_limited.value(),
            events_lost: counters.events_lost.value(),
            batches: counters.batches.value(),
            waits: counters.waits.value(),
            syscalls: counters.syscalls.value(),
            drops: DropReason::ALL
                .iter()
                .map(|&r| (r, counters.drops(r)))
                .collect(),
            stages: Stage::ALL
                .iter()
                .map(|&stage| (stage, counters.stages.read(stage)))
                .collect(),
        }
    }
}

/// The sum of a port's or underlay's [`QueueCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "documented at QueueCounters")]
pub struct QueueStats {
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub tx_frames: u64,
    pub tx_bytes: u64,
    pub missed: Option<MissedStats>,
}

/// The sum of the [`Missed`] of queues that have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "documented at Missed")]
pub struct MissedStats {
    pub ring_full: u64,
    pub no_slot: u64,
    pub too_long: u64,
    pub invalid: u64,
}

impl MissedStats {
    fn plus(self, missed: &Missed) -> Self {
        Self {
            ring_full: self.ring_full + missed.ring_full.value(),
            no_slot: self.no_slot + missed.no_slot.value(),
            too_long: self.too_long + missed.too_long.value(),
            invalid: self.invalid + missed.invalid.value(),
        }
    }
}

impl QueueStats {
    pub(crate) fn sum_each<K: Copy + Ord + Hash>(
        queues: &HashMap<K, Vec<Arc<QueueCounters>>>,
    ) -> Vec<(K, Self)> {
        let mut sums: Vec<_> = queues
            .iter()
            .map(|(&key, counters)| (key, Self::sum(counters)))
            .collect();
        sums.sort_unstable_by_key(|&(key, _)| key);
        sums
    }

    pub(crate) fn sum(counters: &[Arc<QueueCounters>]) -> Self {
        counters.iter().fold(Self::default(), |sum, queue| Self {
            rx_frames: sum.rx_frames + queue.rx_frames.value(),
            rx_bytes: sum.rx_bytes + queue.rx_bytes.value(),
            tx_frames: sum.tx_frames + queue.tx_frames.value(),
            tx_bytes: sum.tx_bytes + queue.tx_bytes.value(),
            missed: match queue.missed.get() {
                Some(missed) => Some(sum.missed.unwrap_or_default().plus(missed)),
                None => sum.missed,
            },
        })
    }
}
