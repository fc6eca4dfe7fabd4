//! Containers with Ethernet devices.

use serde_json::json;

use crate::host::{Host, Netns, two_hosts};
use crate::runtime::{Runtime, addresses};

#[test]
fn a_container_has_ethernet_by_a_tap_device() {
    a_container_has_ethernet("tap");
}

#[test]
fn a_container_has_ethernet_by_a_pair_of_devices() {
    a_container_has_ethernet("veth");
}

fn a_container_has_ethernet(attach: &str) {
    fn ethernet<'a>(host: &'a Host, attach: &str) -> Runtime<'a> {
        Runtime::new(host).set("attach", json!(attach))
    }
    let [mut one, two] = two_hosts();
    let wishes = json!({ "mac": "02:00:00:00:00:07", "ips": ["10.42.1.70", "fd42:1::70"] });
    let (a, b) = (Netns::new("c"), Netns::new("c"));
    let wishing = ethernet(&one, attach).set("runtimeConfig", wishes);
    let result = wishing.add("a", &a).unwrap();
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:07");
    assert_eq!(addresses(&result), ["10.42.1.70/32", "fd42:1::70/128"]);
    let routes = json!([
        { "dst": "0.0.0.0/0", "gw": "169.254.1.1" },
        { "dst": "::/0", "gw": "fe80::1" },
    ]);
    assert_eq!(result["routes"], routes);
    assert!(a.ip("link show eth0").contains("ether 02:00:00:00:00:07"));
    ethernet(&one, attach).check("a", &a, &result).unwrap();
    // Its neighbours here have no Ethernet, and those there have.
    let near = Runtime::new(&one).add("b", &b).unwrap();
    let c = Netns::new("c");
    let far = ethernet(&two, attach).add("c", &c).unwrap();
    let reach = |one: &Host| {
        for address in addresses(&near).iter().chain(&addresses(&far)) {
            assert!(a.pings(address), "{address}");
        }
        for address in ["10.42.1.1", "fd42:1::1", "10.42.2.1", "fd42:2::1"] {
            assert!(a.pings(address), "a host: {address}");
        }
        assert!(one.netns.pings("10.42.1.70") && two.netns.pings("fd42:1::70"));
    };
    reach(&one);
    a.ip("link set eth0 address 02:00:00:00:00:08");
    let refused = ethernet(&one, attach).check("a", &a, &result).unwrap_err();
    assert!(refused.message().contains("the MAC address"), "{refused:?}");
    a.ip("link set eth0 address 02:00:00:00:00:07");
    one.end("KILL");
    one.start();
    ethernet(&one, attach).check("a", &a, &result).unwrap();
    assert!(a.pings("10.42.2.1"), "served again");
    ethernet(&one, attach).del("a", Some(&a)).unwrap();
    ethernet(&one, attach).del("b", Some(&b)).unwrap();
    one.assert_clean();
    ethernet(&two, attach).del("c", Some(&c)).unwrap();
    two.assert_clean();
    assert!(a.devices().is_empty());
    let mut left = one.netns.devices().into_iter();
    assert!(!left.any(|name| name.starts_with("rlv")), "{left:?}");
}
