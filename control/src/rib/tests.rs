use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::object::{DeviceName, Encap, Headers, Path, PortKind, Target};

const LOCAL: [u8; 4] = [192, 0, 2, 100];

fn rib() -> Rib {
    Rib::new(IpAddr::from(LOCAL))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn network(text: &str, vni: u32) -> Object {
    Object::Network(Network {
        name: name(text),
        encap: Encap::Vxlan {
            vni: vni.try_into().unwrap(),
            port: 4789,
        },
        mode: crate::object::Mode::Routed,
        preset: None,
        headers: Headers::default(),
        mtu: None,
        mac: None,
        mss_clamp: crate::object::MssClamp::Auto,
        fragment: false,
        accept_unknown_vteps: None,
    })
}

fn port(text: &str, network: &str, address: &str) -> Object {
    Object::Port(Port {
        name: name(text),
        network: name(network),
        kind: PortKind::Tun,
        device: text.parse::<DeviceName>().unwrap(),
        netns: None,
        addresses: vec![address.parse().unwrap()],
        mac: None,
        proxy: false,
        zero_copy: crate::object::ZeroCopy::Auto,
        queues: None,
        routes: true,
        guest: None,
    })
}

fn vtep(network: &str, end: u8) -> Object {
    let address = IpAddr::from([192, 0, 2, end]);
    Object::Vtep(Vtep {
        network: name(network),
        address,
        mac: None,
    })
}

fn route(network: &str, prefix: &str, target: Target) -> Object {
    let prefix = prefix.parse().unwrap();
    Object::Route(Route {
        network: name(network),
        prefix,
        target,
        via: None,
        direct: false,
    })
}

fn to_vtep(end: u8) -> Target {
    Target::Vteps(vec![IpAddr::from([192, 0, 2, end])])
}

fn put(object: Object) -> Operation {
    Operation::Apply {
        object,
        exist_ok: true,
    }
}

fn delete(object: &Object) -> Operation {
    Operation::Delete {
        key: object.key(),
        missing_ok: false,
    }
}

/// What a change that must fail says.
fn refusal(rib: &mut Rib, source: Source, operations: Vec<Operation>) -> String {
    let before: Vec<_> = rib.iter_all().collect();
    let error = rib.apply(source, operations).unwrap_err();
    assert_eq!(
        rib.iter_all().collect::<Vec<_>>(),
        before,
        "a refused change left traces"
    );
    error.to_string()
}

fn filled() -> Rib {
    let mut rib = rib();
    let objects = [
        network("blue", 42),
        port("rl0", "blue", "10.0.1.1/24"),
        vtep("blue", 1),
        route("blue", "10.0.2.0/24", to_vtep(1)),
        route("blue", "10.0.3.0/24", Target::Port(name("rl0"))),
    ];
    // The order within a change does not matter.
    let _ = rib
        .apply(Source::Static, objects.into_iter().rev().map(put))
        .unwrap();
    rib
}

/// The same port with Ethernet.
fn tap(text: &str, network: &str, address: &str) -> Port {
    let Object::Port(port) = port(text, network, address) else {
        unreachable!()
    };
    Port {
        kind: PortKind::Tap,
        routes: false,
        ..port
    }
}

#[test]
fn what_needs_ethernet_on_a_port_is_refused_without() {
    let mut rib = filled();
    let mut refused = |object: Object| refusal(&mut rib, Source::Grpc, vec![put(object)]);
    let plain = || match port("rl1", "blue", "10.0.4.1/24") {
        Object::Port(port) => port,
        other => panic!("{other:?}"),
    };
    let error = refused(Object::Port(Port {
        proxy: true,
        ..plain()
    }));
    let expected =
        "port rl1: proxy: is of use only on a port with Ethernet, such as kind = \"tap\"";
    assert_eq!(error, expected);
    let error = refused(Object::Port(Port {
        routes: true,
        ..tap("rl1", "blue", "10.0.4.1/24")
    }));
    assert!(
        error.contains("routes: cannot be had on a port with Ethernet"),
        "{error}"
    );
    let via = |port: &str| {
        let Object::Route(it) = route("blue", "10.9.0.0/16", Target::Port(name(port))) else {
            unreachable!()
        };
        let via = Some("10.0.4.9".parse().unwrap());
        Object::Route(Route { via, ..it })
    };
    let error = refused(via("rl0"));
    assert!(
        error.ends_with("via: needs exactly one vtep, or a port with Ethernet"),
        "{error}"
    );
    let objects = [tap("rl1", "blue", "10.0.4.1/24").into(), via("rl1")];
    let _ = rib.apply(Source::Grpc, objects.map(put)).unwrap();
    let error = refusal(&mut rib, Source::Grpc, vec![put(Object::Port(plain()))]);
    assert_eq!(
        error,
        "port rl1: kind: is in use by route 10.9.0.0/16 network blue"
    );
}

#[test]
fn a_router_may_have_one_link_local_address_on_all_its_links() {
    let mut rib = filled();
    let taps = ["rl1", "rl2"].map(|text| tap(text, "blue", "169.254.1.1/32"));
    let _ = rib
        .apply(Source::Grpc, taps.map(|it| put(it.into())))
        .unwrap();
    let object = tap("rl3", "blue", "10.0.1.1/24").into();
    let error = refusal(&mut rib, Source::Grpc, vec![put(object)]);
    assert_eq!(
        error,
        "port rl3: addresses: port rl0 of this network has 10.0.1.1"
    );
}

#[test]
fn what_refers_to_nothing_is_refused() {
    let mut rib = filled();
    let mut refused = |object| refusal(&mut rib, Source::Grpc, vec![put(object)]);
    assert_eq!(
        refused(vtep("red", 1)),
        "vtep 192.0.2.1 network red: network: there is no network red"
    );
    let error = refused(route("blue", "10.9.0.0/16", to_vtep(9)));
    assert_eq!(
        error,
        "route 10.9.0.0/16 network blue: vtep: the network has no vtep 192.0.2.9"
    );
    let error = refused(route("blue", "10.9.0.0/16", Target::Port(name("rl9"))));
    assert_eq!(
        error,
        "route 10.9.0.0/16 network blue: port: the network has no port rl9"
    );
    let error = refused(vtep("blue", 100));
    assert!(
        error.ends_with("address: 192.0.2.100 is this node's own VTEP address"),
        "{error}"
    );
    let error = refused(port("rl1", "blue", "10.0.1.1/32"));
    assert_eq!(
        error,
        "port rl1: addresses: port rl0 of this network has 10.0.1.1"
    );
    let error = refused(network("red", 42));
    assert_eq!(
        error,
        "network red: vni: network blue has VNI 42 on UDP port 4789"
    );
}

#[test]
fn what_is_in_use_stays() {
    let mut rib = filled();
    let mut refused = |object| refusal(&mut rib, Source::Static, vec![delete(&object)]);
    assert_eq!(
        refused(network("blue", 42)),
        "network blue: is in use by port rl0"
    );
    let error = refused(vtep("blue", 1));
    assert_eq!(
        error,
        "vtep 192.0.2.1 network blue: is in use by route 10.0.2.0/24 network blue"
    );
    let error = refused(port("rl0", "blue", "10.0.1.1/24"));
    assert_eq!(
        error,
        "port rl0: is in use by route 10.0.3.0/24 network blue"
    );
    let both = [vtep("blue", 1), route("blue", "10.0.2.0/24", to_vtep(1))];
    let applied = rib.apply(Source::Static, both.iter().map(delete)).unwrap();
    assert_eq!(
        (applied.delta.vteps.len(), applied.delta.routes.len()),
        (1, 1)
    );
}

#[test]
fn flags_decide_about_existing_and_missing_objects() {
    let mut rib = filled();
    let object = route("blue", "10.0.2.0/24", Target::Drop);
    let strict = Operation::Apply {
        object: object.clone(),
        exist_ok: false,
    };
    let error = refusal(&mut rib, Source::Static, vec![strict.clone()]);
    assert_eq!(error, "route 10.0.2.0/24 network blue: exists already");
    let error = refusal(&mut rib, Source::Grpc, vec![delete(&object)]);
    assert_eq!(
        error,
        "route 10.0.2.0/24 network blue: is not from source grpc, but from static"
    );
    let missing_ok = Operation::Delete {
        key: object.key(),
        missing_ok: true,
    };
    let applied = rib.apply(Source::Grpc, [missing_ok]).unwrap();
    assert!(applied.delta.is_empty());
    // Another source may have one beside it, which is not in force.
    let applied = rib.apply(Source::Grpc, [strict]).unwrap();
    assert!(applied.delta.is_empty());
    let applied = rib.apply(Source::Static, [delete(&object)]).unwrap();
    assert_eq!(
        applied.delta.routes[0].after.as_ref().unwrap().target,
        Target::Drop
    );
}

#[test]
fn a_failing_step_undoes_those_before_it() {
    let mut rib = filled();
    let operations = vec![
        put(route("blue", "10.0.2.0/24", Target::Drop)),
        delete(&route("blue", "10.0.3.0/24", Target::Drop)),
        put(network("red", 43)),
        delete(&network("green", 1)),
    ];
    assert_eq!(
        refusal(&mut rib, Source::Static, operations),
        "network green: does not exist"
    );
}

#[test]
fn a_network_moves_its_ports_only_when_no_route_misses_them() {
    let mut rib = filled();
    let operations = vec![
        put(network("red", 43)),
        put(port("rl0", "red", "10.0.1.1/24")),
    ];
    let error = refusal(&mut rib, Source::Static, operations);
    assert_eq!(
        error,
        "port rl0: is in use by route 10.0.3.0/24 network blue"
    );
}

/// Few keys, so that sources and snapshots meet.
fn any_route() -> impl Strategy<Value = Object> {
    (
        0u8..12,
        prop_oneof![Just(Target::Drop), (1u8..4).prop_map(to_vtep)],
    )
        .prop_map(|(third, target)| route("blue", &format!("10.1.{third}.0/24"), target))
}

fn any_snapshot() -> impl Strategy<Value = (Source, Vec<Object>)> {
    let source = prop_oneof![Just(Source::Grpc), Just(Source::Cni), Just(Source::Cluster)];
    let routes = prop::collection::vec(any_route(), 0..10).prop_map(|mut routes| {
        routes.sort_by_key(Object::key);
        routes.dedup_by_key(|route| route.key());
        routes
    });
    (source, routes)
}

fn of_source(rib: &Rib, source: Source) -> Vec<Object> {
    rib.iter_all()
        .filter(|(owner, _)| *owner == source)
        .map(|(_, object)| object)
        .collect()
}

proptest! {
    #[test]
    fn a_snapshot_replaces_one_source_and_its_delta_is_the_difference(
        snapshots in prop::collection::vec(any_snapshot(), 1..12)
    ) {
        let mut rib = filled();
        let base = [vtep("blue", 2), vtep("blue", 3)];
        let _ = rib.apply(Source::Static, base.map(put)).unwrap();
        for (source, routes) in snapshots {
            let others = |rib: &Rib| -> Vec<_> {
                rib.iter_all().filter(|(owner, _)| *owner != source).collect()
            };
            let (before, in_force) = (others(&rib), forced(&rib));
            let operations = rib.snapshot(source, routes.clone());
            let applied = rib.apply(source, operations).unwrap();
            prop_assert_eq!(of_source(&rib, source), routes);
            prop_assert_eq!(others(&rib), before);
            // The delta leads from what was in force to what is.
            let mut replayed = in_force.clone();
            for change in applied.delta.iter() {
                let key = change.latest().key();
                prop_assert_eq!(replayed.remove(&key), change.before.clone());
                replayed.extend(change.after.map(|after| (key, after)));
            }
            prop_assert_eq!(&replayed, &forced(&rib));
        }
    }

    #[test]
    fn reverting_restores_every_layer(
        snapshots in prop::collection::vec(any_snapshot(), 1..6)
    ) {
        let mut rib = filled();
        let base = [vtep("blue", 2), vtep("blue", 3)];
        let _ = rib.apply(Source::Static, base.map(put)).unwrap();
        for (source, routes) in snapshots {
            let before: Vec<_> = rib.iter_all().collect();
            let operations = rib.snapshot(source, routes.clone());
            let applied = rib.apply(source, operations.clone()).unwrap();
            rib.revert(applied);
            prop_assert_eq!(rib.iter_all().collect::<Vec<_>>(), before);
            let _ = rib.apply(source, operations).unwrap();
        }
    }
}

fn forced(rib: &Rib) -> BTreeMap<Key, Object> {
    rib.routes()
        .map(|(_, route)| Object::Route(route.clone()))
        .map(|it| (it.key(), it))
        .collect()
}

/// A load of routes of the network `blue`.
fn loaded(source: Source, replace: bool, routes: &[Object]) -> Load {
    let mut load = Load::new(name("blue"), source, replace);
    for object in routes {
        let route = Route::try_from(object.clone()).unwrap();
        let path = Path {
            target: route.target,
            via: route.via,
            direct: route.direct,
        };
        let path = load.add_path(path);
        load.push(route.prefix, path).unwrap();
        load.sort_run();
    }
    load.sort().unwrap();
    load
}

proptest! {
    /// A load does what the same routes one by one would have done.
    #[test]
    fn a_load_is_many_changes_at_once(
        loads in prop::collection::vec((any_snapshot(), any::<bool>()), 1..12)
    ) {
        let (mut rib, mut slow) = (filled(), filled());
        let base = [vtep("blue", 2), vtep("blue", 3)];
        let _ = rib.apply(Source::Static, base.clone().map(put)).unwrap();
        let _ = slow.apply(Source::Static, base.map(put)).unwrap();
        for ((source, routes), replace) in loads {
            let owned = of_source(&rib, source);
            let load = loaded(source, replace, &routes);
            let foreseen = rib.try_load(&load).unwrap();
            let delta = rib.load(&load).unwrap();
            prop_assert_eq!(delta.counts, foreseen.counts);
            let operations: Vec<_> = if replace {
                slow.snapshot(source, routes.clone())
            } else {
                routes.iter().cloned().map(put).collect()
            };
            let applied = slow.apply(source, operations).unwrap();
            prop_assert!(rib.iter_all().eq(slow.iter_all()));
            prop_assert!(rib.routes().eq(slow.routes()));
            let path = |id: Option<PathId>| id.map(|id| &delta.paths[id.index()]);
            let changes: Vec<_> = delta.iter().map(|change| {
                let route = |id| path(id).map(|it| it.route(&delta.network, change.prefix));
                Change { before: route(change.before), after: route(change.after) }
            }).collect();
            prop_assert_eq!(changes, applied.delta.routes);
            let Counts { added, changed, unchanged, removed, overridden } = delta.counts;
            prop_assert_eq!(added + changed + unchanged, routes.len() as u64);
            let gone = owned.len() as u64 + added - removed;
            prop_assert_eq!(of_source(&rib, source).len() as u64, gone);
            prop_assert!(overridden <= added + changed + unchanged);
        }
    }
}

#[test]
fn a_load_with_something_wrong_changes_nothing_and_names_the_first_record() {
    let mut rib = filled();
    let mut refused = |load: &Load| {
        let before: Vec<_> = rib.iter_all().collect();
        let error = rib.load(load).unwrap_err();
        assert_eq!(rib.iter_all().collect::<Vec<_>>(), before);
        error.to_string()
    };
    let routes = [
        route("blue", "10.9.0.0/16", to_vtep(1)),
        route("blue", "10.8.0.0/16", to_vtep(9)),
        route("blue", "10.7.0.0/16", to_vtep(9)),
    ];
    assert_eq!(
        refused(&loaded(Source::Grpc, true, &routes)),
        "record 2: route 10.8.0.0/16 network blue: vtep: the network has no vtep 192.0.2.9"
    );
    let mut twice = Load::new(name("blue"), Source::Grpc, false);
    let path = Path {
        target: Target::Drop,
        via: None,
        direct: false,
    };
    assert_eq!(twice.add_path(path), 0);
    for prefix in [
        "10.3.0.0/16",
        "fd00::/8",
        "10.2.0.0/16",
        "10.3.0.0/16",
        "fd00::/8",
    ] {
        twice.push(prefix.parse().unwrap(), 0).unwrap();
    }
    let error = twice.sort().unwrap_err().to_string();
    assert_eq!(
        error,
        "record 4: 10.3.0.0/16: record 1 has this prefix already"
    );
    let error = twice.push("10.4.0.0/16".parse().unwrap(), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "record 6: 10.4.0.0/16: there is no path 1; 1 were sent"
    );
    let nowhere = Load::new(name("red"), Source::Grpc, true);
    assert_eq!(refused(&nowhere), "network red: does not exist");
}

#[test]
fn a_load_uncovers_only_what_makes_sense() {
    let mut rib = filled();
    let covered = route("blue", "10.0.2.0/24", to_vtep(2));
    let covering = route("blue", "10.0.2.0/24", Target::Drop);
    let _ = rib.apply(Source::Grpc, [put(vtep("blue", 2))]).unwrap();
    let _ = rib.load(&loaded(Source::Cni, false, &[covered])).unwrap();
    let _ = rib.load(&loaded(Source::Grpc, false, &[covering])).unwrap();
    let gone = [route("blue", "10.0.2.0/24", Target::Drop)];
    let _ = rib.apply(Source::Static, gone.iter().map(delete)).unwrap();
    let _ = rib.apply(Source::Grpc, [delete(&vtep("blue", 2))]).unwrap();
    let error = rib.load(&loaded(Source::Grpc, true, &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "route 10.0.2.0/24 network blue: vtep: the network has no vtep 192.0.2.2"
    );
    let removed = rib.load(&loaded(Source::Cni, true, &[])).unwrap();
    assert_eq!((removed.len(), removed.counts.removed), (0, 1));
}

/// The same route without encapsulation.
fn direct(object: Object) -> Object {
    let Object::Route(route) = object else {
        panic!("no route")
    };
    Object::Route(Route {
        direct: true,
        ..route
    })
}

#[test]
fn only_what_gets_to_far_ends_goes_there_without_encapsulation() {
    let mut rib = filled();
    let mut refused = |object| refusal(&mut rib, Source::Grpc, vec![put(object)]);
    let error = refused(direct(route("blue", "10.9.0.0/16", Target::Drop)));
    assert!(
        error.contains("direct: is of use only for routes to vteps"),
        "{error}"
    );
    let error = refused(direct(route("blue", "fd00::/16", to_vtep(1))));
    assert!(
        error.contains("prefix: without encapsulation only"),
        "{error}"
    );
    let v6 = [
        route("blue", "10.9.0.0/16", to_vtep(1)),
        direct(route("blue", "fd00::/16", to_vtep(1))),
    ];
    let error = rib.load(&loaded(Source::Grpc, false, &v6)).unwrap_err();
    assert!(
        error.to_string().contains("without encapsulation only"),
        "{error}"
    );
    assert_eq!(error.record, Some(2));
    // What goes through tunnels may be of any version, but not in a network that has none.
    let _ = rib.load(&loaded(Source::Grpc, false, &v6[..1])).unwrap();
    let v6 = [route("blue", "fd00::/16", to_vtep(1))];
    let _ = rib.load(&loaded(Source::Grpc, false, &v6)).unwrap();
    let Object::Network(blue) = network("blue", 42) else {
        unreachable!();
    };
    let plain = Object::Network(Network {
        encap: Encap::Plain,
        ..blue.clone()
    });
    let error = refusal(&mut rib, Source::Static, vec![put(plain.clone())]);
    assert!(
        error.contains("encap: without encapsulation only"),
        "{error}"
    );
    let _ = rib.load(&loaded(Source::Grpc, true, &[])).unwrap();
    let _ = rib.apply(Source::Static, [put(plain)]).unwrap();
    let error = rib.load(&loaded(Source::Grpc, false, &v6)).unwrap_err();
    assert_eq!(error.record, Some(1));
    let strangers = Object::Network(Network {
        encap: Encap::Plain,
        accept_unknown_vteps: Some(true),
        ..blue
    });
    let error = refusal(&mut rib, Source::Static, vec![put(strangers)]);
    assert_eq!(
        error,
        "network blue: accept_unknown_vteps: is of no use without encapsulation"
    );
}

#[test]
fn a_snapshot_with_one_key_twice_is_refused() {
    let mut rib = filled();
    let twice = vec![
        route("blue", "10.1.0.0/24", Target::Drop),
        route("blue", "10.1.0.0/24", to_vtep(1)),
    ];
    let operations = rib.snapshot(Source::Grpc, twice);
    let error = refusal(&mut rib, Source::Grpc, operations);
    assert_eq!(error, "route 10.1.0.0/24 network blue: exists already");
}
