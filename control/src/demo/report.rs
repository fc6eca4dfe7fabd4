//! The demo's medians and ratios in one small table; the same as JSON.
//!
//! It measures nothing: samples come in, text goes out.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::lab::cpu::CpuUse;
use crate::lab::drops::Drops;
use crate::lab::leg::{LegKind, Outcome};
use crate::lab::machine::Machine;
use crate::lab::statistics::{median, quotient};
use crate::lab::table::write_table;
use crate::lab::traffic::ping::Reply;
use crate::lab::traffic::request_response::RoundTrips;
use crate::lab::traffic::tcp_bulk::TcpBulk;
use crate::lab::traffic::udp_flood::UdpFlood;

/// A whole comparison under one set of conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    /// Where and when.
    pub(super) machine: Machine,
    /// How.
    pub(super) conditions: Conditions,
    /// The overlays compared.
    pub(super) legs: Vec<LegReport>,
    /// Each Ringlay leg over each other one.
    pub(super) ratios: Vec<Ratio>,
}

/// What all legs had in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Conditions {
    /// MTU of the underlay in bytes.
    pub(super) mtu: u32,
    /// Whether the underlay took unfinished segments and checksums.
    pub(super) offloads: bool,
    /// TCP connections at once.
    pub(super) streams: usize,
    /// Payload of a UDP datagram in bytes.
    pub(super) payload: usize,
    /// Rounds, alternating between the legs.
    pub(super) rounds: usize,
    /// Length of a bulk measurement in seconds.
    pub(super) seconds: u64,
    /// What made the TCP and UDP traffic: `built-in`, or iperf3 with its version.
    pub(super) traffic: String,
    /// Where the workers of Ringlay ran.
    pub(super) workers: String,
}

/// One overlay's results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LegReport {
    /// Name for people.
    pub(super) name: String,
    /// Whether it is Ringlay, which the ratios are of.
    pub(super) is_ringlay: bool,
    /// Why it was not measured.
    pub(super) absent: Option<String>,
    /// Which mode it runs in and why, where it says.
    pub(super) mode: Option<String>,
    /// Replies to the ping.
    pub(super) ping: Vec<Reply>,
    /// Medians over the rounds.
    pub(super) medians: Option<Medians>,
    /// Packets dropped over all rounds, by reason, both ends together.
    pub(super) drops: Drops,
    /// The rounds themselves.
    pub(super) samples: Vec<Sample>,
}

/// One measurement of everything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Sample {
    /// TCP in bulk.
    pub(super) tcp: TcpBulk,
    /// Processor time during it.
    pub(super) tcp_cpu: CpuUse,
    /// Small UDP datagrams.
    pub(super) udp: UdpFlood,
    /// Processor time during it.
    pub(super) udp_cpu: CpuUse,
    /// TCP request and response.
    pub(super) round_trips: RoundTrips,
    /// Processor time during it.
    pub(super) round_trips_cpu: CpuUse,
    /// Packets dropped meanwhile on both hosts, by the nodes and by the kernel.
    pub(super) drops: Drops,
}

/// Medians of each figure by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Medians {
    /// TCP payload at the receiver in Gbit/s.
    pub(super) tcp_gbit_per_second: f64,
    /// Processors busy during it, whole machine.
    pub(super) tcp_cores: f64,
    /// UDP datagrams received a second.
    pub(super) udp_packets_per_second: f64,
    /// Part of the datagrams lost, 0 to 1.
    pub(super) udp_loss: f64,
    /// Processors busy during it, whole machine.
    pub(super) udp_cores: f64,
    /// UDP datagrams received for each CPU-second of the whole machine.
    pub(super) udp_packets_per_cpu_second: f64,
    /// Median round trip in microseconds.
    pub(super) round_trip_p50_us: f64,
    /// 99th percentile of the round trips in microseconds.
    pub(super) round_trip_p99_us: f64,
    /// Processors busy during them, whole machine.
    pub(super) round_trip_cores: f64,
}

/// One leg's medians over another's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Ratio {
    /// The leg above the line.
    pub(super) of: String,
    /// The leg below it.
    pub(super) to: String,
    /// TCP throughput; more is better.
    pub(super) tcp: f64,
    /// UDP datagrams received; more is better.
    pub(super) udp: f64,
    /// UDP datagrams for each CPU-second; more is better.
    pub(super) udp_per_cpu_second: f64,
    /// Round trip p50; less is better.
    pub(super) round_trip_p50: f64,
    /// Round trip p99; less is better.
    pub(super) round_trip_p99: f64,
}

impl Report {
    /// Puts legs together and works out the ratios.
    pub(super) fn new(machine: Machine, conditions: Conditions, legs: Vec<LegReport>) -> Self {
        let ratios = ratios(&legs);
        Self {
            machine,
            conditions,
            legs,
            ratios,
        }
    }
}

impl LegReport {
    /// A report without results yet.
    pub(super) fn new(kind: &LegKind) -> Self {
        Self {
            name: kind.name(),
            is_ringlay: kind.is_ringlay(),
            absent: None,
            mode: None,
            ping: Vec::new(),
            medians: None,
            drops: Drops::default(),
            samples: Vec::new(),
        }
    }

    /// Adds a round.
    pub(super) fn add(&mut self, sample: Sample) {
        self.drops.add(sample.drops.clone());
        self.samples.push(sample);
        self.medians = Medians::of(&self.samples);
    }
}

impl Sample {
    /// Puts one of each together.
    pub(super) fn new(
        tcp: Outcome<TcpBulk>,
        udp: Outcome<UdpFlood>,
        round_trips: Outcome<RoundTrips>,
    ) -> Self {
        let mut drops = tcp.tally.drops;
        drops.add(udp.tally.drops);
        drops.add(round_trips.tally.drops);
        Self {
            tcp: tcp.traffic,
            tcp_cpu: tcp.cpu,
            udp: udp.traffic,
            udp_cpu: udp.cpu,
            round_trips: round_trips.traffic,
            round_trips_cpu: round_trips.cpu,
            drops,
        }
    }
}

impl Medians {
    /// Medians of `samples`; none of none.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let over = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        Some(Self {
            tcp_gbit_per_second: over(|sample| sample.tcp.bits_per_second / 1e9)?,
            tcp_cores: over(|sample| sample.tcp_cpu.cores())?,
            udp_packets_per_second: over(|sample| sample.udp.packets_per_second)?,
            udp_loss: over(|sample| sample.udp.loss())?,
            udp_cores: over(|sample| sample.udp_cpu.cores())?,
            udp_packets_per_cpu_second: over(|sample| {
                let spent = sample.udp_cpu.machine.total();
                quotient(sample.udp.received as f64, spent).unwrap_or_default()
            })?,
            round_trip_p50_us: over(|sample| sample.round_trips.p50)?,
            round_trip_p99_us: over(|sample| sample.round_trips.p99)?,
            round_trip_cores: over(|sample| sample.round_trips_cpu.cores())?,
        })
    }
}

fn ratios(legs: &[LegReport]) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for of in legs.iter().filter(|leg| leg.is_ringlay) {
        for to in legs.iter().filter(|leg| !leg.is_ringlay) {
            let (Some(above), Some(below)) = (of.medians, to.medians) else {
                continue;
            };
            let over = |figure: fn(&Medians) -> f64| {
                quotient(figure(&above), figure(&below)).unwrap_or_default()
            };
            ratios.push(Ratio {
                of: of.name.clone(),
                to: to.name.clone(),
                tcp: over(|medians| medians.tcp_gbit_per_second),
                udp: over(|medians| medians.udp_packets_per_second),
                udp_per_cpu_second: over(|medians| medians.udp_packets_per_cpu_second),
                round_trip_p50: over(|medians| medians.round_trip_p50_us),
                round_trip_p99: over(|medians| medians.round_trip_p99_us),
            });
        }
    }
    ratios
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.heading())?;
        f.write_char('\n')?;
        write_table(f, &self.rows())?;
        for leg in &self.legs {
            if let Some(reason) = &leg.absent {
                writeln!(f, "{}: not measured: {reason}", leg.name)?;
            }
        }
        if !self.ratios.is_empty() {
            f.write_char('\n')?;
            write_table(f, &self.ratio_rows())?;
        }
        f.write_char('\n')?;
        self.legs.iter().try_for_each(|leg| leg.write_notes(f))
    }
}

impl Report {
    fn heading(&self) -> String {
        let Machine {
            kernel,
            cores,
            date,
            background_cores,
            ..
        } = &self.machine;
        let Conditions {
            mtu,
            streams,
            rounds,
            seconds,
            traffic,
            workers,
            ..
        } = &self.conditions;
        let offloads = if self.conditions.offloads {
            "on"
        } else {
            "off"
        };
        let mut text = format!(
            "two hosts as network namespaces of one machine, joined by veth: no NIC is involved\n\
             {date} · kernel {kernel} · {cores} cores · underlay MTU {mtu} · offloads {offloads} · \
             TCP streams: {streams}\n\
             traffic: {traffic} · medians of {rounds} alternating rounds of {seconds} s · \
             CPU is of the whole machine, softirq included\n\
             Ringlay's workers: {workers}\n"
        );
        if *background_cores > BUSY {
            let _ = writeln!(
                text,
                "caution: other programs kept {background_cores:.1} cores busy before the start"
            );
        }
        if self.machine.is_debug_build {
            text.push_str("caution: this is a debug build, much slower than a release build\n");
        }
        text
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let udp = format!("UDP {} B", self.conditions.payload);
        let mut rows = vec![
            texts([
                "",
                "TCP",
                "CPU",
                &udp,
                "lost",
                "CPU",
                "per CPU",
                "round trip",
                "",
                "CPU",
            ]),
            texts([
                "", "Gbit/s", "cores", "kpps", "%", "cores", "kpps", "p50 us", "p99 us", "cores",
            ]),
        ];
        for leg in &self.legs {
            let mut row = vec![leg.name.clone()];
            match &leg.medians {
                Some(medians) => row.extend(medians.cells()),
                None => row.extend(std::iter::repeat_n("-".to_owned(), 9)),
            }
            rows.push(row);
        }
        rows
    }

    fn ratio_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![texts([
            "ratio",
            "TCP",
            "UDP kpps",
            "UDP per CPU",
            "p50",
            "p99",
        ])];
        for ratio in &self.ratios {
            let mut row = vec![format!("{} / {}", ratio.of, ratio.to)];
            let cells = [
                ratio.tcp,
                ratio.udp,
                ratio.udp_per_cpu_second,
                ratio.round_trip_p50,
                ratio.round_trip_p99,
            ];
            row.extend(cells.map(|cell| format!("{cell:.2}")));
            rows.push(row);
        }
        rows
    }
}

impl Medians {
    fn cells(&self) -> [String; 9] {
        [
            format!("{:.2}", self.tcp_gbit_per_second),
            format!("{:.2}", self.tcp_cores),
            format!("{:.1}", self.udp_packets_per_second / 1e3),
            format!("{:.1}", self.udp_loss * 100.0),
            format!("{:.2}", self.udp_cores),
            format!("{:.1}", self.udp_packets_per_cpu_second / 1e3),
            format!("{:.1}", self.round_trip_p50_us),
            format!("{:.1}", self.round_trip_p99_us),
            format!("{:.2}", self.round_trip_cores),
        ]
    }
}

impl LegReport {
    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mode) = &self.mode {
            writeln!(f, "{}: {mode}", self.name)?;
        }
        if self.medians.is_some() {
            writeln!(f, "{}: packets dropped: {}", self.name, self.drops)?;
        }
        Ok(())
    }
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Other programs' load that is worth a word.
const BUSY: f64 = 0.15;

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
