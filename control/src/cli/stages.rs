//! `ringlay stages`: where the workers' time goes.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{failure::Failure, session::session, table::Table, watch::WatchArgs};
use crate::{
    proto::{
        SetStagesRequest, StageStats, Stats, WorkerStats, stats_service_client::StatsServiceClient,
    },
    stages::StageCosts,
};

/// What to do about the stages.
#[derive(Debug, Subcommand)]
pub(super) enum StagesVerb {
    /// Begin to measure, from zero. Nothing happens if that is on already.
    On,
    /// End it. What was measured can still be shown.
    Off,
    /// Show what was measured: frames, and cycles of the time stamp counter, of each stage.
    Show(ShowArgs),
}

/// Arguments of `ringlay stages show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Print JSON; with `--watch`, one line each time.
    #[arg(long)]
    json: bool,
    /// First what was measured so far, and then what came since.
    #[command(flatten)]
    watch: WatchArgs,
}

pub(super) fn run(verb: StagesVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        StagesVerb::On => switch(true, socket),
        StagesVerb::Off => switch(false, socket),
        StagesVerb::Show(args) => show(&args, socket),
    }
}

fn switch(on: bool, socket: &Path) -> Result<(), Failure> {
    session(socket, async |channel| {
        let mut client = StatsServiceClient::new(channel);
        client.set_stages(SetStagesRequest { on }).await?;
        Ok(())
    })
}

fn show(args: &ShowArgs, socket: &Path) -> Result<(), Failure> {
    let mut before: Option<Report> = None;
    args.watch.each(socket, |stats| {
        let now = Report::of(stats);
        let shown = match &before {
            Some(before) => now.since(before),
            None => now.clone(),
        };
        before = Some(now);
        args.watch
            .print(args.json, || shown.value(), || shown.text())
    })
}

/// What is shown at a time.
#[derive(Clone, Debug, Default)]
struct Report {
    running: bool,
    /// All workers together, if they were ever measured.
    all: Option<StageCosts>,
    workers: Vec<(WorkerName, StageCosts)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct WorkerName {
    id: u32,
    cpu: Option<u32>,
}

impl Report {
    fn of(stats: &Stats) -> Self {
        let costs = |worker: &WorkerStats| {
            let (id, cpu) = (worker.id, worker.cpu);
            let costs = StageCosts::of_worker(stats, worker)?;
            Some((WorkerName { id, cpu }, costs))
        };
        Self {
            running: stats.stages.is_some_and(|it| it.running),
            all: StageCosts::of(stats),
            workers: stats.workers.iter().filter_map(costs).collect(),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let of = |wanted| earlier.workers.iter().find(|(name, _)| *name == wanted);
        let workers = self.workers.iter().map(|(name, now)| match of(*name) {
            Some((_, before)) => (*name, now.since(before)),
            None => (*name, now.clone()),
        });
        Self {
            running: self.running,
            all: match (&self.all, &earlier.all) {
                (Some(now), Some(before)) => Some(now.since(before)),
                (now, _) => now.clone(),
            },
            workers: workers.collect(),
        }
    }

    fn text(&self) -> String {
        let Some(all) = &self.all else {
            return "nothing was measured; `ringlay stages on` begins\n".to_owned();
        };
        let mut text = format!(
            "{} {:.1} s, {:.1} MHz\n",
            if self.running { "on," } else { "off, it took" },
            all.seconds,
            all.hertz / 1e6
        );
        if let [(_, costs)] = &self.workers[..] {
            return text + &table("stage", costs).text();
        }
        text += &table("all workers", all).text();
        for (WorkerName { id, cpu }, costs) in &self.workers {
            let name = match cpu {
                Some(cpu) => format!("worker {id} cpu {cpu}"),
                None => format!("worker {id}"),
            };
            text.push('\n');
            text += &table(&name, costs).text();
        }
        text
    }

    fn value(&self) -> Value {
        let workers = self.workers.iter();
        let workers = workers.map(|(WorkerName { id, cpu }, costs)| {
            let mut value = value(costs);
            value["id"] = json!(id);
            value["cpu"] = json!(cpu);
            value
        });
        let workers: Vec<_> = workers.collect();
        let all = self.all.clone().unwrap_or_default();
        let measured = |number| self.all.is_some().then_some(number);
        let mut shown = value(&all);
        shown["on"] = json!(self.running);
        shown["seconds"] = json!(measured(all.seconds));
        shown["hertz"] = json!(measured(all.hertz));
        shown["workers"] = json!(workers);
        shown
    }
}

/// What one stage cost.
struct Cost {
    frames_per_call: Option<f64>,
    cycles_per_frame: Option<f64>,
    ns_per_frame: Option<f64>,
    /// Of the workers' whole time.
    share: f64,
}

impl Cost {
    fn new(costs: &StageCosts, [calls, frames, cycles]: [u64; 3]) -> Self {
        let per = |above: u64, below: u64| (below > 0).then(|| above as f64 / below as f64);
        let cycles_per_frame = per(cycles, frames);
        Self {
            frames_per_call: per(frames, calls).filter(|frames| *frames > 0.0),
            cycles_per_frame,
            ns_per_frame: cycles_per_frame.and_then(|cycles| costs.ns(cycles)),
            share: per(cycles, costs.cycles()).unwrap_or(0.0),
        }
    }

    fn of(costs: &StageCosts, stage: &StageStats) -> Self {
        Self::new(costs, [stage.calls, stage.frames, stage.cycles])
    }

    /// All that was done for each frame that came in.
    fn of_work(costs: &StageCosts) -> Self {
        Self::new(costs, [0, costs.received(), costs.work()])
    }

    fn cells(&self) -> [String; 4] {
        let cell =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
        [
            cell(self.frames_per_call),
            cell(self.cycles_per_frame),
            cell(self.ns_per_frame),
            format!("{:.1}", 100.0 * self.share),
        ]
    }
}

/// The stages that were called or took time. Those whose time is not forwarding stand last.
fn table(name: &str, costs: &StageCosts) -> Table {
    let mut table = Table::new(&[
        name,
        "calls",
        "frames",
        "frames/call",
        "cycles/frame",
        "ns/frame",
        "%time",
    ]);
    let row = |stage: &StageStats| {
        let counts = [stage.calls, stage.frames].map(|it| it.to_string());
        let mut row = vec![stage.name.clone()];
        row.extend(counts.into_iter().chain(Cost::of(costs, stage).cells()));
        row
    };
    let seen = |stage: &&StageStats| stage.calls > 0 || stage.cycles > 0;
    let (work, rest): (Vec<_>, Vec<_>) = costs.stages.iter().filter(seen).partition(|it| it.work);
    work.into_iter().for_each(|stage| table.row(row(stage)));
    let mut sum = vec![
        "= work".to_owned(),
        String::new(),
        costs.received().to_string(),
    ];
    sum.extend(Cost::of_work(costs).cells());
    table.row(sum);
    rest.into_iter().for_each(|stage| table.row(row(stage)));
    table
}

fn value(costs: &StageCosts) -> Value {
    let stage = |stage: &StageStats| {
        let cost = Cost::of(costs, stage);
        json!({
            "name": stage.name,
            "work": stage.work,
            "calls": stage.calls,
            "frames": stage.frames,
            "cycles": stage.cycles,
            "frames_per_call": cost.frames_per_call,
            "cycles_per_frame": cost.cycles_per_frame,
            "ns_per_frame": cost.ns_per_frame,
            "share": cost.share,
        })
    };
    let work = Cost::of_work(costs);
    json!({
        "stages": costs.stages.iter().map(stage).collect::<Vec<_>>(),
        "work": {
            "frames": costs.received(),
            "cycles": costs.work(),
            "cycles_per_frame": work.cycles_per_frame,
            "ns_per_frame": work.ns_per_frame,
            "share": work.share,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Measurement;

    fn stats(seconds: f64, workers: u32) -> Stats {
        let stage = |name: &str, [calls, frames, cycles]: [u64; 3], work| StageStats {
            name: name.to_owned(),
            calls,
            frames,
            cycles,
            work,
        };
        let worker = |id| WorkerStats {
            id,
            cpu: Some(id + 1),
            stages: vec![
                stage("receive", [10, 40, 4_000], true),
                stage("ip_lookup", [10, 40, 2_000], true),
                stage("hold", [0, 0, 0], true),
                stage("wait", [3, 0, 14_000], false),
            ],
            ..WorkerStats::default()
        };
        Stats {
            workers: (0..workers).map(worker).collect(),
            stages: Some(Measurement {
                running: true,
                seconds,
                hertz: 2e9,
            }),
            ..Stats::default()
        }
    }

    #[test]
    fn the_table_has_each_stage_and_the_sum() {
        let text = Report::of(&stats(1.0, 1)).text();
        let lines: Vec<Vec<_>> = text
            .lines()
            .map(|it| it.split_whitespace().collect())
            .collect();
        assert_eq!(text.lines().next(), Some("on, 1.0 s, 2000.0 MHz"));
        assert_eq!(
            lines[2],
            ["receive", "10", "40", "4.0", "100.0", "50.0", "20.0"]
        );
        assert_eq!(
            lines[3],
            ["ip_lookup", "10", "40", "4.0", "50.0", "25.0", "10.0"]
        );
        assert_eq!(lines[4], ["=", "work", "40", "-", "150.0", "75.0", "30.0"]);
        assert_eq!(lines[5], ["wait", "3", "0", "-", "-", "-", "70.0"]);
        assert_eq!(lines.len(), 6, "what did nothing is left out: {text}");
    }

    #[test]
    fn several_workers_stand_below_their_sum() {
        let text = Report::of(&stats(1.0, 2)).text();
        let count = |word: &str| text.matches(word).count();
        assert_eq!(
            (count("all workers"), count("worker 1 cpu 2")),
            (1, 1),
            "{text}"
        );
        let row: Vec<_> = text.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(row[..3], ["receive", "20", "80"], "{text}");
    }

    #[test]
    fn json_has_all_stages_and_sums() {
        let value = Report::of(&stats(1.0, 2)).value();
        assert_eq!(value["on"], true);
        assert_eq!(value["stages"][1]["name"], "ip_lookup");
        assert_eq!(value["stages"][1]["frames"], 80);
        assert_eq!(value["workers"][1]["stages"][0]["cycles_per_frame"], 100.0);
        assert_eq!(value["work"]["cycles_per_frame"], 150.0);
        assert_eq!(value["stages"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn what_was_never_measured_says_so() {
        let report = Report::of(&Stats::default());
        assert!(report.text().contains("ringlay stages on"));
        let value = report.value();
        assert_eq!(
            (&value["on"], &value["seconds"]),
            (&json!(false), &Value::Null)
        );
        assert_eq!(value["stages"], json!([]));
    }

    #[test]
    fn a_watcher_sees_what_came_since() {
        let (early, late) = (Report::of(&stats(1.0, 1)), Report::of(&stats(4.0, 1)));
        let since = late.since(&early);
        assert_eq!(
            since.all.map(|it| (it.seconds, it.cycles())),
            Some((3.0, 0))
        );
    }
}
