//! Containers with a pair of devices, whose end on the host others shape: the `bandwidth` plugin.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::host::{Host, Netns, PATIENCE, two_hosts};
use crate::runtime::{Runtime, addresses};

/// Bits a second.
const RATE: u64 = 40_000_000;
/// Bits at once.
const BURST: u64 = 2_000_000;
/// Bytes that are sent.
const BYTES: usize = 6_000_000;

fn veth(host: &Host) -> Runtime<'_> {
    Runtime::new(host).set("attach", json!("veth"))
}

fn plain(address: &str) -> IpAddr {
    address.split('/').next().unwrap().parse().unwrap()
}

/// How long it takes to send [`BYTES`] by TCP.
fn transfer(from: &Netns, to: &Netns, address: IpAddr) -> Duration {
    let listener = to.run(|| TcpListener::bind((address, 0)).unwrap());
    let server = listener.local_addr().unwrap();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = from.run(|| TcpStream::connect_timeout(&server, PATIENCE).unwrap());
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&vec![7; BYTES]).unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == vec![7; BYTES], "{} bytes", received.len());
    });
    begun.elapsed()
}

#[test]
fn bandwidth_shapes_both_directions_and_leaves_nothing() {
    let [one, two] = two_hosts();
    let shaped = veth(&one).version("1.0.0").then(json!({
        "type": "bandwidth",
        "capabilities": { "bandwidth": true },
        "runtimeConfig": { "bandwidth": {
            "ingressRate": RATE, "ingressBurst": BURST,
            "egressRate": RATE, "egressBurst": BURST,
        } },
    }));
    let before = one.netns.devices();
    let [a, b, c] = ["c"; 3].map(Netns::new);
    let result = shaped.add("a", &a).unwrap();
    let free = veth(&one).add("b", &b).unwrap();
    let far = veth(&two).add("c", &c).unwrap();
    let ends = result["interfaces"].as_array().unwrap();
    assert!(
        ends.iter()
            .any(|end| end["name"].as_str().unwrap().starts_with("rlv"))
    );
    shaped.check("a", &a, &result).unwrap();
    // No bucket lets more through.
    let least = Duration::from_secs_f64((BYTES as u64 * 8 - BURST) as f64 / RATE as f64);
    for version in 0..2 {
        let [near, free, far] = [&result, &free, &far].map(|it| plain(&addresses(it)[version]));
        for (what, shaped, unshaped) in [
            ("egress", transfer(&a, &c, far), transfer(&b, &c, far)),
            ("ingress", transfer(&c, &a, near), transfer(&c, &b, free)),
        ] {
            assert!(shaped >= least, "{what}: {shaped:?} of {least:?}");
            assert!(
                shaped > unshaped * 2,
                "{what}: {shaped:?}, {unshaped:?} without"
            );
        }
    }
    shaped.del("a", Some(&a)).unwrap();
    veth(&one).del("b", Some(&b)).unwrap();
    assert_eq!(one.netns.devices(), before, "all of it is gone");
    one.assert_clean();
    veth(&two).del("c", Some(&c)).unwrap();
    two.assert_clean();
}

#[test]
fn the_mtu_of_both_ends_follows_the_networks() {
    let hosts = two_hosts();
    let [a, b] = ["c"; 2].map(Netns::new);
    let result = veth(&hosts[0]).add("a", &a).unwrap();
    let far = veth(&hosts[1]).add("b", &b).unwrap();
    let host_end = result["interfaces"][0]["name"].as_str().unwrap();
    let is = |mtu: u32| {
        let inside = a.ip("link show eth0").contains(&format!("mtu {mtu} "));
        let outside = hosts[0].netns.ip(&format!("link show {host_end}"));
        inside && outside.contains(&format!("mtu {mtu} "))
    };
    assert!(is(1450));
    for host in &hosts {
        host.netns.ip("link set eth0 mtu 9000");
    }
    let deadline = Instant::now() + PATIENCE;
    let far = plain(&addresses(&far)[0]);
    let large = || {
        // What a node said that was not yet ready would be believed for ten minutes.
        a.ip("route flush cache");
        let ping = a.exec(&format!("ping -c 1 -W 1 -M do -s 8900 {far}"));
        ping.status.success()
    };
    while !(is(8950) && large()) {
        assert!(Instant::now() < deadline, "{}", a.ip("link show eth0"));
        thread::sleep(Duration::from_millis(20));
    }
    veth(&hosts[0]).check("a", &a, &result).unwrap();
}
