//! Containers come, are looked at, and go.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;

use crate::host::{Netns, two_hosts};
use crate::runtime::{Runtime, addresses, container};

#[test]
fn a_container_comes_is_checked_and_goes_without_a_trace() {
    let [host, _far] = two_hosts();
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let runtime = Runtime::new(&host).version(version);
        let netns = Netns::new("c");
        let result = runtime.add("c1", &netns).unwrap();
        assert_eq!(netns.devices(), ["eth0"]);
        let shown = netns.ip("address show dev eth0");
        for address in addresses(&result) {
            assert!(shown.contains(&address), "{address} is not in {shown}");
        }
        assert!(shown.contains("mtu 1450"), "{shown}");
        assert!(netns.ip("route show").contains("default dev eth0"));
        assert!(netns.ip("-6 route show").contains("default dev eth0"));
        if version > "0.3.1" {
            runtime.check("c1", &netns, &result).unwrap();
        }
        let again = runtime.add("c1", &netns).unwrap_err();
        assert!(again.message().contains("attached already"), "{again:?}");
        runtime.del("c1", Some(&netns)).unwrap();
        runtime.del("c1", Some(&netns)).unwrap();
        assert!(netns.devices().is_empty());
        host.assert_clean();
    }
}

#[test]
fn a_check_finds_what_is_missing() {
    let [host, _far] = two_hosts();
    let runtime = Runtime::new(&host);
    let netns = Netns::new("c");
    let result = runtime.add("c1", &netns).unwrap();
    let address = &addresses(&result)[0];
    for (harm, found) in [
        (
            format!("address del {address} dev eth0"),
            "address 10.42.1.",
        ),
        (
            "-6 route del default dev eth0".to_owned(),
            "the route to ::/0 is gone",
        ),
        (
            "link set eth0 mtu 1300".to_owned(),
            "the MTU is 1300 and not 1450",
        ),
        ("link set eth0 down".to_owned(), "the device is down"),
        ("link del eth0".to_owned(), "the device is gone"),
    ] {
        runtime.check("c1", &netns, &result).unwrap();
        netns.ip(&harm);
        let refused = runtime.check("c1", &netns, &result).unwrap_err();
        assert!(refused.message().contains(found), "{harm}: {refused:?}");
        assert_eq!(refused.code(), 102);
        runtime.del("c1", Some(&netns)).unwrap();
        runtime.add("c1", &netns).unwrap();
    }
    runtime.del("c1", Some(&netns)).unwrap();
    host.assert_clean();
}

#[test]
fn nothing_is_left_of_an_add_that_fails() {
    let [host, _far] = two_hosts();
    let runtime = Runtime::new(&host);
    let netns = Netns::new("c");
    netns.ip("tuntap add eth0 mode tun");
    let refused = runtime.add("c1", &netns).unwrap_err();
    assert_eq!(refused.code(), 100, "{refused:?}");
    assert!(
        refused.message().contains("device `eth0` exists already"),
        "{refused:?}"
    );
    assert_eq!(netns.devices(), ["eth0"], "it is somebody else's");
    host.assert_clean();
    netns.ip("link del eth0");
    // The second route cannot be had: the first is there already.
    let twice = json!([{ "dst": "10.7.0.0/16" }, { "dst": "10.7.0.0/16" }]);
    let refused = Runtime::new(&host)
        .set("routes", twice)
        .add("c1", &netns)
        .unwrap_err();
    assert!(
        refused.message().contains("cannot add route 10.7.0.0/16"),
        "{refused:?}"
    );
    assert!(netns.devices().is_empty());
    host.assert_clean();
    runtime.add("c1", &netns).unwrap();
    runtime.del("c1", Some(&netns)).unwrap();
}

#[test]
fn a_container_can_have_several_devices() {
    let [host, _far] = two_hosts();
    let netns = Netns::new("c");
    Runtime::new(&host).add("c1", &netns).unwrap();
    let second = Runtime::new(&host).set("routes", json!([{ "dst": "10.99.0.0/16" }]));
    second.add_device("c1", &netns, "net1").unwrap();
    assert_eq!(netns.devices(), ["eth0", "net1"]);
    assert!(netns.ip("route show").contains("10.99.0.0/16 dev net1"));
    assert_eq!(host.attachments().len(), 2);
    Runtime::new(&host).gc(&["c1"]).unwrap();
    assert_eq!(netns.devices(), ["eth0"], "only eth0 was said to be valid");
    Runtime::new(&host).gc(&[]).unwrap();
    host.assert_clean();
}

#[test]
fn a_namespace_that_is_gone_is_no_obstacle() {
    let [host, _far] = two_hosts();
    let runtime = Runtime::new(&host);
    let (netns, before) = container(&runtime, "c1");
    drop(netns);
    runtime.del("c1", None).unwrap();
    host.assert_clean();
    // One that nobody detached gives way to the next of the same name.
    drop(container(&runtime, "c1"));
    let (netns, after) = container(&runtime, "c1");
    assert_eq!(before, after, "the container keeps its addresses");
    runtime.del("c1", Some(&netns)).unwrap();
    host.assert_clean();
}

#[test]
fn other_plugins_choose_addresses_and_are_chained() {
    let [host, _far] = two_hosts();
    let ipam = json!({
        "type": "host-local",
        "dataDir": host.folder().join("host-local"),
        "ranges": [[{ "subnet": "10.42.1.0/24", "rangeStart": "10.42.1.200" }]],
        "routes": [{ "dst": "0.0.0.0/0" }],
    });
    let tuning = json!({ "type": "tuning", "sysctl": { "net.ipv4.conf.eth0.log_martians": "1" } });
    let runtime = Runtime::new(&host)
        .version("1.0.0")
        .set("ipam", ipam)
        .then(tuning);
    let netns = Netns::new("c");
    let result = runtime.add("c1", &netns).unwrap();
    assert_eq!(addresses(&result), ["10.42.1.200/24"]);
    assert_eq!(result["ips"][0]["gateway"], "10.42.1.1");
    runtime.check("c1", &netns, &result).unwrap();
    let tuned = netns.exec("cat /proc/sys/net/ipv4/conf/eth0/log_martians");
    assert_eq!(tuned.stdout, b"1\n");
    assert!(netns.pings("10.42.1.1"), "the host");
    runtime.del("c1", Some(&netns)).unwrap();
    host.assert_clean();
    let reserved = std::fs::read_dir(host.folder().join("host-local/mynet")).unwrap();
    let reserved = reserved.map(|it| it.unwrap().file_name().into_string().unwrap());
    assert_eq!(reserved.filter(|name| name.starts_with("10.")).count(), 0);
}

#[test]
fn status_follows_the_daemon() {
    let [mut host, _far] = two_hosts();
    Runtime::new(&host).status().unwrap();
    let unknown = Runtime::new(&host).set("network", json!("red")).status();
    assert_eq!(unknown.unwrap_err().code(), 50);
    host.end("TERM");
    assert_eq!(Runtime::new(&host).status().unwrap_err().code(), 50);
}

#[test]
fn two_hundred_containers_come_and_go_at_once() {
    const COUNT: usize = 200;
    const AT_ONCE: usize = 8;
    let [host, _far] = two_hosts();
    let runtime = Runtime::new(&host);
    let containers: Vec<_> = (0..COUNT).map(|_| Netns::new("c")).collect();
    let each = |work: &(dyn Fn(&str, &Netns) + Sync)| {
        thread::scope(|scope| {
            for part in 0..AT_ONCE {
                let containers = &containers;
                scope.spawn(move || {
                    for index in (part..COUNT).step_by(AT_ONCE) {
                        work(&format!("c{index}"), &containers[index]);
                    }
                });
            }
        });
    };
    each(&|id, netns| drop(runtime.add(id, netns).unwrap()));
    let all = host.attachments();
    let addresses: BTreeSet<_> = all.iter().map(|it| it["addresses"].to_string()).collect();
    assert_eq!(addresses.len(), COUNT, "no address was given twice");
    assert!(containers[0].pings("10.42.1.1") && containers[COUNT - 1].pings("10.42.2.1"));
    each(&|id, netns| runtime.del(id, Some(netns)).unwrap());
    host.assert_clean();
    let left: Vec<_> = containers.iter().flat_map(Netns::devices).collect();
    assert!(left.is_empty(), "{left:?}");
}
