//! Stations by packet sockets, on one end of a veth pair: what differs from those by AF_XDP.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use ringlay_dataplane::sys::netns::run_in;

use super::{
    Netns,
    bulk::exchange_between,
    hosts::{Hosts, missed},
    link::{
        answers, come_and_go_elsewhere, outlive_an_interruption, outlive_device_and_node, overlay,
        pings, reach_and_talk, talk, talk_to_the_kernels_vxlan_device, with_guest,
    },
    ping::{each_answered, patiently},
};

const STATION: &str = "kind = \"packet\"\ndevice = \"xp0\"";

/// Two nodes, and a host on the link of the first.
fn station(driver: &str) -> (Hosts, Netns) {
    let (hosts, guest) = with_guest();
    hosts.set(0, "dataplane", &format!("driver = \"{driver}\""));
    (overlay(hosts, STATION), guest)
}

/// Fails unless every frame that the first node took or made went by exactly one way.
fn assert_balanced(hosts: &Hosts) {
    let balance = || {
        let stats = hosts.stats(0);
        let workers = stats["workers"].as_array().unwrap().iter();
        let sum = |key: &str| -> u64 { workers.clone().map(|it| it[key].as_u64().unwrap()).sum() };
        let came = sum("received") + sum("originated") + sum("segmented");
        let drops = stats["drops"].as_object().unwrap().values();
        let dropped: u64 = drops.map(|it| it.as_u64().unwrap()).sum();
        came == sum("sent") + sum("consumed") + sum("coalesced") + sum("held") + dropped
    };
    hosts.wait_for(0, "all frames are accounted for", balance);
}

/// Packets that the first host's own stack passed on.
fn forwarded(hosts: &Hosts) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let text = run_in(&hosts.netns_path(0), read).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("Ip: "));
    let [names, values] = [lines.next().unwrap(), lines.next().unwrap()];
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(name, _)| *name == "ForwDatagrams");
    found.unwrap().1.parse().unwrap()
}

#[test]
fn super_frames_cross_a_pair_of_devices_both_ways() {
    for driver in ["io_uring", "epoll"] {
        let (hosts, guest) = station(driver);
        for address in ["10.42.101.1", "fd42:101::1"] {
            assert!(pings(&guest, address), "{address}");
        }
        reach_and_talk(&hosts, &guest);
        let shown = hosts.ringlay(0, "port show xp0");
        assert!(
            shown.contains("kind packet") && shown.contains("packet sockets"),
            "{shown}"
        );
        let counted = hosts.port_stats(0, "xp0");
        for direction in ["rx", "tx"] {
            let counted = |what| counted[format!("{direction}_{what}")].as_u64().unwrap();
            let [bytes, frames] = ["bytes", "frames"].map(counted);
            // Acknowledgements are among them.
            assert!(bytes / frames > 3_000, "{direction}: {bytes} in {frames}");
        }
        assert_eq!(
            hosts.drops(0, "ether_mac_foreign"),
            0,
            "others' are not ours"
        );
        assert_balanced(&hosts);
    }
}

#[test]
fn a_host_that_forwards_passes_nothing_on_a_second_time() {
    let (hosts, guest) = with_guest();
    // An uplink would have the host pass outer packets on.
    for host in 0..2 {
        hosts.set(host, "underlay", "driver = \"udp\"");
    }
    let hosts = overlay(hosts, STATION);
    for switch in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
        let set = hosts.exec(0, &format!("sysctl -w {switch}"));
        assert!(set.status.success(), "{switch}");
    }
    // By the node's own device the host has routes to the pod.
    assert!(hosts.ip(0, "route show").contains("10.42.2.0/24 dev rl0"));
    reach_and_talk(&hosts, &guest);
    for address in ["10.42.2.1", "fd42:2::1"] {
        let mut ping = guest.command(&format!("ping {} {address}", patiently(20)));
        let text = String::from_utf8(ping.output().unwrap().stdout).unwrap();
        assert!(each_answered(&text, 20), "{text}");
    }
    assert_eq!(forwarded(&hosts), 0);
}

#[test]
fn the_host_keeps_what_it_has_on_the_device() {
    let (mut hosts, guest) = station("auto");
    hosts.ip(0, "address add 10.99.0.1/24 dev xp0");
    guest.ip("address add 10.99.0.2/24 dev eth9");
    reach_and_talk(&hosts, &guest);
    assert!(pings(&guest, "10.99.0.1"));
    exchange_between(&guest.path(), &hosts.netns_path(0), "10.99.0.1");
    hosts.signal(0, "TERM");
    assert_eq!(hosts.wait(0), Some(0));
    assert!(pings(&guest, "10.99.0.1"));
}

/// Flows over all workers, of which each datagram comes back to its own.
#[test]
fn datagrams_of_many_flows_return_in_order() {
    const FLOWS: usize = 24;
    const DATAGRAMS: u32 = 40;
    let (hosts, guest) = station("auto");
    for (near, far) in [("10.42.101.9", "10.42.2.1"), ("fd42:101::9", "fd42:2::1")] {
        assert!(pings(&guest, far), "{far}");
        let bind = |address: &str| UdpSocket::bind((address, 0)).unwrap();
        let pod = run_in(&hosts.netns_path(1), || bind(far)).unwrap();
        let to: SocketAddr = pod.local_addr().unwrap();
        let flows = run_in(&guest.path(), || [(); FLOWS].map(|()| bind(near))).unwrap();
        for socket in flows.iter().chain([&pod]) {
            let patience = Duration::from_secs(10);
            socket.set_read_timeout(Some(patience)).unwrap();
        }
        let mut buffer = [0; 2_000];
        for number in 0..DATAGRAMS {
            for flow in &flows {
                flow.send_to(&[number as u8; 1_000], to).unwrap();
            }
            for _ in &flows {
                let (len, from) = pod.recv_from(&mut buffer).unwrap();
                pod.send_to(&buffer[..len], from).unwrap();
            }
            for flow in &flows {
                assert_eq!(flow.recv(&mut buffer).unwrap(), 1_000);
                assert_eq!(buffer[..1_000], [number as u8; 1_000]);
            }
        }
    }
    assert_balanced(&hosts);
}

#[test]
fn a_station_outlives_what_befalls_its_device_and_its_node() {
    let (mut hosts, guest) = station("auto");
    reach_and_talk(&hosts, &guest);
    outlive_an_interruption(&hosts, &guest);
    outlive_device_and_node(&mut hosts, &guest);
}

/// The kernel begins to count anew whenever it is asked.
#[test]
fn what_comes_while_a_node_does_not_look_is_counted() {
    for driver in ["io_uring", "epoll"] {
        let (hosts, guest) = station(driver);
        reach_and_talk(&hosts, &guest);
        let missed = || missed(&hosts.port_stats(0, "xp0"));
        let before = missed();
        let socket = run_in(&guest.path(), || UdpSocket::bind("10.42.101.9:0"));
        let socket = socket.unwrap().unwrap();
        hosts.signal(0, "STOP");
        for _ in 0..12_000 {
            socket.send_to(&[0; 1400], "10.42.101.1:9").unwrap();
        }
        hosts.signal(0, "CONT");
        hosts.wait_for(0, "they are missed", || missed() >= before + 1000);
        let at_rest = || {
            let before = missed();
            before == missed() && before == missed()
        };
        hosts.wait_for(0, "no more are missed", at_rest);
        assert!(missed() >= before + 1000, "they are not forgotten");
        let shown = hosts.ringlay(0, "stats");
        assert!(
            shown.contains("missed") && shown.contains("ring_full"),
            "{shown}"
        );
        assert!(pings(&guest, "10.42.2.1"));
    }
}

#[test]
fn larger_packets_cross_a_device_with_a_larger_mtu() {
    let (hosts, guest) = with_guest();
    for host in 0..2 {
        hosts.ip(host, "link set eth0 mtu 9000");
    }
    hosts.ip(0, "link set xp0 mtu 8900");
    guest.ip("link set eth9 mtu 8900");
    let hosts = overlay(hosts, STATION);
    hosts.wait_for(0, "it is reached", || answers(&guest, "10.42.2.1"));
    assert!(guest.exec("ping -c 3 -i 0.1 -W 3 -M do -s 8800 10.42.2.1"));
    talk(&hosts, &guest);
    // What the device does not take is told to the sender.
    hosts.ip(0, "link set xp0 mtu 1400");
    hosts.wait_for(0, "it is smaller", || {
        hosts.ringlay(0, "port show xp0").contains("mtu 1400")
    });
    let large = hosts.exec(1, "ping -c 2 -i 0.2 -W 3 -M do -s 1500 10.42.101.9");
    let text = String::from_utf8_lossy(&large.stdout).into_owned();
    assert!(text.contains("1400"), "{text}");
}

#[test]
fn a_station_may_live_in_another_namespace_and_come_and_go() {
    come_and_go_elsewhere("packet");
}

#[test]
fn more_queues_than_there_are_workers_are_refused() {
    let (mut hosts, _guest) = with_guest();
    hosts.start(0);
    let add = "port add xp0 --kind packet --network blue --queues 7";
    let refused = hosts.try_ringlay(0, add);
    assert!(
        refused.contains("queues: 7 asked for, but there are"),
        "{refused}"
    );
}

#[test]
fn a_station_and_the_kernels_vxlan_device_understand_each_other() {
    let (hosts, guest) = with_guest();
    talk_to_the_kernels_vxlan_device(hosts, &guest, STATION);
}
