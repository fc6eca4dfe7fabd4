//! Containers and what knows nothing of the overlay.

use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::json;

use crate::host::{Host, Netns, PATIENCE, two_hosts};
use crate::runtime::{Runtime, addresses, container};

/// A machine outside, at 10.200.0.2 and fd00:200::2, with a host at number 1 that it knows nothing
/// behind of.
fn outside(host: &Host) -> Netns {
    let outside = Netns::new("o");
    let veth = "link add out0 type veth peer name eth0 netns ".to_owned() + &outside.name;
    host.netns.ip(&veth);
    for (netns, device, number) in [(&host.netns, "out0", 1), (&outside, "eth0", 2)] {
        netns.ip(&format!("address add 10.200.0.{number}/24 dev {device}"));
        netns.ip(&format!(
            "-6 address add fd00:200::{number}/64 dev {device} nodad"
        ));
        netns.ip(&format!("link set {device} up"));
    }
    outside
}

#[test]
fn containers_reach_the_outside_by_the_hosts_address() {
    let [mut host, _far] = two_hosts();
    let _outside = outside(&host);
    let (inside, _) = container(&Runtime::new(&host), "c1");
    assert!(!inside.pings("10.200.0.2"), "the outside knows no way back");
    host.configure("masquerade = true\n");
    host.reload();
    assert!(
        inside.pings("10.200.0.2"),
        "{}",
        host.netns.ip("route show")
    );
    assert!(inside.pings("fd00:200::2"));
    assert!(
        inside.pings("10.42.2.1"),
        "the overlay is reached as before"
    );
    let rules = host.netns.exec("nft list table inet ringlay-blue");
    assert!(rules.status.success());
    host.end("TERM");
    let rules = host.netns.exec("nft list table inet ringlay-blue");
    assert!(!rules.status.success(), "the rules go with the daemon");
    host.start();
    Runtime::new(&host).del("c1", Some(&inside)).unwrap();
    host.assert_clean();
}

#[test]
fn portmap_leads_the_outside_to_a_container() {
    let [host, _far] = two_hosts();
    let outside = outside(&host);
    host.configure("masquerade = true\n");
    host.reload();
    let mappings = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]);
    let portmap = json!({
        "type": "portmap",
        "capabilities": { "portMappings": true },
        "runtimeConfig": { "portMappings": mappings },
    });
    let runtime = Runtime::new(&host).version("1.0.0").then(portmap);
    let inside = Netns::new("c");
    let result = runtime.add("c1", &inside).unwrap();
    // Its own CHECK (1.1.1) looks for IPv4 addresses among the rules of IPv6.
    assert_eq!(addresses(&result).len(), 2, "what we said is passed on");
    let server = inside.run(|| TcpListener::bind("[::]:80").unwrap());
    for host in ["10.200.0.1:8080", "[fd00:200::1]:8080"] {
        let host: SocketAddr = host.parse().unwrap();
        let client = outside.run(|| TcpStream::connect_timeout(&host, PATIENCE));
        let client = client.unwrap_or_else(|error| panic!("{host}: {error}"));
        let (_, from) = server.accept().unwrap();
        assert_eq!(from.port(), client.local_addr().unwrap().port(), "{host}");
    }
    runtime.del("c1", Some(&inside)).unwrap();
    let rules = host.netns.exec("iptables-save -t nat");
    let rules = String::from_utf8(rules.stdout).unwrap();
    assert!(!rules.contains("8080"), "{rules}");
    host.assert_clean();
}
