//! One overlay between the two hosts, and what can be measured through it.
//!
//! Every leg is measured by the same code on the same underlay, so that their ratios mean
//! something.

mod kind;
mod outcome;
mod start;

use std::path::PathBuf;
use std::time::Duration;

pub use kind::{LegKind, ParseLegError, Peer, RinglayLeg};
pub use outcome::{Outcome, Tally};

use super::LabError;
use super::cleanup::Cleanup;
use super::cpu::CpuMeter;
use super::placement::Placement;
use super::process::Process;
use super::ringlay_node::Node;
use super::topology::Topology;
use super::traffic::iperf3::{Iperf3, Run};
use super::traffic::request_response::{self, RoundTrips};
use super::traffic::tcp_bulk::{self, TcpBulk};
use super::traffic::udp_flood::{self, UdpFlood};
use super::traffic::{Direction, Path};

/// Where legs are set up.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What takes everything back.
    pub cleanup: &'a Cleanup,
    /// The hosts.
    pub topology: &'a Topology,
    /// For files.
    pub directory: PathBuf,
    /// The `ringlay` binary.
    pub ringlay: PathBuf,
    /// Where its workers run.
    pub placement: Placement,
}

/// How to send, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Length of each bulk measurement; the latency one takes half of it.
    pub duration: Duration,
    /// iperf3 for TCP and UDP; the built-in traffic otherwise.
    pub iperf3: Option<Iperf3>,
}

impl Plan {
    /// What makes the TCP and UDP traffic.
    pub fn traffic(&self) -> String {
        self.iperf3
            .as_ref()
            .map_or("built-in", Iperf3::version)
            .to_owned()
    }
}

/// An overlay that is up.
#[derive(Debug)]
pub struct Leg {
    kind: LegKind,
    /// From host a to host b, and back.
    paths: [Path; 2],
    nodes: Vec<Node>,
    loops: Vec<Process>,
}

impl Leg {
    /// Which overlay it is.
    pub fn kind(&self) -> &LegKind {
        &self.kind
    }

    /// From one host to the other.
    pub fn path(&self, direction: Direction) -> &Path {
        match direction {
            Direction::AToB => &self.paths[0],
            Direction::BToA => &self.paths[1],
        }
    }

    /// The Ringlay nodes, of host a and, where it has one, of host b; empty for other overlays.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Which modes the nodes run in and why, as they tell; nothing for other overlays.
    ///
    /// # Errors
    /// If a node does not answer.
    pub fn mode(&self) -> Result<Option<String>, LabError> {
        self.nodes.first().map(Node::mode).transpose()
    }

    /// Sends pseudo-random bytes one way and compares every one.
    ///
    /// # Errors
    /// [`LabError::Corrupted`] if one differs.
    pub fn verify(&self, direction: Direction, bytes: u64) -> Result<(), LabError> {
        tcp_bulk::verify(self.path(direction), bytes)
    }

    /// TCP in bulk, one way over `streams` connections at once.
    ///
    /// # Errors
    /// If traffic fails or a process of the overlay has ended.
    pub fn tcp(
        &self,
        bench: &Bench<'_>,
        plan: &Plan,
        direction: Direction,
        streams: usize,
    ) -> Result<Outcome<TcpBulk>, LabError> {
        let path = self.path(direction);
        self.metered(bench, || match &plan.iperf3 {
            Some(iperf3) => iperf3.tcp(&run(bench, path), plan.duration, streams),
            None => tcp_bulk::run(path, plan.duration, streams),
        })
    }

    /// UDP datagrams of `payload` bytes, one way and as fast as they go.
    ///
    /// # Errors
    /// If traffic fails or a process of the overlay has ended.
    pub fn udp(
        &self,
        bench: &Bench<'_>,
        plan: &Plan,
        direction: Direction,
        payload: usize,
    ) -> Result<Outcome<UdpFlood>, LabError> {
        let path = self.path(direction);
        self.metered(bench, || match &plan.iperf3 {
            Some(iperf3) => iperf3.udp(&run(bench, path), plan.duration, payload),
            None => udp_flood::run(path, plan.duration, payload, None),
        })
    }

    /// TCP requests from host a, one at a time, and responses.
    ///
    /// # Errors
    /// If traffic fails or a process of the overlay has ended.
    pub fn round_trips(
        &self,
        bench: &Bench<'_>,
        plan: &Plan,
    ) -> Result<Outcome<RoundTrips>, LabError> {
        let path = self.path(Direction::AToB);
        self.metered(bench, || request_response::run(path, plan.duration / 2))
    }

    fn metered<T>(
        &self,
        bench: &Bench<'_>,
        work: impl FnOnce() -> Result<T, LabError>,
    ) -> Result<Outcome<T>, LabError> {
        self.check_running()?;
        let processes: Vec<u32> = self.processes().map(Process::pid).collect();
        let before = Tally::of(self, bench.topology)?;
        let meter = CpuMeter::start(&processes)?;
        let traffic = work()?;
        let cpu = meter.stop()?;
        self.check_running()?;
        let tally = Tally::of(self, bench.topology)?.since(&before);
        Ok(Outcome {
            traffic,
            cpu,
            tally,
        })
    }

    fn check_running(&self) -> Result<(), LabError> {
        self.processes().try_for_each(Process::check_running)
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.nodes
            .iter()
            .map(|node| &node.process)
            .chain(&self.loops)
    }
}

fn run<'a>(bench: &'a Bench<'_>, path: &'a Path) -> Run<'a> {
    Run {
        path,
        cleanup: bench.cleanup,
        directory: &bench.directory,
    }
}

/// IPv4, UDP, VXLAN and Ethernet headers around a packet.
pub const OVERHEAD: u32 = 50;
