//! One overlay between the two hosts, and what can be measured through it.
//!
//! Every leg is measured by the same code on the same underlay, so that their ratios mean
//! something.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ringlay_dataplane::driver::probe::{self, DriverChoice};
use serde::Serialize;

use super::cleanup::Cleanup;
use super::cpu::{CpuMeter, CpuUse};
use super::drops::Drops;
use super::process::Process;
use super::ringlay_node::{Node, Program};
use super::topology::{Host, Topology};
use super::traffic::iperf3::{Iperf3, Run};
use super::traffic::request_response::{self, RoundTrips};
use super::traffic::tcp_bulk::{self, TcpBulk};
use super::traffic::udp_flood::{self, UdpFlood};
use super::traffic::{Path, ping};
use super::{LabError, kernel_drops, kernel_vxlan, one_packet_loop, ringlay_node};

/// Which overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegKind {
    /// Two Ringlay nodes with this `dataplane.driver`.
    Ringlay {
        /// `auto`, `io_uring` or `epoll`.
        driver: String,
    },
    /// The kernel's VXLAN device.
    KernelVxlan,
    /// [`one_packet_loop`].
    OnePacketLoop,
}

impl LegKind {
    /// Name for people.
    pub fn name(&self) -> String {
        match self {
            Self::Ringlay { driver } if driver == "auto" => "Ringlay".into(),
            Self::Ringlay { driver } => format!("Ringlay ({driver})"),
            Self::KernelVxlan => "kernel VXLAN".into(),
            Self::OnePacketLoop => "one-packet loop".into(),
        }
    }

    /// Name of the overlay's device in each host.
    pub fn device(&self) -> &'static str {
        match self {
            Self::Ringlay { .. } => ringlay_node::DEVICE,
            Self::KernelVxlan => kernel_vxlan::DEVICE,
            Self::OnePacketLoop => one_packet_loop::DEVICE,
        }
    }

    /// Overlay addresses of the two hosts.
    pub fn addresses(&self) -> [Ipv4Addr; 2] {
        match self {
            Self::Ringlay { .. } => ringlay_node::ADDRESSES,
            Self::KernelVxlan => kernel_vxlan::ADDRESSES,
            Self::OnePacketLoop => one_packet_loop::ADDRESSES,
        }
    }
}

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
}

/// What to send, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Length of each bulk measurement; the latency one takes half of it.
    pub duration: Duration,
    /// TCP connections at once.
    pub streams: usize,
    /// Payload of a UDP datagram in bytes.
    pub payload: usize,
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

/// One measurement of everything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// TCP in bulk.
    pub tcp: TcpBulk,
    /// Processor time during it.
    pub tcp_cpu: CpuUse,
    /// Small UDP datagrams.
    pub udp: UdpFlood,
    /// Processor time during it.
    pub udp_cpu: CpuUse,
    /// TCP request and response.
    pub round_trips: RoundTrips,
    /// Processor time during it.
    pub round_trips_cpu: CpuUse,
    /// Packets dropped meanwhile on both hosts, by the nodes and by the kernel.
    pub drops: Drops,
}

/// An overlay that is up.
#[derive(Debug)]
pub struct Leg {
    kind: LegKind,
    path: Path,
    nodes: Vec<Node>,
    loops: Vec<Process>,
}

impl Leg {
    /// Sets the overlay up and waits until a ping crosses it.
    ///
    /// # Errors
    /// [`LabError::Unsupported`] if this kernel cannot; otherwise what went wrong.
    pub fn start(bench: &Bench<'_>, kind: LegKind) -> Result<Self, LabError> {
        let topology = bench.topology;
        let path = Path {
            from: topology.a.namespace.clone(),
            to: topology.b.namespace.clone(),
            destination: kind.addresses()[1],
        };
        let mut leg = Self {
            kind,
            path,
            nodes: Vec::new(),
            loops: Vec::new(),
        };
        match &leg.kind {
            LegKind::Ringlay { driver } => {
                check_driver(driver)?;
                leg.nodes = start_nodes(bench, driver)?;
            }
            LegKind::KernelVxlan => kernel_vxlan::join(topology)?,
            LegKind::OnePacketLoop => leg.loops = start_loops(bench)?,
        }
        if let Err(silent) = ping::wait_for_reply(&leg.path, START_LIMIT) {
            leg.check_running()?;
            return Err(silent);
        }
        Ok(leg)
    }

    /// Which overlay it is.
    pub fn kind(&self) -> &LegKind {
        &self.kind
    }

    /// From host a to host b.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Ringlay nodes, of host a and of host b; empty for other overlays.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Which mode the nodes run in and why, as they tell; nothing for other overlays.
    ///
    /// # Errors
    /// If a node does not answer.
    pub fn mode(&self) -> Result<Option<String>, LabError> {
        self.nodes.first().map(Node::mode).transpose()
    }

    /// Packets dropped so far, by reason: by the nodes, and by the kernel around them.
    fn drops(&self, topology: &Topology) -> Result<Drops, LabError> {
        let mut drops = kernel_drops::count([&topology.a, &topology.b], self.kind.device())?;
        for node in &self.nodes {
            for drop in node.stats()?.drops {
                drops.count(drop.reason, drop.frames);
            }
        }
        Ok(drops)
    }

    /// Sends pseudo-random bytes from host a to host b and compares every one.
    ///
    /// # Errors
    /// [`LabError::Corrupted`] if one differs.
    pub fn verify(&self, bytes: u64) -> Result<(), LabError> {
        tcp_bulk::verify(&self.path, bytes)
    }

    /// Measures everything once.
    ///
    /// # Errors
    /// If traffic fails or a process of the overlay has ended.
    pub fn measure(&self, bench: &Bench<'_>, plan: &Plan) -> Result<Sample, LabError> {
        self.check_running()?;
        let before = self.drops(bench.topology)?;
        let run = Run {
            path: &self.path,
            cleanup: bench.cleanup,
            directory: &bench.directory,
        };
        let (tcp, tcp_cpu) = self.metered(|| match &plan.iperf3 {
            Some(iperf3) => iperf3.tcp(&run, plan.duration, plan.streams),
            None => tcp_bulk::run(&self.path, plan.duration, plan.streams),
        })?;
        let (udp, udp_cpu) = self.metered(|| match &plan.iperf3 {
            Some(iperf3) => iperf3.udp(&run, plan.duration, plan.payload),
            None => udp_flood::run(&self.path, plan.duration, plan.payload, None),
        })?;
        let (round_trips, round_trips_cpu) =
            self.metered(|| request_response::run(&self.path, plan.duration / 2))?;
        self.check_running()?;
        let drops = self.drops(bench.topology)?.since(&before);
        Ok(Sample {
            tcp,
            tcp_cpu,
            udp,
            udp_cpu,
            round_trips,
            round_trips_cpu,
            drops,
        })
    }

    fn metered<T>(
        &self,
        work: impl FnOnce() -> Result<T, LabError>,
    ) -> Result<(T, CpuUse), LabError> {
        let processes: Vec<u32> = self.processes().map(Process::pid).collect();
        let meter = CpuMeter::start(&processes)?;
        let result = work()?;
        Ok((result, meter.stop()?))
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

/// A driver that this host forbids is a fact to report, not a failure.
fn check_driver(driver: &str) -> Result<(), LabError> {
    if driver == "io_uring" && probe::choose(DriverChoice::IoUring).is_err() {
        return Err(LabError::Unsupported {
            what: "io_uring that this process may use",
        });
    }
    Ok(())
}

fn start_nodes(bench: &Bench<'_>, driver: &str) -> Result<Vec<Node>, LabError> {
    let program = Program {
        path: bench.ringlay.clone(),
        driver: driver.into(),
    };
    let hosts = [&bench.topology.a, &bench.topology.b];
    (0..2)
        .map(|index| Node::start(bench.cleanup, &program, index, hosts, &bench.directory))
        .collect()
}

fn start_loops(bench: &Bench<'_>) -> Result<Vec<Process>, LabError> {
    let [address_a, address_b] = one_packet_loop::ADDRESSES;
    let Topology { a, b, underlay } = bench.topology;
    let start = |host: &Host, far: &Host, address: Ipv4Addr, log: &str| {
        let mut command = Command::new(&bench.ringlay);
        command
            .arg("lab-loop")
            .args(["--local", &host.underlay.to_string()])
            .args(["--remote", &far.underlay.to_string()])
            .args(["--address", &address.to_string()])
            .args(["--mtu", &(underlay.mtu - OVERHEAD).to_string()]);
        Process::start(
            bench.cleanup,
            &host.namespace,
            command,
            &bench.directory.join(log),
        )
    };
    Ok(vec![
        start(a, b, address_a, "loop-a.log")?,
        start(b, a, address_b, "loop-b.log")?,
    ])
}

/// IPv4, UDP, VXLAN and Ethernet headers around a packet.
pub const OVERHEAD: u32 = 50;
const START_LIMIT: Duration = Duration::from_secs(10);
