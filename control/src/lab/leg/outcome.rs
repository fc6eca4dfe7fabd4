//! What a measurement ends with: the traffic's own figures, and what it cost.

use serde::Serialize;

use super::Leg;
use crate::lab::cpu::CpuUse;
use crate::lab::drops::Drops;
use crate::lab::protocol_counters::ProtocolCounters;
use crate::lab::topology::Topology;
use crate::lab::{LabError, kernel_drops};

/// One measurement of one kind of traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome<T> {
    /// What arrived.
    pub traffic: T,
    /// Processor time meanwhile.
    pub cpu: CpuUse,
    /// What was counted meanwhile.
    pub tally: Tally,
}

/// Counters around an overlay: since its start, or between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// TCP segments that both hosts sent, acknowledgements and retransmissions included. Each is
    /// one packet on the wire, however the overlay hands it over; see
    /// [`ProtocolCounters::tcp_segments_sent`].
    pub tcp_segments: u64,
    /// System calls of the workers of all Ringlay nodes; nothing where there is no node.
    pub syscalls: Option<u64>,
    /// Packets dropped on both hosts, by the nodes and by the kernel around them.
    pub drops: Drops,
}

impl Tally {
    /// The counters now.
    pub(super) fn of(leg: &Leg, topology: &Topology) -> Result<Self, LabError> {
        let hosts = [&topology.a, &topology.b];
        let mut tally = Self {
            drops: kernel_drops::count(hosts, leg.kind.devices())?,
            ..Self::default()
        };
        for host in hosts {
            tally.tcp_segments += ProtocolCounters::of(host)?.tcp_segments_sent();
        }
        for node in &leg.nodes {
            let stats = node.stats()?;
            let calls: u64 = stats.workers.iter().map(|worker| worker.syscalls).sum();
            *tally.syscalls.get_or_insert_default() += calls;
            for drop in stats.drops {
                tally.drops.count(drop.reason, drop.frames);
            }
        }
        Ok(tally)
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let calls = |now: u64| now.saturating_sub(earlier.syscalls.unwrap_or_default());
        Self {
            tcp_segments: self.tcp_segments.saturating_sub(earlier.tcp_segments),
            syscalls: self.syscalls.map(calls),
            drops: self.drops.since(&earlier.drops),
        }
    }

    /// System calls of the nodes for each thousand packets on the wire; nothing where there is no
    /// node or were no packets.
    pub fn syscalls_per_thousand_packets(&self) -> Option<f64> {
        let calls = self.syscalls?;
        (self.tcp_segments > 0).then(|| calls as f64 * 1e3 / self.tcp_segments as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(tcp_segments: u64, syscalls: Option<u64>, drops: u64) -> Tally {
        let mut tally = Tally {
            tcp_segments,
            syscalls,
            drops: Drops::default(),
        };
        tally.drops.count("no_route".into(), drops);
        tally
    }

    #[test]
    fn only_what_was_added_counts() {
        let now = tally(1500, Some(90), 5);
        let then = tally(500, Some(80), 2);
        assert_eq!(now.since(&then), tally(1000, Some(10), 3));
        assert_eq!(
            tally(7, None, 1).since(&tally(3, None, 0)),
            tally(4, None, 1)
        );
    }

    #[test]
    fn system_calls_are_told_by_the_thousand_packets() {
        let per_thousand = |segments, calls| {
            let tally = tally(segments, calls, 0);
            tally.syscalls_per_thousand_packets()
        };
        assert_eq!(per_thousand(200_000, Some(800)), Some(4.0));
        assert_eq!(per_thousand(0, Some(800)), None);
        assert_eq!(per_thousand(200_000, None), None);
    }
}
