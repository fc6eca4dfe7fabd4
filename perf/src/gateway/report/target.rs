//! What a gateway is to reach, and whether it did.

use serde::Serialize;

use super::super::direction::Direction;
use super::super::leg::{LegKind, Ports};
use super::{LegResult, TableReport};

/// A ratio that is to be reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Target {
    /// Of what, and on which leg.
    pub(super) what: String,
    /// What was reached, where it was measured.
    pub(super) reached: Option<f64>,
    /// What is to be reached.
    pub(super) wanted: f64,
}

impl Target {
    /// Whether it is reached; nothing if that was not measured.
    pub(super) fn is_met(&self) -> Option<bool> {
        self.reached.map(|reached| reached >= self.wanted)
    }
}

/// Those of the shortest frames that are encapsulated, which cost the most; nothing if there are none.
pub(super) fn all(tables: &[TableReport]) -> Vec<Target> {
    let encap = tables
        .iter()
        .filter(|table| table.direction == Direction::Encap);
    let Some(table) = encap.min_by_key(|table| table.frame) else {
        return Vec::new();
    };
    let mut legs = LEGS.iter().map(|ports| LegKind::Ringlay(*ports));
    let Some(kind) = legs.find(|kind| table.of(*kind).is_some()) else {
        return Vec::new();
    };
    let result = table.of(kind).cloned().unwrap_or_default();
    targets(kind, table.frame, &result)
}

fn targets(kind: LegKind, frame: u16, result: &LegResult) -> Vec<Target> {
    let target = |what: &str, reached, wanted| Target {
        what: format!("{kind}, encapsulate, {frame} bytes: {what}"),
        reached,
        wanted,
    };
    let (full, loss_free) = (&result.full, &result.loss_free);
    vec![
        target("rate, full load, to testpmd", full.rate_to_testpmd, RATE),
        target(
            "rate, loss-free, to testpmd",
            loss_free.rate_to_testpmd,
            RATE,
        ),
        target(
            "frames a CPU-second, full load, to the kernel",
            full.per_cpu_second_to_kernel,
            PER_CPU_SECOND,
        ),
        target(
            "frames a CPU-second, loss-free, to the kernel",
            loss_free.per_cpu_second_to_kernel,
            PER_CPU_SECOND,
        ),
    ]
}

/// The leg that is judged: the first of these that there is.
const LEGS: [Ports; 4] = [Ports::XdpXdp, Ports::TunXdp, Ports::TapUdp, Ports::TunUdp];
const RATE: f64 = 0.8;
const PER_CPU_SECOND: f64 = 2.0;
