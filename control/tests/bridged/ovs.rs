//! The peer is a bridge of Open vSwitch's userspace datapath, with a tunnel, and a host behind it.

use std::net::IpAddr;

use super::site::{DEVICE, Guest, Site, VXLAN, wait_until_known};
use super::support::ovs_peer::{Carries, MAC, Switch, Tunnel};
use super::support::pair::{Pair, Underlay, ip, number_after};
use super::support::traffic::{exchange_tcp, exchange_udp, ping, wait_for_ping};

#[test]
fn a_bridge_of_open_vswitch_is_a_peer() {
    for (network, kind, options) in [
        ("vni = 42", "vxlan", "key=42"),
        ("encap = \"geneve\"\nvni = 42", "geneve", "key=42"),
        ("encap = \"gre\"\nkey = 42", "gre", "key=42"),
    ] {
        let pair = Pair::create();
        let near = Guest::create(&pair, 1);
        let node = Site { network, ..VXLAN }.start(&pair, 0, &[&near]);
        for address in ["10.42.1.1/16", "fd42:1::1/16"] {
            let add = format!("address add {address} dev {DEVICE} nodad");
            ip(&near.netns, &add);
        }
        let shown = ip(&near.netns, &format!("link show dev {DEVICE}"));
        let tunnel = Tunnel {
            kind,
            options,
            carries: Carries::Frames,
        };
        let mtu = number_after(&shown, "mtu").unwrap();
        let switch = Switch::start(&pair, Underlay::V4, &tunnel, mtu);
        for address in ["10.42.2.1", "fd42:2::1"] {
            let address: IpAddr = address.parse().unwrap();
            wait_for_ping(&near.netns, address);
            ping(&near.netns, address, 3);
            exchange_tcp(&near.netns, &pair.peer, address, 1 << 20);
            let sizes = [1, 1000, 1300];
            exchange_udp(&near.netns, &pair.peer, address, sizes.into_iter());
        }
        let end = format!("vtep {}", Underlay::V4.peer());
        wait_until_known(&node, MAC, &end, "learned");
        switch.assert_alive();
        node.stop();
    }
}
