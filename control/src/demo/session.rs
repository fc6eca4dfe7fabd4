//! The demo itself: hosts, overlays, a ping, checked data, and the measurements in turn.

use std::env;
use std::time::Duration;

use super::keep::{self, Kept};
use super::report::{Conditions, LegReport, Report, Sample};
use super::{DemoArgs, progress};
use crate::lab::LabError;
use crate::lab::cleanup::Cleanup;
use crate::lab::leg::{Bench, Leg, LegKind, Plan};
use crate::lab::machine::Machine;
use crate::lab::placement::Placement;
use crate::lab::topology::{Topology, UnderlayConfig};
use crate::lab::traffic::iperf3::Iperf3;
use crate::lab::traffic::{Direction, ping};
use crate::lab::workdir::Workdir;

/// What a demo ends with.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) report: Report,
    pub(super) kept: Option<Kept>,
}

/// Runs the demo. What it makes is in `cleanup`.
pub(super) fn run(cleanup: &Cleanup, args: &DemoArgs) -> Result<Outcome, LabError> {
    let machine = Machine::look()?;
    let name = keep::name(args.keep);
    let directory = Workdir::create(cleanup, &name)?;
    let underlay = UnderlayConfig {
        mtu: args.mtu.into(),
        offloads: true,
    };
    let topology = Topology::create(cleanup, &name, underlay)?;
    progress(format_args!(
        "two hosts: {} ({}) and {} ({}), joined by veth",
        topology.a.namespace.name(),
        topology.a.underlay,
        topology.b.namespace.name(),
        topology.b.underlay,
    ));
    let bench = Bench {
        cleanup,
        topology: &topology,
        directory: directory.path().into(),
        ringlay: env::current_exe().map_err(LabError::io("find the ringlay binary"))?,
        placement: Placement::split(),
    };
    let plan = plan(args);
    let (legs, mut reports) = start(&bench, args)?;
    measure(&bench, &plan, args, &legs, &mut reports)?;
    let report = Report::new(machine, conditions(args, &plan, &bench.placement), reports);
    let kept = args
        .keep
        .then(|| Kept::new(bench.ringlay.clone(), &topology, &legs));
    if args.keep {
        cleanup.keep();
    }
    Ok(Outcome { report, kept })
}

fn plan(args: &DemoArgs) -> Plan {
    let iperf3 = if args.traffic == "built-in" {
        None
    } else {
        Iperf3::find()
    };
    Plan {
        duration: Duration::from_secs(args.seconds),
        iperf3,
    }
}

fn conditions(args: &DemoArgs, plan: &Plan, placement: &Placement) -> Conditions {
    Conditions {
        mtu: args.mtu.into(),
        offloads: true,
        streams: STREAMS,
        payload: PAYLOAD,
        rounds: args.rounds.into(),
        seconds: args.seconds,
        traffic: plan.traffic(),
        workers: placement.to_string(),
    }
}

/// Brings every overlay up that this kernel can, pings across it and checks that data arrives
/// unchanged. The reports of those that are up come first, in the order of the legs.
fn start(bench: &Bench<'_>, args: &DemoArgs) -> Result<(Vec<Leg>, Vec<LegReport>), LabError> {
    let ringlay = LegKind::ringlay(&args.driver);
    let mut legs = Vec::new();
    let mut reports = Vec::new();
    let mut absent = Vec::new();
    for kind in [ringlay, LegKind::KernelVxlan, LegKind::OnePacketLoop] {
        let mut report = LegReport::new(&kind);
        match Leg::start(bench, kind) {
            Ok(leg) => {
                show_ping(&leg, &mut report)?;
                leg.verify(FORTH, CHECKED_BYTES)?;
                report.mode = leg.mode()?;
                if let Some(mode) = &report.mode {
                    progress(format_args!("{}: {mode}", report.name));
                }
                legs.push(leg);
                reports.push(report);
            }
            Err(error @ LabError::Unsupported { .. }) => {
                progress(format_args!("{}: {error}", report.name));
                report.absent = Some(error.to_string());
                absent.push(report);
            }
            Err(error) => return Err(error),
        }
    }
    reports.append(&mut absent);
    Ok((legs, reports))
}

fn show_ping(leg: &Leg, report: &mut LegReport) -> Result<(), LabError> {
    let path = leg.path(FORTH);
    let destination = path.destination;
    report.ping = ping::run(path, PINGS)?;
    for reply in &report.ping {
        let time = reply.time / 1e3;
        progress(format_args!(
            "{}: reply from {destination}: icmp_seq={} ttl={} time={time:.3} ms",
            report.name, reply.sequence, reply.ttl,
        ));
    }
    Ok(())
}

/// All rounds; each starts with another overlay, so that none always follows the same one.
fn measure(
    bench: &Bench<'_>,
    plan: &Plan,
    args: &DemoArgs,
    legs: &[Leg],
    reports: &mut [LegReport],
) -> Result<(), LabError> {
    for round in 0..usize::from(args.rounds) {
        for turn in 0..legs.len() {
            let index = (round + turn) % legs.len();
            let sample = sample(&legs[index], bench, plan)?;
            progress(format_args!(
                "round {} of {}: {}: {:.2} Gbit/s, {:.0} kpps, p50 {:.0} us",
                round + 1,
                args.rounds,
                reports[index].name,
                sample.tcp.bits_per_second / 1e9,
                sample.udp.packets_per_second / 1e3,
                sample.round_trips.p50,
            ));
            reports[index].add(sample);
        }
    }
    Ok(())
}

fn sample(leg: &Leg, bench: &Bench<'_>, plan: &Plan) -> Result<Sample, LabError> {
    Ok(Sample::new(
        leg.tcp(bench, plan, FORTH, STREAMS)?,
        leg.udp(bench, plan, FORTH, PAYLOAD)?,
        leg.round_trips(bench, plan)?,
    ))
}

const FORTH: Direction = Direction::AToB;
/// TCP connections at once.
const STREAMS: usize = 1;
/// Bytes of a UDP datagram.
const PAYLOAD: usize = 64;
const PINGS: u16 = 3;
const CHECKED_BYTES: u64 = 4 << 20;
