//! Nodes whose underlay is an AF_XDP wire: among themselves, beside other drivers, and facing the
//! kernel's own VXLAN device; and what becomes of them when the device changes.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, UdpSocket},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ringlay_dataplane::sys::netns::run_in;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    beside::Ends,
    bulk::{self, exchange},
    hosts::{Hosts, missed},
    ping::each_answered,
};

/// Makes two hosts, each with its underlay driver, and starts the nodes after `prepare`.
pub(crate) fn overlay(drivers: [&str; 2], prepare: impl FnOnce(&Hosts)) -> Hosts {
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
pub(crate) fn talk(hosts: &Hosts) {
    bulk::talk(hosts);
    for host in 0..2 {
        assert_undamaged(hosts, host);
    }
}

fn assert_undamaged(hosts: &Hosts, host: usize) {
    let reasons = [
        "underlay_bad_checksum",
        "vxlan_malformed",
        "ip_bad_checksum",
        "uplink_foreign",
    ];
    hosts.assert_no_drops(host, &reasons);
}

#[test]
fn tcp_crosses_between_wires() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    hosts.wait_for_wire(1, "10.42.1.1");
    talk(&hosts);
    for host in 0..2 {
        assert!(hosts.log(host).contains("native XDP"));
        assert!(hosts.ip(host, "link show eth0").contains("xdp"));
        let shown = hosts.ringlay(host, "show node");
        for line in [
            "underlay driver af_xdp (as configured)",
            "underlay device eth0, 1 queue, native XDP, copy",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
    }
}

#[test]
fn a_wire_understands_all_other_drivers() {
    for driver in ["udp", "tunnel-gso"] {
        let hosts = overlay(["af_xdp", driver], |_| ());
        assert!(hosts.pings("10.42.2.1"));
        hosts.wait_for_wire(0, "10.42.2.1");
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
    hosts.wait_for_wire(0, "10.42.2.1");
    talk(&hosts);
    for host in 0..2 {
        assert!(hosts.ringlay(host, "show node").contains("generic XDP"));
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
    hosts.wait_for_wire(0, "10.42.2.1");
    talk(&hosts);
    assert!(hosts.ringlay(0, "show node").contains("eth0, 2 queues"));
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
    hosts.wait_for_wire(0, "10.42.2.1");
    talk(&hosts);
}

/// On a pair of virtual devices the kernel finishes no checksum, neither an outer nor an inner one.
#[test]
fn a_wire_understands_the_kernels_vxlan_device() {
    let mut hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"af_xdp\"");
    hosts.start(0);
    hosts.add_kernel_vxlan();
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    exchange(&hosts, "10.42.2.1");
    assert_undamaged(&hosts, 0);
}

#[test]
fn a_device_may_go_down_vanish_and_come_back() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    hosts.ip(0, "link set eth0 down");
    assert!(!hosts.answers("10.42.2.1"));
    hosts.ip(0, "link set eth0 up");
    hosts.wait_for(0, "it is up", || hosts.answers("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    hosts.ip(0, "link delete eth0");
    hosts.wait_for(0, "it is missed", || {
        hosts.log(0).contains("the device is gone")
    });
    let shown = hosts.ringlay(0, "show node --json");
    assert!(shown.contains("eth0 is gone; by sockets"), "{shown}");
    hosts.join();
    hosts.wait_for(0, "it is back", || hosts.answers("10.42.2.1"));
    for (host, address) in [(0, "10.42.2.1"), (1, "10.42.1.1")] {
        hosts.wait_for_wire(host, address);
    }
    talk(&hosts);
}

/// Also those that the device does not send by.
#[test]
fn a_wire_gets_the_queues_that_its_device_gets() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    // The far end's program wants as many queues there as this end sends by.
    let set = hosts.exec(0, "ethtool -L eth0 rx 2");
    assert!(set.status.success(), "ethtool is installed");
    hosts.wait_for(0, "it has two queues", || {
        hosts.ringlay(0, "show node").contains("eth0, 2 queues")
    });
    hosts.wait_for(0, "it is up", || hosts.pings("10.42.2.1"));
    for (host, address) in [(0, "10.42.2.1"), (1, "10.42.1.1")] {
        hosts.wait_for_wire(host, address);
    }
    talk(&hosts);
}

#[test]
fn what_comes_while_a_node_does_not_look_is_counted() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    let missed = || missed(&hosts.underlay_stats(0, "af_xdp"));
    let before = missed();
    let socket = run_in(&hosts.netns_path(1), || UdpSocket::bind("192.168.77.2:0"));
    let socket = socket.unwrap().unwrap();
    hosts.signal(0, "STOP");
    for _ in 0..6000 {
        socket.send_to(&[0; 64], "192.168.77.1:4789").unwrap();
    }
    hosts.signal(0, "CONT");
    hosts.wait_for(0, "they are missed", || missed() >= before + 1000);
    let shown = hosts.ringlay(0, "stats");
    assert!(
        shown.contains("missed") && shown.contains("ring_full"),
        "{shown}"
    );
    assert!(hosts.pings("10.42.2.1"));
}

#[test]
fn neighbours_are_followed_to_their_new_addresses() {
    let hosts = overlay(["af_xdp", "udp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    hosts.ip(1, "link set eth0 address 02:00:00:00:77:02");
    hosts.ip(1, "neigh flush dev eth0");
    // By asking for the other, the neighbour tells its new address.
    let ping = hosts.exec(1, "ping -c 1 -W 3 192.168.77.1");
    assert!(ping.status.success());
    hosts.wait_for_wire(0, "10.42.2.1");
}

#[test]
fn what_a_killed_node_had_is_free_for_the_next() {
    let mut hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.signal(0, "KILL");
    assert_eq!(hosts.wait(0), None);
    hosts.start(0);
    hosts.wait_for(0, "pings are answered again", || hosts.answers("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    hosts.signal(0, "TERM");
    assert_eq!(hosts.wait(0), Some(0));
    assert!(
        !hosts.ip(0, "link show eth0").contains("xdp"),
        "nothing stays"
    );
}

#[test]
fn who_insists_on_zero_copy_is_told_that_a_driver_copies() {
    let hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"af_xdp\"\nzero_copy = \"on\"");
    let run = format!(
        "{} run --config {}",
        env!("CARGO_BIN_EXE_ringlay"),
        hosts.config(0).display()
    );
    let refused = hosts.exec(0, &run);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    for told in [
        "af_xdp cannot be set up on eth0",
        "its driver cannot do without copies",
    ] {
        assert!(stderr.contains(told), "{stderr}");
    }
    assert!(!hosts.ip(0, "link show").contains("xdp"), "nothing is left");
}

#[test]
fn without_af_xdp_it_fails_by_name_and_is_not_needed_otherwise() {
    let mut hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"af_xdp\"");
    let run = format!(
        "{} run --config {}",
        env!("CARGO_BIN_EXE_ringlay"),
        hosts.config(0).display()
    );
    let refused = hosts.without_af_xdp(|hosts| hosts.exec(0, &run));
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    for told in ["AF_XDP sockets cannot be had", "driver = \"udp\""] {
        assert!(stderr.contains(told), "{stderr}");
    }
    assert!(!hosts.ip(0, "link show").contains("xdp"), "nothing is left");
    hosts.replace(0, "\"af_xdp\"", "\"auto\"");
    hosts.without_af_xdp(|hosts| hosts.start(0));
    hosts.start(1);
    assert!(hosts.pings("10.42.2.1"));
    let (driver, reason) = hosts.underlay_driver(0);
    assert!(
        driver != "af_xdp" && reason.contains("; af_xdp cannot be had: AF_XDP socket: "),
        "{driver}: {reason}"
    );
}

/// A network of each encapsulation, or nearly, and a number of its own for its addresses.
pub(crate) const NETWORKS: [(&str, u8); 5] = [
    ("encap = \"vxlan\"\nvni = 9\nport = 8472\n", 51),
    ("encap = \"geneve\"\nvni = 42\n", 52),
    ("encap = \"gre\"\nkey = 7\n", 53),
    ("encap = \"gre\"\nkey = 8\ninner = \"ethernet\"\n", 54),
    ("encap = \"ipip\"\n", 55),
];

/// A section of the configuration for a network between both hosts.
fn network(host: usize, keys: &str, number: u8) -> String {
    let (near, far) = (host + 1, 2 - host);
    format!(
        "[[network]]\nname = \"n{number}\"\n{keys}\
         [[port]]\nnetwork = \"n{number}\"\ndevice = \"rl{number}\"\n\
         addresses = [\"10.{number}.{near}.1/24\"]\n\
         [[vtep]]\nnetwork = \"n{number}\"\naddress = \"192.168.77.{far}\"\n\
         [[route]]\nnetwork = \"n{number}\"\nprefix = \"10.{number}.{far}.0/24\"\n\
         vtep = \"192.168.77.{far}\"\n"
    )
}

/// Adds networks to the configuration of both hosts.
pub(crate) fn add_networks(hosts: &Hosts, networks: &[(&str, u8)]) {
    for host in 0..2 {
        let mut config = fs::read_to_string(hosts.config(host)).unwrap();
        for (keys, number) in networks {
            config.push_str(&network(host, keys, *number));
        }
        fs::write(hosts.config(host), config).unwrap();
    }
}

fn talk_by_all(hosts: &Hosts, networks: &[(&str, u8)]) {
    for (_, number) in networks {
        let address = format!("10.{number}.2.1");
        assert!(hosts.pings(&address), "{address}");
        for (host, end) in [(0, 2), (1, 1)] {
            hosts.wait_for_wire(host, &format!("10.{number}.{end}.1"));
        }
        exchange(hosts, &address);
    }
}

#[test]
fn networks_of_all_encapsulations_share_a_wire() {
    for underlay in ["192.168.77.", "fd77::"] {
        let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
            add_networks(hosts, &NETWORKS);
            for host in 0..2 {
                hosts.replace(host, "192.168.77.", underlay);
            }
        });
        assert!(hosts.pings("10.42.2.1"));
        talk(&hosts);
        talk_by_all(&hosts, &NETWORKS);
        let [received, sent] = hosts.underlay(0, "af_xdp");
        assert!(received > 10_000 && sent > 10_000, "{received} {sent}");
    }
}

#[test]
fn each_mode_goes_with_each_number_of_queues_and_each_ip_version() {
    for (mode, mtu) in [("native XDP", 1500), ("generic XDP", 3800)] {
        for (queues, underlay) in [(1, "fd77::"), (2, "192.168.77."), (2, "fd77::")] {
            let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
                add_networks(hosts, &NETWORKS[2..3]);
                for host in 0..2 {
                    let set = format!("ethtool -L eth0 rx {queues} tx {queues}");
                    // It is an error to set what is so already.
                    let set = hosts.exec(host, &set).status.success();
                    assert!(set || queues == 1, "ethtool is installed");
                    hosts.ip(host, &format!("link set eth0 mtu {mtu}"));
                    hosts.replace(host, "192.168.77.", underlay);
                }
            });
            for address in ["10.42.2.1", "10.53.2.1"] {
                hosts.wait_for(0, "it is up", || hosts.answers(address));
                hosts.wait_for_wire(0, address);
                exchange(&hosts, address);
            }
            for host in 0..2 {
                assert_undamaged(&hosts, host);
                let log = hosts.log(host);
                let told = log.contains(mode) && log.contains(&format!("queues={queues}"));
                assert!(told, "{mode}, {queues} queues: {log}");
            }
        }
    }
}

#[test]
fn networks_come_to_a_wire_and_go() {
    let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
        add_networks(hosts, &NETWORKS[..1]);
    });
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    let before = fs::read_to_string(hosts.config(0)).unwrap();
    let reload = |networks: &[(&str, u8)]| {
        add_networks(&hosts, networks);
        (0..2).for_each(|host| hosts.signal(host, "HUP"));
    };
    // All are there at once, and no packet of another network is lost on the way.
    let flow = hosts
        .command(0, "ping -i 0.005 -c 400 -w 60 10.42.2.1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reload(&NETWORKS[1..]);
    hosts.wait_for(0, "they are there", || hosts.answers("10.55.2.1"));
    let output = String::from_utf8(flow.wait_with_output().unwrap().stdout).unwrap();
    assert!(each_answered(&output, 400), "{output}");
    talk_by_all(&hosts, &NETWORKS);
    for host in 0..2 {
        let mut all = fs::read_to_string(hosts.config(host)).unwrap();
        all.truncate(before.len());
        fs::write(hosts.config(host), all).unwrap();
        hosts.signal(host, "HUP");
    }
    hosts.wait_for(0, "they are gone", || {
        !hosts.ringlay(0, "network list").contains("n55")
    });
    talk_by_all(&hosts, &NETWORKS[..1]);
    hosts.wait_for_wire(0, "10.42.2.1");
    exchange(&hosts, "10.42.2.1");
}

/// Neither before the tables know the endpoint, nor when they do not any more.
#[test]
fn what_comes_for_an_endpoint_that_comes_or_goes_is_not_called_foreign() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    let socket = run_in(&hosts.netns_path(1), || UdpSocket::bind("192.168.77.2:0"));
    let socket = socket.unwrap().unwrap();
    let without = fs::read_to_string(hosts.config(0)).unwrap();
    let (keys, number) = NETWORKS[1];
    let with = without.clone() + &network(0, keys, number);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..32 {
                    // Nobody may listen there.
                    let _ = socket.send_to(&[0; 64], "192.168.77.1:6081");
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        let _ends = Ends(&over);
        for round in 1..=5 {
            for (config, there) in [(&with, true), (&without, false)] {
                fs::write(hosts.config(0), config).unwrap();
                hosts.signal(0, "HUP");
                hosts.wait_for(0, "reloaded", || {
                    hosts.ringlay(0, "network list").contains("n52") == there
                });
            }
            hosts.wait_for(0, "such came", || {
                hosts.drops(0, "inner_protocol_unknown") >= round
            });
        }
    });
    assert_eq!(hosts.drops(0, "uplink_foreign"), 0);
    assert!(hosts.pings("10.42.2.1"));
}

/// GRE that is none of ours: the tunnel of a PPTP connection has another version.
#[test]
fn what_is_not_for_an_endpoint_is_the_hosts() {
    let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
        add_networks(hosts, &NETWORKS[2..3]);
    });
    hosts.wait_for(0, "it is up", || hosts.answers("10.53.2.1"));
    hosts.wait_for_wire(0, "10.53.2.1");
    let raw = |host: usize| {
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(47)));
        let socket = run_in(&hosts.netns_path(host), open).unwrap().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    };
    let (near, far) = (raw(0), raw(1));
    let to: SocketAddr = "192.168.77.2:0".parse().unwrap();
    let pptp = [[0x20, 0x01, 0x88, 0x0b].as_slice(), &[7; 40]].concat();
    near.send_to(&pptp, &to.into()).unwrap();
    let mut bytes = [0; 2048];
    let count = { &far }.read(&mut bytes).unwrap();
    assert_eq!(bytes[20..count], pptp);
}
