//! A node whose super-frames go by an uplink, and the kernel's VXLAN device: super-frames stay
//! whole between them, or are cut where the underlay wants it.

use std::net::IpAddr;

use crate::support::kernel_peer::{self, Style};
use crate::support::node::{Node, NodeConfig};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay, ip, run};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping};

/// Bytes of a TCP connection, in each direction.
const TCP_BYTES: usize = 4 << 20;

/// Whether the underlay takes super-frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offloads {
    On,
    Off,
}

fn talk(underlay: Underlay, driver: &'static str, offloads: Offloads) {
    let pair = Pair::create();
    if offloads == Offloads::On {
        for host in [&pair.node, &pair.peer] {
            let on = format!("-K {UNDERLAY_DEVICE} tx on tso on gso on");
            run(host, "ethtool", &on);
        }
    }
    kernel_peer::start(&pair, underlay, Style::OnLink);
    let config = NodeConfig::new(driver, underlay);
    let node = Node::start_on(&pair, &config, "tunnel-gso");
    assert_eq!(node.query("show node")["underlay_driver"], "tunnel-gso");
    let inner = [
        ("10.42.1.1", "10.42.2.1", 28),
        ("fd42:1::1", "fd42:2::1", 48),
    ];
    let before = packets(&pair);
    for (ours, theirs, headers) in inner {
        let [ours, theirs]: [IpAddr; 2] = [ours, theirs].map(|text| text.parse().unwrap());
        ping(&pair.node, theirs, 5);
        ping(&pair.peer, ours, 5);
        exchange_tcp(&pair.node, &pair.peer, theirs, TCP_BYTES);
        exchange_tcp(&pair.peer, &pair.node, ours, TCP_BYTES);
        let largest = underlay.inner_mtu() as usize - headers;
        let sizes = [1, 2, 100, largest - 1, largest, 8000];
        exchange_udp(&pair.node, &pair.peer, theirs, sizes.into_iter());
    }
    let [sent, received] = [0, 1].map(|at| packets(&pair)[at] - before[at]);
    // Four connections: 16 MiB a direction are 11,600 packets, or some hundred super-frames and
    // their acknowledgements.
    let (least, most) = match offloads {
        Offloads::On => (200, 6_000),
        Offloads::Off => (11_600, u64::MAX),
    };
    for packets in [sent, received] {
        assert!((least..most).contains(&packets), "{packets} packets");
    }
    node.assert_alive();
}

/// What the node's host sent and received on the underlay: a super-frame counts as one.
fn packets(pair: &Pair) -> [u64; 2] {
    let shown = ip(&pair.node, &format!("-s link show dev {UNDERLAY_DEVICE}"));
    let (received, sent) = shown.split_once("TX:").expect("both are shown");
    [sent, received].map(|table| {
        let numbers = table.lines().rfind(|line| !line.trim().is_empty());
        let packets = numbers.and_then(|line| line.split_whitespace().nth(1));
        packets
            .and_then(|text| text.parse().ok())
            .expect("a number")
    })
}

macro_rules! cases {
    ($($driver:ident: $name:literal,)*) => {
        $(mod $driver {
            use super::*;

            #[test]
            fn ipv4_whole() {
                talk(Underlay::V4, $name, Offloads::On);
            }

            #[test]
            fn ipv4_cut() {
                talk(Underlay::V4, $name, Offloads::Off);
            }

            #[test]
            fn ipv6_whole() {
                talk(Underlay::V6, $name, Offloads::On);
            }

            #[test]
            fn ipv6_cut() {
                talk(Underlay::V6, $name, Offloads::Off);
            }
        })*
    };
}

cases! {
    io_uring: "io_uring",
    epoll: "epoll",
}

#[test]
fn nothing_of_it_stays() {
    let pair = Pair::create();
    kernel_peer::start(&pair, Underlay::V4, Style::OnLink);
    let settings = || {
        let all = ["all", "default", UNDERLAY_DEVICE].map(|device| {
            let v4 = ["forwarding", "accept_local", "rp_filter", "route_localnet"];
            let v6 = ["forwarding", "force_forwarding", "accept_ra"];
            let v4 = v4.map(|key| format!("/proc/sys/net/ipv4/conf/{device}/{key} "));
            let v6 = v6.map(|key| format!("/proc/sys/net/ipv6/conf/{device}/{key} "));
            v4.concat() + &v6.concat()
        });
        let shown = run(&pair.node, "cat", &all.concat());
        let links = ip(&pair.node, "-o link show");
        let names = links.lines().filter_map(|line| line.split(':').nth(1));
        (shown, names.map(str::to_owned).collect::<Vec<_>>())
    };
    let before = settings();
    for end in [Node::kill, Node::stop] {
        let config = NodeConfig::new("epoll", Underlay::V4);
        let node = Node::start_on(&pair, &config, "tunnel-gso");
        ping(&pair.node, "10.42.2.1".parse().unwrap(), 3);
        assert!(ip(&pair.node, "link show").contains("rluplink0"));
        assert_eq!(settings().0, before.0, "settings of other devices change");
        end(node);
        assert_eq!(settings(), before);
        assert_eq!(ip(&pair.node, "rule show").lines().count(), 3);
    }
}
