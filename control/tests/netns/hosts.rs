//! Two hosts as network namespaces, joined by a veth pair, and a node in each.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use serde_json::Value;
use tempfile::TempDir;

use super::ping;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts, 192.168.77.1 and .2, or fd77::1 and ::2; their nodes have 10.42.1.1/24 and 10.42.2.1/24.
pub(crate) struct Hosts {
    id: String,
    folder: TempDir,
    nodes: [Option<Child>; 2],
}

impl Hosts {
    /// Makes the hosts; no node runs yet.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "rlt{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = tempfile::tempdir().unwrap();
        let hosts = Self {
            id,
            folder,
            nodes: [None, None],
        };
        for host in 0..2 {
            run("ip", &["netns", "add", &hosts.netns(host)]);
            hosts.ip(host, "link set lo up");
        }
        hosts.join();
        for host in 0..2 {
            fs::write(hosts.config(host), hosts.default_config(host)).unwrap();
        }
        hosts
    }

    /// Joins the hosts by a veth pair.
    pub(crate) fn join(&self) {
        let (a, b) = (self.netns(0), self.netns(1));
        let veth = [
            "link", "add", "eth0", "netns", &a, "type", "veth", "peer", "name", "eth0",
        ];
        run("ip", &[&veth[..], &["netns", &b]].concat());
        for host in 0..2 {
            let address = format!("address add 192.168.77.{}/24 dev eth0", host + 1);
            self.ip(host, &address);
            let v6 = format!("address add fd77::{}/64 dev eth0 nodad", host + 1);
            self.ip(host, &v6);
            self.ip(host, "link set eth0 up");
        }
        // Until the kernel has taken that up it loses what is sent.
        for host in 0..2 {
            self.wait_for(host, "the link is up", || {
                self.ip(host, "link show eth0").contains("state UP")
            });
        }
    }

    /// The namespace of a host.
    pub(crate) fn netns(&self, host: usize) -> String {
        format!("{}{}", self.id, ["a", "b"][host])
    }

    /// The same as a path.
    pub(crate) fn netns_path(&self, host: usize) -> PathBuf {
        PathBuf::from("/run/netns").join(self.netns(host))
    }

    /// Adds a setting to a section of a host's configuration file.
    pub(crate) fn set(&self, host: usize, section: &str, setting: &str) {
        let header = format!("[{section}]\n");
        let mut config = fs::read_to_string(self.config(host)).unwrap();
        if !config.contains(&header) {
            config.insert_str(0, &header);
        }
        let config = config.replace(&header, &format!("{header}{setting}\n"));
        fs::write(self.config(host), config).unwrap();
    }

    /// Replaces what is in a host's configuration file, which must be there.
    pub(crate) fn replace(&self, host: usize, from: &str, to: &str) {
        let config = fs::read_to_string(self.config(host)).unwrap();
        assert!(config.contains(from), "{config}");
        fs::write(self.config(host), config.replace(from, to)).unwrap();
    }

    /// The configuration file of a host's node.
    pub(crate) fn config(&self, host: usize) -> PathBuf {
        self.folder.path().join(format!("{host}.toml"))
    }

    /// Where a host's node listens.
    pub(crate) fn socket(&self, host: usize) -> PathBuf {
        self.folder.path().join(format!("{host}.sock"))
    }

    /// What a host's node logged.
    pub(crate) fn log(&self, host: usize) -> String {
        fs::read_to_string(self.folder.path().join(format!("{host}.log"))).unwrap_or_default()
    }

    fn default_config(&self, host: usize) -> String {
        let (near, far) = (host + 1, 2 - host);
        format!(
            "[underlay]\naddress = \"192.168.77.{near}\"\n\
             [node]\nsocket = \"{}\"\n\
             [[network]]\nname = \"blue\"\nvni = 42\n\
             [[port]]\nnetwork = \"blue\"\ndevice = \"rl0\"\naddresses = [\"10.42.{near}.1/24\", \"fd42:{near}::1/64\"]\n\
             [[vtep]]\nnetwork = \"blue\"\naddress = \"192.168.77.{far}\"\n\
             [[route]]\nnetwork = \"blue\"\nprefix = \"10.42.{far}.0/24\"\nvtep = \"192.168.77.{far}\"\n\
             [[route]]\nnetwork = \"blue\"\nprefix = \"fd42:{far}::/64\"\nvtep = \"192.168.77.{far}\"\n",
            self.socket(host).display()
        )
    }

    /// Starts a host's node and waits until it is ready.
    pub(crate) fn start(&mut self, host: usize) {
        let log = fs::File::create(self.folder.path().join(format!("{host}.log"))).unwrap();
        let config = self.config(host);
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.netns(host),
                env!("CARGO_BIN_EXE_ringlay"),
            ])
            .args(["run", "--config", config.to_str().unwrap()])
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        self.nodes[host] = Some(child);
        self.wait_for(host, "the node is ready", || {
            self.log(host).contains("ready")
        });
    }

    /// Does something in a thread to which, and to what it starts, the kernel refuses AF_XDP sockets.
    pub(crate) fn without_af_xdp<T: Send>(
        &mut self,
        action: impl FnOnce(&mut Self) -> T + Send,
    ) -> T {
        let done = thread::scope(|scope| {
            let confined = || {
                forbid_af_xdp();
                action(self)
            };
            scope.spawn(confined).join()
        });
        done.unwrap()
    }

    /// Sends a host's node a signal.
    pub(crate) fn signal(&self, host: usize, signal: &str) {
        let id = self.pid(host).to_string();
        run("kill", &["-s", signal, &id]);
    }

    /// The process of a host's node.
    pub(crate) fn pid(&self, host: usize) -> u32 {
        self.nodes[host].as_ref().unwrap().id()
    }

    /// Waits for the end of a host's node; returns its exit status.
    pub(crate) fn wait(&mut self, host: usize) -> Option<i32> {
        self.nodes[host].take().unwrap().wait().unwrap().code()
    }

    /// Waits until something is so.
    pub(crate) fn wait_for(&self, host: usize, what: &str, mut so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(
                Instant::now() < deadline,
                "not so: {what}; log:\n{}",
                self.log(host)
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `ip` in a host; returns its output.
    pub(crate) fn ip(&self, host: usize, args: &str) -> String {
        let mut all = vec!["-n".to_owned(), self.netns(host)];
        all.extend(args.split_whitespace().map(str::to_owned));
        run("ip", &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A command in a host, to be run.
    pub(crate) fn command(&self, host: usize, args: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.netns(host)])
            .args(args.split_whitespace());
        command
    }

    /// Runs a command in a host.
    pub(crate) fn exec(&self, host: usize, args: &str) -> Output {
        self.command(host, args).output().unwrap()
    }

    /// Asks a host's node by the `ringlay` command, which must succeed; returns its output.
    pub(crate) fn ringlay(&self, host: usize, args: &str) -> String {
        let socket = self.socket(host);
        let mut all = vec!["--socket", socket.to_str().unwrap()];
        all.extend(args.split_whitespace());
        run(env!("CARGO_BIN_EXE_ringlay"), &all)
    }

    /// The same, which must fail; returns what it says.
    pub(crate) fn try_ringlay(&self, host: usize, args: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlay"));
        command.arg("--socket").arg(self.socket(host));
        let output = command.args(args.split_whitespace()).output().unwrap();
        assert!(!output.status.success(), "{args}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// All that a host's node counts.
    pub(crate) fn stats(&self, host: usize) -> Value {
        serde_json::from_str(&self.ringlay(host, "stats --json --all")).unwrap()
    }

    /// How many frames a host's node dropped for a reason.
    pub(crate) fn drops(&self, host: usize, reason: &str) -> u64 {
        let stats = self.stats(host);
        stats["drops"][reason]
            .as_u64()
            .unwrap_or_else(|| panic!("no {reason} in {stats:#}"))
    }

    /// Fails if a host's node dropped anything for one of these reasons.
    pub(crate) fn assert_no_drops(&self, host: usize, reasons: &[&str]) {
        let stats = self.stats(host);
        for reason in reasons {
            assert_eq!(stats["drops"][reason], 0, "{reason} of host {host}");
        }
    }

    /// What a host's node counts at a port.
    pub(crate) fn port_stats(&self, host: usize, name: &str) -> Value {
        let stats = self.stats(host);
        let mut ports = stats["ports"].as_array().unwrap().iter();
        let found = ports.find(|port| port["name"] == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {stats:#}"))
            .clone()
    }

    /// What it counts at the tunnel endpoint whose name ends so, or at `af_xdp`.
    pub(crate) fn underlay_stats(&self, host: usize, kind: &str) -> Value {
        let stats = self.stats(host);
        let mut underlays = stats["underlays"].as_array().unwrap().iter();
        let found = underlays.find(|it| it["local"].as_str().unwrap().ends_with(kind));
        found
            .unwrap_or_else(|| panic!("no {kind} in {stats:#}"))
            .clone()
    }

    /// What a host's node received and sent by the tunnel endpoint whose name ends so, or `af_xdp`.
    pub(crate) fn underlay(&self, host: usize, kind: &str) -> [u64; 2] {
        let stats = self.underlay_stats(host, kind);
        ["rx_frames", "tx_frames"].map(|key| stats[key].as_u64().unwrap())
    }

    /// Waits until a host's packets to an address leave by its AF_XDP sockets.
    pub(crate) fn wait_for_wire(&self, host: usize, address: &str) {
        const PINGS: u64 = 20;
        self.wait_for(host, "packets leave by the wire", || {
            let [_, before] = self.underlay(host, "af_xdp");
            let ping = self.exec(host, &format!("ping -c {PINGS} -i 0.01 -W 3 {address}"));
            ping.status.success() && self.underlay(host, "af_xdp")[1] >= before + PINGS
        });
    }

    /// Has host 1's kernel be the far end, by a VXLAN device of its own, in the place of a node.
    pub(crate) fn add_kernel_vxlan(&self) {
        self.ip(
            1,
            "link add vx type vxlan id 42 local 192.168.77.2 remote 192.168.77.1 dstport 4789 dev eth0",
        );
        self.ip(1, "address add 10.42.2.1/16 dev vx");
        self.ip(1, "link set vx up");
    }

    /// Which underlay driver a host's node runs, and why.
    pub(crate) fn underlay_driver(&self, host: usize) -> (String, String) {
        let shown = self.ringlay(host, "show node --json");
        let node: Value = serde_json::from_str(&shown).unwrap();
        let text = |key: &str| node[key].as_str().unwrap().to_owned();
        (text("underlay_driver"), text("underlay_driver_reason"))
    }

    /// Whether pings from host 0 to an address are all answered, the first included.
    pub(crate) fn pings(&self, address: &str) -> bool {
        let output = self.exec(0, &format!("ping {} {address}", ping::patiently(3)));
        let text = String::from_utf8(output.stdout).unwrap();
        let all = ping::each_answered(&text, 3);
        if !all {
            eprintln!("{text}");
        }
        all
    }

    /// Whether any ping from host 0 to an address is answered.
    pub(crate) fn answers(&self, address: &str) -> bool {
        let ping = self.exec(0, &format!("ping {} {address}", ping::BRIEFLY));
        ping.status.success()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if thread::panicking() {
            for host in 0..2 {
                eprintln!("log of host {host}:\n{}", self.log(host));
                let stats = Command::new(env!("CARGO_BIN_EXE_ringlay"))
                    .arg("--socket")
                    .arg(self.socket(host))
                    .args(["stats", "--all"])
                    .output();
                let stats = stats.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
                eprintln!("{}", stats.unwrap_or_default());
            }
        }
        for node in self.nodes.iter_mut().flatten() {
            let _ = node.kill();
            let _ = node.wait();
        }
        for host in 0..2 {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.netns(host)])
                .output();
        }
    }
}

/// As a kernel without them does.
fn forbid_af_xdp() {
    let family = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        nix::libc::AF_XDP as u64,
    );
    let rule = SeccompRule::new(vec![family.unwrap()]).unwrap();
    let filter = SeccompFilter::new(
        [(nix::libc::SYS_socket, vec![rule])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(nix::libc::EAFNOSUPPORT.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Frames that found no room where they came in, by what a node counts there.
pub(crate) fn missed(stats: &Value) -> u64 {
    let reasons = ["ring_full", "no_slot"];
    let counts = reasons.map(|it| stats["missed"][it].as_u64().unwrap());
    counts.iter().sum()
}

/// Runs a command that must succeed; returns its output.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
