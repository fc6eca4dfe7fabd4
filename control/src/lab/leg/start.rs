//! Brings a leg up, or says why this host cannot.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use ringlay_dataplane::driver::probe::{self, DriverChoice};

use super::{Bench, Leg, LegKind, OVERHEAD, Peer, RinglayLeg};
use crate::lab::process::Process;
use crate::lab::ringlay_node::{Modes, Node, Program};
use crate::lab::topology::{Host, Topology};
use crate::lab::traffic::{Path, ping};
use crate::lab::{LabError, kernel_vxlan, one_packet_loop};

impl Leg {
    /// Sets the overlay up and waits until pings cross it both ways.
    ///
    /// # Errors
    /// [`LabError::Unsupported`] if this host cannot; otherwise what went wrong.
    pub fn start(bench: &Bench<'_>, kind: LegKind) -> Result<Self, LabError> {
        let topology = bench.topology;
        let mut leg = Self {
            paths: paths(topology, kind.addresses()),
            kind,
            nodes: Vec::new(),
            loops: Vec::new(),
        };
        match &leg.kind {
            LegKind::Ringlay(ringlay) => {
                check_driver(&ringlay.driver)?;
                check_underlay(&ringlay.underlay, topology.a.underlay)?;
                if ringlay.peer == Peer::KernelVxlan {
                    kernel_vxlan::face_node(topology)?;
                }
                leg.nodes = start_nodes(bench, ringlay)?;
            }
            LegKind::KernelVxlan => kernel_vxlan::join(topology)?,
            LegKind::OnePacketLoop => leg.loops = start_loops(bench)?,
        }
        leg.wait_for_pings()?;
        Ok(leg)
    }

    fn wait_for_pings(&self) -> Result<(), LabError> {
        let deadline = Instant::now() + START_LIMIT;
        for path in &self.paths {
            while ping::wait_for_reply(path, LOOK_INTERVAL).is_err() {
                // A process that has ended answers nothing, but tells why.
                self.check_running()?;
                if Instant::now() > deadline {
                    return Err(LabError::TimedOut {
                        what: format!("a ping reply from {}", path.destination),
                        seconds: START_LIMIT.as_secs(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn paths(topology: &Topology, addresses: [Ipv4Addr; 2]) -> [Path; 2] {
    let Topology { a, b, .. } = topology;
    let path = |from: &Host, to: &Host, destination| Path {
        from: from.namespace.clone(),
        to: to.namespace.clone(),
        destination,
    };
    let [address_a, address_b] = addresses;
    [path(a, b, address_b), path(b, a, address_a)]
}

/// A driver that this host forbids is a fact to report, not a failure.
fn check_driver(driver: &str) -> Result<(), LabError> {
    if driver != "io_uring" {
        return Ok(());
    }
    let chosen = probe::choose(DriverChoice::IoUring);
    chosen
        .map(drop)
        .map_err(|error| LabError::unsupported(error.to_string()))
}

/// So is an underlay driver.
fn check_underlay(underlay: &str, local: Ipv4Addr) -> Result<(), LabError> {
    let features = match underlay {
        "tunnel-gso" => probe::tunnel_gso(local.into()),
        "af_xdp" => probe::af_xdp(),
        _ => return Ok(()),
    };
    let mut missing = features.into_iter().filter_map(|feature| {
        let reason = feature.state.err()?;
        Some(format!("{}: {reason}", feature.name))
    });
    missing
        .next()
        .map_or(Ok(()), |missing| Err(LabError::unsupported(missing)))
}

fn start_nodes(bench: &Bench<'_>, leg: &RinglayLeg) -> Result<Vec<Node>, LabError> {
    let program = Program {
        path: bench.ringlay.clone(),
        modes: Modes {
            driver: leg.driver.clone(),
            underlay: leg.underlay.clone(),
            encap: leg.encap.clone(),
            placement: bench.placement.clone(),
        },
    };
    let hosts = [&bench.topology.a, &bench.topology.b];
    let count = match leg.peer {
        Peer::Ringlay => 2,
        Peer::KernelVxlan => 1,
    };
    (0..count)
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

const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
