//! Many ways for a route, and many routes at once.

use super::*;

#[test]
fn groups_are_the_same_whatever_came_before_and_lose_only_the_flows_of_who_goes() {
    let flows = |bench: &Bench| -> Vec<String> {
        let (id, _) = bench.compiler.network(&"blue".parse().unwrap()).unwrap();
        let tables = bench.compiler.tables();
        let found = *tables
            .network(id)
            .unwrap()
            .fib
            .v4
            .lookup([10, 9, 0, 1].into())
            .unwrap();
        let flows = (0..Group::SLOTS as u32).map(|slot| slot << Group::SHIFT);
        flows
            .map(|flow| match tables.next_hop(found, flow) {
                NextHop::Tunnel(id) => bench.compiler.tunnel_key(*id).unwrap().to_string(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let mut bench = filled();
    bench.put((3..9).map(|end| vtep("blue", end, None)));
    let group = |ends: &[u8]| route("blue", "10.9.0.0/16", to(ends));
    bench.put([group(&[1, 2, 3, 4])]);
    let before = flows(&bench);
    // Another history, other identifiers, another order.
    let mut other = Bench::new();
    other.put([
        network("red", 43),
        network("blue", 42),
        vtep("red", 9, None),
    ]);
    other.put([4, 3, 1, 2].map(|end| vtep("blue", end, None)));
    other.put([group(&[3, 1, 4, 2])]);
    assert_eq!(flows(&other), before);
    // Nor does it matter who can be reached: packets wait for those who cannot, as for a VTEP alone.
    let resolved = bench.tunnel(2, None);
    bench.compiler.learn(&bench.rib, resolved, Some(FAR));
    assert_eq!(flows(&bench), before);
    let unresolved = bench.tunnel(3, None);
    assert!(bench.template(resolved).is_some() && bench.template(unresolved).is_none());
    bench.put([group(&[1, 2, 4])]);
    let gone = TunnelKey::to(&"blue".parse().unwrap(), address(3), None).to_string();
    for (before, after) in before.iter().zip(flows(&bench)) {
        assert_eq!(*before == after, *before != gone);
    }
    bench.put([group(&[1, 2, 3, 4])]);
    assert_eq!(flows(&bench), before);
}

#[test]
fn a_table_built_anew_is_what_changes_one_by_one_lead_to() {
    let text = |number: u32, offset: u32| {
        let [_, b, c, d] = ((number * 7 + offset) << 4).to_be_bytes();
        format!("10.{b}.{c}.{}/28", d & 0xf0)
    };
    let drop_or = |number: u32| Path {
        target: if number.is_multiple_of(3) {
            Target::Drop
        } else {
            to(&[(number % 2) as u8 + 1])
        },
        via: None,
        direct: false,
    };
    let blue: Name = "blue".parse().unwrap();
    let numbers: Vec<_> = (0..3000).collect();
    let (mut bulk, mut single) = (filled(), filled());
    for (offset, share) in [(0, 1), (0, 2), (3, 1), (0, 700), (0, 50)] {
        let some = numbers.iter().filter(|number| *number % share == 0);
        let routes: Vec<_> = some
            .map(|number| (text(*number, offset), drop_or(number / share)))
            .chain([
                ("10.0.1.1/32".to_owned(), drop_or(1)),
                ("10.0.1.0/24".to_owned(), drop_or(1)),
            ])
            .collect();
        let routes: Vec<_> = routes
            .iter()
            .map(|(text, path)| (text.as_str(), path.clone()))
            .collect();
        assert!(bulk.load(Source::Import, true, &routes));
        // In small steps: what goes, and then what comes, by twenties.
        let kept: BTreeSet<IpNet> = routes
            .iter()
            .map(|(prefix, _)| prefix.parse().unwrap())
            .collect();
        let gone = single.rib.routes_of(&blue);
        let gone: Vec<_> = gone
            .filter(|route| route.source == Source::Import && !kept.contains(&route.prefix))
            .map(|route| Operation::Delete {
                key: Key::Route(route.to_route().key()),
                missing_ok: false,
            })
            .collect();
        let applied = single.rib.apply(Source::Import, gone).unwrap();
        single.compiler.apply(&single.rib, &applied.delta);
        for some in routes.chunks(20) {
            assert!(single.load(Source::Import, false, some));
        }
        let fib = |bench: &Bench| {
            let (_, table) = bench.compiler.network(&"blue".parse().unwrap()).unwrap();
            let tables = bench.compiler.tables();
            let routes: Vec<_> = table
                .fib
                .v4
                .iter()
                .map(|(prefix, id)| (prefix, tables.next_hop(*id, 0).clone()))
                .collect();
            routes
        };
        assert_eq!(fib(&bulk), fib(&single));
        assert_eq!(bulk.lookup("blue", "10.0.1.1"), "port rl0");
        assert_eq!(
            bulk.lookup("blue", "10.0.1.9"),
            "vtep 192.0.2.2 network blue"
        );
    }
    for bench in [&mut bulk, &mut single] {
        assert!(bench.load(Source::Import, true, &[]));
        assert_eq!(bench.lookup("blue", "10.0.1.9"), "port rl0");
        let objects: Vec<_> = bench
            .rib
            .iter_all()
            .map(|(_, object)| object.key())
            .collect();
        let delete = |key| Operation::Delete {
            key,
            missing_ok: false,
        };
        assert!(bench.apply(objects.into_iter().rev().map(delete).collect()));
        assert!(bench.compiler.next_hops.is_empty());
    }
}
