//! What was found: trials come in, medians, ratios and verdicts go out, as JSON or as tables.

mod render;
mod stages;
mod target;

use ringlay_control::lab::LabError;
use ringlay_control::lab::drops::Drops;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::statistics::{median, quotient};
use ringlay_control::stages::StageCosts;
use serde::Serialize;

use self::stages::StageReport;
use self::target::Target;
use super::GatewayArgs;
use super::direction::Direction;
use super::hosts::{ACCESS_MTU, UNDERLAY_MTU};
use super::leg::LegKind;
use super::trial::Trial;

/// Everything that one run found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    /// How.
    pub(super) settings: Settings,
    /// The legs, in the order of the rows.
    pub(super) legs: Vec<LegReport>,
    /// A table for each way and frame.
    pub(super) tables: Vec<TableReport>,
    /// What was to be reached.
    targets: Vec<Target>,
}

/// How it was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Settings {
    /// Where and when.
    pub(super) machine: Machine,
    /// CPU of the generator, and of what veth does within its system calls.
    pub(super) traffic_cpu: Option<usize>,
    /// CPU of what forwards.
    pub(super) gateway_cpu: Option<usize>,
    /// Where the kernel's legs forward.
    pub(super) kernel_cpu: String,
    /// How Ringlay waits for packets.
    pub(super) poll: String,
    /// MTU inside, in bytes.
    pub(super) access_mtu: u32,
    /// MTU of the underlay, in bytes.
    pub(super) underlay_mtu: u32,
    /// Routes of Ringlay's legs.
    pub(super) routes: u32,
    /// Routers that they lead to.
    pub(super) next_hops: u16,
    /// Far hosts.
    pub(super) destinations: u32,
    /// Rounds, alternating between the legs.
    pub(super) rounds: u16,
    /// Length of a measurement.
    pub(super) milliseconds: u64,
    /// Loss of a trial that counts as loss-free.
    pub(super) tolerance: f64,
}

/// How a leg fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LegReport {
    /// Its name on the command line.
    pub(super) leg: String,
    /// Why this host cannot run it.
    pub(super) absent: Option<String>,
    /// What went wrong; the figures are of the rounds before.
    pub(super) failed: Option<String>,
    /// Which modes it ran in.
    pub(super) mode: Option<String>,
    /// What it dropped over all rounds, as far as it tells.
    pub(super) drops: Drops,
}

/// All legs, one way, with one length of frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TableReport {
    /// Which way.
    pub(super) direction: Direction,
    /// Length of the plain frame in bytes.
    pub(super) frame: u16,
    /// The results, in the order of the legs.
    pub(super) results: Vec<LegResult>,
}

/// One leg in one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct LegResult {
    /// The leg.
    pub(super) leg: String,
    /// Medians at full load.
    pub(super) full: Figures,
    /// Medians at the highest rate without loss.
    pub(super) loss_free: Figures,
    /// What was measured at full load, in each round.
    pub(super) floods: Vec<Trial>,
    /// The best trials without loss, of the rounds in which they were searched for.
    pub(super) found: Vec<Trial>,
    /// Where the time of Ringlay's worker goes at full load.
    stages: Option<StageReport>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Frames received a second.
    pub(super) rate: Option<f64>,
    /// Part of the frames lost.
    pub(super) loss: Option<f64>,
    /// Processors busy, whole machine.
    pub(super) cores: Option<f64>,
    /// Frames for each CPU-second of the whole machine.
    pub(super) per_cpu_second: Option<f64>,
    /// CPU time that the gateway adds to that of the traffic, in nanoseconds a frame.
    pub(super) gateway_ns: Option<f64>,
    /// CPU time of Ringlay's worker for each frame in its own code, in nanoseconds.
    pub(super) worker_ns: Option<f64>,
    /// The like in the kernel: receiving, sending, and what that leads to on the worker's CPU.
    pub(super) worker_kernel_ns: Option<f64>,
    /// `rate` over that of testpmd.
    pub(super) rate_to_testpmd: Option<f64>,
    /// `per_cpu_second` over that of the better of the kernel's legs.
    pub(super) per_cpu_second_to_kernel: Option<f64>,
}

impl Settings {
    pub(super) fn new(args: &GatewayArgs, machine: Machine, cpus: [Option<usize>; 2]) -> Self {
        let [traffic_cpu, gateway_cpu] = cpus;
        Self {
            machine,
            traffic_cpu,
            gateway_cpu,
            kernel_cpu: args.kernel_cpu.clone(),
            poll: args.poll.clone(),
            access_mtu: ACCESS_MTU,
            underlay_mtu: UNDERLAY_MTU,
            routes: args.routes,
            next_hops: args.next_hops,
            destinations: args.destinations,
            rounds: args.rounds,
            milliseconds: args.milliseconds,
            tolerance: args.tolerance,
        }
    }
}

impl Report {
    /// A report without results yet.
    pub(super) fn new(
        settings: Settings,
        legs: &[LegKind],
        directions: &[Direction],
        frames: &[u16],
    ) -> Self {
        let result = |kind: &LegKind| LegResult {
            leg: kind.to_string(),
            ..LegResult::default()
        };
        let table = |direction: Direction, frame: u16| TableReport {
            direction,
            frame,
            results: legs.iter().map(result).collect(),
        };
        let leg = |kind: &LegKind| LegReport {
            leg: kind.to_string(),
            absent: None,
            failed: None,
            mode: None,
            drops: Drops::default(),
        };
        let tables = directions
            .iter()
            .flat_map(|direction| frames.iter().map(move |frame| table(*direction, *frame)));
        Self {
            settings,
            legs: legs.iter().map(leg).collect(),
            tables: tables.collect(),
            targets: Vec::new(),
        }
    }

    /// Adds what a leg brought in one round.
    pub(super) fn add(
        &mut self,
        (direction, frame): (Direction, u16),
        leg: usize,
        flood: Trial,
        found: Option<Trial>,
    ) {
        let mut tables = self.tables.iter_mut();
        let wanted = tables.find(|table| (table.direction, table.frame) == (direction, frame));
        if let Some(table) = wanted {
            table.results[leg].floods.push(flood);
            table.results[leg].found.extend(found);
        }
    }

    /// Adds where the time of a leg's worker went.
    pub(super) fn add_stages(
        &mut self,
        (direction, frame): (Direction, u16),
        leg: usize,
        costs: Option<&StageCosts>,
    ) {
        let mut tables = self.tables.iter_mut();
        let wanted = tables.find(|table| (table.direction, table.frame) == (direction, frame));
        if let Some(table) = wanted {
            table.results[leg].stages = costs.and_then(StageReport::new);
        }
    }

    /// Gives a leg no further turns.
    pub(super) fn leave_out(&mut self, leg: usize, error: &LabError) {
        let report = &mut self.legs[leg];
        match error {
            LabError::Unsupported { reason } => report.absent = Some(reason.clone()),
            error => report.failed = Some(error.to_string()),
        }
    }

    /// Whether a leg has no further turns.
    pub(super) fn is_out(&self, leg: usize) -> bool {
        self.legs[leg].absent.is_some() || self.legs[leg].failed.is_some()
    }

    /// Whether a leg failed other than for lack of what it needs.
    pub(super) fn has_failed(&self) -> bool {
        self.legs.iter().any(|leg| leg.failed.is_some())
    }

    /// Works out medians, ratios and verdicts once all trials are in.
    pub(super) fn conclude(&mut self) {
        self.tables.iter_mut().for_each(TableReport::conclude);
        self.targets = target::all(&self.tables);
    }
}

impl TableReport {
    /// What a leg brought.
    pub(super) fn of(&self, kind: LegKind) -> Option<&LegResult> {
        let name = kind.to_string();
        self.results.iter().find(|result| result.leg == name)
    }

    fn conclude(&mut self) {
        for result in &mut self.results {
            result.full = Figures::medians(&result.floods);
            result.loss_free = Figures::medians(&result.found);
        }
        let wire = self.of(LegKind::Wire).and_then(|wire| wire.full.own_ns());
        self.compare(wire, |result| &mut result.full);
        self.compare(wire, |result| &mut result.loss_free);
    }

    /// Works out the ratios of some figures.
    fn compare(&mut self, wire: Option<f64>, pick: fn(&mut LegResult) -> &mut Figures) {
        let figures = |kind| {
            let mut result = self.of(kind).cloned().unwrap_or_default();
            *pick(&mut result)
        };
        let testpmd = figures(LegKind::Testpmd).rate;
        let kernels = [LegKind::Bridge, LegKind::Routed].map(|kind| figures(kind).per_cpu_second);
        let kernel = kernels.into_iter().flatten().reduce(f64::max);
        for result in &mut self.results {
            let own = pick(result);
            own.gateway_ns = own.own_ns().zip(wire).map(|(own, wire)| own - wire);
            own.rate_to_testpmd = ratio(own.rate, testpmd);
            own.per_cpu_second_to_kernel = ratio(own.per_cpu_second, kernel);
        }
    }
}

impl LegResult {
    /// Whether nearly everything arrived of what was sent as fast as it goes, so that the generator
    /// was the limit. Of the kernel's legs that says nothing: they hold the generator up.
    fn takes_all(&self) -> bool {
        let holds_up = [LegKind::Wire, LegKind::Bridge, LegKind::Routed]
            .iter()
            .any(|kind| kind.to_string() == self.leg);
        !holds_up && self.full.loss.is_some_and(|loss| loss < NEARLY_NOTHING)
    }
}

impl Figures {
    fn medians(trials: &[Trial]) -> Self {
        let middle = |figure: &dyn Fn(&Trial) -> Option<f64>| {
            median(trials.iter().filter_map(figure).collect())
        };
        let worker =
            |part: usize| middle(&|trial| quotient(1e9 * trial.worker?[part], trial.received));
        Self {
            worker_ns: worker(0),
            worker_kernel_ns: worker(1),
            rate: middle(&|trial| Some(trial.received)),
            loss: middle(&|trial| Some(trial.loss)),
            cores: middle(&|trial| Some(trial.cores)),
            per_cpu_second: middle(&Trial::per_cpu_second),
            ..Self::default()
        }
    }

    /// CPU time of the whole machine for each frame, in nanoseconds.
    fn own_ns(&self) -> Option<f64> {
        self.per_cpu_second.and_then(|rate| quotient(1e9, rate))
    }
}

/// Part of the frames.
const NEARLY_NOTHING: f64 = 0.02;

fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    quotient(above?, below?)
}

#[cfg(test)]
mod tests;
