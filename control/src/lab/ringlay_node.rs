//! Ringlay itself between the two hosts: a node in each, as a process with its own config file.
//!
//! It reaches a node as any user does: by its config file, the `ringlay` command and its socket.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use tonic::Status;
use tonic::transport::Channel;

use super::LabError;
use super::cleanup::Cleanup;
use super::placement::Placement;
use super::process::Process;
use super::topology::Host;
use crate::client;
use crate::proto::node_service_client::NodeServiceClient;
use crate::proto::stats_service_client::StatsServiceClient;
use crate::proto::{GetNodeRequest, GetStatsRequest, SetStagesRequest, Stats};

/// Overlay addresses of the two hosts.
pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 42, 1, 1), Ipv4Addr::new(10, 42, 2, 1)];

/// Name of the TUN device in each host.
pub const DEVICE: &str = "rl0";

/// VNI of the network.
pub const VNI: u32 = 42;

/// UDP port of the tunnel: the default one (RFC 7348 section 8).
pub const PORT: u16 = 4789;

/// Name of the network.
pub const NETWORK: &str = "demo";

const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What runs a node.
#[derive(Debug, Clone)]
pub struct Program {
    /// The `ringlay` binary.
    pub path: PathBuf,
    /// How it runs.
    pub modes: Modes,
}

/// The modes of a node, as its config file has them.
#[derive(Debug, Clone)]
pub struct Modes {
    /// Value of `dataplane.driver`.
    pub driver: String,
    /// Value of `underlay.driver`.
    pub underlay: String,
    /// Value of `network.encap`.
    pub encap: String,
    /// Values of `dataplane.workers`.
    pub placement: Placement,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// The daemon.
    pub process: Process,
    /// Its config file.
    pub config: PathBuf,
    /// Its socket.
    pub socket: PathBuf,
}

/// The two ends of the overlay as one node sees them.
#[derive(Debug, Clone, Copy)]
struct Ends {
    name: &'static str,
    local: Ipv4Addr,
    remote: Ipv4Addr,
    address: Ipv4Addr,
    far_address: Ipv4Addr,
    index: usize,
}

impl Node {
    /// Starts node a or b (`index` 0 or 1) on `host`, with its files in `directory`.
    ///
    /// # Errors
    /// If the files cannot be written or the program not be started. That it works shows only
    /// when a ping is answered.
    pub fn start(
        cleanup: &Cleanup,
        program: &Program,
        index: usize,
        hosts: [&Host; 2],
        directory: &Path,
    ) -> Result<Self, LabError> {
        let far = 1 - index;
        let ends = Ends {
            name: NAMES[index],
            local: hosts[index].underlay,
            remote: hosts[far].underlay,
            address: ADDRESSES[index],
            far_address: ADDRESSES[far],
            index,
        };
        let text = |socket: &Path| config_text(ends, socket, &program.modes);
        Self::start_configured(
            cleanup,
            &program.path,
            hosts[index],
            ends.name,
            directory,
            text,
        )
    }

    /// Starts the node `name` on `host` with the config file that `text` writes for its socket.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_configured(
        cleanup: &Cleanup,
        program: &Path,
        host: &Host,
        name: &str,
        directory: &Path,
        text: impl FnOnce(&Path) -> String,
    ) -> Result<Self, LabError> {
        let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
        let (config, socket) = (file("toml"), file("sock"));
        fs::write(&config, text(&socket))
            .map_err(LabError::io(format!("write {}", config.display())))?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config);
        let process = Process::start(cleanup, &host.namespace, command, &file("log"))?;
        Ok(Self {
            process,
            config,
            socket,
        })
    }

    /// Waits until it answers: its devices are made before.
    ///
    /// # Errors
    /// If it ends, or takes longer than ten seconds.
    pub fn wait_until_ready(&self) -> Result<(), LabError> {
        let deadline = Instant::now() + START_LIMIT;
        while self.stats().is_err() {
            self.process.check_running()?;
            if Instant::now() > deadline {
                return Err(LabError::TimedOut {
                    what: "the start of the node".into(),
                    seconds: START_LIMIT.as_secs(),
                });
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Which drivers it runs and why.
    ///
    /// # Errors
    /// If the node does not answer.
    pub fn mode(&self) -> Result<String, LabError> {
        let node = self.call("GetNode", |channel| async {
            let reply = NodeServiceClient::new(channel)
                .get_node(GetNodeRequest {})
                .await?;
            Ok(reply.into_inner().node.unwrap_or_default())
        })?;
        Ok(format!(
            "{} ({}), {} ({})",
            node.driver, node.driver_reason, node.underlay_driver, node.underlay_driver_reason
        ))
    }

    /// The node's counters.
    ///
    /// # Errors
    /// If the node does not answer.
    pub fn stats(&self) -> Result<Stats, LabError> {
        self.call("GetStats", |channel| async {
            let reply = StatsServiceClient::new(channel)
                .get_stats(GetStatsRequest {})
                .await?;
            Ok(reply.into_inner().stats.unwrap_or_default())
        })
    }

    /// Has the node's workers measure their stages, or no more.
    ///
    /// # Errors
    /// If the node does not answer.
    pub fn set_stages(&self, on: bool) -> Result<(), LabError> {
        self.call("SetStages", |channel| async move {
            let mut client = StatsServiceClient::new(channel);
            client.set_stages(SetStagesRequest { on }).await.map(drop)
        })
    }

    fn call<T, F>(
        &self,
        what: &'static str,
        request: impl FnOnce(Channel) -> F,
    ) -> Result<T, LabError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(LabError::io("start a client runtime"))?;
        runtime.block_on(async {
            let channel = client::connect(&self.socket).await?;
            let reply = request(channel).await;
            reply.map_err(|status| LabError::Rpc {
                what,
                source: Box::new(status),
            })
        })
    }
}

fn config_text(ends: Ends, socket: &Path, modes: &Modes) -> String {
    let Ends {
        remote,
        far_address,
        ..
    } = ends;
    let head = Head {
        name: ends.name,
        socket,
        workers: &modes.placement.setting(ends.index),
        driver: &modes.driver,
        underlay: &modes.underlay,
        encap: &modes.encap,
        local: ends.local,
        address: ends.address,
    };
    let far = network(far_address);
    format!(
        r#"{head}
[[vtep]]
network = "{NETWORK}"
address = "{remote}"

[[route]]
network = "{NETWORK}"
prefix = "{far}/24"
vtep = "{remote}"
"#
    )
}

/// What the config files of all nodes here begin with, up to a TUN port.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Its socket.
    pub socket: &'a Path,
    /// Value of `dataplane.workers`.
    pub workers: &'a str,
    /// Value of `dataplane.driver`.
    pub driver: &'a str,
    /// Value of `underlay.driver`.
    pub underlay: &'a str,
    /// Value of `network.encap`.
    pub encap: &'a str,
    /// The tunnel endpoint.
    pub local: Ipv4Addr,
    /// The address of [`DEVICE`].
    pub address: Ipv4Addr,
}

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head {
            name,
            workers,
            driver,
            underlay,
            encap,
            local,
            address,
            ..
        } = self;
        let socket = self.socket.display();
        // What the encapsulation has room for.
        let key = match *encap {
            "ipip" | "none" => String::new(),
            "gre" => format!("key = {VNI}"),
            "vxlan" => format!("vni = {VNI}\nport = {PORT}"),
            _ => format!("vni = {VNI}"),
        };
        write!(
            f,
            r#"[node]
name = "{name}"
socket = "{socket}"

[dataplane]
workers = {workers}
driver = "{driver}"

[underlay]
address = "{local}"
driver = "{underlay}"

[[network]]
name = "{NETWORK}"
encap = "{encap}"
{key}

[[port]]
network = "{NETWORK}"
kind = "tun"
device = "{DEVICE}"
addresses = ["{address}/24"]
"#
        )
    }
}

fn network(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 0)
}

const NAMES: [&str; 2] = ["a", "b"];

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_config_file_is_one_that_a_node_accepts() {
        let ends = Ends {
            name: "a",
            local: Ipv4Addr::new(192, 168, 77, 1),
            remote: Ipv4Addr::new(192, 168, 77, 2),
            address: ADDRESSES[0],
            far_address: ADDRESSES[1],
            index: 1,
        };
        let split = || Placement::Split([vec![0], vec![1, 2]]);
        for (driver, underlay, encap, placement) in [
            ("auto", "auto", "vxlan", Placement::Auto),
            ("io_uring", "udp", "geneve", split()),
            ("io_uring", "udp", "ipip", split()),
            ("io_uring", "tunnel-gso", "none", split()),
            ("epoll", "tunnel-gso", "gre", split()),
        ] {
            let modes = Modes {
                driver: driver.into(),
                underlay: underlay.into(),
                encap: encap.into(),
                placement,
            };
            let text = config_text(ends, Path::new("/run/x/a.sock"), &modes);
            let config = Config::parse(Path::new("a.toml"), text).unwrap();
            config.rib(ends.local.into()).unwrap();
        }
    }
}
