//! A virtual machine with a kernel and a network device of its own, and this host at the far end of
//! the device: a namespace with the kernel's VXLAN device.
//!
//! The machine is 192.168.77.1, and 10.42.1.1 in the overlay; the namespace is .2 and 10.42.2.1. By a
//! second device, which is not touched otherwise, the machine takes commands, so that they do not
//! depend on what is tested. QEMU runs it by the processor's own means where there are such, and
//! translates it otherwise, which takes some ten times as long.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::process::Process;
use ringlay_control::lab::workdir::Workdir;
use ringlay_control::lab::{LabError, link};
use serde_json::Value;

use super::initramfs;

/// The device in the namespace that leads to the tested one.
pub(crate) const DEVICE: &str = "eth0";
/// The address of the machine on it, which is its own stack's as well as the tunnel's end.
pub(crate) const MACHINE: &str = "192.168.77.1";
/// The address of the machine in the overlay.
pub(crate) const INSIDE: &str = "10.42.1.1";
/// The configuration file, in the machine.
pub(crate) const CONFIG: &str = "/etc/ringlay.toml";

/// Longer than anything here takes on a busy machine that translates.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is tried to boot: now and then Debian's kernel panics, before it runs anything of ours,
/// where QEMU translates (seen in 2 of 60 boots).
const BOOTS: u32 = 3;
const COMMAND_DEVICE: &str = "command0";
const COMMANDS: &str = "192.168.99.1:23";
const VXLAN_DEVICE: &str = "vx";

/// The configuration of the node.
const NODE: &str = r#"
[node]
name = "machine"
socket = "/run/ringlay.sock"
[underlay]
address = "192.168.77.1"
driver = "af_xdp"
[[network]]
name = "blue"
vni = 42
[[port]]
network = "blue"
kind = "tun"
device = "rl0"
addresses = ["10.42.1.1/24"]
[[vtep]]
network = "blue"
address = "192.168.77.2"
[[route]]
network = "blue"
prefix = "10.42.2.0/24"
vtep = "192.168.77.2"
"#;

/// The tested device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nic {
    /// As QEMU's `-device` names it.
    pub(crate) model: &'static str,
    /// Queues in each direction, at most; the machine has two processors.
    pub(crate) queues: u32,
}

/// A machine that runs.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) namespace: Namespace,
    process: Process,
    _directory: Workdir,
    _cleanup: Cleanup,
}

impl Guest {
    /// Starts a machine and waits until it takes commands. No node runs yet.
    pub(crate) fn boot(nic: Nic) -> Self {
        (1..=BOOTS)
            .find_map(|_| Self::try_boot(nic))
            .expect("a kernel that boots in one of three times")
    }

    /// The same; none if the kernel panics before it takes a command.
    fn try_boot(nic: Nic) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rlm{}-{next}", std::process::id());
        let kernel = kernel();
        let cleanup = Cleanup::new();
        let namespace = Namespace::create(&cleanup, &name).unwrap();
        let directory = Workdir::create(&cleanup, &name).unwrap();
        let archive = initramfs::build(&kernel, directory.path(), NODE);
        fs::write(directory.path().join("initramfs"), archive).unwrap();
        let command = qemu(&kernel, directory.path(), nic);
        let log = directory.path().join("console");
        let process = Process::start(&cleanup, &namespace, command, &log).unwrap();
        let guest = Self {
            namespace,
            process,
            _directory: directory,
            _cleanup: cleanup,
        };
        guest.join();
        guest.has_booted().then_some(guest)
    }

    /// Waits until the machine takes commands, or its kernel panics.
    fn has_booted(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.exchange("true").is_err() {
            // Before what it said, which is then all of it.
            let running = self.process.check_running();
            let console = self.console();
            if console.contains("Kernel panic") {
                eprintln!("the machine is started once more:\n{console}");
                return false;
            }
            assert!(Instant::now() < deadline, "it does not boot:\n{console}");
            running.unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Gives the namespace its addresses, once QEMU has made the devices.
    fn join(&self) {
        let here = |work: &(dyn Fn() -> Result<(), LabError> + Sync)| {
            self.namespace.run(work).unwrap().unwrap();
        };
        for (device, address) in [
            (COMMAND_DEVICE, "192.168.99.2/24"),
            (DEVICE, "192.168.77.2/24"),
        ] {
            self.wait_for("QEMU makes its devices", || {
                let links = self.namespace.run(link::list).unwrap().unwrap();
                links.iter().any(|link| link.name == device)
            });
            here(&|| link::add_address(device, address.parse().unwrap()));
            here(&|| link::set_up(device));
        }
        let [far, near] = [MACHINE, "192.168.77.2"].map(|it| it.parse::<Ipv4Addr>().unwrap());
        here(&|| link::add_vxlan(VXLAN_DEVICE, 42, near, far, 4789, DEVICE));
        here(&|| link::add_address(VXLAN_DEVICE, "10.42.2.1/16".parse().unwrap()));
    }

    /// Starts the node, with this setting of its underlay, and waits until it is ready.
    pub(crate) fn start(&self, underlay: &str) {
        self.run(&node(underlay, "&"));
        self.wait_for("the node is ready", || {
            let log = self.log();
            assert!(!log.contains("Error") && !log.contains("error:"), "{log}");
            log.contains("ready")
        });
    }

    /// Tries to start the node, which must fail; returns what it writes.
    pub(crate) fn refuse(&self, underlay: &str) -> String {
        let refused = self.try_run(&node(underlay, ""));
        assert!(refused.is_err(), "{}", self.log());
        self.log()
    }

    /// Sends the node a signal, and waits until it is gone.
    pub(crate) fn end(&self, signal: &str) {
        self.run(&format!("killall -{signal} ringlay"));
        self.wait_for("the node ends", || self.try_run("pidof ringlay").is_err());
    }

    /// What the node wrote.
    pub(crate) fn log(&self) -> String {
        self.run("cat /run/log")
    }

    /// Asks the node by the `ringlay` command, which must succeed; returns its output.
    pub(crate) fn ringlay(&self, arguments: &str) -> String {
        self.run(&format!("ringlay --socket /run/ringlay.sock {arguments}"))
    }

    /// The node's counters.
    pub(crate) fn stats(&self) -> Value {
        serde_json::from_str(&self.ringlay("stats --json --all")).unwrap()
    }

    /// What the tested device's driver counts under this name.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counters = self.run("ethtool -S eth0");
        let mut lines = counters.lines().map(str::trim);
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value
            .unwrap_or_else(|| panic!("no {name} in {counters}"))
            .parse()
            .unwrap()
    }

    /// All that may tell why traffic stopped.
    pub(crate) fn report(&self) -> String {
        let machine = "cat /run/log; ethtool -S eth0; cat /proc/net/tcp; dmesg | tail -n 30";
        let stats = self.ringlay("stats --json --all");
        format!("{stats}\n{}", self.run(machine))
    }

    /// What iproute2 says of the tested device; busybox's `ip` knows less.
    pub(crate) fn link(&self) -> String {
        self.run("/bin/ip link show eth0")
    }

    /// Sets the MTU of the link at both ends.
    pub(crate) fn set_mtu(&self, mtu: u32) {
        self.namespace
            .run(|| link::set_mtu(DEVICE, mtu))
            .unwrap()
            .unwrap();
        self.run(&format!("ip link set eth0 mtu {mtu}"));
    }

    /// Runs a line of shell in the machine, which must succeed; returns what it prints.
    pub(crate) fn run(&self, line: &str) -> String {
        self.try_run(line)
            .unwrap_or_else(|output| panic!("{line}: {output}\n{}", self.console()))
    }

    /// The same; if it fails, what it prints is the error.
    pub(crate) fn try_run(&self, line: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut output = loop {
            match self.exchange(line) {
                Ok(output) => break output,
                // It does not listen yet, or no more.
                Err(error) => assert!(
                    Instant::now() < deadline,
                    "the machine takes no commands: {error}\n{}",
                    self.console()
                ),
            }
            self.process.check_running().unwrap();
            thread::sleep(Duration::from_millis(20));
        };
        let status = output.rfind("exit ").expect("each command has a status");
        let done = output[status..].trim() == "exit 0";
        output.truncate(status);
        if done { Ok(output) } else { Err(output) }
    }

    fn exchange(&self, line: &str) -> std::io::Result<String> {
        let address: SocketAddr = COMMANDS.parse().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1));
        let mut stream = self.namespace.run(connect).unwrap()?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut output = String::new();
        let read = stream.read_to_string(&mut output);
        read.unwrap_or_else(|error| panic!("{line}: {error}\n{}", self.console()));
        Ok(output)
    }

    /// What the machine's kernel said, of which the last is the most telling.
    fn console(&self) -> String {
        let output = self.process.output();
        let lines: Vec<_> = output.lines().rev().take(60).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Waits until something is so.
    pub(crate) fn wait_for(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(
                Instant::now() < deadline,
                "not so: {what}\n{}",
                self.console()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The line of shell that runs the node.
fn node(underlay: &str, end: &str) -> String {
    format!(
        "sed 's/^driver = .*/&\\n{underlay}/' {CONFIG} >/run/ringlay.toml; \
         ringlay run --config /run/ringlay.toml >/run/log 2>&1 {end}"
    )
}

/// Where `scripts/fetch-kernel` put the kernel.
fn kernel() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/machine");
    assert!(
        folder.join("release").exists(),
        "there is no kernel for the virtual machine: run scripts/fetch-kernel"
    );
    folder
}

fn qemu(kernel: &Path, directory: &Path, nic: Nic) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
    command.args(["-display", "none", "-serial", "stdio"]);
    command.args(["-machine", "q35", "-smp", "2", "-m", "512"]);
    if is_virtualised_by_the_processor() {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        command.args(["-accel", "tcg,thread=multi", "-cpu", "qemu64"]);
    }
    command.arg("-kernel").arg(kernel.join("vmlinuz"));
    command.arg("-initrd").arg(directory.join("initramfs"));
    // What virtio_net takes for the address of its header is then more than a GiB from the beginning,
    // where there is no memory: the device reads zeros, as it should. At random it may be anything.
    command.args(["-append", "console=ttyS0 quiet panic=-1 nokaslr"]);
    let Nic { model, queues } = nic;
    let tap = "tap,script=no,downscript=no,vhost=off";
    let many = if queues > 1 {
        format!(",queues={queues}")
    } else {
        String::new()
    };
    command.arg("-netdev");
    command.arg(format!("{tap},id=tested,ifname={DEVICE}{many}"));
    command.arg("-device");
    command.arg(format!("{model},netdev=tested,mac=02:00:00:00:77:01"));
    command.arg("-netdev");
    command.arg(format!("{tap},id=commands,ifname={COMMAND_DEVICE}"));
    command.arg("-device");
    command.arg("virtio-net-pci,netdev=commands,mac=02:00:00:00:99:01");
    command
}

/// Whether an unchanged kernel runs under KVM here: where a hypervisor's guest has it without the
/// processor's help, it is for kernels that know of that alone.
fn is_virtualised_by_the_processor() -> bool {
    let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = facts.split_whitespace();
    let device = fs::File::options().read(true).write(true).open("/dev/kvm");
    device.is_ok() && flags.any(|flag| flag == "vmx" || flag == "svm")
}
