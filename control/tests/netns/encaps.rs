//! Two nodes that talk by each encapsulation, over each version of IP.

use super::{
    bulk,
    hosts::Hosts,
    ping::{each_answered, patiently},
};

/// The keys of a network for each.
const UDP: [&str; 4] = [
    "encap = \"vxlan\"\nvni = 42\n",
    "encap = \"geneve\"\nvni = 42\n",
    "encap = \"geneve\"\nvni = 42\ninner = \"ip\"\n",
    "preset = \"antrea\"\n",
];

/// Those that have an IP protocol number instead of a UDP port.
const IP: [&str; 5] = [
    "encap = \"gre\"\n",
    "encap = \"gre\"\nkey = 42\n",
    "encap = \"gre\"\ninner = \"ethernet\"\n",
    "encap = \"gre\"\nkey = 0\ninner = \"ethernet\"\n",
    "encap = \"ipip\"\n",
];

fn overlay(keys: &str, version: u8, driver: &str) -> Hosts {
    overlay_of(keys, version, [driver; 2])
}

/// The same with a driver for each host.
fn overlay_of(keys: &str, version: u8, drivers: [&str; 2]) -> Hosts {
    let mut hosts = Hosts::new();
    for (host, driver) in drivers.into_iter().enumerate() {
        hosts.set(host, "underlay", &format!("driver = \"{driver}\""));
        hosts.replace(host, "vni = 42\n", keys);
        if version == 6 {
            hosts.replace(host, "192.168.77.", "fd77::");
        }
    }
    hosts.start(0);
    hosts.start(1);
    hosts
}

/// Pings and bulk in both directions and both IP versions, after which nothing was dropped.
fn talk(hosts: &Hosts) {
    bulk::talk(hosts);
    let reasons = ["underlay_bad_checksum", "ip_malformed", "ip_bad_checksum"];
    (0..2).for_each(|host| hosts.assert_no_drops(host, &reasons));
}

#[test]
fn nodes_talk_by_each_encapsulation_over_udp_sockets() {
    for keys in UDP {
        for version in [4, 6] {
            talk(&overlay(keys, version, "udp"));
        }
    }
}

#[test]
fn nodes_talk_by_each_encapsulation_over_uplinks() {
    for keys in UDP[1..].iter().chain(&IP) {
        for version in [4, 6] {
            let hosts = overlay(keys, version, "tunnel-gso");
            talk(&hosts);
            assert!(hosts.ip(0, "link show").contains("rluplink"));
        }
    }
}

#[test]
fn nodes_talk_by_each_encapsulation_over_wires() {
    for keys in UDP[1..].iter().chain(&IP) {
        for version in [4, 6] {
            let hosts = overlay(keys, version, "af_xdp");
            talk(&hosts);
            for (host, address) in [(0, "10.42.2.1"), (1, "10.42.1.1")] {
                hosts.wait_for_wire(host, address);
            }
            talk(&hosts);
        }
    }
}

#[test]
fn wires_understand_other_drivers_by_each_encapsulation() {
    for keys in [UDP[1], IP[1], IP[3], IP[4]] {
        for driver in ["udp", "tunnel-gso"] {
            let mut hosts = overlay_of(keys, 4, ["af_xdp", driver]);
            talk(&hosts);
            hosts.wait_for_wire(0, "10.42.2.1");
            talk(&hosts);
            hosts.signal(0, "TERM");
            assert_eq!(hosts.wait(0), Some(0));
        }
    }
}

#[test]
fn nodes_talk_by_each_encapsulation_over_raw_sockets() {
    for keys in IP {
        for version in [4, 6] {
            talk(&overlay(keys, version, "udp"));
        }
    }
}

#[test]
fn nodes_tell_each_other_encapsulation_limits_and_leave_room_for_them() {
    for (keys, largest) in [
        ("encap = \"ipip\"\nencap_limit = 4\n", 1500 - 40 - 8),
        (
            "encap = \"gre\"\nkey = 42\nencap_limit = 0\n",
            1500 - 40 - 8 - 8,
        ),
    ] {
        for driver in ["udp", "tunnel-gso"] {
            let hosts = overlay(keys, 6, driver);
            let link = hosts.ip(0, "link show rl0");
            assert!(link.contains(&format!("mtu {largest} ")), "{link}");
            // The largest packets pass from the first on, whole.
            let size = largest - 20 - 8;
            let arguments = format!("{} -M do -s {size}", patiently(3));
            let ping = hosts.exec(0, &format!("ping {arguments} 10.42.2.1"));
            let text = String::from_utf8(ping.stdout).unwrap();
            assert!(each_answered(&text, 3), "{text}");
            talk(&hosts);
            assert_eq!(hosts.drops(0, "underlay_tx_error"), 0);
            let counters = hosts.exec(0, "grep Ip6FragCreates /proc/self/net/snmp6");
            let counters = String::from_utf8(counters.stdout).unwrap();
            assert!(counters.trim_end().ends_with("\t0"), "{counters}");
        }
    }
}

#[test]
fn networks_without_a_key_share_an_endpoint_if_their_peers_differ() {
    let hosts = overlay("encap = \"ipip\"\n", 4, "udp");
    assert!(hosts.pings("10.42.2.1"));
    hosts.ringlay(0, "network add red --encap ipip");
    let socket = hosts.socket(0);
    let add = format!(
        "vtep add 192.168.77.2 --network red --socket {}",
        socket.display()
    );
    let refused = hosts.exec(0, &format!("{} {add}", env!("CARGO_BIN_EXE_ringlay")));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("neither has a key"), "{stderr}");
    hosts.ringlay(0, "vtep add 192.168.77.3 --network red");
    assert!(hosts.pings("10.42.2.1"));
}

#[test]
fn a_node_shows_how_its_networks_cross_the_underlay() {
    let hosts = overlay("preset = \"antrea\"\n", 4, "udp");
    let shown: serde_json::Value =
        serde_json::from_str(&hosts.ringlay(0, "network show blue --json")).unwrap();
    assert_eq!(shown["preset"], "antrea");
    assert_eq!(shown["encap"], "geneve");
    assert_eq!((&shown["vni"], &shown["port"]), (&0.into(), &6081.into()));
    assert_eq!(shown["inner"], "ethernet");
    let line = hosts.ringlay(0, "network list");
    assert!(line.contains("encap geneve vni 0"), "{line}");
    // Nobody is asked for the MAC address that all share.
    assert!(hosts.ringlay(0, "vtep list").contains("aa:bb:cc:dd:ee:ff"));
    hosts.ringlay(0, "network add red --encap geneve --vni 7 --inner ip");
    let line = hosts.ringlay(0, "network show red");
    assert!(line.contains("inner ip"), "{line}");
    let config = hosts.ringlay(0, "show config");
    assert!(config.contains("preset = \"antrea\""), "{config}");
}
