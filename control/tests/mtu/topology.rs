//! Two hosts with a node each, and a router between them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::process::Process;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::pair::{ip, run};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const RINGLAY: &str = env!("CARGO_BIN_EXE_ringlay");

/// Which IP version the underlay has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    /// Address of a host in the underlay.
    pub(crate) fn host(self, host: usize) -> IpAddr {
        let text = match self {
            Self::V4 => format!("192.168.{}.1", 77 + host),
            Self::V6 => format!("fd77:{host}::1"),
        };
        text.parse().unwrap()
    }

    /// What VXLAN takes of the underlay's MTU.
    pub(crate) fn overhead(self) -> u32 {
        match self {
            Self::V4 => 50,
            Self::V6 => 70,
        }
    }
}

/// How packets cross the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encap {
    Vxlan,
    /// With IP packets inside.
    Gre,
    Ipip,
}

impl Encap {
    /// The keys of a network.
    fn keys(self) -> &'static str {
        match self {
            Self::Vxlan => "vni = 42",
            Self::Gre => "encap = \"gre\"",
            Self::Ipip => "encap = \"ipip\"",
        }
    }

    /// What it takes of the underlay's MTU.
    pub(crate) fn overhead(self, version: Version) -> u32 {
        let ip = if version == Version::V4 { 20 } else { 40 };
        match self {
            Self::Vxlan => version.overhead(),
            Self::Gre => ip + 4,
            Self::Ipip => ip,
        }
    }
}

/// Inner addresses of a host, of both versions.
pub(crate) fn inner(host: usize) -> [IpAddr; 2] {
    let number = host + 1;
    [
        format!("10.42.{number}.1").parse().unwrap(),
        format!("fd42:{number}::1").parse().unwrap(),
    ]
}

/// The hosts and the router.
pub(crate) struct Topology {
    pub(crate) hosts: [Namespace; 2],
    pub(crate) router: Namespace,
    version: Version,
    encap: Encap,
    cleanup: Cleanup,
    directory: TempDir,
    nodes: [Option<Process>; 2],
}

impl Topology {
    /// Makes hosts and router, with links of this MTU on both sides.
    pub(crate) fn new(version: Version, mtu: u32) -> Self {
        Self::with(Encap::Vxlan, version, mtu)
    }

    /// The same, for nodes that use this encapsulation.
    pub(crate) fn with(encap: Encap, version: Version, mtu: u32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cleanup = Cleanup::new();
        let create = |name: &str| {
            Namespace::create(&cleanup, &format!("rlm{}-{count}-{name}", process::id()))
                .expect("these tests need root, to make network namespaces")
        };
        let (hosts, router) = ([create("a"), create("b")], create("r"));
        let directory = TempDir::with_prefix("ringlay-test-").unwrap();
        let topology = Self {
            hosts,
            router,
            version,
            encap,
            cleanup,
            directory,
            nodes: [None, None],
        };
        for host in 0..2 {
            topology.join(host, mtu);
        }
        topology
    }

    fn join(&self, host: usize, mtu: u32) {
        let (near, router) = (&self.hosts[host], &self.router);
        let device = format!("to{host}");
        ip(
            near,
            &format!(
                "link add eth0 type veth peer name {device} netns {}",
                router.name()
            ),
        );
        for (side, device, number) in [(near, "eth0", 1), (router, device.as_str(), 254)] {
            // Whatever leaves is complete, as on a wire.
            run(
                side,
                "ethtool",
                &format!("-K {device} tx off tso off gso off"),
            );
            let v4 = format!("192.168.{}.{number}/24", 77 + host);
            ip(side, &format!("address add {v4} dev {device}"));
            let v6 = format!("fd77:{host}::{number}/64");
            ip(side, &format!("address add {v6} dev {device} nodad"));
            ip(side, &format!("link set {device} mtu {mtu} up"));
        }
        ip(
            near,
            &format!("route add default via 192.168.{}.254", 77 + host),
        );
        ip(near, &format!("route add default via fd77:{host}::254"));
        let forward = || {
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
            }
        };
        router.run(forward).unwrap();
    }

    /// Sets the MTU of a host's link, at both its ends.
    pub(crate) fn set_mtu(&self, host: usize, mtu: u32) {
        ip(&self.hosts[host], &format!("link set eth0 mtu {mtu}"));
        ip(&self.router, &format!("link set to{host} mtu {mtu}"));
    }

    /// Starts a host's node, with these settings in the sections of its configuration.
    pub(crate) fn start(&mut self, host: usize, underlay: &str, network: &str) {
        let file = |name: &str| self.file(host, name);
        fs::write(file("toml"), self.config(host, underlay, network)).unwrap();
        let mut command = Command::new(RINGLAY);
        command.arg("run").arg("--config").arg(file("toml"));
        let process = Process::start(&self.cleanup, &self.hosts[host], command, &file("log"));
        self.nodes[host] = Some(process.unwrap());
        self.wait_for("a node is ready", || self.log(host).contains("ready"));
    }

    /// Both nodes, with the same settings.
    pub(crate) fn start_both(&mut self, underlay: &str, network: &str) {
        self.start(0, underlay, network);
        self.start(1, underlay, network);
    }

    fn config(&self, host: usize, underlay: &str, network: &str) -> String {
        let (version, far, keys) = (self.version, 1 - host, self.encap.keys());
        let (local, remote) = (version.host(host), version.host(far));
        let [v4, v6] = inner(host);
        let mut text = format!(
            "[node]\nsocket = \"{}\"\n\
             [dataplane]\nworkers = 1\n\
             [underlay]\naddress = \"{local}\"\n{underlay}\n\
             [[network]]\nname = \"blue\"\n{keys}\n{network}\n\
             [[port]]\nnetwork = \"blue\"\ndevice = \"rl0\"\naddresses = [\"{v4}/24\", \"{v6}/64\"]\n\
             [[vtep]]\nnetwork = \"blue\"\naddress = \"{remote}\"\n",
            self.socket(host).display()
        );
        for prefix in [
            format!("10.42.{}.0/24", far + 1),
            format!("fd42:{}::/64", far + 1),
        ] {
            text.push_str(&format!(
                "[[route]]\nnetwork = \"blue\"\nprefix = \"{prefix}\"\nvtep = \"{remote}\"\n"
            ));
        }
        text
    }

    fn file(&self, host: usize, extension: &str) -> PathBuf {
        self.directory().join(format!("{host}.{extension}"))
    }

    fn socket(&self, host: usize) -> PathBuf {
        self.file(host, "sock")
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What a host's node logged.
    pub(crate) fn log(&self, host: usize) -> String {
        let node = self.nodes[host].as_ref().map(Process::output);
        node.unwrap_or_default()
    }

    /// What `ringlay ARGUMENTS` prints for a host's node.
    pub(crate) fn ringlay(&self, host: usize, arguments: &str) -> String {
        let socket = self.socket(host);
        let arguments = format!("--socket {} {arguments}", socket.display());
        run(&self.hosts[host], RINGLAY, &arguments)
    }

    /// What a host's node has in force towards the other.
    pub(crate) fn mtu(&self, host: usize) -> Value {
        let shown = self.ringlay(host, "mtu --json");
        let mut peers: Value = serde_json::from_str(&shown).unwrap();
        peers[0].take()
    }

    /// Waits until a host's node has this MTU in force for this reason.
    pub(crate) fn wait_for_mtu(&self, host: usize, mtu: u32, origin: &str) {
        self.wait_for(&format!("MTU {mtu} by {origin}"), || {
            let shown = self.mtu(host);
            shown["mtu"] == mtu && shown["origin"] == origin
        });
    }

    pub(crate) fn wait_for(&self, what: &str, mut so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(
                Instant::now() < deadline,
                "not so: {what}\n{}\n{}",
                self.log(0),
                self.log(1)
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}
