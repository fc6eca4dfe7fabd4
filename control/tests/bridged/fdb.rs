//! The forwarding database: learned, moved, aged, limited, static, by file and by command.

use std::thread;
use std::time::Duration;

use super::site::{DEVICE, Guest, Site, VXLAN, drops, known, wait_until, wait_until_known};
use super::support::pair::{Pair, ip};
use super::support::traffic::ping;

#[test]
fn a_station_that_moves_is_found_where_it_sends_from() {
    let pair = Pair::create();
    let [near, witness, far] = [1, 2, 3].map(|number| Guest::create(&pair, number));
    let node = VXLAN.start(&pair, 0, &[&near, &witness]);
    let other = VXLAN.start(&pair, 1, &[&far]);
    ping(&near.netns, witness.v4, 1);
    wait_until_known(&node, &near.mac, "port g0", "learned");
    // As a container that is started elsewhere, with the MAC address that it had.
    ip(&near.netns, &format!("link set {DEVICE} down"));
    let mac = &near.mac;
    ip(&far.netns, &format!("link set {DEVICE} address {mac}"));
    ping(&far.netns, witness.v4, 3);
    wait_until_known(&node, mac, "vtep 192.168.77.2", "learned");
    wait_until_known(&other, mac, "port g0", "learned");
    let shown = node.ask(&format!("fdb show {mac} --network blue")).unwrap();
    assert!(shown.contains("vtep 192.168.77.2"), "{shown}");
}

#[test]
fn who_is_silent_is_forgotten_and_who_is_not_stays() {
    let pair = Pair::create();
    let [near, far] = [1, 2].map(|number| Guest::create(&pair, number));
    let site = Site {
        network: "vni = 42\nfdb_ageing = \"1s\"",
        ..VXLAN
    };
    let node = site.start(&pair, 0, &[&near]);
    let _other = site.start(&pair, 1, &[&far]);
    ping(&near.netns, far.v4, 1);
    wait_until_known(&node, &far.mac, "vtep 192.168.77.2", "learned");
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(150));
        ping(&near.netns, far.v4, 1);
        assert!(known(&node, &far.mac).is_some());
    }
    ip(&far.netns, &format!("link set {DEVICE} down"));
    wait_until("a silent station is forgotten", || {
        known(&node, &far.mac).is_none()
    });
    ip(&far.netns, &format!("link set {DEVICE} up"));
    ping(&near.netns, far.v4, 1);
    wait_until_known(&node, &far.mac, "vtep 192.168.77.2", "learned");
}

#[test]
fn what_was_learned_is_forgotten_on_request() {
    let pair = Pair::create();
    let [near, beside, far] = [1, 2, 3].map(|number| Guest::create(&pair, number));
    let node = VXLAN.start(&pair, 0, &[&near, &beside]);
    let _other = VXLAN.start(&pair, 1, &[&far]);
    let fixed = "02:00:00:00:00:99";
    node.ask(&format!("fdb add {fixed} --network blue --port g0"))
        .unwrap();
    let places = [
        (&near, "port g0"),
        (&beside, "port g1"),
        (&far, "vtep 192.168.77.2"),
    ];
    let learn_all = || {
        ping(&near.netns, beside.v4, 1);
        ping(&near.netns, far.v4, 1);
        for (guest, place) in places {
            wait_until_known(&node, &guest.mac, place, "learned");
        }
    };
    learn_all();
    // Nobody may send by himself meanwhile.
    for (guest, _) in places {
        ip(&guest.netns, &format!("link set {DEVICE} down"));
    }
    let unknown = node.ask("fdb flush --network red").unwrap_err();
    assert!(unknown.contains("does not exist"), "{unknown}");
    let left = || places.map(|(guest, _)| known(&node, &guest.mac).is_some());
    // A guest may have sent by the MAC address that its device was made with, too.
    let flushed = |arguments: &str| {
        let value = node.query(&format!("fdb flush {arguments}"));
        value["flushed"].as_u64().unwrap()
    };
    assert!(flushed("--vtep 192.168.77.2") >= 1);
    assert_eq!(left(), [true, true, false]);
    assert!(flushed("--network blue --port g0") >= 1);
    assert_eq!(left(), [false, true, false]);
    assert!(flushed("") >= 1);
    assert_eq!(left(), [false; 3]);
    assert_eq!(node.ask("fdb flush").unwrap(), "0 forgotten\n");
    assert!(known(&node, fixed).is_some());
    for (guest, _) in places {
        ip(&guest.netns, &format!("link set {DEVICE} up"));
    }
    learn_all();
}

#[test]
fn no_more_stations_are_learned_than_allowed() {
    let pair = Pair::create();
    let [near, far] = [1, 2].map(|number| Guest::create(&pair, number));
    let limited = Site {
        network: "vni = 42\nfdb_limit = 1",
        ..VXLAN
    };
    let node = limited.start(&pair, 0, &[&near]);
    let none = Site {
        network: "vni = 42\nfdb_limit = 0",
        ..VXLAN
    };
    let other = none.start(&pair, 1, &[&far]);
    // Flooding makes up for what is not known.
    ping(&near.netns, far.v4, 5);
    wait_until("one of both was refused", || {
        let shown = node.query("network show blue");
        shown["fdb_learned"] == 1 && shown["fdb_refused"].as_u64().unwrap() > 0
    });
    let shown = other.query("network show blue");
    assert_eq!(
        (&shown["fdb_learned"], &shown["mode"]),
        (&0.into(), &"bridged".into())
    );
}

#[test]
fn static_entries_stay_whatever_is_seen() {
    let pair = Pair::create();
    let [near, beside, far] = [1, 2, 3].map(|number| Guest::create(&pair, number));
    let mac = far.mac.clone();
    let more = format!("[[fdb]]\nnetwork = \"blue\"\nmac = \"{mac}\"\nport = \"g1\"");
    let site = Site {
        more: &more,
        ..VXLAN
    };
    let node = site.start(&pair, 0, &[&near, &beside]);
    let other = VXLAN.start(&pair, 1, &[&far]);
    assert_eq!(
        known(&node, &mac),
        Some(("port g1".into(), "static".into()))
    );
    // What is sent there goes astray, by request.
    let lost = format!("-c 1 -W 1 {}", far.v4);
    let lost = lost.split_whitespace().map(String::from);
    let mut command = std::process::Command::new("ping");
    let output = super::support::pair::output(&near.netns, command.args(lost));
    assert!(!output.status.success());
    assert_eq!(
        known(&node, &mac),
        Some(("port g1".into(), "static".into()))
    );
    // A correct one, which another source asks for, does not help; of the far node's own it does.
    let near_mac = &near.mac;
    let add = format!("fdb add {near_mac} --network blue --vtep 192.168.77.1");
    other.ask(&add).unwrap();
    let error = other.ask(&add).unwrap_err();
    assert!(error.contains("exists already"), "{error}");
    wait_until_known(&other, near_mac, "vtep 192.168.77.1", "grpc");
    let error = other.ask("vtep delete 192.168.77.1 --network blue --source grpc");
    assert!(error.is_err(), "it is in use");
    let config = other.ask("show config").unwrap();
    assert!(config.contains("# source: grpc\n[[fdb]]"), "{config}");
    other
        .ask(&format!("fdb delete {near_mac} --network blue"))
        .unwrap();
    ping(&near.netns, beside.v4, 2);
    assert_eq!(drops(&other, "fdb_split_horizon"), 0);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let pair = Pair::create();
    let near = Guest::create(&pair, 1);
    let node = VXLAN.start(&pair, 0, &[&near]);
    for (command, why) in [
        (
            "route add 10.0.0.0/8 --network blue --vtep 192.168.77.2",
            "bridged",
        ),
        (
            "neighbour add 10.0.0.1 --network blue --vtep 192.168.77.2 --mac 02:00:00:00:00:01",
            "bridged",
        ),
        (
            "port add rl7 --network blue --device rl7",
            "use kind = \"tap\"",
        ),
        (
            "network add red --vni 43 --mode bridged --encap ipip",
            "remove it",
        ),
        (
            "network add red --key 43 --mode bridged --encap gre --inner ip",
            "carry Ethernet frames",
        ),
        (
            "network add blue --replace --vni 42 --source cluster --mode hub",
            "not known",
        ),
        (
            "fdb add 03:00:00:00:00:01 --network blue --port g0",
            "unicast",
        ),
        (
            "fdb add 02:00:00:00:00:01 --network blue --port g7",
            "no port g7",
        ),
    ] {
        let error = node.ask(command).unwrap_err();
        assert!(error.contains(why), "{command}: {error}");
    }
    node.ask("network add red --key 43 --mode bridged --encap gre")
        .unwrap();
    node.ask("network add green --vni 44").unwrap();
    let error = node
        .ask("fdb add 02:00:00:00:00:01 --network green --vtep 192.168.77.2")
        .unwrap_err();
    assert!(error.contains("is routed"), "{error}");
}
