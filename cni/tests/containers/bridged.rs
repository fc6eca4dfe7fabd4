//! Containers on a bridged network: one Ethernet across two nodes.

use serde_json::json;

use crate::host::{Host, Netns, two_hosts};
use crate::runtime::{Runtime, addresses};

/// Adds a bridged network to a node that runs. Its addresses end like those of the node.
fn bridge(host: &Host, near: usize) {
    let far = 3 - near;
    host.configure(&format!(
        "[[network]]\nname = \"green\"\nvni = 77\nmode = \"bridged\"\n\
         [[vtep]]\nnetwork = \"green\"\naddress = \"192.168.77.{far}\"\n\
         [[ipam]]\nnetwork = \"green\"\nranges = [\"10.50.{near}.0/24\", \"fd50::{near}:0/112\"]\n\
         subnets = [\"10.50.0.0/16\", \"fd50::/64\"]\ngateways = [\"10.50.0.1\"]\n"
    ));
    host.reload();
}

#[test]
fn containers_of_two_nodes_share_one_ethernet() {
    let [mut one, two] = two_hosts();
    bridge(&one, 1);
    bridge(&two, 2);
    fn green<'a>(host: &'a Host) -> Runtime<'a> {
        Runtime::new(host).set("network", json!("green"))
    }
    let [a, b, c] = [(); 3].map(|()| Netns::new("c"));
    let wishing = green(&one).set("attach", json!("tap"));
    let wishes = json!({ "mac": "02:00:00:00:00:07", "ips": ["10.50.1.70", "fd50::1:70"] });
    let result = wishing.set("runtimeConfig", wishes).add("a", &a).unwrap();
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:07");
    assert_eq!(addresses(&result), ["10.50.1.70/16", "fd50::1:70/64"]);
    // What has no gateway leads nowhere else.
    let routes = json!([{ "dst": "0.0.0.0/0", "gw": "10.50.0.1" }]);
    assert_eq!(result["routes"], routes);
    // Without a word the device is a TAP device.
    let near = green(&one).add("b", &b).unwrap();
    let far = green(&two).add("c", &c).unwrap();
    let reach = || {
        for address in addresses(&near).iter().chain(&addresses(&far)) {
            assert!(a.pings(address), "{address}");
        }
        // It is the container itself that was found, not a router in its place.
        for mac in [&near, &far].map(|it| it["interfaces"][0]["mac"].clone()) {
            let neighbours = a.ip("neigh show dev eth0");
            assert!(neighbours.contains(mac.as_str().unwrap()), "{neighbours}");
        }
    };
    reach();
    green(&one).check("b", &b, &near).unwrap();
    one.end("KILL");
    one.start();
    reach();
    let refused = green(&two).set("attach", json!("tun"));
    let refused = refused.add("d", &Netns::new("c")).unwrap_err();
    assert!(refused.message().contains("bridged"), "{refused:?}");
    for (host, containers) in [(&one, vec![("a", &a), ("b", &b)]), (&two, vec![("c", &c)])] {
        for (container, netns) in containers {
            green(host).del(container, Some(netns)).unwrap();
        }
        host.assert_clean();
    }
    assert!(a.devices().is_empty());
}
