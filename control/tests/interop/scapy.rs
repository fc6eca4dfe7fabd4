//! A node, and a tunnel end made of scapy, for what neither the kernel nor Open vSwitch here has:
//! IP in IP, and headers with all that they may have.
//!
//! scapy says whether it would have made the same bytes of what it finds in the node's packets;
//! tshark reads them without complaint; the node delivers what scapy answers.

use std::net::{IpAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{iter, thread};

use ringlay_control::lab::process::Process;

use crate::support::capture::{Capture, assert_no_complaint, decode, sent_by};
use crate::support::node::{Node, NodeConfig};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay, ip};
use crate::support::random::Random;
use crate::support::traffic::ping;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/scapy_peer.py");
const PATIENCE: Duration = Duration::from_secs(20);

/// Datagrams of each IP version: a checksum with a wrong carry is wrong in one of a few.
const DATAGRAMS: usize = 24;

struct Scenario {
    /// As the script has it.
    kind: &'static str,
    /// Lines of the node's configuration file.
    network: &'static str,
    /// Whether frames are inside. Their addresses are then known beforehand.
    ethernet: bool,
}

const IPIP: Scenario = Scenario {
    kind: "ipip",
    network: "encap = \"ipip\"",
    ethernet: false,
};

const IPIP_WITH_A_LIMIT: Scenario = Scenario {
    kind: "ipip",
    network: "encap = \"ipip\"\nencap_limit = 3",
    ethernet: false,
};

const GRE: Scenario = Scenario {
    kind: "gre",
    network: "encap = \"gre\"\nkey = 42",
    ethernet: false,
};

const GENEVE: Scenario = Scenario {
    kind: "geneve",
    network: "encap = \"geneve\"\nvni = 42",
    ethernet: true,
};

const GENEVE_OF_PACKETS: Scenario = Scenario {
    kind: "geneve-ip",
    network: "encap = \"geneve\"\nvni = 42\ninner = \"ip\"",
    ethernet: false,
};

impl Scenario {
    fn talk(&self, underlay: Underlay, driver: &'static str) {
        self.talk_on(underlay, driver, "udp");
    }

    /// TCP alone leaves the uplink of a tunnel right above IP: scapy answers none, but looks at it.
    fn talk_on(&self, underlay: Underlay, driver: &'static str, underlay_driver: &str) {
        let pair = Pair::create();
        let mac = pair.deafen_peer();
        let (local, remote) = (underlay.peer(), underlay.node());
        ip(
            &pair.node,
            &format!("neigh add {local} lladdr {mac} dev {UNDERLAY_DEVICE} nud permanent"),
        );
        let filter = format!("host {local}");
        let capture = Capture::start(&pair, &pair.node, UNDERLAY_DEVICE, &filter);
        let scapy = self.start_scapy(&pair, local, remote);
        let config = NodeConfig {
            mac: self.ethernet.then_some("02:42:00:00:00:01"),
            peer_mac: self.ethernet.then_some("02:42:00:00:00:02"),
            ..NodeConfig::new(driver, underlay)
        };
        let node = Node::start_network(&pair, &config, underlay_driver, self.network);
        assert_eq!(node.query("show node")["underlay_driver"], underlay_driver);
        for inner in ["10.42.2.1", "fd42:2::1"] {
            let inner = inner.parse().unwrap();
            ping(&pair.node, inner, 3);
            let mut random = Random::new(5);
            let sizes = iter::repeat_with(|| random.below(1300));
            echo(&pair, inner, sizes.take(DATAGRAMS));
            knock(&pair, inner);
        }
        node.assert_alive();
        let file = capture.finish();
        assert_no_complaint(&file, &sent_by(remote), "udp");
        let knocks = decode(&file, &sent_by(remote), &["tcp.checksum.status"]);
        let right = knocks.iter().filter(|row| row[0] == ["1"]).count();
        assert!(right >= 2, "{right} of {}", knocks.len());
        let limits = decode(&file, &sent_by(remote), &["ipv6.opt.tel"]);
        let limit: &[&str] = match self.network.contains("encap_limit") {
            true => &["3"],
            false => &[],
        };
        let tunnelled = limits.iter().filter(|row| row[0] == limit).count();
        assert!(tunnelled >= 2 * (3 + DATAGRAMS), "{limits:?}");
        let said = scapy.output();
        assert!(!said.contains("DIFFERS"), "{said}");
        let same = said.lines().filter(|line| *line == "same").count();
        assert!(same >= 2 * (3 + DATAGRAMS + 1), "{said}");
    }

    fn start_scapy(&self, pair: &Pair, local: IpAddr, remote: IpAddr) -> Process {
        // That of the distribution, which has its scapy.
        let mut command = Command::new("/usr/bin/python3");
        command.args([SCRIPT, self.kind, UNDERLAY_DEVICE]);
        command.args([local, remote].map(|end| end.to_string()));
        let log = pair.directory().join("scapy.log");
        let scapy = Process::start(&pair.cleanup, &pair.peer, command, &log).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !scapy.output().contains("listening") {
            scapy.check_running().unwrap();
            assert!(Instant::now() < deadline, "scapy does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        scapy
    }
}

/// Begins a connection with a host behind the tunnel, which does not answer.
fn knock(pair: &Pair, address: IpAddr) {
    let patience = Duration::from_millis(50);
    let connect = || TcpStream::connect_timeout(&(address, 9).into(), patience);
    pair.node.run(connect).unwrap().unwrap_err();
}

/// Sends datagrams of these sizes to a host behind the tunnel, which sends each back.
fn echo(pair: &Pair, address: IpAddr, sizes: impl Iterator<Item = usize>) {
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = pair.node.run(|| UdpSocket::bind(any)).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // A port that neither scapy nor tshark makes anything of.
    socket.connect((address, 40_001)).unwrap();
    let mut random = Random::new(6);
    for size in sizes {
        let sent = random.bytes(size);
        socket.send(&sent).unwrap();
        let mut received = vec![0; 1 << 16];
        let length = socket.recv(&mut received);
        let length = length.unwrap_or_else(|error| panic!("{size} bytes to {address}: {error}"));
        assert_eq!(received[..length], sent, "{size} bytes to {address}");
    }
}

#[test]
fn ipip_over_ipv4() {
    IPIP.talk(Underlay::V4, "io_uring");
}

#[test]
fn ipip_over_ipv6() {
    IPIP.talk(Underlay::V6, "epoll");
}

#[test]
fn ipip_with_a_limit_over_ipv6() {
    IPIP_WITH_A_LIMIT.talk(Underlay::V6, "io_uring");
}

#[test]
fn gre_over_ipv4() {
    GRE.talk(Underlay::V4, "epoll");
}

#[test]
fn gre_over_ipv6() {
    GRE.talk(Underlay::V6, "io_uring");
}

#[test]
fn uplinks_over_ipv4() {
    IPIP.talk_on(Underlay::V4, "io_uring", "tunnel-gso");
    GENEVE.talk_on(Underlay::V4, "epoll", "tunnel-gso");
}

#[test]
fn uplinks_over_ipv6() {
    IPIP.talk_on(Underlay::V6, "epoll", "tunnel-gso");
    GRE.talk_on(Underlay::V6, "io_uring", "tunnel-gso");
    GENEVE_OF_PACKETS.talk_on(Underlay::V6, "io_uring", "tunnel-gso");
}

#[test]
fn geneve_over_ipv4() {
    GENEVE.talk(Underlay::V4, "io_uring");
}

#[test]
fn geneve_of_packets_over_ipv6() {
    GENEVE_OF_PACKETS.talk(Underlay::V6, "epoll");
}
