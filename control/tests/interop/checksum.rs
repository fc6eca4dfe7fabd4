//! Outer UDP checksums that are not there, between each underlay driver and the kernel's VXLAN
//! device.

use std::net::IpAddr;
use std::process::Command;

use crate::support::capture::{Capture, decode, sent_by};
use crate::support::kernel_peer;
use crate::support::node::{Node, NodeConfig, VNI};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay, output};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping};

/// What makes the kernel's device neither send nor demand them.
const WITHOUT: &str = "noudpcsum udp6zerocsumtx udp6zerocsumrx";
const DRIVERS: [&str; 3] = ["udp", "tunnel-gso", "af_xdp"];
const INNER: [[&str; 2]; 2] = [["10.42.1.1", "10.42.2.1"], ["fd42:1::1", "fd42:2::1"]];

fn node(pair: &Pair, underlay: Underlay, driver: &str, checksum: &str) -> Node {
    let config = NodeConfig::new("io_uring", underlay);
    let network = format!("vni = {VNI}\nudp_checksum = \"{checksum}\"");
    let node = Node::start_network(pair, &config, driver, &network);
    assert_eq!(node.query("show node")["underlay_driver"], driver);
    node
}

fn exchange(pair: &Pair) {
    for ends in INNER {
        let [ours, theirs]: [IpAddr; 2] = ends.map(|text| text.parse().unwrap());
        ping(&pair.node, theirs, 3);
        ping(&pair.peer, ours, 3);
        exchange_tcp(&pair.node, &pair.peer, theirs, 1 << 20);
        exchange_udp(&pair.peer, &pair.node, ours, [1, 700, 4000].into_iter());
    }
}

/// Whether all that the node sent had outer checksums, and all that the peer did; none otherwise.
fn has_checksums(pair: &Pair, underlay: Underlay, driver: &str, checksum: &str) -> [bool; 2] {
    // What an AF_XDP socket sends is seen by the far end alone.
    let capture = Capture::start(pair, &pair.peer, UNDERLAY_DEVICE, "udp dst port 4789");
    let node = node(pair, underlay, driver, checksum);
    exchange(pair);
    node.stop();
    let file = capture.finish();
    [underlay.node(), underlay.peer()].map(|end| {
        let rows = decode(
            &file,
            &format!("{} && udp.dstport == 4789", sent_by(end)),
            &["udp.checksum"],
        );
        assert!(rows.len() > 100, "{} packets", rows.len());
        let zeros = rows.iter().filter(|row| row[0][0] == "0x0000").count();
        assert!(
            zeros == 0 || zeros == rows.len(),
            "{zeros} of {}",
            rows.len()
        );
        zeros == 0
    })
}

#[test]
fn over_ipv4_they_are_left_out_both_ways() {
    for driver in DRIVERS {
        let pair = Pair::create();
        kernel_peer::start_with(&pair, Underlay::V4, WITHOUT);
        let both = has_checksums(&pair, Underlay::V4, driver, "off");
        assert_eq!(both, [false, false], "{driver}");
    }
}

#[test]
fn over_ipv6_they_are_left_out_both_ways() {
    for driver in DRIVERS {
        let pair = Pair::create();
        kernel_peer::start_with(&pair, Underlay::V6, WITHOUT);
        let both = has_checksums(&pair, Underlay::V6, driver, "off");
        assert_eq!(both, [false, false], "{driver}");
    }
}

#[test]
fn over_ipv6_a_node_may_send_them_and_demand_none() {
    let pair = Pair::create();
    kernel_peer::start_with(&pair, Underlay::V6, WITHOUT);
    for driver in DRIVERS {
        let both = has_checksums(&pair, Underlay::V6, driver, "sent");
        assert_eq!(both, [true, false], "{driver}");
    }
}

#[test]
fn over_ipv6_they_are_demanded_unless_told_otherwise() {
    let pair = Pair::create();
    kernel_peer::start_with(&pair, Underlay::V6, WITHOUT);
    for driver in DRIVERS {
        let node = node(&pair, Underlay::V6, driver, "on");
        let mut ping = Command::new("ping");
        let ping = ping.args(["-n", "-i", "0.1", "-W", "1", "-c", "3", "10.42.2.1"]);
        let said = output(&pair.node, ping);
        assert!(!said.status.success(), "{driver}: {said:?}");
        node.stop();
    }
}
