//! Counters with one writer each, readable by anyone at any time.
//!
//! A worker owns one [`WorkerCounters`] and one [`QueueCounters`] for each of its
//! queues; readers add them up. Nothing here is shared between workers, so
//! counting never moves a cache line from one core to another.
//!
//! Once a worker is idle, every frame is accounted for:
//! `received + originated + segmented + flooded = sent + consumed + dropped + held + coalesced`.
//! A super-frame of a TUN device is one frame; a train of datagrams on the underlay
//! is as many frames as it has datagrams.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use crate::drop_reason::DropReason;
use crate::stage::StageClock;

/// A number that one thread changes and others may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call this: it is a plain load and
    /// store, not an atomic addition.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Replaces the value, for gauges.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts.
#[derive(Debug)]
pub struct WorkerCounters {
    /// Frames that the driver received.
    pub received: Counter,
    /// Frames that the kernel accepted from the driver.
    pub sent: Counter,
    /// Frames that this node made itself: ICMP errors, ARP and ND messages.
    pub originated: Counter,
    /// Frames that this node was the destination of: ARP and ND messages.
    pub consumed: Counter,
    /// Frames by which cutting super-frames into datagrams, and packets into fragments, added to their
    /// number.
    pub segmented: Counter,
    /// Frames by which flooding added to their number.
    pub flooded: Counter,
    /// Packets that were cut into fragments.
    pub fragmented: Counter,
    /// Frames that were merged into one received before them.
    pub coalesced: Counter,
    /// Frames that wait for a MAC address now.
    pub held: Counter,
    /// ICMP errors that the rate limit withheld.
    pub icmp_limited: Counter,
    /// Events that did not fit the queue to the control plane.
    pub events_lost: Counter,
    /// Batches processed.
    pub batches: Counter,
    /// Times the worker slept for lack of work.
    pub waits: Counter,
    /// System calls of the driver.
    pub syscalls: Counter,
    /// Where the time goes, if that is measured.
    pub stages: StageClock,
    drops: [Counter; DropReason::ALL.len()],
}

impl WorkerCounters {
    /// All zero, on cache lines of its own.
    pub fn new() -> CachePadded<Self> {
        CachePadded::new(Self {
            received: Counter::default(),
            sent: Counter::default(),
            originated: Counter::default(),
            consumed: Counter::default(),
            segmented: Counter::default(),
            flooded: Counter::default(),
            fragmented: Counter::default(),
            coalesced: Counter::default(),
            held: Counter::default(),
            icmp_limited: Counter::default(),
            events_lost: Counter::default(),
            batches: Counter::default(),
            waits: Counter::default(),
            syscalls: Counter::default(),
            stages: StageClock::default(),
            drops: std::array::from_fn(|_| Counter::default()),
        })
    }

    /// Counts `n` frames dropped for `reason`.
    #[inline]
    pub fn dropped(&self, reason: DropReason, n: u64) {
        self.drops[reason as usize].add(n);
    }

    /// How many frames were dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].value()
    }

    /// How many frames were dropped for any reason.
    pub fn total_drops(&self) -> u64 {
        self.drops.iter().map(Counter::value).sum()
    }
}

/// What one queue of a port or underlay counts, in frames and in bytes as they
/// cross the driver (IP packets on a port, UDP payload on the underlay).
#[derive(Debug, Default)]
pub struct QueueCounters {
    /// Frames received.
    pub rx_frames: Counter,
    /// Bytes received.
    pub rx_bytes: Counter,
    /// Frames sent.
    pub tx_frames: Counter,
    /// Bytes sent.
    pub tx_bytes: Counter,
    /// What never became a frame, where the kernel tells.
    pub missed: OnceLock<Missed>,
}

/// What the kernel dropped of an AF_XDP queue or a packet socket before it got here, as of when it was
/// last asked (`XDP_STATISTICS` in `linux/if_xdp.h`, `PACKET_STATISTICS` in `packet(7)`, which tells of
/// full sockets alone). No part of the sum above: these never were frames.
#[derive(Debug, Default)]
pub struct Missed {
    /// Packets that found the receive ring, or the socket, full: the worker does not keep up.
    pub ring_full: Counter,
    /// Packets that found no slot to go to: all that were lent are full, or under way. A driver
    /// with zero-copy counts its attempts to get one.
    pub no_slot: Counter,
    /// Packets that were too long for a slot.
    pub too_long: Counter,
    /// Entries of a ring that the kernel refused.
    pub invalid: Counter,
}
