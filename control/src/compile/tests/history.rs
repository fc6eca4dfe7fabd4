//! Histories of changes: whatever came before, tables say what the final state says.

use proptest::prelude::*;

use super::*;

/// Few keys, so that changes meet; many of them make no sense and are refused.
fn any_operation() -> impl Strategy<Value = Operation> {
    let name = || prop_oneof![Just("blue"), Just("red")];
    let target = prop_oneof![
        Just(Target::Drop),
        (1u8..4).prop_map(|end| to(&[end])),
        Just(to(&[1, 2])),
        Just(Target::Port("rl0".parse().unwrap())),
    ];
    let prefix = prop_oneof![
        Just("10.0.1.0/24"),
        Just("10.0.1.1/32"),
        Just("10.0.0.0/16"),
        Just("10.0.2.0/24"),
        Just("fd00:1::/64")
    ];
    let addresses = prop::sample::subsequence(
        vec!["10.0.1.1/24", "10.0.1.2/24", "10.0.2.1/32", "fd00:1::1/64"],
        0..4,
    );
    let object = prop_oneof![
        1 => name().prop_map(|name| network(name, if name == "blue" { 42 } else { 43 })),
        2 => (prop_oneof![Just("rl0"), Just("rl1")], name(), addresses)
            .prop_map(|(port_name, name, addresses)| port(port_name, name, &addresses)),
        2 => (name(), 1u8..4, prop::option::of(Just(FAR)))
            .prop_map(|(name, end, mac)| vtep(name, end, mac)),
        3 => (name(), prefix, target).prop_map(|(name, prefix, target)| route(name, prefix, target)),
        1 => (1u8..4).prop_map(|end| route_via("10.0.3.0/24", end, "10.0.2.254")),
        1 => (1u8..4).prop_map(|end| neighbour("10.0.2.254", end)),
    ];
    (object, prop::bool::weighted(0.3)).prop_map(|(object, delete)| {
        if delete {
            Operation::Delete {
                key: object.key(),
                missing_ok: true,
            }
        } else {
            Operation::Apply {
                object,
                exist_ok: true,
            }
        }
    })
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Change(Vec<Operation>),
    Load(Source, bool, Vec<(&'static str, Path)>),
}

fn any_load() -> impl Strategy<Value = Step> {
    let source = prop_oneof![Just(Source::Static), Just(Source::Grpc), Just(Source::Cni)];
    let target = prop_oneof![
        Just((Target::Drop, None, false)),
        (1u8..4).prop_map(|end| (to(&[end]), None, false)),
        (1u8..4).prop_map(|end| (to(&[end]), None, true)),
        (1u8..4).prop_map(|end| (to(&[end]), Some("10.0.2.254".parse().unwrap()), false)),
        Just((to(&[1, 2]), None, false)),
        Just((to(&[1, 2]), None, true)),
        Just((Target::Port("rl0".parse().unwrap()), None, false)),
    ];
    let path = target.prop_map(|(target, via, direct)| Path {
        target,
        via,
        direct,
    });
    let prefixes = vec![
        "10.0.1.0/24",
        "10.0.1.1/32",
        "10.0.0.0/16",
        "10.0.2.0/24",
        "fd00:1::/64",
        "0.0.0.0/0",
    ];
    let routes = prop::sample::subsequence(prefixes, 0..6).prop_flat_map(move |prefixes| {
        let paths = prop::collection::vec(path.clone(), prefixes.len());
        paths.prop_map(move |paths| prefixes.iter().copied().zip(paths).collect())
    });
    (source, any::<bool>(), routes)
        .prop_map(|(source, replace, routes)| Step::Load(source, replace, routes))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(any_operation(), 1..6).prop_map(Step::Change),
        1 => any_load(),
    ]
}

proptest! {
    /// Tables that grew by changes say the same as tables made at once from the final state.
    #[test]
    fn changes_add_up(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Change(change) => bench.apply(change),
                Step::Load(source, replace, routes) => bench.load(source, replace, &routes),
            };
            let mut fresh = Bench::new();
            let in_force = |key: &_, source| bench.rib.entry(key).unwrap().0 == source;
            let objects = bench.rib.iter_all();
            let objects = objects.filter(|(source, object)| in_force(&object.key(), *source));
            fresh.put(objects.map(|(_, object)| object));
            for name in ["blue", "red"] {
                for address in [
                    "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.2.1", "10.0.2.2", "10.0.3.1",
                    "10.0.9.9", "11.0.0.1", "fd00:1::1", "fd00:1::2", "fd00:2::1",
                ] {
                    prop_assert_eq!(bench.lookup(name, address), fresh.lookup(name, address));
                }
                let name: Name = name.parse().unwrap();
                let facts = |bench: &Bench| {
                    let tables = bench.compiler.tables();
                    let tunnels: Vec<_> = bench.compiler.tunnels_of(&name).map(|key| {
                        let id = bench.compiler.tunnel(key).unwrap();
                        let template = tables.tunnel(id).unwrap().template.clone();
                        (key.clone(), template.map(|template| template.bytes().to_vec()))
                    }).collect();
                    let network = bench.compiler.network(&name).map(|(_, network)| {
                        let fib = (network.fib.v4.len(), network.fib.v6.len());
                        (network.vteps.clone(), network.addresses.clone(), network.mac, fib)
                    });
                    (tunnels, network)
                };
                prop_assert_eq!(facts(&bench), facts(&fresh));
            }
        }
        // What is gone holds nothing. The lowest source first, so that nothing is uncovered.
        if bench.rib.network(&"blue".parse().unwrap()).is_some() {
            for source in [Source::Cni, Source::Grpc, Source::Static] {
                prop_assert!(bench.load(source, true, &[]));
            }
        }
        let mut rib = bench.rib.iter_all().map(|(_, object)| object.key()).collect::<Vec<_>>();
        rib.reverse();
        let delete = |key| Operation::Delete { key, missing_ok: false };
        prop_assert!(bench.apply(rib.into_iter().map(delete).collect()));
        let compiler = &bench.compiler;
        prop_assert_eq!(compiler.underlays().count() + compiler.ports().count(), 0);
        prop_assert!(compiler.next_hops.is_empty());
    }
}
