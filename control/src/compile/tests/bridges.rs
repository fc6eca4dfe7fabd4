//! Bridged networks: what the tables say of them, static entries before learned ones.

use ringlay_dataplane::tables::{Bridge, Place};

use super::*;
use crate::object::{FdbEntry, Learning, Mode, Site};

const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x21]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x22]);

fn blue() -> Name {
    "blue".parse().unwrap()
}

fn bridged(limit: u32) -> Object {
    let Object::Network(network) = network("blue", 42) else {
        unreachable!()
    };
    let learning = Learning {
        limit,
        ..Learning::default()
    };
    Object::Network(Network {
        mode: Mode::Bridged(learning),
        ..network
    })
}

fn fixed(vtep: u8) -> Object {
    Object::FdbEntry(FdbEntry {
        network: blue(),
        mac: STATION,
        site: Site::Vtep(address(vtep)),
    })
}

/// With a port and two far ends.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let Object::Port(tap) = port("rl0", "blue", &["10.9.0.1/24"]) else {
        unreachable!()
    };
    let tap = Port {
        kind: PortKind::Tap,
        routes: false,
        ..tap
    };
    let ends = [2, 1].map(|end| vtep("blue", end, None));
    bench.put([bridged(10), tap.into()]);
    bench.put(ends);
    bench
}

impl Bench {
    fn bridge(&self) -> Bridge {
        let (id, _) = self.compiler.network(&blue()).unwrap();
        self.compiler.tables().bridge(id).unwrap().clone()
    }

    fn learn(&mut self, learned: &[(MacAddr, Place)]) {
        let (id, _) = self.compiler.network(&blue()).unwrap();
        let learned = learned.iter().copied();
        self.compiler.learn_stations(&self.rib, id, learned);
    }

    fn place(&self, mac: MacAddr) -> Option<(Place, bool)> {
        let bridge = self.bridge();
        let entry = bridge.fdb.entry(mac)?;
        Some((entry.place, entry.fixed))
    }
}

#[test]
fn its_ports_and_tunnels_are_one_ethernet() {
    let mut bench = bench();
    let port = bench.compiler.port(&"rl0".parse().unwrap()).unwrap();
    let ends = [1, 2].map(|end| (address(end), bench.tunnel(end, None)));
    let bridge = bench.bridge();
    assert_eq!((bridge.ports, bridge.tunnels), (vec![port], ends.to_vec()));
    assert!(bridge.learns);
    // Nobody is asked for a MAC address, and nobody is a router.
    let template = bench.template(ends[0].1).unwrap();
    assert!(template.is_bridged());
    assert!(bench.compiler.tables().link(port).is_none());
    let view = bench.compiler.view(&bench.rib, ends[0].1).unwrap();
    assert!(view.is_settled() && view.addresses.is_empty());
    assert_eq!(bench.lookup("blue", "10.9.0.1"), "no route");
    assert_eq!(bench.compiler.mtu(&blue()), Some(1450));
    bench.put([bridged(0)]);
    assert!(!bench.bridge().learns);
    bench.delete(&vtep("blue", 1, None));
    assert_eq!(bench.bridge().tunnels, ends[1..]);
}

#[test]
fn what_is_configured_counts_before_what_is_learned() {
    let mut bench = bench();
    let far = Place::Tunnel(bench.tunnel(2, None));
    bench.learn(&[(STATION, far), (OTHER, far)]);
    assert_eq!(bench.place(STATION), Some((far, false)));
    bench.put([fixed(1)]);
    let near = Place::Tunnel(bench.tunnel(1, None));
    assert_eq!(bench.place(STATION), Some((near, true)));
    assert_eq!(bench.place(OTHER), Some((far, false)));
    // In use, the far end stays.
    let operation = Operation::Delete {
        key: vtep("blue", 1, None).key(),
        missing_ok: false,
    };
    assert!(!bench.apply(vec![operation]));
    bench.delete(&fixed(1));
    assert_eq!(bench.place(STATION), Some((far, false)));
    bench.learn(&[]);
    assert_eq!(bench.place(STATION), None);
}

#[test]
fn who_sends_stays_noted_while_the_table_changes() {
    let mut bench = bench();
    let far = Place::Tunnel(bench.tunnel(2, None));
    bench.learn(&[(STATION, far)]);
    let (id, _) = bench.compiler.network(&blue()).unwrap();
    let worker = bench.bridge();
    worker.fdb.entry(STATION).unwrap().mark_used();
    bench.learn(&[(STATION, far), (OTHER, far)]);
    assert_eq!(bench.compiler.take_used(id), [STATION]);
    assert!(bench.compiler.take_used(id).is_empty());
}

#[test]
fn a_network_stays_routed_or_bridged_while_something_is_in_it() {
    let mut bench = bench();
    let routed = Operation::Apply {
        object: network("blue", 42),
        exist_ok: true,
    };
    assert!(!bench.apply(vec![routed.clone()]));
    for end in [1, 2] {
        bench.delete(&vtep("blue", end, None));
    }
    bench.delete(&port("rl0", "blue", &[]));
    assert!(bench.apply(vec![routed]));
    let (id, _) = bench.compiler.network(&blue()).unwrap();
    assert!(bench.compiler.tables().bridge(id).is_none());
}
