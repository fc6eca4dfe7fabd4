//! Nodes whose underlay is an AF_XDP wire: among themselves, beside other drivers, and facing the
//! kernel's own VXLAN device; and what becomes of them when the device changes.

use std::fs;

use super::{bulk::exchange, hosts::Hosts};

/// Makes two hosts, each with its underlay driver, and starts the nodes after `prepare`.
fn overlay(drivers: [&str; 2], prepare: impl FnOnce(&Hosts)) -> Hosts {
    let mut hosts = Hosts::new();
    for (host, driver) in drivers.into_iter().enumerate() {
        hosts.set(host, "underlay", &format!("driver = \"{driver}\""));
    }
    prepare(&hosts);
    for host in 0..2 {
        hosts.start(host);
    }
    hosts
}

/// Bulk in both directions, after which nothing was dropped as damaged.
fn talk(hosts: &Hosts) {
    for address in ["10.42.2.1", "fd42:2::1"] {
        assert!(hosts.pings(address));
        exchange(hosts, address);
    }
    for host in 0..2 {
        assert_undamaged(hosts, host);
    }
}

fn assert_undamaged(hosts: &Hosts, host: usize) {
    for reason in [
        "underlay_bad_checksum",
        "vxlan_malformed",
        "ip_bad_checksum",
        "uplink_foreign",
    ] {
        assert_eq!(hosts.drops(host, reason), 0, "{reason}");
    }
}

/// How many datagrams the sockets of a host have sent.
fn by_sockets(hosts: &Hosts, host: usize) -> u64 {
    let sum = |file: &str, wanted: &str| {
        let output = hosts.exec(host, &format!("cat /proc/net/{file}"));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with(wanted));
        let line = lines.next_back().unwrap().to_owned();
        let mut words = line.split_whitespace();
        let value = if file == "snmp" {
            words.nth(4)
        } else {
            words.nth(1)
        };
        value.unwrap().parse::<u64>().unwrap()
    };
    sum("snmp", "Udp:") + sum("snmp6", "Udp6OutDatagrams")
}

/// Waits until the packets of a host go by its wire.
fn wait_for_wire(hosts: &Hosts, host: usize, address: &str) {
    hosts.wait_for(host, "packets go by the wire", || {
        let before = by_sockets(hosts, host);
        let ping = hosts.exec(host, &format!("ping -c 20 -i 0.01 -W 3 {address}"));
        ping.status.success() && by_sockets(hosts, host) < before + 10
    });
}

#[test]
fn tcp_crosses_between_wires() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    wait_for_wire(&hosts, 1, "10.42.1.1");
    talk(&hosts);
    for host in 0..2 {
        assert!(hosts.log(host).contains("native XDP"));
        assert!(hosts.ip(host, "link show eth0").contains("xdp"));
        let shown = hosts.ringlay(host, "show node");
        let line = "underlay driver af_xdp (as configured)";
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn a_wire_understands_all_other_drivers() {
    for driver in ["udp", "tunnel-gso"] {
        let hosts = overlay(["af_xdp", driver], |_| ());
        assert!(hosts.pings("10.42.2.1"));
        wait_for_wire(&hosts, 0, "10.42.2.1");
        talk(&hosts);
    }
}

#[test]
fn a_driver_without_a_place_for_programs_gets_them_behind_it() {
    // With such packets a veth refuses programs of its own.
    let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
        for host in 0..2 {
            hosts.ip(host, "link set eth0 mtu 3800");
        }
    });
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    talk(&hosts);
    for host in 0..2 {
        assert!(hosts.log(host).contains("generic XDP"));
    }
}

#[test]
fn packets_too_long_for_a_wire_go_by_sockets() {
    let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
        for host in 0..2 {
            hosts.ip(host, "link set eth0 mtu 9000");
        }
    });
    talk(&hosts);
}

#[test]
fn every_queue_of_a_device_is_served() {
    let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
        for host in 0..2 {
            let set = hosts.exec(host, "ethtool -L eth0 rx 2 tx 2");
            assert!(set.status.success(), "ethtool is installed");
        }
    });
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    talk(&hosts);
    assert!(hosts.log(0).contains("queues=2"));
}

#[test]
fn wires_carry_ipv6_underlays() {
    let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
        for host in 0..2 {
            let config = fs::read_to_string(hosts.config(host)).unwrap();
            fs::write(hosts.config(host), config.replace("192.168.77.", "fd77::")).unwrap();
        }
    });
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    talk(&hosts);
}

/// On a pair of virtual devices the kernel finishes no checksum, neither an outer nor an inner one.
#[test]
fn a_wire_understands_the_kernels_vxlan_device() {
    let mut hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"af_xdp\"");
    hosts.start(0);
    let vxlan =
        "link add vx type vxlan id 42 local 192.168.77.2 remote 192.168.77.1 dstport 4789 dev eth0";
    hosts.ip(1, vxlan);
    hosts.ip(1, "address add 10.42.2.1/16 dev vx");
    hosts.ip(1, "link set vx up");
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    exchange(&hosts, "10.42.2.1");
    assert_undamaged(&hosts, 0);
}

#[test]
fn a_device_may_go_down_vanish_and_come_back() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    hosts.ip(0, "link set eth0 down");
    assert!(!hosts.pings("10.42.2.1"));
    hosts.ip(0, "link set eth0 up");
    hosts.wait_for(0, "it is up", || hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    hosts.ip(0, "link delete eth0");
    hosts.wait_for(0, "it is missed", || {
        hosts.log(0).contains("the device is gone")
    });
    hosts.join();
    hosts.wait_for(0, "it is back", || hosts.pings("10.42.2.1"));
    for (host, address) in [(0, "10.42.2.1"), (1, "10.42.1.1")] {
        wait_for_wire(&hosts, host, address);
    }
    talk(&hosts);
}

#[test]
fn neighbours_are_followed_to_their_new_addresses() {
    let hosts = overlay(["af_xdp", "udp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    hosts.ip(1, "link set eth0 address 02:00:00:00:77:02");
    hosts.ip(1, "neigh flush dev eth0");
    // By asking for the other, the neighbour tells its new address.
    let ping = hosts.exec(1, "ping -c 1 -W 3 192.168.77.1");
    assert!(ping.status.success());
    wait_for_wire(&hosts, 0, "10.42.2.1");
}

#[test]
fn what_a_killed_node_had_is_free_for_the_next() {
    let mut hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.signal(0, "KILL");
    assert_eq!(hosts.wait(0), None);
    hosts.start(0);
    hosts.wait_for(0, "pings are answered again", || hosts.pings("10.42.2.1"));
    wait_for_wire(&hosts, 0, "10.42.2.1");
    hosts.signal(0, "TERM");
    assert_eq!(hosts.wait(0), Some(0));
    assert!(
        !hosts.ip(0, "link show eth0").contains("xdp"),
        "nothing stays"
    );
}

#[test]
fn programs_of_others_are_not_replaced() {
    let mut hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"af_xdp\"");
    hosts.start(0);
    hosts.ip(0, "address add 192.168.77.3/24 dev eth0");
    let config = fs::read_to_string(hosts.config(0)).unwrap();
    let other = config
        .replace("\"192.168.77.1\"", "\"192.168.77.3\"")
        .replace("0.sock", "other.sock")
        .replace("rl0", "rl1");
    fs::write(hosts.config(1), other).unwrap();
    let binary = env!("CARGO_BIN_EXE_ringlay");
    let file = hosts.config(1);
    let refused = hosts.exec(0, &format!("{binary} run --config {}", file.display()));
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        stderr.contains("eth0 has an XDP program already"),
        "{stderr}"
    );
}
