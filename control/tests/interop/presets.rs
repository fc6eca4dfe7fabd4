//! What a node says under another system's conventions, to a far end that is set up exactly as
//! that system sets its nodes up.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use crate::support::capture::{Capture, decode, sent_by};
use crate::support::kernel_peer::{self, Convention, Style};
use crate::support::node::{self, Node, NodeConfig};
use crate::support::ovs_peer::{self, Carries, Switch, Tunnel};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping, wait_for_ping};

/// How the underlay is used: its IP version, and the node's driver.
type Way = (Underlay, &'static str);

const WAYS: [Way; 2] = [(Underlay::V4, "udp"), (Underlay::V6, "tunnel-gso")];

/// A node by this preset. Each end's MAC address is published to the other.
fn node(pair: &Pair, way: Way, preset: &str, peer_mac: Option<&'static str>) -> Node {
    let (underlay, driver) = way;
    let config = NodeConfig {
        mac: Some(kernel_peer::NODE_MAC),
        peer_mac,
        ..NodeConfig::new("epoll", underlay)
    };
    Node::start_network(pair, &config, driver, &format!("preset = \"{preset}\""))
}

fn exchange(pair: &Pair) {
    for (ours, theirs) in [("10.42.1.1", "10.42.2.1"), ("fd42:1::1", "fd42:2::1")] {
        let [ours, theirs]: [IpAddr; 2] = [ours, theirs].map(|text| text.parse().unwrap());
        wait_for_ping(&pair.peer, ours);
        ping(&pair.node, theirs, 2);
        exchange_tcp(&pair.node, &pair.peer, theirs, 100_000);
        exchange_udp(&pair.peer, &pair.node, ours, [1, 700, 4000].into_iter());
    }
}

/// What the node sent: each distinct set of values of `fields`. Of several in one frame all, from
/// the outermost on.
fn said(file: &Path, underlay: Underlay, fields: &[&str]) -> BTreeSet<String> {
    let filter = format!("{} && udp", sent_by(underlay.node()));
    let rows = decode(file, &filter, fields);
    assert!(rows.len() > 20, "{} frames", rows.len());
    let row = |row: Vec<Vec<String>>| row.iter().map(|field| field.join(" ")).collect::<Vec<_>>();
    rows.into_iter()
        .map(|fields| row(fields).join("; "))
        .collect()
}

/// A VXLAN device as flannel and Calico make it: no learning, and for each node a route, a
/// permanent neighbour and an entry of the forwarding database.
fn vxlan(preset: &str, convention: Convention) {
    for way in WAYS {
        vxlan_over(way, preset, convention);
    }
}

fn vxlan_over(way: Way, preset: &str, convention: Convention) {
    let (pair, underlay) = (Pair::create(), way.0);
    kernel_peer::start_by(&pair, underlay, Style::Routed, convention);
    let Convention { vni, port } = convention;
    let filter = format!("udp dst port {port}");
    let capture = Capture::start(&pair, &pair.node, UNDERLAY_DEVICE, &filter);
    let node = node(&pair, way, preset, Some(kernel_peer::MAC));
    exchange(&pair);
    node.assert_alive();
    let file = capture.finish();
    let decoded = ["vxlan.flags", "vxlan.gbp", "vxlan.vni", "vxlan.reserved8"];
    assert_eq!(
        said(&file, underlay, &decoded),
        BTreeSet::from([format!("0x0800; 0; {vni}; 0")])
    );
    assert_inner_destination(&file, underlay, kernel_peer::MAC);
}

/// No frame is for a group: nobody is asked for an address that was published.
fn assert_inner_destination(file: &Path, underlay: Underlay, mac: &str) {
    let outer = said(file, underlay, &["eth.dst"]);
    let inner = outer.iter().map(|macs| macs.split(' ').nth(1));
    assert_eq!(BTreeSet::from_iter(inner), BTreeSet::from([Some(mac)]));
}

#[test]
fn flannel() {
    vxlan("flannel", Convention { vni: 1, port: 8472 });
}

#[test]
fn calico() {
    let convention = Convention {
        vni: 4096,
        port: 4789,
    };
    vxlan("calico", convention);
}

/// A tunnel endpoint outside the cluster. The far end stands for a program of the kernel that does
/// not look at MAC addresses; the device here does.
#[test]
fn cilium() {
    vxlan("cilium", Convention { vni: 2, port: 8472 });
}

#[test]
fn antrea() {
    for way in WAYS {
        antrea_over(way);
    }
}

fn antrea_over(way: Way) {
    let (pair, underlay) = (Pair::create(), way.0);
    let capture = Capture::start(&pair, &pair.node, UNDERLAY_DEVICE, "udp dst port 6081");
    let node = node(&pair, way, "antrea", None);
    let tunnel = Tunnel {
        kind: "geneve",
        options: "key=flow",
        carries: Carries::SharedMac,
    };
    let mtu = kernel_peer::mtu(&pair.node, node::DEVICE);
    let switch = Switch::start(&pair, underlay, &tunnel, mtu);
    exchange(&pair);
    node.assert_alive();
    switch.assert_alive();
    let file = capture.finish();
    let decoded = [
        "geneve.version",
        "geneve.flags",
        "geneve.proto_type",
        "geneve.vni",
    ];
    assert_eq!(
        said(&file, underlay, &decoded),
        BTreeSet::from(["0; 0x00; 0x6558; 0x000000".into()])
    );
    assert_inner_destination(&file, underlay, ovs_peer::SHARED_MAC);
}
