//! Ethernet ports: hosts behind TAP devices, in a namespace of their own or behind a bridge, and behind
//! a veth pair that is served by AF_XDP; and a pod on another node.

use std::fs;

use super::{
    Netns,
    bulk::exchange_between,
    hosts::{Hosts, missed},
    ping::{BRIEFLY, each_answered, patiently},
};

/// Starts the nodes, of which the first has an Ethernet port besides, with the keys `port`. The
/// second knows what is there.
pub(crate) fn overlay(mut hosts: Hosts, port: &str) -> Hosts {
    add_port(&hosts, port);
    route_there(&hosts);
    hosts.start(0);
    hosts.start(1);
    hosts
}

/// Adds a port with these keys to the configuration of the first node.
pub(crate) fn add_port(hosts: &Hosts, port: &str) {
    let mut config = fs::read_to_string(hosts.config(0)).unwrap();
    config.push_str(&format!(
        "[[port]]\nnetwork = \"blue\"\n{port}\n\
         addresses = [\"10.42.101.1/24\", \"fd42:101::1/64\"]\n"
    ));
    fs::write(hosts.config(0), config).unwrap();
}

/// Tells the second node where hosts on the link are.
pub(crate) fn route_there(hosts: &Hosts) {
    let mut config = fs::read_to_string(hosts.config(1)).unwrap();
    for prefix in ["10.42.101.0/24", "fd42:101::/64"] {
        config.push_str(&format!(
            "[[route]]\nnetwork = \"blue\"\nprefix = \"{prefix}\"\nvtep = \"192.168.77.1\"\n"
        ));
    }
    fs::write(hosts.config(1), config).unwrap();
}

/// A namespace for a host on the link.
fn guest(hosts: &Hosts) -> Netns {
    Netns::new(&hosts.netns(0).replace('a', "g"))
}

/// Makes a device of a namespace the host's way to everything.
fn furnish(guest: &Netns, device: &str) {
    guest.ip(&format!("link set {device} up"));
    guest.ip(&format!("address add 10.42.101.9/24 dev {device}"));
    guest.ip(&format!("address add fd42:101::9/64 dev {device} nodad"));
    guest.ip("route add default via 10.42.101.1");
    guest.ip("-6 route add default via fd42:101::1");
}

/// Whether the host's pings to an address are all answered.
pub(crate) fn pings(guest: &Netns, address: &str) -> bool {
    let mut ping = guest.command(&format!("ping {} {address}", patiently(3)));
    let text = String::from_utf8(ping.output().unwrap().stdout).unwrap();
    let all = each_answered(&text, 3);
    if !all {
        eprintln!("{text}");
    }
    all
}

/// Whether any of them is.
pub(crate) fn answers(guest: &Netns, address: &str) -> bool {
    guest.exec(&format!("ping {BRIEFLY} {address}"))
}

/// Bulk between the host on the link and the pod, whoever begins.
pub(crate) fn talk(hosts: &Hosts, guest: &Netns) {
    let (guest, pod) = (guest.path(), hosts.netns_path(1));
    for (near, far) in [("10.42.101.9", "10.42.2.1"), ("fd42:101::9", "fd42:2::1")] {
        exchange_between(&guest, &pod, far);
        exchange_between(&pod, &guest, near);
    }
    let reasons = [
        "ip_malformed",
        "ip_bad_checksum",
        "ether_malformed",
        "ip_too_big",
    ];
    (0..2).for_each(|host| hosts.assert_no_drops(host, &reasons));
}

#[test]
fn a_host_on_a_tap_talks_to_a_pod() {
    for driver in ["io_uring", "epoll"] {
        let hosts = Hosts::new();
        let netns = guest(&hosts);
        hosts.set(0, "dataplane", &format!("driver = \"{driver}\""));
        let path = netns.path();
        let port = format!("kind = \"tap\"\ndevice = \"eth9\"\nnetns = {path:?}");
        let mut hosts = overlay(hosts, &port);
        furnish(&netns, "eth9");
        for address in ["10.42.2.1", "fd42:2::1"] {
            assert!(pings(&netns, address), "{address}");
        }
        talk(&hosts, &netns);
        hosts.signal(0, "TERM");
        assert_eq!(hosts.wait(0), Some(0));
        assert!(!netns.exec("ip link show dev eth9"));
    }
}

#[test]
fn the_router_answers_pings_and_shows_who_is_there() {
    let hosts = overlay(
        Hosts::new(),
        "kind = \"tap\"\ndevice = \"rlt0\"\nmac = \"02:00:00:00:01:01\"",
    );
    let shown = hosts.ringlay(0, "port show rlt0");
    assert!(
        shown.contains("kind tap") && shown.contains("mac 02:00:00:00:01:01"),
        "{shown}"
    );
    assert!(shown.contains("multi-queue tap"), "{shown}");
    // Behind a bridge, as machines are.
    let guest = guest(&hosts);
    let netns = hosts.netns(0).replace('a', "g");
    hosts.ip(0, "link add br0 type bridge");
    hosts.ip(
        0,
        &format!("link add veth9 type veth peer name eth9 netns {netns}"),
    );
    for device in ["rlt0", "veth9"] {
        hosts.ip(0, &format!("link set {device} master br0 up"));
    }
    hosts.ip(0, "link set br0 up");
    furnish(&guest, "eth9");
    for address in ["10.42.101.1", "fd42:101::1", "10.42.2.1", "fd42:2::1"] {
        assert!(pings(&guest, address), "{address}");
    }
    let listed = hosts.ringlay(0, "neighbour list");
    let line = listed.lines().find(|line| line.starts_with("10.42.101.9 "));
    assert!(line.unwrap().contains("port rlt0"), "{listed}");
    // A host that moves to another MAC address is followed.
    guest.ip("link set eth9 down");
    guest.ip("link set eth9 address 02:00:00:00:09:09");
    guest.ip("link set eth9 up");
    guest.ip("-6 address replace fd42:101::9/64 dev eth9 nodad");
    guest.ip("route replace default via 10.42.101.1");
    guest.ip("-6 route replace default via fd42:101::1");
    assert!(pings(&guest, "10.42.2.1"));
    let listed = hosts.ringlay(0, "neighbour list");
    assert!(listed.contains("02:00:00:00:09:09"), "{listed}");
    talk(&hosts, &guest);
    // Somebody who is not there.
    let ping = hosts.exec(1, "ping -c 1 -W 5 10.42.101.77");
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(text.contains("Host Unreachable"), "{text}");
    assert!(hosts.drops(0, "neighbour_unresolved") > 0);
}

#[test]
fn a_router_on_the_link_leads_on() {
    let hosts = overlay(Hosts::new(), "kind = \"tap\"\ndevice = \"rlt0\"");
    hosts.ip(0, "link set rlt0 up");
    let netns = guest(&hosts);
    hosts.ip(
        0,
        &format!("link set rlt0 netns {}", hosts.netns(0).replace('a', "g")),
    );
    furnish(&netns, "rlt0");
    netns.ip("link set lo up");
    netns.ip("address add 10.43.0.1/32 dev lo");
    let add = "route add 10.43.0.0/16 --network blue --port rlt0 --via 10.42.101.9";
    hosts.ringlay(0, add);
    hosts.ringlay(
        1,
        "route add 10.43.0.0/16 --network blue --vtep 192.168.77.1",
    );
    let ping = hosts.exec(1, "ping -c 3 -i 0.1 -W 3 10.43.0.1");
    assert!(ping.status.success());
    let shown = hosts.ringlay(0, "show config");
    assert!(shown.contains("via = \"10.42.101.9\""), "{shown}");
}

pub(crate) const STATION: &str = "kind = \"af_xdp\"\ndevice = \"xp0\"";

/// Joins the first host and the one on the link by a veth pair, `xp0` and `eth9`.
pub(crate) fn join(hosts: &Hosts, guest: &Netns) {
    let netns = guest.path();
    let netns = netns.file_name().unwrap().to_str().unwrap();
    hosts.ip(
        0,
        &format!("link add xp0 type veth peer name eth9 netns {netns}"),
    );
    hosts.ip(0, "link set xp0 up");
    furnish(guest, "eth9");
}

/// Two hosts, and one on the link of the first; no node runs yet.
pub(crate) fn with_guest() -> (Hosts, Netns) {
    let hosts = Hosts::new();
    let guest = guest(&hosts);
    join(&hosts, &guest);
    (hosts, guest)
}

/// Waits until the guest is reached, and lets it talk.
pub(crate) fn reach_and_talk(hosts: &Hosts, guest: &Netns) {
    hosts.wait_for(0, "pings are answered", || answers(guest, "10.42.2.1"));
    // Also the first, of a guest that has another MAC address than before.
    assert!(pings(guest, "fd42:2::1"));
    talk(hosts, guest);
}

#[test]
fn a_host_on_a_veth_pair_talks_to_a_pod() {
    for (prepare, shown) in [
        ("", "native XDP"),
        ("ethtool -L xp0 rx 2 tx 2", "native XDP"),
        // The second worker has a queue to receive by, and none to send by.
        ("ethtool -L xp0 rx 2 tx 1", "native XDP"),
        // With such packets a veth refuses programs of its own.
        ("ip link set xp0 mtu 3800", "generic XDP"),
    ] {
        let (hosts, guest) = with_guest();
        if !prepare.is_empty() {
            assert!(hosts.exec(0, prepare).status.success(), "{prepare}");
        }
        if prepare.contains("3800") {
            guest.ip("link set eth9 mtu 3800");
            // Then the kernel does not tell the other end to cut its super-frames.
            assert!(guest.exec("ethtool -K eth9 tso off gso off"));
        }
        let hosts = overlay(hosts, STATION);
        for address in ["10.42.101.1", "fd42:101::1"] {
            assert!(pings(&guest, address), "{address}");
        }
        reach_and_talk(&hosts, &guest);
        let port = hosts.ringlay(0, "port show xp0");
        assert!(
            port.contains("kind af_xdp") && port.contains(shown),
            "{port}"
        );
    }
}

#[test]
fn the_host_keeps_what_it_has_on_the_device() {
    let (hosts, guest) = with_guest();
    for (address, version) in [("10.99.0", "-4"), ("fd99::", "-6")] {
        let (dot, len) = if version == "-4" { (".", 24) } else { ("", 64) };
        let nodad = if version == "-4" { "" } else { "nodad" };
        hosts.ip(
            0,
            &format!("address add {address}{dot}1/{len} dev xp0 {nodad}"),
        );
        guest.ip(&format!(
            "address add {address}{dot}2/{len} dev eth9 {nodad}"
        ));
    }
    let mut hosts = overlay(hosts, STATION);
    reach_and_talk(&hosts, &guest);
    for address in ["10.99.0.1", "fd99::1"] {
        assert!(pings(&guest, address), "{address}");
        exchange_between(&guest.path(), &hosts.netns_path(0), address);
    }
    hosts.signal(0, "TERM");
    assert_eq!(hosts.wait(0), Some(0));
    assert!(!hosts.ip(0, "link show xp0").contains("xdp"));
    assert!(pings(&guest, "10.99.0.1"));
}

/// Has the station's device go down and come up.
pub(crate) fn outlive_an_interruption(hosts: &Hosts, guest: &Netns) {
    hosts.ip(0, "link set xp0 down");
    assert!(!answers(guest, "10.42.2.1"));
    hosts.ip(0, "link set xp0 up");
    hosts.wait_for(0, "it is up", || answers(guest, "10.42.2.1"));
}

/// Puts another device in the place of the station's, and another node in that of the first.
pub(crate) fn outlive_device_and_node(hosts: &mut Hosts, guest: &Netns) {
    hosts.ip(0, "link delete xp0");
    hosts.wait_for(0, "it is missed", || {
        hosts
            .ringlay(0, "port show xp0")
            .contains("warning: xp0 is gone")
    });
    join(hosts, guest);
    reach_and_talk(hosts, guest);
    hosts.signal(0, "KILL");
    assert_eq!(hosts.wait(0), None);
    hosts.start(0);
    reach_and_talk(hosts, guest);
}

#[test]
fn a_station_outlives_what_befalls_its_device_and_its_node() {
    let (hosts, guest) = with_guest();
    let mut hosts = overlay(hosts, STATION);
    reach_and_talk(&hosts, &guest);
    outlive_an_interruption(&hosts, &guest);
    assert!(hosts.exec(0, "ethtool -L xp0 rx 2 tx 2").status.success());
    hosts.wait_for(0, "it has two queues", || {
        hosts.ringlay(0, "port show xp0").contains("queues 2")
    });
    reach_and_talk(&hosts, &guest);
    outlive_device_and_node(&mut hosts, &guest);
}

#[test]
fn whoever_adds_a_port_says_whether_to_copy() {
    let (mut hosts, guest) = with_guest();
    route_there(&hosts);
    hosts.start(0);
    hosts.start(1);
    let add = |way: &str| {
        let common = "port add xp0 --kind af_xdp --network blue \
                      --address 10.42.101.1/24,fd42:101::1/64";
        format!("{common} --zero-copy {way}")
    };
    let refused = hosts.try_ringlay(0, &add("on"));
    for told in [
        "af_xdp cannot be set up on xp0",
        "its driver cannot do without copies",
    ] {
        assert!(refused.contains(told), "{refused}");
    }
    assert!(!hosts.ip(0, "link show xp0").contains("xdp"));
    assert!(hosts.try_ringlay(0, &add("perhaps")).contains("zero_copy"));
    hosts.ringlay(0, &add("off"));
    reach_and_talk(&hosts, &guest);
    let shown = hosts.ringlay(0, "port show xp0");
    for told in ["zero_copy off", "mode af_xdp, native XDP, copy"] {
        assert!(shown.contains(told), "{shown}");
    }
    let shown = hosts.ringlay(0, "port show xp0 --json");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["zero_copy"], "off");
    assert_eq!(shown["mode"], "af_xdp, native XDP, copy");
    let config = hosts.ringlay(0, "show config");
    assert!(config.contains("zero_copy = \"off\""), "{config}");
}

#[test]
fn without_af_xdp_a_port_of_it_is_refused_and_the_others_are_served() {
    let (mut hosts, _guest) = with_guest();
    hosts.without_af_xdp(|hosts| hosts.start(0));
    hosts.start(1);
    let add = "port add xp0 --kind af_xdp --network blue --address 10.42.101.1/24";
    let refused = hosts.try_ringlay(0, add);
    assert!(
        refused.contains("AF_XDP sockets cannot be had"),
        "{refused}"
    );
    assert!(!hosts.ip(0, "link show xp0").contains("xdp"));
    assert!(hosts.pings("10.42.2.1"));
}

#[test]
fn what_comes_while_a_node_does_not_look_is_counted() {
    let (hosts, guest) = with_guest();
    let hosts = overlay(hosts, STATION);
    reach_and_talk(&hosts, &guest);
    let missed = || missed(&hosts.port_stats(0, "xp0"));
    let before = missed();
    hosts.signal(0, "STOP");
    guest.exec("ping -q -c 4000 -l 4000 -W 1 10.42.101.1");
    hosts.signal(0, "CONT");
    hosts.wait_for(0, "they are missed", || missed() >= before + 1000);
    let shown = hosts.ringlay(0, "stats");
    assert!(
        shown.contains("missed") && shown.contains("no_slot"),
        "{shown}"
    );
    assert!(pings(&guest, "10.42.2.1"));
}

/// Adds a station of a kind in a third namespace, which the guest reaches until it is deleted.
pub(crate) fn come_and_go_elsewhere(kind: &str) {
    let (mut hosts, guest) = with_guest();
    let name = hosts.netns(0).replace('a', "o");
    let other = Netns::new(&name);
    hosts.ip(0, &format!("link set xp0 netns {name}"));
    other.ip("link set xp0 up");
    route_there(&hosts);
    hosts.start(0);
    hosts.start(1);
    let add = format!(
        "port add xp0 --kind {kind} --network blue --netns /run/netns/{name} \
         --address 10.42.101.1/24,fd42:101::1/64"
    );
    hosts.ringlay(0, &add);
    reach_and_talk(&hosts, &guest);
    let shown = hosts.ringlay(0, "show config");
    assert!(shown.contains(&format!("kind = \"{kind}\"")), "{shown}");
    hosts.ringlay(0, "port delete xp0");
    assert!(!answers(&guest, "10.42.2.1"));
    let missing = hosts.try_ringlay(0, &format!("port add xp9 --kind {kind} --network blue"));
    let reason = format!("{kind} cannot be set up on xp9: there is no such device");
    assert!(missing.contains(&reason), "{missing}");
}

#[test]
fn a_station_may_live_in_another_namespace_and_come_and_go() {
    come_and_go_elsewhere("af_xdp");
}

/// Has the guest of a station talk to the kernel's VXLAN device in the second host.
pub(crate) fn talk_to_the_kernels_vxlan_device(mut hosts: Hosts, guest: &Netns, station: &str) {
    add_port(&hosts, station);
    hosts.start(0);
    hosts.add_kernel_vxlan();
    hosts.wait_for(0, "pings are answered", || answers(guest, "10.42.2.1"));
    exchange_between(&guest.path(), &hosts.netns_path(1), "10.42.2.1");
    exchange_between(&hosts.netns_path(1), &guest.path(), "10.42.101.9");
    let reasons = [
        "underlay_bad_checksum",
        "ip_bad_checksum",
        "ip_malformed",
        "vxlan_malformed",
    ];
    hosts.assert_no_drops(0, &reasons);
}

/// On a pair of virtual devices the kernel finishes no checksum, on either side.
#[test]
fn a_station_and_the_kernels_vxlan_device_understand_each_other() {
    let (hosts, guest) = with_guest();
    hosts.set(0, "underlay", "driver = \"af_xdp\"");
    talk_to_the_kernels_vxlan_device(hosts, &guest, STATION);
}
