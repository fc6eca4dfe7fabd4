//! Two nodes with uplinks, and one beside a node with sockets alone.

use std::{fs, path::PathBuf};

use ringlay_dataplane::sys::netns::run_in;

use super::{bulk, hosts::Hosts, wire};

/// Two nodes that run, each with its underlay driver.
fn overlay(drivers: [&str; 2]) -> Hosts {
    wire::overlay(drivers, |_| ())
}

/// Bulk in both directions and both IP versions, after which nothing was dropped as damaged.
fn talk(hosts: &Hosts) {
    bulk::talk(hosts);
    let reasons = [
        "underlay_bad_checksum",
        "vxlan_malformed",
        "ip_bad_checksum",
    ];
    (0..2).for_each(|host| hosts.assert_no_drops(host, &reasons));
}

#[test]
fn super_frames_cross_between_uplinks() {
    let hosts = overlay(["tunnel-gso", "tunnel-gso"]);
    talk(&hosts);
    for host in 0..2 {
        let shown = hosts.ringlay(host, "show node");
        let line = "underlay driver tunnel-gso (as configured)";
        assert!(shown.contains(line), "{shown}");
    }
}

/// Packets are cut and complete on their way, as on a wire: the sockets at the other end want it.
#[test]
fn uplinks_and_sockets_understand_each_other() {
    for drivers in [["tunnel-gso", "udp"], ["tunnel-gso", "tunnel-gso"]] {
        let hosts = overlay(drivers);
        for host in 0..2 {
            let off = hosts.exec(host, "ethtool -K eth0 tx off tso off gso off");
            assert!(off.status.success(), "ethtool is installed");
        }
        talk(&hosts);
    }
}

#[test]
fn strict_checks_of_source_addresses_do_no_harm() {
    let mut hosts = Hosts::new();
    for host in 0..2 {
        hosts.set(host, "underlay", "driver = \"tunnel-gso\"");
        for device in ["all", "default", "eth0"] {
            let key = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"));
            let path = PathBuf::from("/run/netns").join(hosts.netns(host));
            run_in(&path, || fs::write(key, "1")).unwrap().unwrap();
        }
        hosts.start(host);
    }
    assert!(hosts.pings("10.42.2.1"));
}

#[test]
fn fragments_of_tunnel_packets_are_put_together() {
    let mut hosts = Hosts::new();
    for (host, driver) in ["udp", "tunnel-gso"].into_iter().enumerate() {
        let settings = format!("df = \"clear\"\ndriver = \"{driver}\"");
        hosts.set(host, "underlay", &settings);
        hosts.start(host);
    }
    // Larger than the underlay's MTU with the tunnel's headers: the sender's host fragments.
    hosts.ip(0, "link set rl0 mtu 1500");
    let config = fs::read_to_string(hosts.config(0)).unwrap();
    fs::write(
        hosts.config(0),
        config.replace("vni = 42\n", "vni = 42\nmtu = 1500\n"),
    )
    .unwrap();
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "reloaded", || {
        hosts.log(0).contains("configuration reloaded")
    });
    let ping = hosts.exec(0, "ping -c 2 -i 0.2 -w 20 -s 1460 10.42.2.1");
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(text.contains("2 received"), "{text}");
}

#[test]
fn an_uplink_comes_and_goes_with_what_uses_it() {
    let hosts = overlay(["tunnel-gso", "tunnel-gso"]);
    let full = fs::read_to_string(hosts.config(0)).unwrap();
    let (settings, _) = full.split_once("[[network]]").unwrap();
    let mut reloads = 0;
    let mut reload = |config: &str| {
        fs::write(hosts.config(0), config).unwrap();
        hosts.signal(0, "HUP");
        reloads += 1;
        let done = || hosts.log(0).matches("configuration reloaded").count() == reloads;
        hosts.wait_for(0, "reloaded", done);
    };
    for round in 0..3 {
        assert!(hosts.pings("10.42.2.1"), "round {round}");
        reload(settings);
        let gone = || !hosts.ip(0, "link show").contains("rluplink");
        hosts.wait_for(0, "the uplink is gone", gone);
        reload(&full);
        assert!(hosts.ip(0, "link show").contains("rluplink"));
    }
    assert!(hosts.pings("10.42.2.1"));
    // Its driver is not changed under way.
    fs::write(hosts.config(0), full.replace("tunnel-gso", "udp")).unwrap();
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "refused", || hosts.log(0).contains("underlay.driver"));
    assert!(hosts.pings("10.42.2.1"));
}
