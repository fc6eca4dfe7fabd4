//! One thing that is measured on every leg, and the figures it yields.

use std::fmt;
use std::time::Duration;

use ringlay_control::lab::LabError;
use ringlay_control::lab::cpu::CpuUse;
use ringlay_control::lab::leg::{Bench, Leg, Outcome, Plan, Tally};
use ringlay_control::lab::statistics::quotient;
use ringlay_control::lab::traffic::Direction;
use ringlay_control::lab::traffic::request_response::RoundTrips;
use ringlay_control::lab::traffic::tcp_bulk::TcpBulk;
use ringlay_control::lab::traffic::udp_flood::UdpFlood;
use ringlay_control::lab::tsc::Tsc;
use serde::Serialize;

use crate::report::figure::{Figure, Figures};

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Measure {
    /// TCP in bulk.
    Tcp {
        /// Which way.
        direction: Direction,
        /// Connections at once.
        streams: usize,
    },
    /// UDP datagrams, as fast as they go.
    Udp {
        /// Which way.
        direction: Direction,
        /// Bytes of a datagram.
        payload: usize,
    },
    /// TCP request and response, from host a.
    RoundTrips,
}

/// What a measurement brought, whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Taken {
    /// Of [`Measure::Tcp`].
    Tcp(Outcome<TcpBulk>),
    /// Of [`Measure::Udp`].
    Udp {
        /// Bytes of a datagram.
        #[serde(skip)]
        payload: usize,
        /// The rest.
        #[serde(flatten)]
        outcome: Outcome<UdpFlood>,
    },
    /// Of [`Measure::RoundTrips`].
    RoundTrips(Outcome<RoundTrips>),
}

impl Measure {
    /// Measures once.
    pub(super) fn take(self, leg: &Leg, bench: &Bench<'_>, plan: &Plan) -> Result<Taken, LabError> {
        match self {
            Self::Tcp { direction, streams } => {
                let outcome = leg.tcp(bench, plan, direction, streams)?;
                Ok(Taken::Tcp(outcome))
            }
            Self::Udp { direction, payload } => {
                let outcome = leg.udp(bench, plan, direction, payload)?;
                Ok(Taken::Udp { payload, outcome })
            }
            Self::RoundTrips => Ok(Taken::RoundTrips(leg.round_trips(bench, plan)?)),
        }
    }

    /// How long that takes, about.
    pub(super) fn expected(self, plan: &Plan) -> Duration {
        match self {
            Self::Tcp { .. } => plan.duration + TCP_EXTRA,
            Self::Udp { .. } => plan.duration + UDP_EXTRA,
            Self::RoundTrips => plan.duration / 2,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { direction, streams } => {
                let plural = if *streams == 1 { "" } else { "s" };
                write!(f, "TCP, {streams} stream{plural}, {direction}")
            }
            Self::Udp { direction, payload } => write!(f, "UDP, {payload} bytes, {direction}"),
            Self::RoundTrips => f.write_str("TCP request and response, 64 bytes"),
        }
    }
}

impl Taken {
    /// Counters around it.
    pub(crate) fn tally(&self) -> &Tally {
        match self {
            Self::Tcp(outcome) => &outcome.tally,
            Self::Udp { outcome, .. } => &outcome.tally,
            Self::RoundTrips(outcome) => &outcome.tally,
        }
    }

    /// The figures, in so far as they can be told.
    pub(crate) fn figures(&self, tsc: Option<&Tsc>) -> Figures {
        let figures: Vec<(Figure, Option<f64>)> = match self {
            Self::Tcp(outcome) => tcp_figures(outcome, tsc),
            Self::Udp { payload, outcome } => udp_figures(*payload, outcome, tsc),
            Self::RoundTrips(outcome) => vec![
                (Figure::P50Us, Some(outcome.traffic.p50)),
                (Figure::P99Us, Some(outcome.traffic.p99)),
                (Figure::Cores, Some(outcome.cpu.cores())),
            ],
        };
        let known = figures
            .into_iter()
            .filter_map(|(figure, value)| Some((figure, value?)));
        known.collect()
    }
}

fn tcp_figures(outcome: &Outcome<TcpBulk>, tsc: Option<&Tsc>) -> Vec<(Figure, Option<f64>)> {
    let Outcome {
        traffic,
        cpu,
        tally,
    } = outcome;
    vec![
        (Figure::GbitPerSecond, Some(traffic.bits_per_second / 1e9)),
        (Figure::Cores, Some(cpu.cores())),
        (
            Figure::CyclesPerByte,
            cycles_per_byte(cpu, traffic.bytes, tsc),
        ),
        (
            Figure::SyscallsPerThousandPackets,
            tally.syscalls_per_thousand_packets(),
        ),
    ]
}

fn udp_figures(
    payload: usize,
    outcome: &Outcome<UdpFlood>,
    tsc: Option<&Tsc>,
) -> Vec<(Figure, Option<f64>)> {
    let Outcome { traffic, cpu, .. } = outcome;
    let bytes = traffic.received * payload as u64;
    let per_cpu_second = quotient(traffic.received as f64, cpu.machine.total());
    vec![
        (Figure::PacketsPerSecond, Some(traffic.packets_per_second)),
        (Figure::Loss, Some(traffic.loss())),
        (Figure::Cores, Some(cpu.cores())),
        (Figure::PacketsPerCpuSecond, per_cpu_second),
        (Figure::CyclesPerByte, cycles_per_byte(cpu, bytes, tsc)),
    ]
}

/// Processor time of the whole machine, as cycles of the time-stamp counter, for each byte of
/// payload that arrived.
fn cycles_per_byte(cpu: &CpuUse, bytes: u64, tsc: Option<&Tsc>) -> Option<f64> {
    quotient(cpu.machine.total() * tsc?.hertz, bytes as f64)
}

/// Starting both ends.
const TCP_EXTRA: Duration = Duration::from_millis(200);
/// That, and waiting for the last datagram.
const UDP_EXTRA: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use ringlay_control::lab::cpu::CpuTime;

    use super::*;

    fn cpu() -> CpuUse {
        let machine = CpuTime {
            user: 0.5,
            system: 0.5,
            irq: 0.0,
            softirq: 1.0,
        };
        CpuUse {
            seconds: 1.25,
            machine,
            processes: 1.0,
        }
    }

    fn tsc() -> Tsc {
        Tsc {
            hertz: 2e9,
            source: "test",
        }
    }

    fn tcp(bytes: u64, syscalls: Option<u64>) -> Taken {
        Taken::Tcp(Outcome {
            traffic: TcpBulk {
                bytes,
                bits_per_second: 8e9,
            },
            cpu: cpu(),
            tally: Tally {
                tcp_segments: 1_000_000,
                syscalls,
                ..Tally::default()
            },
        })
    }

    #[test]
    fn tcp_is_told_in_gigabits_cores_cycles_and_calls() {
        let figures = tcp(1_000_000_000, Some(4_500)).figures(Some(&tsc()));
        let expected = [
            (Figure::GbitPerSecond, 8.0),
            (Figure::Cores, 1.6),
            (Figure::CyclesPerByte, 4.0),
            (Figure::SyscallsPerThousandPackets, 4.5),
        ];
        assert_eq!(figures, expected.into_iter().collect());
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        let figures = tcp(1, None).figures(None);
        let left: Vec<_> = figures.keys().copied().collect();
        assert_eq!(left, [Figure::GbitPerSecond, Figure::Cores]);
        assert!(
            !tcp(0, None)
                .figures(Some(&tsc()))
                .contains_key(&Figure::CyclesPerByte)
        );
    }

    #[test]
    fn udp_is_told_in_packets_received() {
        let outcome = Outcome {
            traffic: UdpFlood {
                sent: 400_000,
                received: 100_000,
                packets_per_second: 100_000.0,
            },
            cpu: cpu(),
            tally: Tally::default(),
        };
        let taken = Taken::Udp {
            payload: 64,
            outcome,
        };
        let figures = taken.figures(Some(&tsc()));
        let expected = [
            (Figure::PacketsPerSecond, 100_000.0),
            (Figure::Loss, 0.75),
            (Figure::Cores, 1.6),
            (Figure::PacketsPerCpuSecond, 50_000.0),
            (Figure::CyclesPerByte, 625.0),
        ];
        assert_eq!(figures, expected.into_iter().collect());
    }
}
