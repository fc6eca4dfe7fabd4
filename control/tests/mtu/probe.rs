//! Paths that drop large packets and say nothing are found out.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringlay_control::lab::LabError;
use ringlay_control::lab::namespace::Namespace;
use ringlay_dataplane::port::tun::{self, Life, TunConfig, TunOffloads};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::discover::Forgery;
use crate::support::pair::ip;
use crate::support::traffic::{exchange_tcp, exchange_udp, wait_for_ping};
use crate::topology::{Encap, Topology, Version, inner};

/// A veth device drops what is longer than its MTU and a VLAN tag, without a word.
const SILENT_MTU: u32 = 1404;

/// The second host's link takes less than the router in front of it knows.
fn black_hole(encap: Encap, version: Version) -> Topology {
    let topology = Topology::with(encap, version, 1500);
    ip(&topology.hosts[1], "link set eth0 mtu 1400");
    topology
}

fn is_found(encap: Encap, version: Version, underlay: &str) {
    let mut topology = black_hole(encap, version);
    let overhead = encap.overhead(version);
    topology.start_both(&format!("probe = \"1s\"\n{underlay}"), "");
    let [a, b] = &topology.hosts;
    wait_for_ping(a, inner(1)[0]);
    topology.wait_for_mtu(0, SILENT_MTU - overhead, "probe");
    assert_eq!(
        topology.mtu(1)["origin"],
        "link",
        "the other way there is no hole"
    );
    assert_eq!(topology.mtu(0)["probes"], "answered");
    for address in inner(1) {
        wait_for_ping(a, address);
        exchange_tcp(a, b, address, 2_000_000);
        exchange_udp(a, b, address, [1, 1300, 1400, 20_000].into_iter());
    }
    // The link was replaced by a better one.
    ip(b, "link set eth0 mtu 1500");
    topology.wait_for_mtu(0, 1500 - overhead, "link");
}

#[test]
fn a_black_hole_is_found_over_ipv4() {
    is_found(Encap::Vxlan, Version::V4, "");
}

#[test]
fn a_black_hole_is_found_over_ipv6() {
    is_found(Encap::Vxlan, Version::V6, "");
}

#[test]
fn a_black_hole_is_found_with_an_uplink() {
    is_found(Encap::Vxlan, Version::V4, "driver = \"tunnel-gso\"");
}

#[test]
fn a_black_hole_is_found_with_gre() {
    is_found(Encap::Gre, Version::V4, "driver = \"udp\"");
}

#[test]
fn a_black_hole_is_found_with_ip_in_ip() {
    is_found(Encap::Ipip, Version::V6, "driver = \"udp\"");
}

#[test]
fn a_black_hole_is_found_with_gre_and_an_uplink() {
    is_found(Encap::Gre, Version::V6, "driver = \"tunnel-gso\"");
}

fn probed(topology: &Topology, end: IpAddr) -> Value {
    let shown = topology.ringlay(0, &format!("mtu --json --probe {end}"));
    serde_json::from_str(&shown).unwrap()
}

#[test]
fn one_can_ask_for_what_gets_there() {
    let mut topology = black_hole(Encap::Vxlan, Version::V4);
    topology.start_both("probe = \"off\"", "");
    let end = Version::V4.host(1);
    wait_for_ping(&topology.hosts[0], inner(1)[0]);
    assert_eq!(topology.mtu(0)["origin"], "link");
    let shown = probed(&topology, end);
    assert_eq!(shown["reached"], SILENT_MTU);
    assert_eq!(shown["mtus"][0]["mtu"], SILENT_MTU - 50);
    topology.wait_for_mtu(0, SILENT_MTU - 50, "probe");
    ip(&topology.hosts[1], "link set eth0 mtu 1500");
    let text = topology.ringlay(0, &format!("mtu --probe {end}"));
    assert!(
        text.contains("packets of up to 1500 bytes get to 192.168.78.1"),
        "{text}"
    );
    ip(&topology.hosts[1], "link set eth0 down");
    assert_eq!(probed(&topology, end)["reached"], Value::Null);
}

/// At once, since most of the time probes are waited for.
fn with_each_version(test: impl Fn(Version) + Sync) {
    thread::scope(|scope| {
        for version in [Version::V4, Version::V6] {
            let test = &test;
            scope.spawn(move || test(version));
        }
    });
}

#[test]
fn a_kernel_peer_answers_too() {
    with_each_version(|version| {
        let mut topology = black_hole(Encap::Vxlan, version);
        let (near, far) = (version.host(0), version.host(1));
        let b = &topology.hosts[1];
        let device = "link add vx42 type vxlan id 42 dstport 4789 dev eth0";
        ip(b, &format!("{device} local {far} remote {near}"));
        ip(b, "link set vx42 mtu 1280 up");
        ip(b, "address add 10.42.2.1/16 dev vx42");
        topology.start(0, "probe = \"1s\"", "");
        wait_for_ping(&topology.hosts[0], inner(1)[0]);
        topology.wait_for_mtu(0, SILENT_MTU - version.overhead(), "probe");
    });
}

#[test]
fn a_peer_that_leaves_tunnels_to_its_kernel_answers_too() {
    with_each_version(|version| {
        let mut topology = black_hole(Encap::Gre, version);
        let peer = GrePeer::start(&topology.hosts[1], version);
        topology.start(0, "probe = \"1s\"", "");
        let fits = SILENT_MTU - Encap::Gre.overhead(version);
        topology.wait_for_mtu(0, fits, "probe");
        assert_eq!(topology.mtu(0)["probes"], "answered");
        peer.stop();
    });
}

#[test]
fn one_sees_that_nobody_answers() {
    let mut topology = Topology::with(Encap::Ipip, Version::V4, 1500);
    topology.start(0, "probe = \"off\"", "");
    assert_eq!(topology.mtu(0)["probes"], "off");
    let end = Version::V4.host(1);
    assert_eq!(probed(&topology, end)["reached"], Value::Null);
    let shown = topology.ringlay(0, "mtu");
    assert!(shown.contains("mtu 1480"), "{shown}");
    assert!(shown.contains("probes silent"), "{shown}");
}

/// A host that takes packets out of GRE and leaves them to its kernel, as a tunnel device does of
/// those kernels that have one.
struct GrePeer {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), LabError>>,
}

impl GrePeer {
    fn start(host: &Namespace, version: Version) -> Self {
        const GRE: i32 = 47;
        let ended = Arc::new(AtomicBool::new(false));
        let config = TunConfig {
            name: "gre1".to_owned(),
            netns: None,
            queues: 1,
            mtu: 1500,
            offloads: TunOffloads::NONE,
            life: Life::Queues,
        };
        let domain = Domain::for_address(SocketAddr::new(version.host(1), 0));
        let open = || {
            let mut device = tun::open(&config).unwrap();
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(GRE))).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            (File::from(device.queues.remove(0)), socket)
        };
        let (mut device, mut socket) = host.run(open).unwrap();
        ip(host, "address add 10.42.2.1/24 dev gre1");
        ip(host, "link set gre1 up");
        let outer = if version == Version::V4 { 20 } else { 0 };
        let end = Arc::clone(&ended);
        let thread = host.spawn(move || {
            let mut packet = vec![0; 1 << 16];
            while !end.load(Ordering::Relaxed) {
                let Ok(len) = socket.read(&mut packet) else {
                    continue;
                };
                let inner = &packet[outer + 4..len];
                let frame = [&[0; tun::VNET_HEADER_LEN], inner].concat();
                device.write_all(&frame).unwrap();
            }
            Ok(())
        });
        Self { ended, thread }
    }

    fn stop(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn lies_that_seem_right_do_not_last() {
    let mut topology = Topology::new(Version::V4, 1500);
    topology.start_both("probe = \"1s\"", "");
    wait_for_ping(&topology.hosts[0], inner(1)[0]);
    Forgery::believable(&topology).send(&topology);
    topology.wait_for_mtu(0, 1250, "router");
    topology.wait_for_mtu(0, 1450, "link");
}
