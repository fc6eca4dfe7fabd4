//! Where the workers' time goes, while packets flow.

use std::fs;

use serde_json::Value;

use super::{hosts::Hosts, ping::each_answered};

/// What a node's stages counted.
fn stages(hosts: &Hosts, host: usize) -> Value {
    serde_json::from_str(&hosts.ringlay(host, "stages show --json")).unwrap()
}

/// Frames of a stage, of all workers.
fn frames(shown: &Value, name: &str) -> u64 {
    let stages = shown["stages"].as_array().unwrap();
    let stage = stages.iter().find(|stage| stage["name"] == name);
    stage.and_then(|it| it["frames"].as_u64()).unwrap()
}

/// Frames that the workers of a node received.
fn received(hosts: &Hosts, host: usize) -> u64 {
    let stats = hosts.stats(host);
    let workers = stats["workers"].as_array().unwrap().iter();
    workers.map(|it| it["received"].as_u64().unwrap()).sum()
}

/// Pings the other host so many times.
fn ping(hosts: &Hosts, count: u32) {
    let ping = hosts.exec(0, &format!("ping -c {count} -i 0.005 -w 20 10.42.2.1"));
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(each_answered(&text, count), "{text}");
}

#[test]
fn each_stage_counts_what_passes_it_and_all_of_the_time() {
    for driver in ["io_uring", "epoll"] {
        let mut hosts = Hosts::new();
        hosts.set(0, "dataplane", &format!("driver = \"{driver}\""));
        hosts.start(0);
        hosts.start(1);
        assert!(hosts.pings("10.42.2.1"));
        let shown = hosts.ringlay(0, "stages show");
        assert!(shown.starts_with("nothing was measured"), "{shown}");
        // What comes by itself meanwhile, such as neighbour discovery, is between two counts.
        let before = received(&hosts, 0);
        hosts.ringlay(0, "stages on");
        ping(&hosts, 100);
        let shown = stages(&hosts, 0);
        let after = received(&hosts, 0);
        assert_eq!(shown["on"], true);
        assert!(
            (200..=after - before).contains(&frames(&shown, "receive")),
            "{shown:#}"
        );
        for name in ["ip_input", "ip_lookup"] {
            assert!(frames(&shown, name) >= 200, "{name}: {shown:#}");
        }
        for name in ["tunnel_encap", "vxlan_decap", "coalesce"] {
            let frames = frames(&shown, name);
            assert!((100..200).contains(&frames), "{name}: {shown:#}");
        }
        assert_eq!(frames(&shown, "send"), frames(&shown, "flush"), "{shown:#}");
        let shares = shown["stages"].as_array().unwrap().iter();
        let sum: f64 = shares.map(|it| it["share"].as_f64().unwrap()).sum();
        assert!((0.999..1.001).contains(&sum), "{sum}");
        // Half a second of pings has to be in it, most of it asleep.
        let cycles = |value: &Value| -> f64 {
            let stages = value["stages"].as_array().unwrap().iter();
            stages.map(|it| it["cycles"].as_f64().unwrap()).sum()
        };
        for worker in shown["workers"].as_array().unwrap() {
            let told = cycles(worker) / shown["hertz"].as_f64().unwrap();
            assert!(told > 0.4, "{told}: {worker:#}");
        }
        hosts.ringlay(0, "stages off");
        let ended = stages(&hosts, 0);
        ping(&hosts, 10);
        assert_eq!(stages(&hosts, 0), ended);
        assert_eq!(ended["on"], false);
        let table = hosts.ringlay(0, "stages show");
        assert!(
            table.starts_with("off, it took ") && table.contains("= work"),
            "{table}"
        );
    }
}

#[test]
fn the_configuration_switches_it_too() {
    let mut hosts = Hosts::new();
    let file = fs::read_to_string(hosts.config(0)).unwrap();
    hosts.set(0, "dataplane", "stages = true");
    hosts.start(0);
    assert_eq!(stages(&hosts, 0)["on"], true);
    assert!(hosts.ringlay(0, "show config").contains("stages = true"));
    fs::write(hosts.config(0), file).unwrap();
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "it is off", || stages(&hosts, 0)["on"] == false);
    assert!(!hosts.ringlay(0, "show config").contains("stages"));
    hosts.ringlay(0, "stages on");
    assert!(hosts.ringlay(0, "show config").contains("stages = true"));
}
