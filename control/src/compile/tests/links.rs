//! Ports with Ethernet: where packets go through them, and which hosts the tables know.

use super::*;

fn tap(addresses: &[&str]) -> Port {
    let Object::Port(port) = port("rl1", "blue", addresses) else {
        unreachable!()
    };
    Port {
        kind: PortKind::Tap,
        routes: false,
        ..port
    }
}

fn through(prefix: &str, via: Option<&str>) -> Object {
    Object::Route(Route {
        network: "blue".parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        target: Target::Port("rl1".parse().unwrap()),
        via: via.map(|via| via.parse().unwrap()),
        direct: false,
    })
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    let tap = tap(&["10.4.0.1/24", "fd00:4::1/64", "169.254.1.1/32"]);
    bench.put([network("blue", 42), vtep("blue", 1, None), tap.into()]);
    bench.put([
        through("10.5.0.0/16", Some("10.4.0.9")),
        through("10.6.0.0/16", None),
    ]);
    bench
}

fn link(bench: &Bench) -> tables::Link {
    let id = bench.compiler.port(&"rl1".parse().unwrap()).unwrap();
    bench.compiler.tables().link(id).unwrap().clone()
}

#[test]
fn packets_go_to_hosts_to_routers_and_to_the_node_itself() {
    let mut bench = bench();
    for (address, expected) in [
        ("10.4.0.7", "link 0"),
        ("10.6.0.7", "link 0"),
        ("fd00:4::7", "link 0"),
        ("10.5.0.7", "router 10.4.0.9 on link 0"),
        ("10.4.0.1", "this node"),
        ("fd00:4::1", "this node"),
    ] {
        assert_eq!(bench.lookup("blue", address), expected, "{address}");
    }
    bench.delete(&through("10.5.0.0/16", Some("10.4.0.9")));
    let Object::Port(plain) = port("rl1", "blue", &["10.4.0.1/24"]) else {
        unreachable!()
    };
    bench.put([plain.into()]);
    for address in ["10.4.0.7", "10.6.0.7", "10.4.0.1"] {
        assert_eq!(bench.lookup("blue", address), "port rl1", "{address}");
    }
    bench.put([tap(&["10.4.0.1/24"]).into()]);
    assert_eq!(bench.lookup("blue", "10.6.0.7"), "link 0");
}

#[test]
fn the_router_has_addresses_of_which_link_local_ones_come_last() {
    let bench = bench();
    let link = link(&bench);
    let mac = link.mac;
    assert!(mac.is_unicast() && mac.is_local());
    let expected = ["10.4.0.1", "fd00:4::1", "169.254.1.1"];
    let expected = expected.map(|it| it.parse::<IpAddr>().unwrap());
    assert_eq!(link.addresses[..3], expected);
    assert_eq!(link.addresses[3..], [IpAddr::V6(mac.link_local())]);
    let (_, network) = bench.compiler.network(&"blue".parse().unwrap()).unwrap();
    assert_eq!(network.addresses, expected[..2]);
}

#[test]
fn hosts_are_known_for_as_long_as_the_device_stays() {
    let mut bench = bench();
    let (name, host) = ("rl1".parse().unwrap(), "10.4.0.7".parse().unwrap());
    bench.compiler.learn_host(&name, host, Some(FAR));
    assert_eq!(link(&bench).neighbours.mac(host), Some(FAR));
    bench.put([Port {
        proxy: true,
        mac: Some(FAR),
        ..tap(&["10.4.0.1/24"])
    }
    .into()]);
    let after = link(&bench);
    assert_eq!(
        (after.neighbours.mac(host), after.mac, after.proxy),
        (Some(FAR), FAR, true)
    );
    bench.put([Port {
        netns: Some("/run/netns/elsewhere".into()),
        ..tap(&["10.4.0.1/24"])
    }
    .into()]);
    assert_eq!(link(&bench).neighbours.mac(host), None);
    bench.compiler.learn_host(&name, host, Some(FAR));
    bench.compiler.learn_host(&name, host, None);
    assert_eq!(link(&bench).neighbours.mac(host), None);
}
