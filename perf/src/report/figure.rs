//! The figures that measurements yield, and how they are written.

use std::collections::BTreeMap;

use ringlay_control::lab::statistics::{median, quotient};
use serde::Serialize;

/// One kind of figure. Units are those of the JSON; tables scale them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// TCP payload at the receiver.
    GbitPerSecond,
    /// Datagrams received.
    PacketsPerSecond,
    /// Part of the datagrams lost, 0 to 1.
    Loss,
    /// Processors busy, whole machine.
    Cores,
    /// Datagrams received for each CPU-second of the whole machine.
    PacketsPerCpuSecond,
    /// Cycles of the whole machine for each byte of payload received.
    CyclesPerByte,
    /// System calls of the nodes for each thousand packets on the wire.
    SyscallsPerThousandPackets,
    /// Median round trip.
    P50Us,
    /// 99th percentile of the round trips.
    P99Us,
}

/// Values by figure.
pub(crate) type Figures = BTreeMap<Figure, f64>;

impl Figure {
    /// Head of its column.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::GbitPerSecond => "Gbit/s",
            Self::PacketsPerSecond => "kpps",
            Self::Loss => "lost %",
            Self::Cores => "cores",
            Self::PacketsPerCpuSecond => "kpps/core",
            Self::CyclesPerByte => "cyc/B",
            Self::SyscallsPerThousandPackets => "sys/1k",
            Self::P50Us => "p50 us",
            Self::P99Us => "p99 us",
        }
    }

    /// Its value as tables have it.
    pub(super) fn cell(self, value: f64) -> String {
        match self {
            Self::GbitPerSecond | Self::Cores | Self::CyclesPerByte => format!("{value:.2}"),
            Self::SyscallsPerThousandPackets | Self::P50Us | Self::P99Us => format!("{value:.1}"),
            Self::PacketsPerSecond | Self::PacketsPerCpuSecond => format!("{:.1}", value / 1e3),
            Self::Loss => format!("{:.1}", value * 100.0),
        }
    }
}

/// The median of each figure by itself.
pub(super) fn medians<'a>(samples: impl IntoIterator<Item = &'a Figures>) -> Figures {
    let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
    for (figure, value) in samples.into_iter().flatten() {
        values.entry(*figure).or_default().push(*value);
    }
    let middle = |(figure, values)| Some((figure, median(values)?));
    values.into_iter().filter_map(middle).collect()
}

/// Each of `above` over the same of `below`, where both have it.
pub(super) fn ratios(above: &Figures, below: &Figures) -> Figures {
    let over = |(figure, value): (&Figure, &f64)| {
        let ratio = quotient(*value, *below.get(figure)?)?;
        Some((*figure, ratio))
    };
    above.iter().filter_map(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(gigabits: f64, cores: f64) -> Figures {
        Figures::from([(Figure::GbitPerSecond, gigabits), (Figure::Cores, cores)])
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let samples = [figures(3.0, 1.0), figures(1.0, 3.0), figures(2.0, 2.0)];
        assert_eq!(medians(&samples), figures(2.0, 2.0));
        let partly = [
            figures(3.0, 1.0),
            Figures::from([(Figure::CyclesPerByte, 7.0)]),
        ];
        assert_eq!(medians(&partly)[&Figure::CyclesPerByte], 7.0);
        assert!(medians([]).is_empty());
    }

    #[test]
    fn ratios_are_of_what_both_have() {
        let mut above = figures(3.0, 1.0);
        above.insert(Figure::SyscallsPerThousandPackets, 4.0);
        assert_eq!(ratios(&above, &figures(2.0, 0.5)), figures(1.5, 2.0));
        let nothing = figures(0.0, 0.5);
        assert_eq!(
            ratios(&above, &nothing),
            Figures::from([(Figure::Cores, 2.0)])
        );
    }

    #[test]
    fn cells_are_scaled() {
        assert_eq!(Figure::PacketsPerSecond.cell(123_456.0), "123.5");
        assert_eq!(Figure::Loss.cell(0.251), "25.1");
        assert_eq!(Figure::CyclesPerByte.cell(1.234), "1.23");
        assert_eq!(Figure::SyscallsPerThousandPackets.cell(4.96), "5.0");
    }
}
