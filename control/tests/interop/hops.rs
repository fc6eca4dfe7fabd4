//! Outer times to live that the kernel's VXLAN device chose, on each underlay driver.

use std::process::Command;

use crate::support::kernel_peer;
use crate::support::node::{Node, NodeConfig, VNI};
use crate::support::pair::{Pair, Underlay, output};
use crate::support::ping::patiently;

/// The times to live of answered pings, as the host behind the node sees them.
fn seen(underlay: Underlay, network: &str) -> Vec<u8> {
    let pair = Pair::create();
    kernel_peer::start_with(&pair, underlay, "ttl 5");
    let config = NodeConfig::new("io_uring", underlay);
    let mut seen = Vec::new();
    for driver in ["udp", "tunnel-gso", "af_xdp"] {
        let network = format!("vni = {VNI}\n{network}");
        let node = Node::start_network(&pair, &config, driver, &network);
        for address in ["10.42.2.1", "fd42:2::1"] {
            let mut ping = Command::new("ping");
            ping.args(patiently(3).split(' ')).arg(address);
            let said = String::from_utf8(output(&pair.node, &mut ping).stdout).unwrap();
            let words = said.split_whitespace();
            let found = words.filter_map(|word| word.strip_prefix("ttl="));
            let before = seen.len();
            seen.extend(found.map(|number| number.parse::<u8>().unwrap()));
            assert_eq!(seen.len(), before + 3, "{driver}: {said}");
        }
        node.stop();
    }
    seen
}

#[test]
fn what_the_underlay_leaves_is_the_inner_one_if_it_was_copied() {
    for underlay in [Underlay::V4, Underlay::V6] {
        // The node is a router.
        assert_eq!(seen(underlay, "ttl = \"copy\""), [4; 18]);
    }
}

#[test]
fn a_tunnel_is_one_hop_otherwise() {
    for (underlay, network) in [(Underlay::V4, ""), (Underlay::V6, "ttl = 9")] {
        assert_eq!(seen(underlay, network), [63; 18]);
    }
}
