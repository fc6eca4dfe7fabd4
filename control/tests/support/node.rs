//! The node under test: a real daemon with a real configuration file.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::process::Process;
use serde_json::Value;

use super::pair::{Pair, Underlay};

/// Name of the node's TUN device.
pub(crate) const DEVICE: &str = "rl0";
/// Name of its network.
pub(crate) const NETWORK: &str = "blue";
/// VNI of its network.
pub(crate) const VNI: u32 = 42;

const RINGLAY: &str = env!("CARGO_BIN_EXE_ringlay");
const PATIENCE: Duration = Duration::from_secs(20);

/// What differs from test to test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) driver: &'static str,
    pub(crate) underlay: Underlay,
    /// MAC address of our own VTEP; derived by the node if absent.
    pub(crate) mac: Option<&'static str>,
    /// MAC address of the peer's VTEP; resolved through the tunnel if absent.
    pub(crate) peer_mac: Option<&'static str>,
    /// Inner addresses of the peer as a router; none if its addresses are on the link.
    pub(crate) via: Option<[&'static str; 2]>,
}

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Node {
    process: Process,
    socket: PathBuf,
}

impl Node {
    /// Starts a daemon in the pair's first host and waits until it answers.
    pub(crate) fn start(pair: &Pair, config: &NodeConfig) -> Self {
        Self::start_on(pair, config, "auto")
    }

    /// The same with an underlay driver of its own.
    pub(crate) fn start_on(pair: &Pair, config: &NodeConfig, underlay_driver: &str) -> Self {
        Self::start_network(pair, config, underlay_driver, &format!("vni = {VNI}"))
    }

    /// The same with a network of its own: lines of the configuration file.
    pub(crate) fn start_network(
        pair: &Pair,
        config: &NodeConfig,
        underlay_driver: &str,
        network: &str,
    ) -> Self {
        let socket = pair.directory().join("ringlay.sock");
        let text = config.to_toml(&socket.display().to_string(), underlay_driver, network);
        Self::start_in(pair, &pair.node, "ringlay", &text)
    }

    /// Starts a daemon in a host by the text of a configuration file, which says that its socket is
    /// `NAME.sock` in the pair's directory, and waits until it answers.
    pub(crate) fn start_in(pair: &Pair, host: &Namespace, name: &str, text: &str) -> Self {
        let file = |suffix: &str| pair.directory().join(format!("{name}.{suffix}"));
        let socket = file("sock");
        fs::write(file("toml"), text).unwrap();
        let mut command = Command::new(RINGLAY);
        command.arg("run").arg("--config").arg(file("toml"));
        let process = Process::start(&pair.cleanup, host, command, &file("log")).unwrap();
        let node = Self { process, socket };
        node.wait_until_ready();
        node
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Fails with the log if the daemon has ended.
    pub(crate) fn assert_alive(&self) {
        if let Err(error) = self.process.check_running() {
            panic!("{error}\n{}", self.process.output());
        }
    }

    /// Kills it without a chance to clean up.
    pub(crate) fn kill(self) {
        self.end(Signal::SIGKILL);
    }

    /// Stops it as a service manager does.
    pub(crate) fn stop(self) {
        self.end(Signal::SIGTERM);
    }

    fn end(self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.process.check_running().is_ok() {
            assert!(Instant::now() < deadline, "the daemon outlives {signal}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What `ringlay ARGUMENTS --json` prints.
    pub(crate) fn query(&self, arguments: &str) -> Value {
        self.try_query(arguments).unwrap_or_else(|error| {
            self.assert_alive();
            panic!("ringlay {arguments}: {error}")
        })
    }

    /// Runs `ringlay ARGUMENTS`; what it prints, or else what it complains of.
    pub(crate) fn ask(&self, arguments: &str) -> Result<String, String> {
        let output = Command::new(RINGLAY)
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    fn try_query(&self, arguments: &str) -> Result<Value, String> {
        let output = Command::new(RINGLAY)
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments.split_whitespace())
            .arg("--json")
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.try_query("stats") {
            self.assert_alive();
            let log = self.process.output();
            assert!(
                Instant::now() < deadline,
                "the daemon does not answer: {error}\n{log}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl NodeConfig {
    /// Nothing that differs but these.
    pub(crate) fn new(driver: &'static str, underlay: Underlay) -> Self {
        Self {
            driver,
            underlay,
            mac: None,
            peer_mac: None,
            via: None,
        }
    }

    fn to_toml(self, socket: &str, underlay_driver: &str, network: &str) -> String {
        let Self {
            driver, underlay, ..
        } = self;
        let (local, peer) = (underlay.node(), underlay.peer());
        let line = |key: &str, value: Option<&str>| {
            value
                .map(|value| format!("{key} = \"{value}\"\n"))
                .unwrap_or_default()
        };
        let own_mac = line("mac", self.mac);
        let peer_mac = line("mac", self.peer_mac);
        let mut text = format!(
            r#"[node]
name = "node"
socket = "{socket}"

[dataplane]
driver = "{driver}"

[underlay]
address = "{local}"
driver = "{underlay_driver}"

[[network]]
name = "{NETWORK}"
{network}
{own_mac}
[[port]]
network = "{NETWORK}"
kind = "tun"
device = "{DEVICE}"
addresses = ["10.42.1.1/24", "fd42:1::1/64"]

[[vtep]]
network = "{NETWORK}"
address = "{peer}"
{peer_mac}"#
        );
        for (index, prefix) in ["10.42.2.0/24", "fd42:2::/64"].into_iter().enumerate() {
            let via = line("via", self.via.map(|via| via[index]));
            write!(
                text,
                r#"
[[route]]
network = "{NETWORK}"
prefix = "{prefix}"
vtep = "{peer}"
{via}"#
            )
            .unwrap();
        }
        text
    }
}
