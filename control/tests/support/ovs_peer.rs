//! The peer: the userspace datapath of Open vSwitch, with a tunnel, and a host behind it.
//!
//! Two bridges, as its documentation has them: one owns the underlay's device and has the underlay's
//! addresses, the other has the tunnel. Everything of it is in the peer's namespace and in the
//! pair's directory, and has nothing to do with a switch that the system runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::process::Process;

use super::pair::{Pair, UNDERLAY_DEVICE, Underlay, ip, output, run};

/// Name of the device behind the switch: the inner bridge's own port.
const DEVICE: &str = "inner";
/// Its MAC address.
pub(crate) const MAC: &str = "02:42:00:00:00:02";
/// The inner destination that all nodes of Antrea share.
pub(crate) const SHARED_MAC: &str = "aa:bb:cc:dd:ee:ff";
/// OpenFlow number of the tunnel's port.
const TUNNEL: u8 = 7;
/// The bridge that owns the underlay's device. Both have one MAC address.
const OUTER: &str = "outer";

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE: Duration = Duration::from_secs(20);

/// A tunnel as Open vSwitch has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunnel {
    /// The type of the interface.
    pub(crate) kind: &'static str,
    /// Options besides both ends, as `KEY=VALUE`, separated by blanks.
    pub(crate) options: &'static str,
    pub(crate) carries: Carries,
}

/// What is in the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Ethernet frames: the node's addresses are on the device's link, found by ARP and ND.
    Frames,
    /// IP packets. The switch takes the Ethernet header off, and puts one on.
    Packets,
    /// IP packets in frames for [`SHARED_MAC`], as Antrea's flows have it: whatever else comes is
    /// dropped, and nobody is asked for an address.
    SharedMac,
}

/// A switch that runs.
#[derive(Debug)]
pub(crate) struct Switch {
    host: Namespace,
    directory: PathBuf,
    daemon: Process,
    _database: Process,
}

impl Switch {
    /// Starts one in the pair's second host, where it takes the underlay over, and makes `tunnel`
    /// to the node. The host behind has 10.42.2.1 and fd42:2::1, and devices of this MTU.
    pub(crate) fn start(pair: &Pair, underlay: Underlay, tunnel: &Tunnel, mtu: u64) -> Self {
        let switch = Self::start_empty(pair);
        switch.take_underlay(pair);
        switch.add_tunnel(underlay, tunnel, mtu);
        switch.add_host(tunnel.carries);
        switch
    }

    fn start_empty(pair: &Pair) -> Self {
        let host = pair.peer.clone();
        let directory = pair.directory().join("ovs");
        fs::create_dir(&directory).unwrap();
        let file = |name: &str| directory.join(name);
        let shown = |path: &Path| path.display().to_string();
        let database = shown(&file("conf.db"));
        run(&host, "ovsdb-tool", &format!("create {database} {SCHEMA}"));
        let start = |program: &str, arguments: &str| {
            let mut command = command(program, &directory);
            command.args(arguments.split(' '));
            let log = file(program).with_extension("log");
            Process::start(&pair.cleanup, &host, command, &log).unwrap()
        };
        let socket = shown(&file("db.sock"));
        let options = format!("--no-chdir --remote=punix:{socket} {database}");
        let database = start("ovsdb-server", &options);
        wait_until("the switch's database listens", || file("db.sock").exists());
        let daemon = start("ovs-vswitchd", &format!("--no-chdir unix:{socket}"));
        Self {
            host,
            directory,
            daemon,
            _database: database,
        }
    }

    /// Fails with the log if the switch has ended.
    pub(crate) fn assert_alive(&self) {
        if let Err(error) = self.daemon.check_running() {
            panic!("{error}\n{}", self.daemon.output());
        }
    }

    /// Gives the outer bridge the underlay's device, and its addresses.
    fn take_underlay(&self, pair: &Pair) {
        let host = &self.host;
        let mac = pair.deafen_peer();
        ip(host, &format!("address flush dev {UNDERLAY_DEVICE}"));
        self.vsctl(&format!(
            "add-br {OUTER} -- set bridge {OUTER} datapath_type=netdev \
             other-config:hwaddr=\"{mac}\" -- add-port {OUTER} {UNDERLAY_DEVICE}"
        ));
        for underlay in [Underlay::V4, Underlay::V6] {
            let (address, length) = (underlay.peer(), underlay.prefix_length());
            ip(
                host,
                &format!("address add {address}/{length} dev {OUTER} nodad"),
            );
        }
        ip(host, &format!("link set {OUTER} up"));
    }

    fn add_tunnel(&self, underlay: Underlay, tunnel: &Tunnel, mtu: u64) {
        let (local, remote) = (underlay.peer(), underlay.node());
        let options = tunnel.options.split_whitespace();
        let options: String = options.map(|option| format!(" options:{option}")).collect();
        self.vsctl(&format!(
            "add-br {DEVICE} -- set bridge {DEVICE} datapath_type=netdev \
             other-config:hwaddr=\"{MAC}\" -- set interface {DEVICE} mtu_request={mtu} \
             -- add-port {DEVICE} tunnel -- set interface tunnel type={} \
             ofport_request={TUNNEL} options:local_ip=\"{local}\" options:remote_ip=\"{remote}\"{options}",
            tunnel.kind
        ));
    }

    fn add_host(&self, carries: Carries) {
        let host = &self.host;
        ip(host, &format!("link set {DEVICE} up"));
        let prefixes = match carries {
            Carries::Frames => [16, 16],
            Carries::Packets | Carries::SharedMac => [24, 64],
        };
        let addresses = ["10.42.2.1", "fd42:2::1"];
        for (address, length) in addresses.into_iter().zip(prefixes) {
            ip(
                host,
                &format!("address add {address}/{length} dev {DEVICE} nodad"),
            );
        }
        match carries {
            Carries::Frames => {}
            Carries::Packets => self.route_packets("", ""),
            Carries::SharedMac => self.route_packets(
                &format!(",dl_dst={SHARED_MAC}"),
                &format!("set_field:{SHARED_MAC}->eth_dst,"),
            ),
        }
    }

    /// Hands packets on between the host and the tunnel: those from the tunnel that match, those to
    /// it changed by an action. The host's neighbours are made up, so that it asks for none.
    fn route_packets(&self, matching: &str, action: &str) {
        for (prefix, router) in [("10.42.1.0/24", "10.42.2.9"), ("fd42:1::/64", "fd42:2::9")] {
            let host = &self.host;
            ip(
                host,
                &format!("neigh add {router} lladdr 02:42:00:00:00:09 dev {DEVICE} nud permanent"),
            );
            ip(
                host,
                &format!("route add {prefix} via {router} dev {DEVICE}"),
            );
        }
        self.call("ovs-ofctl", &format!("del-flows {DEVICE}"));
        for protocol in ["ip", "ipv6"] {
            self.add_flow(&format!(
                "in_port={TUNNEL},{protocol}{matching},actions=set_field:{MAC}->eth_dst,LOCAL"
            ));
            self.add_flow(&format!(
                "in_port=LOCAL,{protocol},actions={action}output:{TUNNEL}"
            ));
        }
    }

    /// Adds a flow to the inner bridge.
    pub(crate) fn add_flow(&self, flow: &str) {
        self.call("ovs-ofctl", &format!("add-flow {DEVICE} {flow}"));
    }

    /// Runs `ovs-vsctl` and waits until the switch has done what it says.
    fn vsctl(&self, arguments: &str) {
        let socket = self.directory.join("db.sock");
        self.call(
            "ovs-vsctl",
            &format!("--timeout=20 --db=unix:{} {arguments}", socket.display()),
        );
    }

    fn call(&self, program: &str, arguments: &str) {
        let mut command = command(program, &self.directory);
        let output = output(&self.host, command.args(arguments.split_whitespace()));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program} {arguments}: {said}\n{}",
            self.daemon.output()
        );
    }
}

/// A program of Open vSwitch that looks for its files in `directory`.
fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
        command.env(variable, directory);
    }
    command
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
