//! What crosses: address resolution, multicast, bulk both ways, by each encapsulation and driver.

use super::site::{DEVICE, Guest, Site, VXLAN, drops, wait_until_known};
use super::support::node::Node;
use super::support::pair::{Pair, Underlay, ip, number_after, run};
use super::support::traffic::{exchange_tcp, exchange_udp, ping};

const MEGABYTE: usize = 1 << 20;

/// All kinds of traffic between guests, of which the first two share a node.
fn talk(near: &Guest, beside: &Guest, far: &Guest) {
    for (from, to) in [(near, far), (far, near), (near, beside), (far, beside)] {
        ping(&from.netns, to.v4, 3);
        ping(&from.netns, to.v6, 3);
    }
    for (from, to) in [(near, far), (near, beside)] {
        for address in [to.v4, to.v6] {
            exchange_tcp(&from.netns, &to.netns, address, 8 * MEGABYTE);
            let sizes = [1, 1000, 1400, 5000, 30_000];
            exchange_udp(&from.netns, &to.netns, address, sizes.into_iter());
        }
    }
}

/// What must not be dropped while guests talk.
#[track_caller]
fn assert_clean(node: &Node) {
    for reason in [
        "ip_malformed",
        "ether_malformed",
        "inner_mac_foreign",
        "inner_protocol_unknown",
        "pool_exhausted",
        "underlay_tx_error",
        "port_tx_error",
    ] {
        assert_eq!(drops(node, reason), 0, "{reason}");
    }
}

fn guests(pair: &Pair) -> [Guest; 3] {
    [1, 2, 3].map(|number| Guest::create(pair, number))
}

fn overlay(site: &Site<'_>) {
    let pair = Pair::create();
    let [near, beside, far] = &guests(&pair);
    let nodes = [
        site.start(&pair, 0, &[near, beside]),
        site.start(&pair, 1, &[far]),
    ];
    talk(near, beside, far);
    nodes.iter().for_each(assert_clean);
    let end = format!("vtep {}", site.underlay.node());
    wait_until_known(&nodes[1], &near.mac, &end, "learned");
    wait_until_known(&nodes[0], &near.mac, "port g0", "learned");
    for node in nodes {
        node.stop();
    }
    assert!(!ip(&near.netns, "link show").contains(DEVICE));
}

#[test]
fn guests_of_two_nodes_share_one_ethernet() {
    for driver in ["io_uring", "epoll"] {
        overlay(&Site { driver, ..VXLAN });
    }
}

#[test]
fn geneve_and_gre_carry_frames_too() {
    for network in ["encap = \"geneve\"\nvni = 42", "encap = \"gre\"\nkey = 7"] {
        overlay(&Site { network, ..VXLAN });
    }
}

#[test]
fn an_underlay_of_ipv6_carries_them_too() {
    for underlay_driver in ["udp", "tunnel-gso"] {
        overlay(&Site {
            underlay: Underlay::V6,
            underlay_driver,
            ..VXLAN
        });
    }
}

#[test]
fn uplinks_and_wires_carry_frames_too() {
    for underlay_driver in ["tunnel-gso", "af_xdp"] {
        overlay(&Site {
            underlay_driver,
            ..VXLAN
        });
    }
}

#[test]
fn vlan_tags_multicast_and_what_is_no_ip_pass() {
    let pair = Pair::create();
    let [near, beside, far] = &guests(&pair);
    let nodes = [
        VXLAN.start(&pair, 0, &[near, beside]),
        VXLAN.start(&pair, 1, &[far]),
    ];
    // A group that nobody joined: all stations answer.
    let heard = run(
        &near.netns,
        "ping",
        &format!("-c 2 -i 0.3 -W 2 ff02::1%{DEVICE}"),
    );
    assert!(heard.contains("duplicates"), "two others answer: {heard}");
    // Priority tags and VLANs are left as they are: of those that ask, only the tagged are heard.
    for (guest, number) in [(near, 1), (far, 3)] {
        ip(
            &guest.netns,
            &format!("link add link {DEVICE} name tagged type macvlan mode private"),
        );
        ip(&guest.netns, "link set tagged up");
        ip(
            &guest.netns,
            &format!("address add 10.19.0.{number}/24 dev tagged"),
        );
    }
    ping(&near.netns, "10.19.0.3".parse().unwrap(), 3);
    nodes.iter().for_each(assert_clean);
}

#[test]
fn frames_too_long_for_the_tunnel_arrive_in_fragments() {
    let pair = Pair::create();
    let [near, _, far] = &guests(&pair);
    let nodes = [
        VXLAN.start(&pair, 0, &[near]),
        VXLAN.start(&pair, 1, &[far]),
    ];
    let mtu = |guest: &Guest| {
        let shown = ip(&guest.netns, &format!("link show dev {DEVICE}"));
        number_after(&shown, "mtu").unwrap()
    };
    assert_eq!((mtu(near), mtu(far)), (1450, 1450));
    // Guests may want more than fits; in vain they would be told nothing.
    for guest in [near, far] {
        ip(&guest.netns, &format!("link set {DEVICE} mtu 1500"));
    }
    let sizes = [1472, 1473, 1422, 4000];
    exchange_udp(&near.netns, &far.netns, far.v4, sizes.into_iter());
    exchange_tcp(&near.netns, &far.netns, far.v4, MEGABYTE);
    nodes.iter().for_each(assert_clean);
}
