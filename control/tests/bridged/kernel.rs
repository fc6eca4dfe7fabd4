//! The peer is the kernel's own bridge with a VXLAN device, as people set it up.

use super::site::{DEVICE, Guest, Site, VXLAN, wait_until, wait_until_known};
use super::support::pair::{Pair, UNDERLAY_DEVICE, Underlay, ip, run};
use super::support::traffic::{exchange_tcp, exchange_udp, ping};

/// Makes the kernel's bridge on the peer, with a VXLAN device that floods to the node, and a guest.
fn bridge(pair: &Pair, guest: &Guest) {
    let (host, netns) = (&pair.peer, guest.netns.name());
    let (local, node) = (Underlay::V4.peer(), Underlay::V4.node());
    for command in [
        format!("link add vx42 type vxlan id 42 dstport 4789 dev {UNDERLAY_DEVICE} local {local}"),
        "link add br0 type bridge".to_owned(),
        format!("link add veth9 type veth peer name {DEVICE} netns {netns}"),
        "link set vx42 master br0 mtu 1450 up".to_owned(),
        "link set veth9 master br0 up".to_owned(),
        "link set br0 up".to_owned(),
    ] {
        ip(host, &command);
    }
    let flood = format!("fdb append 00:00:00:00:00:00 dev vx42 dst {node}");
    run(host, "bridge", &flood);
    ip(&guest.netns, &format!("link set {DEVICE} mtu 1450"));
    guest.furnish();
}

#[test]
fn the_kernels_bridge_and_vxlan_device_are_a_peer() {
    for underlay_driver in ["udp", "tunnel-gso"] {
        let pair = Pair::create();
        let [near, far] = [1, 2].map(|number| Guest::create(&pair, number));
        bridge(&pair, &far);
        let site = Site {
            underlay_driver,
            ..VXLAN
        };
        let node = site.start(&pair, 0, &[&near]);
        for (from, to) in [(&near, &far), (&far, &near)] {
            ping(&from.netns, to.v4, 3);
            ping(&from.netns, to.v6, 3);
            exchange_tcp(&from.netns, &to.netns, to.v4, 8 << 20);
            exchange_tcp(&from.netns, &to.netns, to.v6, 4 << 20);
            let sizes = [1, 1000, 1422, 1423, 20_000];
            exchange_udp(&from.netns, &to.netns, to.v4, sizes.into_iter());
        }
        // Each has learned where the other's guest is.
        let end = format!("vtep {}", Underlay::V4.peer());
        wait_until_known(&node, &far.mac, &end, "learned");
        wait_until("the kernel learned", || {
            let learned = run(&pair.peer, "bridge", "fdb show dev vx42");
            let mut lines = learned.lines();
            lines.any(|it| it.contains(&near.mac) && it.contains("dst 192.168.77.1"))
        });
        node.stop();
    }
}
