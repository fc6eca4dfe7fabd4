//! Ping, TCP and UDP over IPv4 and IPv6, for every way to set the two ends up.

use std::iter;
use std::net::IpAddr;

use crate::support::kernel_peer::{self, Style};
use crate::support::node::{self, Node, NodeConfig};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay, run};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping};

/// How the node comes by the MAC address of the peer's VTEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerMac {
    Configured,
    Resolved,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    underlay: Underlay,
    style: Style,
    peer_mac: PeerMac,
    driver: &'static str,
}

impl Scenario {
    fn node_config(self) -> NodeConfig {
        let routed = self.style == Style::Routed;
        let configured = self.peer_mac == PeerMac::Configured;
        NodeConfig {
            driver: self.driver,
            underlay: self.underlay,
            mac: routed.then_some(kernel_peer::NODE_MAC),
            peer_mac: configured.then_some(kernel_peer::MAC),
            // Nobody answers for addresses behind the device, so the node asks for the router's.
            via: (routed && !configured).then_some(kernel_peer::ROUTER),
        }
    }

    fn run(self) {
        self.run_on(&Pair::create());
    }

    /// The devices of the underlay leave segments whole and checksums open, as they do for
    /// whoever does not tell them otherwise.
    fn run_with_offloads(self) {
        let pair = Pair::create();
        for host in [&pair.node, &pair.peer] {
            let on = format!("-K {UNDERLAY_DEVICE} tx on tso on gso on");
            run(host, "ethtool", &on);
        }
        self.run_on(&pair);
    }

    fn run_on(self, pair: &Pair) {
        kernel_peer::start(pair, self.underlay, self.style);
        let node = Node::start(pair, &self.node_config());
        assert_eq!(node.query("show node")["driver"], self.driver);
        let mtu = u64::from(self.underlay.inner_mtu());
        assert_eq!(kernel_peer::mtu(&pair.node, node::DEVICE), mtu);
        self.talk(pair);
        node.assert_alive();
    }

    fn talk(self, pair: &Pair) {
        let inner = [
            ("10.42.1.1", "10.42.2.1", 28),
            ("fd42:1::1", "fd42:2::1", 48),
        ];
        for (ours, theirs, headers) in inner {
            let [ours, theirs]: [IpAddr; 2] = [ours, theirs].map(|text| text.parse().unwrap());
            ping(&pair.node, theirs, 5);
            ping(&pair.peer, ours, 5);
            exchange_tcp(&pair.node, &pair.peer, theirs, TCP_BYTES);
            exchange_tcp(&pair.peer, &pair.node, ours, TCP_BYTES);
            let largest = self.underlay.inner_mtu() as usize - headers;
            let sizes = (1..=largest).chain(iter::once(FRAGMENTED));
            exchange_udp(&pair.node, &pair.peer, theirs, sizes);
        }
    }
}

/// Enough for the windows of both ends to open fully.
const TCP_BYTES: usize = 4 << 20;
/// A datagram that the hosts send in several packets.
const FRAGMENTED: usize = 8000;

#[test]
fn offloads_on_the_underlay() {
    for driver in ["io_uring", "epoll"] {
        for underlay in [Underlay::V4, Underlay::V6] {
            let scenario = Scenario {
                underlay,
                style: Style::OnLink,
                peer_mac: PeerMac::Resolved,
                driver,
            };
            scenario.run_with_offloads();
        }
    }
}

/// A test for every combination.
macro_rules! scenarios {
    ($($name:ident: $underlay:ident $style:ident $peer_mac:ident;)*) => {
        mod io_uring {
            use super::*;
            $(scenarios!(@test $name "io_uring" $underlay $style $peer_mac);)*
        }
        mod epoll {
            use super::*;
            $(scenarios!(@test $name "epoll" $underlay $style $peer_mac);)*
        }
    };
    (@test $name:ident $driver:literal $underlay:ident $style:ident $peer_mac:ident) => {
        #[test]
        fn $name() {
            let scenario = Scenario {
                underlay: Underlay::$underlay,
                style: Style::$style,
                peer_mac: PeerMac::$peer_mac,
                driver: $driver,
            };
            scenario.run();
        }
    };
}

scenarios! {
    ipv4_on_link_resolved: V4 OnLink Resolved;
    ipv4_on_link_configured: V4 OnLink Configured;
    ipv4_routed_resolved: V4 Routed Resolved;
    ipv4_routed_configured: V4 Routed Configured;
    ipv6_on_link_resolved: V6 OnLink Resolved;
    ipv6_on_link_configured: V6 OnLink Configured;
    ipv6_routed_resolved: V6 Routed Resolved;
    ipv6_routed_configured: V6 Routed Configured;
}
