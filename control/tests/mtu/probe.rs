//! Paths that drop large packets and say nothing are found out.

use std::net::IpAddr;

use serde_json::Value;

use crate::discover::Forgery;
use crate::support::pair::ip;
use crate::support::traffic::{exchange_tcp, exchange_udp, wait_for_ping};
use crate::topology::{Topology, Version, inner};

/// A veth device drops what is longer than its MTU and a VLAN tag, without a word.
const SILENT_MTU: u32 = 1404;

/// The second host's link takes less than the router in front of it knows.
fn black_hole(version: Version) -> Topology {
    let topology = Topology::new(version, 1500);
    ip(&topology.hosts[1], "link set eth0 mtu 1400");
    topology
}

fn is_found(version: Version, underlay: &str) {
    let mut topology = black_hole(version);
    topology.start_both(&format!("probe = \"1s\"\n{underlay}"), "");
    let [a, b] = &topology.hosts;
    wait_for_ping(a, inner(1)[0]);
    topology.wait_for_mtu(0, SILENT_MTU - version.overhead(), "probe");
    assert_eq!(
        topology.mtu(1)["origin"],
        "link",
        "the other way there is no hole"
    );
    for address in inner(1) {
        wait_for_ping(a, address);
        exchange_tcp(a, b, address, 2_000_000);
        exchange_udp(a, b, address, [1, 1300, 1400, 20_000].into_iter());
    }
    // The link was replaced by a better one.
    ip(b, "link set eth0 mtu 1500");
    topology.wait_for_mtu(0, 1500 - version.overhead(), "link");
}

#[test]
fn a_black_hole_is_found_over_ipv4() {
    is_found(Version::V4, "");
}

#[test]
fn a_black_hole_is_found_over_ipv6() {
    is_found(Version::V6, "");
}

#[test]
fn a_black_hole_is_found_with_an_uplink() {
    is_found(Version::V4, "driver = \"tunnel-gso\"");
}

fn probed(topology: &Topology, end: IpAddr) -> Value {
    let shown = topology.ringlay(0, &format!("mtu --json --probe {end}"));
    serde_json::from_str(&shown).unwrap()
}

#[test]
fn one_can_ask_for_what_gets_there() {
    let mut topology = black_hole(Version::V4);
    topology.start_both("probe = \"off\"", "");
    let end = Version::V4.host(1);
    wait_for_ping(&topology.hosts[0], inner(1)[0]);
    assert_eq!(topology.mtu(0)["origin"], "link");
    let shown = probed(&topology, end);
    assert_eq!(shown["reached"], SILENT_MTU);
    assert_eq!(shown["mtus"][0]["mtu"], SILENT_MTU - 50);
    topology.wait_for_mtu(0, SILENT_MTU - 50, "probe");
    ip(&topology.hosts[1], "link set eth0 mtu 1500");
    let text = topology.ringlay(0, &format!("mtu --probe {end}"));
    assert!(
        text.contains("packets of up to 1500 bytes get to 192.168.78.1"),
        "{text}"
    );
    ip(&topology.hosts[1], "link set eth0 down");
    assert_eq!(probed(&topology, end)["reached"], Value::Null);
}

#[test]
fn a_kernel_peer_answers_too() {
    for version in [Version::V4, Version::V6] {
        let mut topology = black_hole(version);
        let (near, far) = (version.host(0), version.host(1));
        let b = &topology.hosts[1];
        let device = "link add vx42 type vxlan id 42 dstport 4789 dev eth0";
        ip(b, &format!("{device} local {far} remote {near}"));
        ip(b, "link set vx42 mtu 1280 up");
        ip(b, "address add 10.42.2.1/16 dev vx42");
        topology.start(0, "probe = \"1s\"", "");
        wait_for_ping(&topology.hosts[0], inner(1)[0]);
        topology.wait_for_mtu(0, SILENT_MTU - version.overhead(), "probe");
    }
}

#[test]
fn lies_that_seem_right_do_not_last() {
    let mut topology = Topology::new(Version::V4, 1500);
    topology.start_both("probe = \"1s\"", "");
    wait_for_ping(&topology.hosts[0], inner(1)[0]);
    Forgery::believable(&topology).send(&topology);
    topology.wait_for_mtu(0, 1250, "router");
    topology.wait_for_mtu(0, 1450, "link");
}
