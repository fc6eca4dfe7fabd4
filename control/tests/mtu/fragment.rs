//! IPv4 packets that are too long for a tunnel, and may be fragmented, are so inside the tunnel
//! where the network asks for it. The kernel at the far end puts them together.

use std::fs;
use std::net::IpAddr;

use ringlay_control::lab::namespace::Namespace;

use crate::discover::snmp;
use crate::support::pair::ip;
use crate::support::traffic::{exchange_udp, wait_for_ping};
use crate::topology::{Encap, Topology, Version, inner};

/// Two nodes whose devices take more than their tunnels, and whose hosts let packets be fragmented.
fn wide_devices(encap: Encap, version: Version, driver: &str, network: &str) -> Topology {
    let mut topology = Topology::with(encap, version, 1500);
    let driver = format!("driver = \"{driver}\"\nprobe = \"off\"");
    topology.start_both(&driver, &format!("mtu = 9000\n{network}"));
    for (host, far) in [(0, 1), (1, 0)] {
        let near = &topology.hosts[host];
        // Past Ringlay's own route, which says what the tunnel takes.
        let [v4, v6] = inner(far);
        ip(near, &format!("route add {v4}/32 dev rl0"));
        ip(near, &format!("route add {v6}/128 dev rl0"));
        let no_discovery = || fs::write("/proc/sys/net/ipv4/ip_no_pmtu_disc", "1");
        near.run(no_discovery).unwrap().unwrap();
    }
    topology
}

fn fragmented(topology: &Topology, host: usize) -> u64 {
    let shown = topology.ringlay(host, "stats --json");
    let stats: serde_json::Value = serde_json::from_str(&shown).unwrap();
    stats["workers"][0]["fragmented"].as_u64().unwrap()
}

fn kernels_fragment(topology: &Topology) -> bool {
    let [a, b] = &topology.hosts;
    let fragments = |host: &Namespace| snmp(host, "FragCreates");
    [a, b, &topology.router].map(fragments) != [0; 3]
}

fn are_cut_inside(encap: Encap, version: Version, driver: &str) {
    let topology = wide_devices(encap, version, driver, "fragment = true");
    let [a, b] = &topology.hosts;
    let address: IpAddr = inner(1)[0];
    wait_for_ping(a, address);
    let fits = (1500 - encap.overhead(version)) as usize - 28;
    let sizes = [1, fits, fits + 1, fits + 70, 4_000, 8_900];
    exchange_udp(a, b, address, sizes.into_iter());
    for host in 0..2 {
        assert_eq!(fragmented(&topology, host), 4);
        assert_eq!(snmp(&topology.hosts[host], "ReasmOKs"), 4);
    }
    assert!(!kernels_fragment(&topology), "neither inside nor outside");
    // Now the kernel cuts too: fragments are cut again.
    exchange_udp(a, b, address, [20_000, 60_000].into_iter());
    assert_eq!(snmp(b, "ReasmOKs"), 6);
    assert!(kernels_fragment(&topology));
}

#[test]
fn packets_are_cut_inside_vxlan() {
    are_cut_inside(Encap::Vxlan, Version::V4, "udp");
    are_cut_inside(Encap::Vxlan, Version::V6, "tunnel-gso");
}

#[test]
fn packets_are_cut_inside_gre_and_ip_in_ip() {
    are_cut_inside(Encap::Gre, Version::V4, "udp");
    are_cut_inside(Encap::Ipip, Version::V6, "udp");
    are_cut_inside(Encap::Ipip, Version::V4, "tunnel-gso");
}

#[test]
fn otherwise_they_are_cut_outside() {
    for encap in [Encap::Vxlan, Encap::Gre] {
        let topology = wide_devices(encap, Version::V4, "udp", "");
        let [a, b] = &topology.hosts;
        let address: IpAddr = inner(1)[0];
        wait_for_ping(a, address);
        exchange_udp(a, b, address, [1, 4_000, 8_900].into_iter());
        assert_eq!(fragmented(&topology, 0), 0);
        assert!(kernels_fragment(&topology));
        assert_eq!(snmp(b, "ReasmOKs"), 2);
    }
}

#[test]
fn connections_begin_with_segments_that_fit() {
    let on = "mss_clamp = \"on\"";
    for (encap, network) in [
        (Encap::Vxlan, on),
        (Encap::Ipip, on),
        (Encap::Gre, "mss_clamp = \"off\""),
    ] {
        let topology = wide_devices(encap, Version::V4, "udp", network);
        let [a, b] = &topology.hosts;
        let fits = 1500 - encap.overhead(Version::V4);
        for (address, headers) in inner(1).into_iter().zip([40, 60]) {
            wait_for_ping(a, address);
            let ends = crate::support::traffic::connect(a, b, address);
            for end in &ends {
                // Of each segment, 12 bytes are a timestamp.
                let most = if network == on {
                    fits - headers - 12
                } else {
                    9_000 - headers - 12
                };
                let mss = socket2::SockRef::from(end).tcp_mss().unwrap();
                assert_eq!(mss, most, "{encap:?} to {address}");
            }
        }
    }
}
