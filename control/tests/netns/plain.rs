//! Packets without encapsulation: in networks that have none, and by direct routes beside tunnels.

use std::{fs, net::UdpSocket, time::Duration};

use ringlay_dataplane::sys::netns::run_in;
use serde_json::Value;

use super::{bulk::exchange, hosts::Hosts};

/// What a host has of one IP version: the local address of its port, and its own in the underlay.
struct Version {
    inner: &'static str,
    /// That of the first.
    near: &'static str,
    /// What the configuration has of the other version.
    other: [&'static str; 2],
}

const V4: Version = Version {
    inner: "10.42.2.1",
    near: "10.42.1.1",
    other: ["fd42:1::1/64", "fd42:2::1/64"],
};
const V6: Version = Version {
    inner: "fd42:2::1",
    near: "fd42:1::1",
    other: ["10.42.1.1/24", "10.42.2.1/24"],
};

/// Leaves packets of one IP version, over an underlay of the same, in a network of `encap`.
fn hosts(version: &Version, encap: &str, driver: &str) -> Hosts {
    let hosts = Hosts::new();
    for host in 0..2 {
        hosts.set(host, "underlay", &format!("driver = \"{driver}\""));
        hosts.replace(host, "vni = 42\n", encap);
        let other = version.other[host];
        hosts.replace(host, &format!("\"{other}\""), "\"192.0.2.1/32\"");
        let far = version.other[1 - host];
        let prefix = far
            .replace("1::1/", "1::/")
            .replace("2::1/", "2::/")
            .replace(".1/24", ".0/24");
        let config = fs::read_to_string(hosts.config(host)).unwrap();
        let (before, after) = config.split_once(&format!("\"{prefix}\"")).unwrap();
        let kept = before.rsplit_once("[[route]]").unwrap().0;
        let rest = after
            .split_once('\n')
            .unwrap()
            .1
            .split_once('\n')
            .unwrap()
            .1;
        fs::write(hosts.config(host), format!("{kept}{rest}")).unwrap();
        if version.inner.contains(':') {
            hosts.replace(host, "192.168.77.", "fd77::");
        }
    }
    hosts
}

fn plain(version: &Version, driver: &str) -> Hosts {
    let mut hosts = hosts(version, "encap = \"none\"\n", driver);
    // Workers that have no queue of the device send by sockets.
    (0..2).for_each(|host| hosts.set(host, "dataplane", "workers = 1"));
    hosts.start(0);
    hosts.start(1);
    hosts
}

/// Two nodes with VXLAN between them, and direct routes.
fn direct() -> Hosts {
    let mut hosts = Hosts::new();
    for host in 0..2 {
        let prefix = format!("10.42.{}.0/24", 2 - host);
        let prefix = format!("prefix = \"{prefix}\"\n");
        hosts.set(host, "underlay", "probe = \"off\"");
        hosts.replace(host, &prefix, &format!("{prefix}direct = true\n"));
        hosts.start(host);
    }
    hosts
}

/// Datagrams as long as they can be, both ways.
fn datagrams(hosts: &Hosts, address: &str) {
    let bind = |host, address: &str| {
        let socket = run_in(&hosts.netns_path(host), || UdpSocket::bind((address, 0)));
        let socket = socket.unwrap().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    };
    let far = bind(1, address);
    let near = bind(
        0,
        if address.contains(':') {
            "::"
        } else {
            "0.0.0.0"
        },
    );
    for len in [0, 1, 1400, 1473, 9000, 65_000, 65_507] {
        let sent: Vec<u8> = (0..len).map(|at: usize| (at * 7) as u8).collect();
        let mut bytes = vec![0; 1 << 16];
        near.send_to(&sent, far.local_addr().unwrap()).unwrap();
        let (count, from) = far.recv_from(&mut bytes).unwrap();
        assert!(bytes[..count] == sent, "{len} bytes there");
        far.send_to(&sent, from).unwrap();
        let count = near.recv(&mut bytes).unwrap();
        assert!(bytes[..count] == sent, "{len} bytes back");
    }
}

fn vtep(hosts: &Hosts) -> Value {
    let list = hosts.ringlay(0, "vtep list --json");
    let list: Value = serde_json::from_str(&list).unwrap();
    list[0].clone()
}

/// Leads packets from the first host to the second by what looks like a router: another address
/// of the second.
fn put_a_router_between(hosts: &Hosts) {
    let link = hosts.ip(1, "-j link show eth0");
    let link: Value = serde_json::from_str(&link).unwrap();
    let mac = link[0]["address"].as_str().unwrap();
    let router = "192.168.77.254";
    hosts.ip(
        0,
        &format!("neighbour replace {router} lladdr {mac} dev eth0"),
    );
    hosts.ip(0, &format!("route add 192.168.77.2/32 via {router}"));
}

fn take_the_router_away(hosts: &Hosts) {
    hosts.ip(0, "route del 192.168.77.2/32");
}

#[test]
fn nodes_talk_without_encapsulation() {
    for version in [V4, V6] {
        for driver in ["udp", "tunnel-gso", "af_xdp"] {
            let hosts = plain(&version, driver);
            assert!(hosts.pings(version.inner), "{driver}");
            exchange(&hosts, version.inner);
            datagrams(&hosts, version.inner);
            // What comes in is for the host to route.
            let by = match driver {
                "af_xdp" => "af_xdp",
                _ => "none",
            };
            if driver == "af_xdp" {
                hosts.wait_for_wire(1, version.near);
                hosts.wait_for_wire(0, version.inner);
                exchange(&hosts, version.inner);
            }
            let [received, sent] = hosts.underlay(1, by);
            assert!(received == 0 && sent > 0, "{received} {sent}");
            let shown = hosts.ringlay(0, "mtu");
            assert!(shown.contains("1500"), "{shown}");
        }
    }
}

#[test]
fn an_uplink_sends_super_frames_whole_once_the_neighbour_is_known() {
    let hosts = plain(&V4, "tunnel-gso");
    assert!(hosts.pings("10.42.2.1"));
    let sent = || {
        let links: Value = serde_json::from_str(&hosts.ip(0, "-j -s link show")).unwrap();
        let uplink = |it: &&Value| it["ifname"].as_str().unwrap().starts_with("rluplink");
        let uplink = links
            .as_array()
            .unwrap()
            .iter()
            .find(uplink)
            .unwrap()
            .clone();
        ["packets", "bytes"].map(|key| uplink["stats64"]["rx"][key].as_u64().unwrap())
    };
    hosts.wait_for(0, "packets leave by the uplink", || {
        hosts.answers("10.42.2.1") && sent()[0] > 0
    });
    let [packets, bytes] = sent();
    exchange(&hosts, "10.42.2.1");
    let [packets, bytes] = [sent()[0] - packets, sent()[1] - bytes];
    assert!(bytes > 4 << 20, "{bytes} bytes");
    assert!(bytes / packets > 3000, "{bytes} bytes in {packets} packets");
}

#[test]
fn a_direct_and_a_tunnelled_route_lead_to_one_far_end() {
    let hosts = direct();
    let before = hosts.underlay(1, ":4789");
    assert!(hosts.pings("10.42.2.1"));
    exchange(&hosts, "10.42.2.1");
    datagrams(&hosts, "10.42.2.1");
    assert_eq!(
        hosts.underlay(1, ":4789"),
        before,
        "nothing goes through the tunnel"
    );
    assert!(hosts.pings("fd42:2::1"));
    exchange(&hosts, "fd42:2::1");
    assert!(hosts.underlay(1, ":4789") > before);
    // It comes and goes like any route.
    let list = hosts.ringlay(0, "route list");
    assert!(
        list.contains("10.42.2.0/24 network blue vtep 192.168.77.2 direct"),
        "{list}"
    );
    assert!(hosts.ringlay(0, "show config").contains("direct = true"));
    hosts.ip(1, "address add 10.77.0.1/32 dev lo");
    hosts.ringlay(1, "route add 10.77.0.0/16 --network blue --port rl0");
    let to = "10.77.0.0/16 --network blue";
    for direct in [false, true, false, true] {
        let before = hosts.underlay(1, ":4789");
        let flag = if direct { " --direct" } else { "" };
        hosts.ringlay(0, &format!("route add {to} --vtep 192.168.77.2{flag}"));
        assert!(hosts.pings("10.77.0.1"));
        assert_eq!(hosts.underlay(1, ":4789")[0] == before[0], direct);
        let shown = hosts.ringlay(0, &format!("route show {to} --json"));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["direct"], direct);
        hosts.ringlay(0, &format!("route delete {to}"));
    }
}

#[test]
fn direct_routes_use_the_tunnel_while_a_router_is_between() {
    let hosts = direct();
    assert!(hosts.pings("fd42:2::1"), "the tunnel is in use anyway");
    assert!(hosts.pings("10.42.2.1"));
    assert_eq!(
        (&vtep(&hosts)["on_link"], &vtep(&hosts)["router"]),
        (&true.into(), &Value::Null)
    );
    put_a_router_between(&hosts);
    hosts.wait_for(0, "it is seen", || {
        vtep(&hosts)["router"] == "192.168.77.254"
    });
    let before = hosts.underlay(0, ":4789");
    assert!(hosts.pings("10.42.2.1"));
    assert!(hosts.underlay(0, ":4789")[1] >= before[1] + 3);
    assert_eq!(vtep(&hosts)["on_link"], false);
    take_the_router_away(&hosts);
    hosts.wait_for(0, "it is seen", || vtep(&hosts)["on_link"] == true);
    let before = hosts.underlay(0, ":4789");
    assert!(hosts.pings("10.42.2.1"));
    assert_eq!(hosts.underlay(0, ":4789"), before);
    assert_eq!(hosts.drops(0, "next_hop_off_link"), 0);
}

/// Fails unless the first node warns, wherever it shows the far end, in words with this among them.
fn assert_warned(hosts: &Hosts, word: &str) {
    for shown in [
        "network show blue",
        "vtep show 192.168.77.2 --network blue",
        "show node",
    ] {
        let shown = hosts.ringlay(0, shown);
        let warned = shown.contains("warning: ") && shown.contains(word);
        assert!(warned, "{shown}");
    }
}

#[test]
fn without_encapsulation_nothing_is_sent_to_a_router() {
    let hosts = plain(&V4, "udp");
    assert!(hosts.pings("10.42.2.1"));
    put_a_router_between(&hosts);
    hosts.wait_for(0, "it is seen", || vtep(&hosts)["on_link"] == false);
    assert!(!hosts.answers("10.42.2.1"));
    assert!(hosts.drops(0, "next_hop_off_link") >= 3);
    assert_warned(&hosts, "192.168.77.254");
    assert!(hosts.log(0).contains("is behind the router 192.168.77.254"));
    // What is known beforehand is refused, in words.
    let check = format!(
        "{} check -c {}",
        env!("CARGO_BIN_EXE_ringlay"),
        hosts.config(0).display()
    );
    let refused = String::from_utf8(hosts.exec(0, &check).stderr).unwrap();
    assert!(
        refused.contains("behind the router 192.168.77.254"),
        "{refused}"
    );
    assert!(refused.contains(".toml:"), "{refused}");
    hosts.ip(0, "route add 192.168.99.0/24 via 192.168.77.254");
    let socket = hosts.socket(0);
    let add = format!(
        "{} vtep add 192.168.99.1 --network blue --socket {}",
        env!("CARGO_BIN_EXE_ringlay"),
        socket.display()
    );
    let refused = String::from_utf8(hosts.exec(0, &add).stderr).unwrap();
    assert!(
        refused.contains("behind the router 192.168.77.254"),
        "{refused}"
    );
    take_the_router_away(&hosts);
    hosts.wait_for(0, "it is seen", || vtep(&hosts)["on_link"] == true);
    assert!(hosts.pings("10.42.2.1"));
    assert_eq!(vtep(&hosts)["warnings"], Value::Array(Vec::new()));
}

#[test]
fn a_tunnel_that_is_routed_into_itself_is_said_so() {
    let mut hosts = Hosts::new();
    hosts.start(1);
    hosts.start(0);
    assert!(hosts.pings("10.42.2.1"));
    assert_eq!(vtep(&hosts)["warnings"], Value::Array(Vec::new()));
    hosts.ringlay(
        0,
        "route add 192.168.77.0/24 --network blue --vtep 192.168.77.2",
    );
    hosts.ip(0, "route add 192.168.77.2/32 dev rl0");
    hosts.wait_for(0, "it is seen", || vtep(&hosts)["link"] == "rl0");
    assert!(!hosts.answers("10.42.2.1"));
    assert!(hosts.drops(0, "tunnel_loop") > 0);
    assert_warned(&hosts, "tunnel_loop");
    let node: Value = serde_json::from_str(&hosts.ringlay(0, "show node --json")).unwrap();
    assert_eq!(node["warnings"].as_array().map(Vec::len), Some(1));
    assert!(hosts.log(0).contains("back into network blue"));
    hosts.ip(0, "route del 192.168.77.2/32 dev rl0");
    hosts.wait_for(0, "it is seen", || vtep(&hosts)["link"] == "eth0");
    assert_eq!(vtep(&hosts)["warnings"], Value::Array(Vec::new()));
    assert!(hosts.pings("10.42.2.1"));
}

/// Also when the node starts with it.
#[test]
fn a_node_that_starts_with_such_a_route_says_so() {
    let mut hosts = Hosts::new();
    let config = fs::read_to_string(hosts.config(0)).unwrap();
    let route =
        "[[route]]\nnetwork = \"blue\"\nprefix = \"192.168.77.2/32\"\nvtep = \"192.168.77.2\"\n";
    fs::write(hosts.config(0), config + route).unwrap();
    hosts.start(0);
    hosts.wait_for(0, "it is said", || hosts.log(0).contains("tunnel_loop"));
}
