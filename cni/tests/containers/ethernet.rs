//! Containers with Ethernet devices.

use serde_json::json;

use crate::host::{Host, Netns, two_hosts};
use crate::runtime::{Runtime, addresses};

#[test]
fn a_container_has_ethernet_by_a_tap_device() {
    a_container_has_ethernet("tap", "");
}

#[test]
fn a_container_has_ethernet_by_a_pair_of_devices() {
    a_container_has_ethernet("veth", "packet");
}

#[test]
fn a_container_has_ethernet_by_a_pair_of_devices_and_af_xdp() {
    a_container_has_ethernet("veth", "af_xdp");
}

fn a_container_has_ethernet(attach: &str, driver: &str) {
    let how = (attach, driver);
    let [mut one, two] = two_hosts();
    let wishes = json!({ "mac": "02:00:00:00:00:07", "ips": ["10.42.1.70", "fd42:1::70"] });
    let (a, b) = (Netns::new("c"), Netns::new("c"));
    let wishing = ethernet(&one, how).set("runtimeConfig", wishes);
    let result = wishing.add("a", &a).unwrap();
    let interfaces = result["interfaces"].as_array().unwrap();
    let (inside, others) = interfaces.split_last().unwrap();
    assert_eq!(inside["mac"], "02:00:00:00:00:07");
    assert_eq!(result["ips"][0]["interface"], others.len());
    for host_end in others {
        let shown = one
            .netns
            .ip(&format!("link show {}", host_end["name"].as_str().unwrap()));
        assert!(shown.contains(host_end["mac"].as_str().unwrap()), "{shown}");
    }
    assert_eq!(others.len(), usize::from(attach == "veth"));
    assert_eq!(addresses(&result), ["10.42.1.70/32", "fd42:1::70/128"]);
    let routes = json!([
        { "dst": "0.0.0.0/0", "gw": "169.254.1.1" },
        { "dst": "::/0", "gw": "fe80::1" },
    ]);
    assert_eq!(result["routes"], routes);
    assert!(a.ip("link show eth0").contains("ether 02:00:00:00:00:07"));
    ethernet(&one, how).check("a", &a, &result).unwrap();
    // Its neighbours here have no Ethernet, and those there have.
    let near = Runtime::new(&one).add("b", &b).unwrap();
    let c = Netns::new("c");
    let far = ethernet(&two, how).add("c", &c).unwrap();
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
    let refused = ethernet(&one, how).check("a", &a, &result).unwrap_err();
    assert!(refused.message().contains("the MAC address"), "{refused:?}");
    a.ip("link set eth0 address 02:00:00:00:00:07");
    one.end("KILL");
    one.start();
    ethernet(&one, how).check("a", &a, &result).unwrap();
    assert!(a.pings("10.42.2.1"), "served again");
    ethernet(&one, how).del("a", Some(&a)).unwrap();
    ethernet(&one, how).del("b", Some(&b)).unwrap();
    one.assert_clean();
    ethernet(&two, how).del("c", Some(&c)).unwrap();
    two.assert_clean();
    assert!(a.devices().is_empty());
    let mut left = one.netns.devices().into_iter();
    assert!(!left.any(|name| name.starts_with("rlv")), "{left:?}");
}

/// Asks for a sort of device, and a way to serve it.
fn ethernet<'a>(host: &'a Host, (attach, driver): (&str, &str)) -> Runtime<'a> {
    let runtime = Runtime::new(host).set("attach", json!(attach));
    match driver {
        "" => runtime,
        _ => runtime.set("driver", json!(driver)),
    }
}
