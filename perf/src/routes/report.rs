//! What was found: samples, their medians, and the table that is printed.

use std::fmt;

use ringlay_control::lab::drops::Drops;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::statistics::{median, quotient};
use ringlay_control::lab::table::write_table;
use serde::Serialize;

/// Everything that one run found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    /// Where and when.
    pub(super) machine: Machine,
    /// The node's drivers.
    pub(super) mode: String,
    /// The worker's CPU; nothing if it is not pinned.
    pub(super) worker_cpu: Option<usize>,
    /// The CPUs of the senders, one each.
    pub(super) sender_cpus: Vec<usize>,
    /// Rounds, alternating between the tables.
    pub(super) rounds: u16,
    /// Length of a measurement in seconds.
    pub(super) seconds: u64,
    /// Payload of a datagram in bytes.
    pub(super) payload: u16,
    /// How many destinations there were.
    pub(super) destinations: u32,
    /// How many next hops the routes were spread over.
    pub(super) next_hops: u16,
    /// The tables, in the order of the rows.
    pub(super) tables: Vec<TableReport>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct TableReport {
    /// Routes in it.
    pub(super) routes: u32,
    /// Medians over the rounds.
    pub(super) medians: Medians,
    /// The medians over those of the first table.
    pub(super) to_first: Medians,
    /// Packets dropped over all rounds, by reason.
    pub(super) drops: Drops,
    /// The rounds themselves.
    pub(super) samples: Vec<Sample>,
}

/// Figures that are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Medians {
    /// Packets that the node encapsulated a second.
    pub(super) packets_per_second: Option<f64>,
    /// The worker's CPU time for each of them, in nanoseconds.
    pub(super) worker_ns_per_packet: Option<f64>,
    /// Part of the time that the worker ran.
    pub(super) worker_load: Option<f64>,
    /// Seconds from opening the file until the worker forwarded by the table.
    pub(super) load_seconds: Option<f64>,
}

/// One measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Which round, from 0.
    pub(super) round: u16,
    /// Its length.
    pub(super) seconds: f64,
    /// Packets that the node encapsulated.
    pub(super) packets: u64,
    /// Datagrams that were sent into its device.
    pub(super) sent: u64,
    /// The worker's CPU time.
    pub(super) worker_seconds: f64,
    /// How long the table took to load.
    pub(super) load_seconds: f64,
    /// Packets dropped before and in the node.
    pub(super) drops: Drops,
}

impl Sample {
    pub(super) fn packets_per_second(&self) -> Option<f64> {
        quotient(self.packets as f64, self.seconds)
    }

    pub(super) fn worker_ns_per_packet(&self) -> Option<f64> {
        quotient(self.worker_seconds * 1e9, self.packets as f64)
    }
}

impl TableReport {
    pub(super) fn new(routes: u32) -> Self {
        Self {
            routes,
            ..Self::default()
        }
    }

    /// Adds a measurement.
    pub(super) fn add(&mut self, sample: Sample) {
        self.drops.add(sample.drops.clone());
        self.samples.push(sample);
        let middle = |figure: &dyn Fn(&Sample) -> Option<f64>| {
            median(self.samples.iter().filter_map(figure).collect())
        };
        self.medians = Medians {
            packets_per_second: middle(&Sample::packets_per_second),
            worker_ns_per_packet: middle(&Sample::worker_ns_per_packet),
            worker_load: middle(&|sample| quotient(sample.worker_seconds, sample.seconds)),
            load_seconds: middle(&|sample| Some(sample.load_seconds)),
        };
    }
}

impl Medians {
    fn over(&self, first: &Self) -> Self {
        let ratio = |above: Option<f64>, below: Option<f64>| quotient(above?, below?);
        Self {
            packets_per_second: ratio(self.packets_per_second, first.packets_per_second),
            worker_ns_per_packet: ratio(self.worker_ns_per_packet, first.worker_ns_per_packet),
            worker_load: ratio(self.worker_load, first.worker_load),
            load_seconds: ratio(self.load_seconds, first.load_seconds),
        }
    }
}

impl Report {
    /// Works out the ratios once all samples are in.
    pub(super) fn conclude(&mut self) {
        let first = self.tables.first().map(|table| table.medians);
        for table in &mut self.tables {
            table.to_first = table.medians.over(&first.unwrap_or_default());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        let (date, kernel, cores) = (&machine.date, &machine.kernel, machine.cores);
        writeln!(f, "{date} · kernel {kernel} · {cores} cores")?;
        writeln!(f, "node: {}", self.mode)?;
        let worker = self
            .worker_cpu
            .map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"));
        let (payload, rounds, seconds) = (self.payload, self.rounds, self.seconds);
        writeln!(
            f,
            "one worker on {worker}, senders on CPUs {:?}",
            self.sender_cpus
        )?;
        writeln!(
            f,
            "UDP, {payload} bytes, to {} destinations · {} next hops · medians of {rounds} \
             alternating rounds of {seconds} s",
            self.destinations, self.next_hops
        )?;
        machine.write_cautions(f)?;
        writeln!(f)?;
        let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
        rows.extend(self.tables.iter().map(row));
        write_table(f, &rows)?;
        writeln!(f)?;
        for table in &self.tables {
            writeln!(
                f,
                "{} routes: packets dropped: {}",
                table.routes, table.drops
            )?;
        }
        METHOD.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn row(table: &TableReport) -> Vec<String> {
    let cell = |value: Option<f64>, scale: f64, digits: usize| {
        value.map_or_else(
            || "-".to_owned(),
            |value| format!("{:.digits$}", value * scale),
        )
    };
    let (medians, ratios) = (&table.medians, &table.to_first);
    vec![
        table.routes.to_string(),
        cell(medians.packets_per_second, 1e-3, 1),
        cell(ratios.packets_per_second, 1.0, 3),
        cell(medians.worker_ns_per_packet, 1.0, 1),
        cell(ratios.worker_ns_per_packet, 1.0, 3),
        cell(medians.worker_load, 100.0, 1),
        cell(medians.load_seconds, 1.0, 3),
    ]
}

const HEADINGS: [&str; 7] = [
    "routes",
    "kpps",
    "/1st",
    "ns/packet",
    "/1st",
    "worker %",
    "load s",
];

/// How to read the figures.
const METHOD: [&str; 4] = [
    "kpps: packets that the node encapsulated. Where kernel_rl0_tx_dropped is not 0 the worker was the limit,",
    "  otherwise the senders were, and ns/packet alone tells what the table costs.",
    "ns/packet: CPU time of the worker for each of them, the underlay's softirq on its CPU included;",
    "  a worker that is not the limit also spends some of it looking for work.",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(packets: u64, worker_seconds: f64) -> Sample {
        let mut drops = Drops::default();
        drops.count("kernel_rl0_tx_dropped".into(), 2);
        Sample {
            seconds: 2.0,
            packets,
            worker_seconds,
            load_seconds: 0.5,
            drops,
            ..Sample::default()
        }
    }

    fn report() -> Report {
        let mut tables = vec![TableReport::new(1), TableReport::new(1_000_000)];
        for packets in [1_000_000, 3_000_000, 2_000_000] {
            tables[0].add(sample(packets, 2.0));
            tables[1].add(sample(packets / 10 * 9, 1.8));
        }
        let mut report = Report {
            machine: Machine {
                kernel: "6.18.0".into(),
                cores: 2,
                date: "2026-11-21 12:00 UTC".into(),
                background_cores: 0.0,
                is_debug_build: false,
            },
            mode: "io_uring (auto)".into(),
            worker_cpu: Some(0),
            sender_cpus: vec![1],
            rounds: 3,
            seconds: 2,
            payload: 64,
            destinations: 1000,
            next_hops: 256,
            tables,
        };
        report.conclude();
        report
    }

    #[test]
    fn ratios_are_of_the_medians() {
        let report = report();
        assert_eq!(report.tables[0].medians.packets_per_second, Some(1e6));
        assert_eq!(report.tables[0].medians.worker_ns_per_packet, Some(1000.0));
        assert_eq!(report.tables[1].to_first.packets_per_second, Some(0.9));
        assert_eq!(report.tables[1].to_first.worker_ns_per_packet, Some(1.0));
    }

    #[test]
    fn without_packets_there_is_no_cost_of_one() {
        assert_eq!(sample(0, 1.0).worker_ns_per_packet(), None);
    }

    #[test]
    fn renders_the_table() {
        let text = report().to_string();
        let table = "\
routes     kpps   /1st  ns/packet   /1st  worker %  load s
1        1000.0  1.000     1000.0  1.000     100.0   0.500
1000000   900.0  0.900     1000.0  1.000      90.0   0.500

1 routes: packets dropped: kernel_rl0_tx_dropped 6
";
        assert!(text.contains(table), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 120),
            "{text}"
        );
    }
}
