//! Packets without encapsulation: in networks of their own, and by direct routes of others.

use super::*;

fn direct(prefix: &str, ends: &[u8]) -> Object {
    Object::Route(Route {
        network: "blue".parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        target: to(ends),
        via: None,
        direct: true,
    })
}

/// Of `encap`, with three far ends.
fn bench(encap: Encap) -> Bench {
    let mut bench = Bench::new();
    let Object::Network(blue) = network("blue", 42) else {
        unreachable!();
    };
    bench.put([Object::Network(Network { encap, ..blue })]);
    let mac = (encap != Encap::Plain).then_some(FAR);
    bench.put((1..4).map(|end| vtep("blue", end, mac)));
    bench
}

fn vxlan() -> Encap {
    let vni = 42.try_into().unwrap();
    Encap::Vxlan { vni, port: 4789 }
}

fn has_plain_endpoint(bench: &Bench) -> bool {
    let mut endpoints = bench.compiler.underlays();
    endpoints.any(|(_, endpoint)| endpoint.encapsulation == Encapsulation::Plain)
}

#[test]
fn direct_routes_lead_through_the_tunnel_while_a_router_is_between() {
    let mut bench = bench(vxlan());
    bench.put([
        direct("10.0.1.0/24", &[1]),
        direct("10.0.2.0/24", &[2]),
        direct("10.0.3.0/24", &[1, 2]),
    ]);
    let to = |bench: &Bench, end| bench.lookup("blue", &format!("10.0.{end}.1"));
    assert_eq!(to(&bench, 1), "vtep 192.0.2.1 network blue direct");
    assert_eq!(to(&bench, 2), "vtep 192.0.2.2 network blue");
    let either = "vtep 192.0.2.1 network blue direct or vtep 192.0.2.2 network blue";
    assert_eq!(to(&bench, 3), either);
    // What moves behind a router, or from behind it, is followed without any other change.
    assert!(bench.compiler.set_on_link(BTreeSet::from([address(2)])));
    assert_eq!(to(&bench, 1), "vtep 192.0.2.1 network blue");
    assert_eq!(to(&bench, 2), "vtep 192.0.2.2 network blue direct");
    assert!(!bench.compiler.set_on_link(BTreeSet::from([address(2)])));
}

#[test]
fn direct_packets_leave_by_an_endpoint_of_their_own_as_long_as_there_are_such() {
    let mut bench = bench(vxlan());
    assert!(!has_plain_endpoint(&bench));
    let [route, another] = ["10.0.1.0/24", "10.0.9.0/24"].map(|prefix| direct(prefix, &[1]));
    bench.put([route.clone(), another.clone()]);
    assert!(has_plain_endpoint(&bench));
    let key = TunnelKey {
        direct: true,
        ..TunnelKey::to(&"blue".parse().unwrap(), address(1), None)
    };
    let id = bench.compiler.tunnel(&key).unwrap();
    let tables = bench.compiler.tables();
    let direct = tables.tunnel(id).unwrap();
    let endpoint = tables.underlay(direct.underlay).unwrap();
    assert_eq!(endpoint.encapsulation, Encapsulation::Plain);
    assert_eq!(direct.remote, SocketAddr::new(address(1), 0));
    assert_eq!(direct.mtu, 1500, "nothing is added");
    assert!(direct.template.as_ref().unwrap().is_empty());
    let tunnel = tables.tunnel(bench.tunnel(1, None)).unwrap();
    assert_ne!(tunnel.underlay, direct.underlay);
    assert_eq!((tunnel.remote.port(), tunnel.mtu), (4789, 1450));
    bench.delete(&route);
    assert!(has_plain_endpoint(&bench));
    bench.delete(&another);
    assert!(!has_plain_endpoint(&bench));
    assert_eq!(bench.compiler.tunnel(&key), None);
}

#[test]
fn kernel_routes_promise_no_more_than_the_tunnel_takes() {
    let mut bench = bench(vxlan());
    bench.put([direct("10.0.1.0/24", &[1])]);
    let path = Path {
        target: to(&[1]),
        via: None,
        direct: true,
    };
    let prefix = "10.0.1.0/24".parse().unwrap();
    let mtu = bench
        .compiler
        .route_mtu(&"blue".parse().unwrap(), prefix, &path);
    assert_eq!(mtu, Some(1450));
}

#[test]
fn without_encapsulation_a_far_end_behind_a_router_is_unreachable() {
    let mut bench = bench(Encap::Plain);
    bench.put([
        route("blue", "10.0.1.0/24", to(&[1])),
        direct("10.0.4.0/24", &[1]),
        route("blue", "10.0.2.0/24", to(&[2])),
        direct("10.0.5.0/24", &[2]),
    ]);
    let to = |end| bench.lookup("blue", &format!("10.0.{end}.1"));
    assert_eq!(to(1), "vtep 192.0.2.1 network blue");
    assert_eq!(to(4), "vtep 192.0.2.1 network blue direct");
    assert_eq!([to(2), to(5)], ["off link", "off link"]);
    let name = "blue".parse().unwrap();
    assert_eq!(bench.compiler.overhead(&name), Some(0));
    assert_eq!(bench.compiler.mtu(&name), Some(1500));
    assert_eq!(bench.template(bench.tunnel(1, None)).unwrap().len(), 0);
}

#[test]
fn a_known_next_hop_stands_in_the_template() {
    let mut bench = bench(Encap::Plain);
    let mac = MacAddr([2, 0, 0, 0, 0, 7]);
    let onward = Wire {
        mac,
        mtu: 1500,
        next_hops: BTreeMap::from([(address(1), FAR)]),
    };
    assert!(bench.compiler.set_onward(&bench.rib, Some(onward.clone())));
    assert!(!bench.compiler.set_onward(&bench.rib, Some(onward)));
    let header = [&FAR.0[..], &mac.0, &[0, 0]].concat();
    assert_eq!(
        bench.template(bench.tunnel(1, None)).unwrap().bytes(),
        header
    );
    assert!(bench.template(bench.tunnel(2, None)).unwrap().is_empty());
    assert!(bench.compiler.set_onward(&bench.rib, None));
    assert!(bench.template(bench.tunnel(1, None)).unwrap().is_empty());
}

#[test]
fn a_network_may_take_up_and_give_up_encapsulation() {
    let mut bench = bench(vxlan());
    bench.put([
        direct("10.0.2.0/24", &[2]),
        route("blue", "10.0.1.0/24", to(&[1])),
    ]);
    let Object::Network(blue) = network("blue", 42) else {
        unreachable!();
    };
    let plain = Network {
        encap: Encap::Plain,
        ..blue.clone()
    };
    bench.put((1..4).map(|end| vtep("blue", end, None)));
    bench.put([Object::Network(plain)]);
    assert_eq!(bench.lookup("blue", "10.0.2.1"), "off link");
    assert!(bench.template(bench.tunnel(1, None)).unwrap().is_empty());
    bench.put([Object::Network(blue)]);
    assert_eq!(
        bench.lookup("blue", "10.0.2.1"),
        "vtep 192.0.2.2 network blue"
    );
    assert!(has_plain_endpoint(&bench));
}
