//! Containers and what knows nothing of the overlay.

use crate::host::{Netns, two_hosts};
use crate::runtime::{Runtime, container};

#[test]
fn containers_reach_the_outside_by_the_hosts_address() {
    let [mut host, _far] = two_hosts();
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
    let (inside, _) = container(&Runtime::new(&host), "c1");
    assert!(!inside.pings("10.200.0.2"), "the outside knows no way back");
    host.end("TERM");
    host.configure("masquerade = true\n");
    host.start();
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
