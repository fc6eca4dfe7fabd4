//! `ringlay stats`: counters.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{failure::Failure, table::Table, watch::WatchArgs};
use crate::proto::{DropCount, QueueStats, Stats, WorkerStats};

/// Arguments of `ringlay stats`.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Print JSON; with `--watch`, one line each time.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: WatchArgs,
    /// Also drop reasons that never occurred.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &StatsArgs, socket: &Path) -> Result<(), Failure> {
    args.watch.each(socket, |stats| {
        args.watch.print(
            args.json,
            || value(stats, args.all),
            || table(stats, args.all),
        )
    })
}

fn table(stats: &Stats, all: bool) -> String {
    let mut workers = Table::new(&[
        "worker",
        "cpu",
        "received",
        "sent",
        "originated",
        "consumed",
        "segmented",
        "flooded",
        "fragmented",
        "coalesced",
        "held",
        "drops",
        "frames/batch",
        "waits",
        "syscalls",
    ]);
    for worker in &stats.workers {
        workers.row(worker_row(worker));
    }
    let mut queues = Table::new(&[
        "queues",
        "",
        "rx_frames",
        "rx_bytes",
        "tx_frames",
        "tx_bytes",
    ]);
    for port in &stats.ports {
        queues.row(queue_row("port", &port.name, port.queues));
    }
    for underlay in &stats.underlays {
        queues.row(queue_row("underlay", &underlay.local, underlay.queues));
    }
    let mut drops = Table::new(&["drop reason", "frames"]);
    for drop in shown(&stats.drops, all) {
        drops.row(vec![drop.reason.clone(), drop.frames.to_string()]);
    }
    let missed = missed_table(stats).map_or_else(String::new, |it| format!("\n{}", it.text()));
    format!(
        "{}\n{}{missed}\n{}",
        workers.text(),
        queues.text(),
        drops.text()
    )
}

fn worker_row(worker: &WorkerStats) -> Vec<String> {
    let drops: u64 = worker.drops.iter().map(|drop| drop.frames).sum();
    let per_batch = match worker.batches {
        0 => "-".to_owned(),
        batches => format!("{:.1}", worker.received as f64 / batches as f64),
    };
    vec![
        worker.id.to_string(),
        worker
            .cpu
            .map_or_else(|| "any".to_owned(), |cpu| cpu.to_string()),
        worker.received.to_string(),
        worker.sent.to_string(),
        worker.originated.to_string(),
        worker.consumed.to_string(),
        worker.segmented.to_string(),
        worker.flooded.to_string(),
        worker.fragmented.to_string(),
        worker.coalesced.to_string(),
        worker.held.to_string(),
        drops.to_string(),
        per_batch,
        worker.waits.to_string(),
        worker.syscalls.to_string(),
    ]
}

fn queue_row(kind: &str, name: &str, queues: Option<QueueStats>) -> Vec<String> {
    let queues = queues.unwrap_or_default();
    let numbers = [
        queues.rx_frames,
        queues.rx_bytes,
        queues.tx_frames,
        queues.tx_bytes,
    ];
    let mut row = vec![kind.to_owned(), name.to_owned()];
    row.extend(numbers.iter().map(u64::to_string));
    row
}

/// What the kernel dropped before Ringlay saw it, where it tells.
fn missed_table(stats: &Stats) -> Option<Table> {
    let ports = stats.ports.iter().map(|it| ("port", &it.name, it.queues));
    let underlays = stats.underlays.iter();
    let underlays = underlays.map(|it| ("underlay", &it.local, it.queues));
    let mut table = Table::new(&["missed", "", "ring_full", "no_slot", "too_long", "invalid"]);
    for (kind, name, queues) in ports.chain(underlays) {
        let Some(missed) = queues.and_then(|queues| queues.missed) else {
            continue;
        };
        let numbers = [
            missed.ring_full,
            missed.no_slot,
            missed.too_long,
            missed.invalid,
        ];
        let mut row = vec![kind.to_owned(), name.clone()];
        row.extend(numbers.iter().map(u64::to_string));
        table.row(row);
    }
    table.has_rows().then_some(table)
}

fn shown(drops: &[DropCount], all: bool) -> impl Iterator<Item = &DropCount> {
    drops.iter().filter(move |drop| all || drop.frames > 0)
}

fn value(stats: &Stats, all: bool) -> Value {
    let drops = |drops: &[DropCount]| -> Value {
        let drops = shown(drops, all).map(|drop| (drop.reason.clone(), drop.frames.into()));
        Value::Object(drops.collect())
    };
    let workers: Vec<_> = stats
        .workers
        .iter()
        .map(|worker| {
            json!({
                "id": worker.id,
                "cpu": worker.cpu,
                "received": worker.received,
                "sent": worker.sent,
                "originated": worker.originated,
                "consumed": worker.consumed,
                "segmented": worker.segmented,
                "flooded": worker.flooded,
                "fragmented": worker.fragmented,
                "coalesced": worker.coalesced,
                "held": worker.held,
                "icmp_limited": worker.icmp_limited,
                "events_lost": worker.events_lost,
                "batches": worker.batches,
                "waits": worker.waits,
                "syscalls": worker.syscalls,
                "drops": drops(&worker.drops),
            })
        })
        .collect();
    let ports: Vec<_> = stats
        .ports
        .iter()
        .map(|port| queue_value("name", &port.name, port.queues))
        .collect();
    let underlays: Vec<_> = stats
        .underlays
        .iter()
        .map(|underlay| queue_value("local", &underlay.local, underlay.queues))
        .collect();
    json!({
        "workers": workers,
        "ports": ports,
        "underlays": underlays,
        "drops": drops(&stats.drops),
    })
}

fn queue_value(key: &str, name: &str, queues: Option<QueueStats>) -> Value {
    let queues = queues.unwrap_or_default();
    let missed = queues.missed.map(|missed| {
        json!({
            "ring_full": missed.ring_full,
            "no_slot": missed.no_slot,
            "too_long": missed.too_long,
            "invalid": missed.invalid,
        })
    });
    json!({
        key: name,
        "rx_frames": queues.rx_frames,
        "rx_bytes": queues.rx_bytes,
        "tx_frames": queues.tx_frames,
        "tx_bytes": queues.tx_bytes,
        "missed": missed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Missed, PortStats};

    fn stats() -> Stats {
        let drops = |frames| {
            vec![DropCount {
                reason: "ip_no_route".to_owned(),
                frames,
            }]
        };
        Stats {
            workers: vec![WorkerStats {
                cpu: Some(1),
                received: 30,
                sent: 25,
                batches: 4,
                drops: drops(5),
                ..WorkerStats::default()
            }],
            stages: None,
            ports: Vec::new(),
            underlays: Vec::new(),
            drops: [
                drops(5),
                vec![DropCount {
                    reason: "shutdown".to_owned(),
                    frames: 0,
                }],
            ]
            .concat(),
        }
    }

    #[test]
    fn the_table_is_aligned_and_leaves_out_zero_drops() {
        let text = table(&stats(), false);
        let lines: Vec<_> = text.lines().collect();
        // Numbers end where their header ends.
        let end = |line: &str, word: &str| line.find(word).map(|at| at + word.len());
        assert_eq!(end(lines[1], "30"), end(lines[0], "received"), "{text}");
        assert_eq!(
            end(lines[1], "7.5"),
            end(lines[0], "frames/batch"),
            "{text}"
        );
        assert_eq!(lines[lines.len() - 1], "ip_no_route       5");
        assert!(table(&stats(), true).contains("shutdown          0"));
    }

    #[test]
    fn what_the_kernel_drops_is_told_of_those_queues_that_have_it() {
        let queues = |missed| QueueStats {
            missed,
            ..QueueStats::default()
        };
        let missed = Missed {
            no_slot: 17,
            ..Missed::default()
        };
        let ports = [("rl0", None), ("xp0", Some(missed))];
        let stats = Stats {
            ports: ports
                .map(|(name, missed)| PortStats {
                    name: name.to_owned(),
                    queues: Some(queues(missed)),
                })
                .to_vec(),
            ..stats()
        };
        let text = table(&stats, false);
        let (_, told) = text.split_once("missed").unwrap();
        assert!(told.lines().nth(1).unwrap().starts_with("port    xp0"));
        assert_eq!(told.matches("rl0").count(), 0, "{text}");
        let value = value(&stats, false);
        assert_eq!(value["ports"][0]["missed"], Value::Null);
        assert_eq!(value["ports"][1]["missed"]["no_slot"], 17);
        assert!(!table(&tests::stats(), false).contains("missed"));
    }

    #[test]
    fn json_has_drops_by_name() {
        let value = value(&stats(), false);
        assert_eq!(value["workers"][0]["drops"], json!({ "ip_no_route": 5 }));
        assert_eq!(value["drops"], json!({ "ip_no_route": 5 }));
    }
}
