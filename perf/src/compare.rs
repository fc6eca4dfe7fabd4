//! `ringlay-perf compare`: all overlays in turn, each time on fresh hosts.
//!
//! One report for each set of underlay conditions. Within a report the rounds alternate between
//! the overlays, so that what disturbs the machine disturbs them alike.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::leg::{Bench, Leg, LegKind, Plan};
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::report::{Conditions, LegReport, Report};
use ringlay_control::lab::signals;
use ringlay_control::lab::topology::{Topology, UnderlayConfig};
use ringlay_control::lab::traffic::iperf3::Iperf3;
use ringlay_control::lab::workdir::Workdir;

/// Arguments of `ringlay-perf compare`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CompareArgs {
    /// Rounds, alternating between the overlays; the table has their medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Length of each bulk measurement in seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// MTU of the underlay; several are compared one after the other.
    #[arg(long, default_value = "1500", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1280..=9000))]
    mtu: Vec<u32>,
    /// Offloads of the underlay device: like a capable NIC, a simple one, or both in turn.
    #[arg(long, default_value = "both", value_parser = ["on", "off", "both"])]
    offloads: String,
    /// TCP connections at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    streams: u8,
    /// Payload of a UDP datagram in bytes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=8000))]
    payload: u16,
    /// Drivers to run Ringlay with.
    #[arg(long, default_value = "io_uring,epoll", value_delimiter = ',',
          value_parser = ["auto", "io_uring", "epoll"])]
    drivers: Vec<String>,
    /// What sends TCP and UDP: iperf3 where it is installed, or the built-in traffic.
    #[arg(long, default_value = "auto", value_parser = ["auto", "built-in"])]
    traffic: String,
    /// The `ringlay` binary; the one beside this program unless given.
    #[arg(long)]
    ringlay: Option<PathBuf>,
    /// Print the reports as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> ExitCode {
    let cleanup = Cleanup::new();
    let reports = signals::clean_up_on_signals(&cleanup).and_then(|()| compare(&cleanup, args));
    match reports {
        Ok(reports) if args.json => {
            println!(
                "{}",
                serde_json::to_string_pretty(&reports).expect("reports are plain")
            );
            ExitCode::SUCCESS
        }
        Ok(reports) => {
            reports.iter().for_each(|report| println!("\n{report}"));
            ExitCode::SUCCESS
        }
        Err(_) if cleanup.is_closed() => signals::wait_for_exit(),
        Err(error) => {
            cleanup.close();
            eprintln!("ringlay-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(cleanup: &Cleanup, args: &CompareArgs) -> Result<Vec<Report>, LabError> {
    let ringlay = ringlay_binary(args)?;
    let plan = Plan {
        duration: Duration::from_secs(args.seconds),
        streams: args.streams.into(),
        payload: args.payload.into(),
        iperf3: if args.traffic == "built-in" {
            None
        } else {
            Iperf3::find()
        },
    };
    let mut reports = Vec::new();
    for mtu in &args.mtu {
        for offloads in offload_states(&args.offloads) {
            let underlay = UnderlayConfig {
                mtu: *mtu,
                offloads: *offloads,
            };
            let run = Run {
                cleanup,
                args,
                plan: &plan,
                ringlay: &ringlay,
                underlay,
            };
            reports.push(run.report()?);
        }
    }
    Ok(reports)
}

fn ringlay_binary(args: &CompareArgs) -> Result<PathBuf, LabError> {
    let beside = || env::current_exe().map(|own| own.with_file_name("ringlay"));
    let path = args.ringlay.clone().map_or_else(beside, Ok);
    path.and_then(|path| {
        path.canonicalize().map_err(|error| {
            let hint = format!("{}: {error}; name it with --ringlay", path.display());
            std::io::Error::new(error.kind(), hint)
        })
    })
    .map_err(LabError::io("find the ringlay binary"))
}

fn offload_states(choice: &str) -> &'static [bool] {
    match choice {
        "on" => &[true],
        "off" => &[false],
        _ => &[true, false],
    }
}

/// All rounds under one set of conditions.
struct Run<'a> {
    cleanup: &'a Cleanup,
    args: &'a CompareArgs,
    plan: &'a Plan,
    ringlay: &'a PathBuf,
    underlay: UnderlayConfig,
}

impl Run<'_> {
    fn report(&self) -> Result<Report, LabError> {
        let machine = Machine::look()?;
        let ringlay = self.args.drivers.iter().map(|driver| LegKind::Ringlay {
            driver: driver.clone(),
        });
        let kinds: Vec<_> = ringlay
            .chain([LegKind::KernelVxlan, LegKind::OnePacketLoop])
            .collect();
        let mut legs: Vec<_> = kinds.iter().map(LegReport::new).collect();
        for round in 0..usize::from(self.args.rounds) {
            for turn in 0..kinds.len() {
                let index = (round + turn) % kinds.len();
                if legs[index].absent.is_none() {
                    self.measure(&kinds[index], &mut legs[index])?;
                    self.progress(round, &legs[index]);
                }
            }
        }
        Ok(Report::new(machine, self.conditions(), legs))
    }

    /// One round of one overlay, on hosts of its own.
    fn measure(&self, kind: &LegKind, report: &mut LegReport) -> Result<(), LabError> {
        let name = format!("ringlay-perf-{}", std::process::id());
        let directory = Workdir::create(self.cleanup, &name)?;
        let topology = Topology::create(self.cleanup, &name, self.underlay)?;
        let bench = Bench {
            cleanup: self.cleanup,
            topology: &topology,
            directory: directory.path().into(),
            ringlay: self.ringlay.clone(),
        };
        let leg = match Leg::start(&bench, kind.clone()) {
            Ok(leg) => leg,
            Err(error @ LabError::Unsupported { .. }) => {
                report.absent = Some(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if report.samples.is_empty() {
            report.mode = leg.mode()?;
        }
        report.add(leg.measure(&bench, self.plan)?);
        Ok(())
    }

    fn progress(&self, round: usize, leg: &LegReport) {
        let UnderlayConfig { mtu, offloads } = self.underlay;
        let offloads = if offloads { "on" } else { "off" };
        let outcome = match (leg.samples.last(), &leg.absent) {
            (Some(sample), _) => format!(
                "{:.2} Gbit/s, {:.0} kpps, p50 {:.0} us",
                sample.tcp.bits_per_second / 1e9,
                sample.udp.packets_per_second / 1e3,
                sample.round_trips.p50
            ),
            (None, reason) => reason.clone().unwrap_or_default(),
        };
        eprintln!(
            "MTU {mtu}, offloads {offloads}, round {} of {}: {}: {outcome}",
            round + 1,
            self.args.rounds,
            leg.name
        );
    }

    fn conditions(&self) -> Conditions {
        Conditions {
            mtu: self.underlay.mtu,
            offloads: self.underlay.offloads,
            streams: self.plan.streams,
            payload: self.plan.payload,
            rounds: self.args.rounds.into(),
            seconds: self.args.seconds,
            traffic: self.plan.traffic(),
        }
    }
}
