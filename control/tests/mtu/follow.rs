//! The MTU of tunnels, devices and routes follows the underlay.

use std::thread;
use std::time::Duration;

use crate::support::kernel_peer::mtu;
use crate::support::pair::ip;
use crate::support::traffic::{exchange_tcp, exchange_udp, ping, wait_for_ping};
use crate::topology::{Encap, Topology, Version, inner};

/// What every IPv6 link carries.
const IPV6_MIN: u32 = 1280;

fn everything_gets_through(version: Version, outer: u32) {
    everything_gets_through_with(Encap::Vxlan, version, outer);
}

fn everything_gets_through_with(encap: Encap, version: Version, outer: u32) {
    let mut topology = Topology::with(encap, version, outer);
    topology.start_both("", "");
    let fits = outer - encap.overhead(version);
    for host in 0..2 {
        let shown = topology.mtu(host);
        assert_eq!(
            (&shown["mtu"], &shown["origin"]),
            (&fits.into(), &"link".into())
        );
        assert_eq!(shown["outer"], outer);
        let device = mtu(&topology.hosts[host], "rl0");
        assert_eq!(
            device,
            u64::from(fits.max(IPV6_MIN)),
            "IPv6 needs a device of 1280"
        );
    }
    let [a, b] = &topology.hosts;
    for address in inner(1) {
        wait_for_ping(a, address);
        ping(a, address, 3);
        let headers = if address.is_ipv4() { 28 } else { 48 };
        let largest = (fits - headers) as usize;
        let sizes = [1, largest - 1, largest, largest + 1, largest + 70, 20_000];
        exchange_udp(a, b, address, sizes.into_iter());
        exchange_tcp(a, b, address, 2_000_000);
    }
}

#[test]
fn over_1280_bytes_of_ipv4() {
    everything_gets_through(Version::V4, 1280);
}

#[test]
fn over_1280_bytes_of_ipv6() {
    everything_gets_through(Version::V6, 1280);
}

#[test]
fn over_1400_bytes_of_ipv4() {
    everything_gets_through(Version::V4, 1400);
}

#[test]
fn over_1400_bytes_of_ipv6() {
    everything_gets_through(Version::V6, 1400);
}

#[test]
fn over_1500_bytes_of_ipv6() {
    everything_gets_through(Version::V6, 1500);
}

#[test]
fn over_9000_bytes_of_ipv4() {
    everything_gets_through(Version::V4, 9000);
}

#[test]
fn over_9000_bytes_of_ipv6() {
    everything_gets_through(Version::V6, 9000);
}

#[test]
fn also_without_frames_inside() {
    everything_gets_through_with(Encap::Gre, Version::V4, 1280);
    everything_gets_through_with(Encap::Gre, Version::V6, 9000);
    everything_gets_through_with(Encap::Ipip, Version::V4, 9000);
    everything_gets_through_with(Encap::Ipip, Version::V6, 1280);
}

#[test]
fn a_connection_survives_changes_of_the_underlay() {
    survives([(Encap::Vxlan, Version::V4), (Encap::Vxlan, Version::V6)]);
}

#[test]
fn a_connection_without_frames_survives_changes_of_the_underlay() {
    survives([(Encap::Gre, Version::V4), (Encap::Ipip, Version::V6)]);
}

fn survives(kinds: [(Encap, Version); 2]) {
    for (encap, version) in kinds {
        let mut topology = Topology::with(encap, version, 1500);
        topology.start_both("", "");
        let [a, b] = &topology.hosts;
        let [address, _] = inner(1);
        wait_for_ping(a, address);
        thread::scope(|scope| {
            let traffic = scope.spawn(|| exchange_tcp(a, b, address, 150_000_000));
            for outer in [1300, 9000, 1400] {
                thread::sleep(Duration::from_millis(200));
                (0..2).for_each(|host| topology.set_mtu(host, outer));
                let fits = outer - encap.overhead(version);
                (0..2).for_each(|host| topology.wait_for_mtu(host, fits, "link"));
            }
            assert!(!traffic.is_finished(), "it ended before the last change");
            traffic.join().unwrap();
        });
    }
}

#[test]
fn the_mtu_of_a_route_counts() {
    let mut topology = Topology::new(Version::V4, 1500);
    topology.start_both("", "");
    let host = &topology.hosts[0];
    ip(
        host,
        "route add 192.168.78.0/24 via 192.168.77.254 mtu 1400",
    );
    topology.wait_for_mtu(0, 1350, "route");
    topology.wait_for("the device follows", || mtu(host, "rl0") == 1350);
    assert!(
        topology
            .ringlay(0, "mtu")
            .contains("1400 of the route by eth0, less 50")
    );
    ip(host, "route delete 192.168.78.0/24");
    topology.wait_for_mtu(0, 1450, "link");
    topology.wait_for("the device follows", || mtu(host, "rl0") == 1450);
}

#[test]
fn a_narrower_peer_narrows_only_its_own_routes() {
    let mut topology = Topology::new(Version::V4, 1500);
    topology.start(0, "", "");
    let host = &topology.hosts[0];
    ip(host, "route add 192.0.2.9/32 via 192.168.77.254 mtu 1400");
    topology.ringlay(0, "vtep add 192.0.2.9 --network blue");
    topology.ringlay(0, "route add 10.42.9.0/24 --network blue --vtep 192.0.2.9");
    assert_eq!(mtu(host, "rl0"), 1450);
    let route = |prefix: &str| ip(host, &format!("route show {prefix}"));
    assert!(route("10.42.9.0/24").contains("mtu 1350"));
    assert!(!route("10.42.2.0/24").contains("mtu"));
    ip(
        host,
        "route change 192.0.2.9/32 via 192.168.77.254 mtu 1300",
    );
    topology.wait_for("the route follows", || {
        route("10.42.9.0/24").contains("mtu 1250")
    });
    ip(host, "route delete 192.0.2.9/32");
    topology.wait_for("the route follows", || {
        !route("10.42.9.0/24").contains("mtu")
    });
    assert_eq!(mtu(host, "rl0"), 1450);
}
