//! Other plugins of the same list, in front of ours and behind it.

use serde_json::json;

use crate::host::{Netns, two_hosts};
use crate::runtime::{Runtime, addresses};

#[test]
fn ours_is_not_the_first_of_its_list() {
    let [host, _far] = two_hosts();
    let tuning = json!({ "type": "tuning", "sysctl": { "net.ipv4.conf.eth0.log_martians": "1" } });
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let runtime = Runtime::new(&host)
            .version(version)
            .behind(json!({ "type": "loopback" }))
            .then(tuning.clone());
        let netns = Netns::new("c");
        let result = runtime.add("c1", &netns).unwrap();
        let interfaces = result["interfaces"].as_array().unwrap();
        let names: Vec<_> = interfaces.iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, ["lo", "eth0"], "{result:#}");
        let all = addresses(&result);
        assert!(all.contains(&"127.0.0.1/8".to_owned()), "{all:?}");
        let ours = result["ips"].as_array().unwrap();
        let ours: Vec<_> = ours.iter().filter(|ip| ip["interface"] == 1).collect();
        assert_eq!(ours.len(), 2, "one of each IP version: {result:#}");
        if version > "0.3.1" {
            runtime.check("c1", &netns, &result).unwrap();
        }
        runtime.del("c1", Some(&netns)).unwrap();
        assert!(netns.devices().is_empty());
        host.assert_clean();
    }
}

#[test]
fn a_firewall_lets_through_what_we_gave_the_container() {
    let [host, _far] = two_hosts();
    let firewall = json!({ "type": "firewall", "backend": "iptables" });
    let runtime = Runtime::new(&host).version("1.0.0").then(firewall);
    let netns = Netns::new("c");
    let result = runtime.add("c1", &netns).unwrap();
    runtime.check("c1", &netns, &result).unwrap();
    let rules = |program: &str| {
        let output = host.netns.exec(&format!("{program} -S CNI-FORWARD"));
        String::from_utf8(output.stdout).unwrap()
    };
    let [v4, v6] = addresses(&result).try_into().unwrap();
    for (program, address) in [("iptables", &v4), ("ip6tables", &v6)] {
        let shown = rules(program);
        assert!(shown.contains(address.as_str()), "{address}: {shown}");
    }
    runtime.del("c1", Some(&netns)).unwrap();
    for (program, address) in [("iptables", &v4), ("ip6tables", &v6)] {
        let shown = rules(program);
        assert!(!shown.contains(address.as_str()), "{address}: {shown}");
    }
    host.assert_clean();
}

#[test]
fn a_second_network_is_routed_by_source() {
    let [host, _far] = two_hosts();
    let runtime = Runtime::new(&host)
        .version("1.0.0")
        .set("routes", json!([{ "dst": "10.99.0.0/16" }]))
        .then(json!({ "type": "sbr" }));
    let netns = Netns::new("c");
    let result = runtime.add("c1", &netns).unwrap();
    let address = addresses(&result)[0].replace("/32", "");
    let rules = netns.ip("rule show");
    let rule = format!("from {address} lookup 100");
    assert!(rules.contains(&rule), "{rules}");
    let routes = netns.ip("route show table 100");
    assert!(routes.contains("10.99.0.0/16 dev eth0"), "{routes}");
    runtime.check("c1", &netns, &result).unwrap();
    runtime.del("c1", Some(&netns)).unwrap();
    let rules = netns.ip("rule show");
    assert!(!rules.contains(&rule), "{rules}");
    host.assert_clean();
}

#[test]
fn what_a_plugin_behind_refuses_is_taken_back() {
    let [host, _far] = two_hosts();
    // It shapes a veth device on the host, which there is none of.
    let bandwidth = json!({
        "type": "bandwidth",
        "ingressRate": 1_000_000,
        "ingressBurst": 1_000_000,
    });
    let runtime = Runtime::new(&host).version("1.0.0").then(bandwidth);
    let netns = Netns::new("c");
    let refused = runtime.add("c1", &netns).unwrap_err();
    assert!(refused.message().contains("veth"), "{refused:?}");
    assert_eq!(netns.devices(), ["eth0"], "ours had its turn");
    runtime.del("c1", Some(&netns)).unwrap();
    assert!(netns.devices().is_empty());
    host.assert_clean();
}
