//! Hosts and containers as network namespaces: two hosts with a node each, joined by a veth pair,
//! and a machine outside that knows nothing of the overlay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace, removed when dropped.
#[derive(Debug)]
pub(crate) struct Netns {
    pub(crate) name: String,
}

impl Netns {
    /// Makes one whose name nobody else uses.
    pub(crate) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rlc{}-{number}{role}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let netns = Self { name };
        netns.ip("link set lo up");
        netns
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs `ip` inside; returns its output.
    pub(crate) fn ip(&self, args: &str) -> String {
        let mut all = vec!["-n", &self.name];
        all.extend(args.split_whitespace());
        run("ip", &all)
    }

    /// A command inside, to be run.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command.args(args.split_whitespace());
        command
    }

    pub(crate) fn exec(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// Whether pings to an address are all answered.
    pub(crate) fn pings(&self, address: &str) -> bool {
        let address = address.split('/').next().unwrap();
        let ping = format!("ping -c 3 -i 0.1 -W 3 {address}");
        self.exec(&ping).status.success()
    }

    /// The names of the devices inside, but for loopback.
    pub(crate) fn devices(&self) -> Vec<String> {
        let links: Value = serde_json::from_str(&self.ip("-j link show")).unwrap();
        let names = links.as_array().unwrap().iter();
        let names = names.map(|link| link["ifname"].as_str().unwrap().to_owned());
        names.filter(|name| name != "lo").collect()
    }

    /// Runs `work` on a thread inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        run_in(&self.path(), work)
    }
}

/// Runs `work` on a thread inside a namespace.
pub(crate) fn run_in<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    let file = fs::File::open(netns).unwrap();
    let inside = || {
        nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap()
}

impl Drop for Netns {
    fn drop(&mut self) {
        let delete = ["netns", "del", &self.name];
        let _ = Command::new("ip").args(delete).output();
    }
}

/// A host with a node, number 1 or 2.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) netns: Netns,
    number: usize,
    folder: TempDir,
    daemon: Option<Child>,
}

/// Two hosts that reach each other, with nodes that run.
pub(crate) fn two_hosts() -> [Host; 2] {
    let mut hosts = [1, 2].map(|number| Host {
        netns: Netns::new("h"),
        number,
        folder: tempfile::tempdir().unwrap(),
        daemon: None,
    });
    let [a, b] = [&hosts[0].netns.name, &hosts[1].netns.name];
    let veth = format!("link add eth0 netns {a} type veth peer name eth0 netns {b}");
    run("ip", &veth.split(' ').collect::<Vec<_>>());
    for host in &mut hosts {
        let number = host.number;
        let address = format!("address add 192.168.77.{number}/24 dev eth0");
        host.netns.ip(&address);
        host.netns.ip("link set eth0 up");
        fs::write(host.config(), host.configuration()).unwrap();
        host.start();
    }
    hosts
}

impl Host {
    fn configuration(&self) -> String {
        let (near, far) = (self.number, 3 - self.number);
        let (socket, folder) = (self.socket(), self.folder.path().display());
        format!(
            "[underlay]\naddress = \"192.168.77.{near}\"\n\
             [node]\nname = \"{near}\"\nsocket = \"{}\"\nstate = \"{folder}/state\"\n\
             [[network]]\nname = \"blue\"\nvni = 42\n\
             [[port]]\nnetwork = \"blue\"\ndevice = \"rl0\"\n\
             addresses = [\"10.42.{near}.1/24\", \"fd42:{near}::1/64\"]\n\
             [[vtep]]\nnetwork = \"blue\"\naddress = \"192.168.77.{far}\"\n\
             [[route]]\nnetwork = \"blue\"\nprefix = \"10.42.{far}.0/24\"\nvtep = \"192.168.77.{far}\"\n\
             [[route]]\nnetwork = \"blue\"\nprefix = \"fd42:{far}::/64\"\nvtep = \"192.168.77.{far}\"\n\
             [[ipam]]\nnetwork = \"blue\"\nranges = [\"10.42.{near}.0/24\", \"fd42:{near}::/64\"]\n",
            socket.display()
        )
    }

    /// Adds lines to the end of the configuration, which is its `[[ipam]]`.
    pub(crate) fn configure(&self, lines: &str) {
        let config = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), config + lines).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("ringlay.toml")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("ringlay.sock")
    }

    /// A directory of the host's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the node logged since it was started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts the node and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let run = format!("{} run --config {}", ringlay(), self.config().display());
        let daemon = self.netns.command(&run).stderr(Stdio::from(log)).spawn();
        self.daemon = Some(daemon.unwrap());
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains("ready socket=") {
            let ended = self.daemon.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the node ended:\n{}", self.log());
            assert!(Instant::now() < deadline, "no node:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends the node a signal and waits for its end.
    pub(crate) fn end(&mut self, signal: &str) {
        let mut daemon = self.daemon.take().unwrap();
        run("kill", &["-s", signal, &daemon.id().to_string()]);
        daemon.wait().unwrap();
    }

    /// Makes the node read its configuration again, and waits until it has.
    pub(crate) fn reload(&self) {
        let reloads = || self.log().matches("configuration reloaded").count();
        let before = reloads();
        let daemon = self.daemon.as_ref().unwrap();
        run("kill", &["-s", "HUP", &daemon.id().to_string()]);
        let deadline = Instant::now() + PATIENCE;
        while reloads() == before {
            assert!(Instant::now() < deadline, "no reload:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What `ringlay ARGUMENTS` prints.
    pub(crate) fn ringlay(&self, arguments: &str) -> String {
        let socket = self.socket();
        let mut all = vec!["--socket", socket.to_str().unwrap()];
        all.extend(arguments.split_whitespace());
        run(&ringlay(), &all)
    }

    /// The attachments, as the node lists them.
    pub(crate) fn attachments(&self) -> Vec<Value> {
        let text = self.ringlay("attachment list --json");
        serde_json::from_str::<Value>(&text)
            .unwrap()
            .as_array()
            .unwrap()
            .clone()
    }

    /// The attachment of one container.
    pub(crate) fn attachment(&self, container: &str) -> Value {
        let all = self.attachments();
        let found = all.iter().find(|it| it["container"] == container);
        found
            .unwrap_or_else(|| panic!("no {container} in {all:?}"))
            .clone()
    }

    /// The files that remember attachments.
    pub(crate) fn records(&self) -> usize {
        let entries = fs::read_dir(self.folder.path().join("state/attachments"));
        let names = entries
            .into_iter()
            .flatten()
            .map(|it| it.unwrap().file_name());
        names.filter(|name| name != "lock").count()
    }

    /// Fails unless nothing is left of any container.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.attachments(), [Value::Null; 0]);
        assert_eq!(self.records(), 0);
        let ports: Value = serde_json::from_str(&self.ringlay("port list --json")).unwrap();
        assert_eq!(ports.as_array().unwrap().len(), 1, "{ports:#}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("log of node {}:\n{}", self.number, self.log());
        }
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The daemon's binary, which is built beside the plugin's.
fn ringlay() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_ringlay-cni")).with_file_name("ringlay");
    assert!(
        path.exists(),
        "{} is missing: build it by `cargo build -p ringlay-control`",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

/// Runs a command that must succeed; returns its output.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
