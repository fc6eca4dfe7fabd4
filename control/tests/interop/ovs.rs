//! A node, with sockets, with an uplink and with a wire, and a host behind Open vSwitch's userspace
//! datapath. The kernel has no tunnel at either end.

use std::net::IpAddr;

use crate::support::capture::{Capture, assert_no_complaint, sent_by};
use crate::support::kernel_peer;
use crate::support::node::{self, Node, NodeConfig};
use crate::support::ovs_peer::{Carries, Switch, Tunnel};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping, wait_for_ping};

/// One kind of tunnel, as each end has it configured.
struct Scenario {
    /// Lines of the node's configuration file.
    network: &'static str,
    tunnel: Tunnel,
}

const VXLAN: Scenario = Scenario {
    network: "vni = 42",
    tunnel: Tunnel {
        kind: "vxlan",
        options: "key=42",
        carries: Carries::Frames,
    },
};

/// Enough for the windows of both ends to open fully.
const TCP_BYTES: usize = 1 << 20;

const GENEVE: Scenario = Scenario {
    network: "encap = \"geneve\"\nvni = 42",
    tunnel: Tunnel {
        kind: "geneve",
        options: "key=42",
        carries: Carries::Frames,
    },
};

/// With the outer checksum that Open vSwitch leaves out unless asked.
const GENEVE_WITH_CHECKSUM: Scenario = Scenario {
    tunnel: Tunnel {
        options: "key=42 csum=true",
        ..GENEVE.tunnel
    },
    ..GENEVE
};

const GRE: Scenario = Scenario {
    network: "encap = \"gre\"\ninner = \"ethernet\"",
    tunnel: Tunnel {
        kind: "gre",
        options: "",
        carries: Carries::Frames,
    },
};

const GRE_WITH_KEY: Scenario = Scenario {
    network: "encap = \"gre\"\nkey = 42\ninner = \"ethernet\"",
    tunnel: Tunnel {
        options: "key=42",
        ..GRE.tunnel
    },
};

/// IP packets in GRE, without Ethernet.
const GRE_OF_PACKETS: Scenario = Scenario {
    network: "encap = \"gre\"\nkey = 42",
    tunnel: Tunnel {
        kind: "gre",
        options: "key=42 packet_type=legacy_l3",
        carries: Carries::Packets,
    },
};

impl Scenario {
    fn talk(&self, underlay: Underlay, driver: &'static str) {
        let pair = Pair::create();
        let config = NodeConfig::new(driver, underlay);
        let filter = format!("host {} and not icmp6 and not arp", underlay.node());
        // What a wire sends is seen by the far end alone.
        let capture = Capture::start(&pair, &pair.peer, UNDERLAY_DEVICE, &filter);
        let node = Node::start_network(&pair, &config, "udp", self.network);
        let mtu = kernel_peer::mtu(&pair.node, node::DEVICE);
        let switch = Switch::start(&pair, underlay, &self.tunnel, mtu);
        exchange(&pair, mtu);
        node.stop();
        for driver in ["tunnel-gso", "af_xdp"] {
            let node = Node::start_network(&pair, &config, driver, self.network);
            assert_eq!(node.query("show node")["underlay_driver"], driver);
            exchange(&pair, mtu);
            if driver == "af_xdp" {
                assert_by_wire(&node);
            }
            node.assert_alive();
            node.stop();
        }
        switch.assert_alive();
        let file = capture.finish();
        assert_no_complaint(&file, &sent_by(underlay.node()), "tcp");
    }
}

/// That nearly all of an exchange came and left by the node's AF_XDP sockets, and nothing was wrong.
fn assert_by_wire(node: &Node) {
    let stats = node.query("stats --all");
    let underlays = stats["underlays"].as_array().unwrap();
    let wire = underlays.iter().find(|it| it["local"] == "af_xdp");
    for key in ["rx_frames", "tx_frames"] {
        let frames = wire.unwrap()[key].as_u64().unwrap();
        // Four connections of 1 MiB in each direction.
        assert!(frames > 2 * TCP_BYTES as u64 / 1500, "{key}: {frames}");
    }
    for reason in ["underlay_bad_checksum", "ip_bad_checksum", "gre_malformed"] {
        assert_eq!(stats["drops"][reason], 0, "{reason}");
    }
}

/// Traffic of every kind, both ways, the largest datagrams there are included.
fn exchange(pair: &Pair, mtu: u64) {
    let inner = [
        ("10.42.1.1", "10.42.2.1", 28),
        ("fd42:1::1", "fd42:2::1", 48),
    ];
    for (ours, theirs, headers) in inner {
        let [ours, theirs]: [IpAddr; 2] = [ours, theirs].map(|text| text.parse().unwrap());
        // The switch drops what it sends first, while it looks for the node on the underlay.
        wait_for_ping(&pair.peer, ours);
        ping(&pair.node, theirs, 3);
        ping(&pair.peer, ours, 3);
        exchange_tcp(&pair.node, &pair.peer, theirs, TCP_BYTES);
        exchange_tcp(&pair.peer, &pair.node, ours, TCP_BYTES);
        let largest = mtu as usize - headers;
        let sizes = [1, 2, 101, largest - 1, largest, largest + 1, 65_507];
        exchange_udp(&pair.node, &pair.peer, theirs, sizes.into_iter());
    }
}

#[test]
fn vxlan_over_ipv4() {
    VXLAN.talk(Underlay::V4, "io_uring");
}

#[test]
fn vxlan_over_ipv6() {
    VXLAN.talk(Underlay::V6, "epoll");
}

#[test]
fn geneve_over_ipv4() {
    GENEVE.talk(Underlay::V4, "epoll");
}

#[test]
fn geneve_over_ipv6() {
    GENEVE_WITH_CHECKSUM.talk(Underlay::V6, "io_uring");
}

#[test]
fn gre_over_ipv4() {
    GRE.talk(Underlay::V4, "epoll");
}

#[test]
fn gre_with_key_over_ipv6() {
    GRE_WITH_KEY.talk(Underlay::V6, "io_uring");
}

#[test]
fn gre_of_packets_over_ipv4() {
    GRE_OF_PACKETS.talk(Underlay::V4, "io_uring");
}
