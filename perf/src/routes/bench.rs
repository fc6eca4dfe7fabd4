//! The node that is measured, and what is around it.
//!
//! Host a has a node with one worker and no kernel routes but a default route into its device.
//! Host b has no node: a socket that nobody reads takes the tunnel's port, and the kernel drops
//! what does not fit into it, which is nearly all. Nothing answers, and nothing runs there.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::drops::Drops;
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::ringlay_node::{ADDRESSES, DEVICE, Head, NETWORK, Node, PORT};
use ringlay_control::lab::topology::{Topology, UnderlayConfig};
use ringlay_control::lab::workdir::Workdir;
use ringlay_control::lab::{LabError, cpu, kernel_drops, link};

use super::RoutesArgs;
use super::flood::Flood;
use super::report::Sample;
use crate::{import, routers};

/// A running node on host a. Fields are dropped in their order: the node goes before its host.
#[derive(Debug)]
pub(super) struct Bench {
    node: Node,
    _sink: UdpSocket,
    topology: Topology,
    directory: Workdir,
    program: PathBuf,
    sender_cpus: Vec<usize>,
}

/// Where the worker and the senders run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cpus {
    /// The worker's.
    pub(super) worker: Option<usize>,
    /// The senders'.
    pub(super) senders: Vec<usize>,
}

impl Cpus {
    /// The worker has the first processor of the first half, the senders have the second half.
    pub(super) fn of(placement: &Placement) -> Self {
        match placement {
            Placement::Split([first, second]) => Self {
                worker: first.first().copied(),
                senders: second.clone(),
            },
            Placement::Auto => Self {
                worker: None,
                senders: Vec::new(),
            },
        }
    }
}

/// Counters at one moment.
struct Moment {
    at: Instant,
    packets: u64,
    cpu: f64,
    sent: u64,
    drops: Drops,
}

impl Bench {
    pub(super) fn start(
        cleanup: &Cleanup,
        args: &RoutesArgs,
        program: &Path,
        cpus: &Cpus,
    ) -> Result<Self, LabError> {
        let name = format!("ringlay-perf-{}", std::process::id());
        let directory = Workdir::create(cleanup, &name)?;
        let topology = Topology::create(cleanup, &name, UnderlayConfig::default())?;
        let sink = topology
            .b
            .namespace
            .run(|| UdpSocket::bind((topology.b.underlay, PORT)))?
            .map_err(LabError::io("bind the tunnel's port on host b"))?;
        let text = |socket: &Path| config_text(args, &topology, cpus, socket);
        let host = &topology.a;
        let node = Node::start_configured(cleanup, program, host, "a", directory.path(), text)?;
        let bench = Self {
            node,
            _sink: sink,
            topology,
            directory,
            program: program.into(),
            sender_cpus: cpus.senders.clone(),
        };
        bench.node.wait_until_ready()?;
        let lead_in = || link::add_default_route(DEVICE);
        bench.topology.a.namespace.run(lead_in)??;
        Ok(bench)
    }

    /// Its drivers.
    pub(super) fn mode(&self) -> Result<String, LabError> {
        self.node.mode()
    }

    /// Where a table's file may be.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts the table in `file` in force instead of the one before; it has `count` routes. Returns
    /// once the worker has confirmed it.
    pub(super) fn load(&self, file: &Path, count: u32) -> Result<f64, LabError> {
        import::routes(&self.program, &self.node.socket, NETWORK, file, count)
    }

    /// Floods it for `duration`, after a moment in which everything gets warm.
    pub(super) fn measure(
        &self,
        destinations: &Arc<[Ipv4Addr]>,
        payload: usize,
        duration: Duration,
    ) -> Result<Sample, LabError> {
        let namespace = &self.topology.a.namespace;
        let flood = Flood::start(namespace, &self.sender_cpus, destinations, payload);
        thread::sleep(WARM_UP);
        let before = self.look(&flood)?;
        thread::sleep(duration);
        let after = self.look(&flood)?;
        flood.stop()?;
        self.node.process.check_running()?;
        Ok(Sample {
            seconds: (after.at - before.at).as_secs_f64(),
            packets: after.packets.saturating_sub(before.packets),
            sent: after.sent.saturating_sub(before.sent),
            worker_seconds: after.cpu - before.cpu,
            drops: after.drops.since(&before.drops),
            ..Sample::default()
        })
    }

    fn look(&self, flood: &Flood) -> Result<Moment, LabError> {
        let host = &self.topology.a;
        let queue_full = kernel_drops::before_device(host, DEVICE)?;
        let stats = self.node.stats()?;
        let moment = Instant::now();
        let queues = stats.underlays.iter().filter_map(|it| it.queues.as_ref());
        let mut drops = Drops::default();
        drops.count(format!("kernel_{DEVICE}_tx_dropped"), queue_full);
        for drop in &stats.drops {
            drops.count(drop.reason.clone(), drop.frames);
        }
        Ok(Moment {
            at: moment,
            packets: queues.map(|queues| queues.tx_frames).sum(),
            cpu: cpu::threads_time(self.node.process.pid(), WORKER),
            sent: flood.sent(),
            drops,
        })
    }
}

fn config_text(args: &RoutesArgs, topology: &Topology, cpus: &Cpus, socket: &Path) -> String {
    let remote = topology.b.underlay;
    let workers = cpus
        .worker
        .map_or_else(|| "1".to_owned(), |cpu| format!("[{cpu}]"));
    let head = Head {
        name: "a",
        socket,
        workers: &workers,
        driver: &args.driver,
        underlay: &args.underlay,
        encap: "vxlan",
        local: topology.a.underlay,
        address: ADDRESSES[0],
    };
    let routers = routers::neighbours(NETWORK, remote, args.next_hops);
    format!(
        r#"{head}routes = false

[[vtep]]
network = "{NETWORK}"
address = "{remote}"
mac = "02:00:00:00:00:02"
{routers}"#
    )
}

/// How the names of the node's worker threads begin.
const WORKER: &str = "ringlay-w";
const WARM_UP: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_and_senders_are_apart() {
        let cpus = Cpus::of(&Placement::Split([vec![0, 1], vec![2, 3]]));
        assert_eq!((cpus.worker, cpus.senders), (Some(0), vec![2, 3]));
        assert_eq!(Cpus::of(&Placement::Auto).worker, None);
    }
}
