mod bridges;
mod history;
mod links;
mod many;
mod plain;
mod quotes;

use std::net::{Ipv4Addr, Ipv6Addr};

use ringlay_dataplane::{
    endpoint::Endpoint,
    port::uplink,
    tables::{Group, NextHop},
};
use ringlay_encap::{Encapsulation, Template, UdpChecksum};

use super::*;
use crate::{
    object::{
        Encap, Headers, Key, Kind, Neighbour, Network, Object, Port, PortKind, Source, Target, Vtep,
    },
    rib::{Load, Operation},
};

const ENVIRONMENT: Environment = Environment {
    local: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)),
    mtu: 1500,
    dont_fragment: true,
    accept_unknown_vteps: false,
    uplink: false,
};
const FAR: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// A desired state and what is compiled from it.
struct Bench {
    rib: Rib,
    compiler: Compiler,
}

impl Bench {
    /// With the first far end on the same link.
    fn new() -> Self {
        let mut compiler = Compiler::new(ENVIRONMENT);
        compiler.set_on_link(BTreeSet::from([address(1)]));
        Self {
            rib: Rib::new(ENVIRONMENT.local),
            compiler,
        }
    }

    /// Does what makes sense; what does not is refused by the desired state.
    fn apply(&mut self, operations: Vec<Operation>) -> bool {
        let Ok(applied) = self.rib.apply(Source::Grpc, operations) else {
            return false;
        };
        self.compiler.apply(&self.rib, &applied.delta);
        true
    }

    /// Loads routes of the network `blue`, if that makes sense.
    fn load(&mut self, source: Source, replace: bool, routes: &[(&str, Path)]) -> bool {
        let mut load = Load::new("blue".parse().unwrap(), source, replace);
        for (prefix, path) in routes {
            let path = load.add_path(path.clone());
            load.push(prefix.parse().unwrap(), path).unwrap();
        }
        load.sort().unwrap();
        let Ok(delta) = self.rib.load(&load) else {
            return false;
        };
        self.compiler.load(&self.rib, &delta);
        true
    }

    fn put(&mut self, objects: impl IntoIterator<Item = Object>) {
        let put = |object| Operation::Apply {
            object,
            exist_ok: true,
        };
        assert!(self.apply(objects.into_iter().map(put).collect()));
    }

    fn delete(&mut self, object: &Object) {
        assert!(self.apply(vec![Operation::Delete {
            key: object.key(),
            missing_ok: false
        }]));
    }

    /// Where a packet for `address` goes, in words.
    fn lookup(&self, network: &str, address: &str) -> String {
        let network = network.parse().unwrap();
        lookup(
            &self.compiler,
            &self.compiler.tables(),
            &network,
            address.parse().unwrap(),
        )
    }

    fn tunnel(&self, vtep: u8, via: Option<&str>) -> TunnelId {
        let via = via.map(|via| via.parse().unwrap());
        let network = "blue".parse().unwrap();
        self.compiler
            .tunnel(&TunnelKey::to(&network, address(vtep), via))
            .unwrap()
    }

    fn template(&self, id: TunnelId) -> Option<Template> {
        self.compiler.tables().tunnel(id).unwrap().template.clone()
    }
}

fn lookup(compiler: &Compiler, tables: &Tables, network: &Name, address: IpAddr) -> String {
    let Some((id, _)) = compiler.network(network) else {
        return "no network".to_owned();
    };
    let fib = &tables.network(id).unwrap().fib;
    let found = match address {
        IpAddr::V4(address) => fib.v4.lookup(address).copied(),
        IpAddr::V6(address) => fib.v6.lookup(address).copied(),
    };
    let Some(found) = found else {
        return "no route".to_owned();
    };
    // Over so many flows every member of a group is seen.
    let mut names: Vec<_> = (0..64)
        .map(|slot| slot << Group::SHIFT)
        .map(|flow| match tables.next_hop(found, flow) {
            NextHop::Port(port) => {
                assert_eq!(tables.port(*port).unwrap().network, id);
                let mut ports = compiler.ports();
                format!("port {}", ports.find(|(_, id)| id == port).unwrap().0)
            }
            NextHop::Tunnel(tunnel) => {
                assert_eq!(tables.tunnel(*tunnel).unwrap().network, id);
                compiler.tunnel_key(*tunnel).unwrap().to_string()
            }
            NextHop::Link(port) => format!("link {port}"),
            NextHop::Gateway(port, router) => format!("router {router} on link {port}"),
            NextHop::Local => "this node".to_owned(),
            NextHop::OffLink => "off link".to_owned(),
            NextHop::Drop => "drop".to_owned(),
            NextHop::Group(_) => panic!("a group inside a group"),
        })
        .collect();
    names.sort();
    names.dedup();
    names.join(" or ")
}

fn address(end: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, end])
}

fn network(name: &str, vni: u32) -> Object {
    let mac = None;
    let (mtu, accept_unknown_vteps) = (None, None);
    let vni = vni.try_into().unwrap();
    Object::Network(Network {
        name: name.parse().unwrap(),
        encap: Encap::Vxlan { vni, port: 4789 },
        mode: crate::object::Mode::Routed,
        preset: None,
        headers: Headers::default(),
        mtu,
        mac,
        mss_clamp: crate::object::MssClamp::Auto,
        fragment: false,
        accept_unknown_vteps,
    })
}

fn port(name: &str, network: &str, addresses: &[&str]) -> Object {
    Object::Port(Port {
        name: name.parse().unwrap(),
        network: network.parse().unwrap(),
        kind: PortKind::Tun,
        device: name.parse().unwrap(),
        netns: None,
        addresses: addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
        mac: None,
        proxy: false,
        zero_copy: crate::object::ZeroCopy::Auto,
        queues: None,
        routes: true,
        guest: None,
    })
}

fn vtep(network: &str, end: u8, mac: Option<MacAddr>) -> Object {
    Object::Vtep(Vtep {
        network: network.parse().unwrap(),
        address: address(end),
        mac,
    })
}

fn route(network: &str, prefix: &str, target: Target) -> Object {
    let (network, prefix) = (network.parse().unwrap(), prefix.parse().unwrap());
    Object::Route(Route {
        network,
        prefix,
        target,
        via: None,
        direct: false,
    })
}

fn route_via(prefix: &str, vtep: u8, via: &str) -> Object {
    Object::Route(Route {
        network: "blue".parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        target: to(&[vtep]),
        via: Some(via.parse().unwrap()),
        direct: false,
    })
}

fn neighbour(inner: &str, vtep: u8) -> Object {
    Object::Neighbour(Neighbour {
        network: "blue".parse().unwrap(),
        address: inner.parse().unwrap(),
        vtep: address(vtep),
        mac: FAR,
    })
}

fn to(vteps: &[u8]) -> Target {
    Target::Vteps(vteps.iter().map(|end| address(*end)).collect())
}

fn filled() -> Bench {
    let mut bench = Bench::new();
    bench.put([
        network("blue", 42),
        port("rl0", "blue", &["10.0.1.1/24", "fd00:1::1/64"]),
        vtep("blue", 1, None),
        vtep("blue", 2, None),
        route("blue", "10.0.2.0/24", to(&[1])),
        route("blue", "fd00:2::/64", to(&[1])),
    ]);
    bench
}

#[test]
fn packets_go_where_the_routes_say() {
    let mut bench = filled();
    assert_eq!(bench.lookup("blue", "10.0.1.1"), "port rl0");
    assert_eq!(bench.lookup("blue", "10.0.1.200"), "port rl0");
    assert_eq!(bench.lookup("blue", "fd00:1::7"), "port rl0");
    assert_eq!(
        bench.lookup("blue", "10.0.2.7"),
        "vtep 192.0.2.1 network blue"
    );
    assert_eq!(
        bench.lookup("blue", "fd00:2::7"),
        "vtep 192.0.2.1 network blue"
    );
    assert_eq!(bench.lookup("blue", "10.0.3.7"), "no route");
    bench.put([
        route("blue", "0.0.0.0/0", to(&[1, 2])),
        route("blue", "10.0.4.0/24", Target::Drop),
        route("blue", "10.0.5.0/24", Target::Port("rl0".parse().unwrap())),
    ]);
    let both = "vtep 192.0.2.1 network blue or vtep 192.0.2.2 network blue";
    assert_eq!(bench.lookup("blue", "10.0.3.7"), both);
    assert_eq!(bench.lookup("blue", "10.0.4.7"), "drop");
    assert_eq!(bench.lookup("blue", "10.0.5.7"), "port rl0");
}

#[test]
fn own_addresses_come_before_routes_and_those_before_connected_prefixes() {
    let mut bench = filled();
    let stretched = route("blue", "10.0.1.0/24", to(&[2]));
    let stolen = route("blue", "10.0.1.1/32", to(&[2]));
    bench.put([stretched.clone(), stolen.clone()]);
    assert_eq!(
        bench.lookup("blue", "10.0.1.7"),
        "vtep 192.0.2.2 network blue"
    );
    assert_eq!(bench.lookup("blue", "10.0.1.1"), "port rl0");
    bench.delete(&stretched);
    assert_eq!(bench.lookup("blue", "10.0.1.7"), "port rl0");
    bench.put([port("rl0", "blue", &[])]);
    assert_eq!(
        bench.lookup("blue", "10.0.1.1"),
        "vtep 192.0.2.2 network blue"
    );
    bench.delete(&stolen);
    assert_eq!(bench.lookup("blue", "10.0.1.1"), "no route");
}

#[test]
fn a_change_leaves_other_identifiers_alone() {
    let mut bench = filled();
    let (blue, _) = bench.compiler.network(&"blue".parse().unwrap()).unwrap();
    let before = (bench.tunnel(1, None), bench.tunnel(2, None), blue);
    bench.compiler.learn(&bench.rib, before.0, Some(FAR));
    for n in 0..200u8 {
        let object = route("blue", &format!("10.{n}.9.0/24"), to(&[1, 2]));
        bench.put([network("red", 43), vtep("red", 9, None), object.clone()]);
        bench.delete(&object);
        bench.delete(&vtep("red", 9, None));
        bench.delete(&network("red", 43));
    }
    let (blue, _) = bench.compiler.network(&"blue".parse().unwrap()).unwrap();
    assert_eq!((bench.tunnel(1, None), bench.tunnel(2, None), blue), before);
    assert!(bench.template(before.0).is_some(), "what was learned stays");
}

#[test]
fn templates_take_configured_addresses_before_learned_ones() {
    let mut bench = filled();
    let tunnel = bench.tunnel(1, None);
    let inner_dst = |bench: &Bench| {
        let template = bench.template(tunnel)?;
        let at = template.inner_ethernet_offset().unwrap();
        Some(MacAddr(template.bytes()[at..at + 6].try_into().unwrap()))
    };
    assert_eq!(inner_dst(&bench), None);
    let learned = MacAddr([2, 0, 0, 0, 0, 1]);
    bench.compiler.learn(&bench.rib, tunnel, Some(learned));
    assert_eq!(inner_dst(&bench), Some(learned));
    bench.put([neighbour("10.0.2.1", 1)]);
    assert_eq!(inner_dst(&bench), Some(FAR));
    let configured = MacAddr([2, 0, 0, 0, 0, 2]);
    bench.put([vtep("blue", 1, Some(configured))]);
    assert_eq!(inner_dst(&bench), Some(configured));
    bench.put([vtep("blue", 1, None)]);
    bench.delete(&neighbour("10.0.2.1", 1));
    assert_eq!(inner_dst(&bench), Some(learned));
    bench.compiler.learn(&bench.rib, tunnel, None);
    assert_eq!(inner_dst(&bench), None);
}

#[test]
fn a_router_behind_a_vtep_has_a_tunnel_of_its_own_while_routes_name_it() {
    let mut bench = filled();
    bench.put([
        route_via("10.0.7.0/24", 1, "10.0.2.254"),
        neighbour("10.0.2.254", 1),
    ]);
    let via = bench.tunnel(1, Some("10.0.2.254"));
    assert_ne!(via, bench.tunnel(1, None));
    assert!(bench.template(via).is_some());
    assert_eq!(
        bench.lookup("blue", "10.0.7.1"),
        "vtep 192.0.2.1 network blue via 10.0.2.254"
    );
    let touched = bench.compiler.take_touched(&bench.rib);
    let view = touched
        .into_iter()
        .find(|(id, _)| *id == via)
        .unwrap()
        .1
        .unwrap();
    assert_eq!(
        (view.via, view.configured),
        (Some("10.0.2.254".parse().unwrap()), Some(FAR))
    );
    bench.put([route("blue", "10.0.7.0/24", Target::Drop)]);
    assert!(bench.compiler.tables().tunnel(via).is_none());
    assert_eq!(bench.compiler.take_touched(&bench.rib), [(via, None)]);
}

#[test]
fn a_tunnel_is_hinted_at_a_host_behind_it() {
    let mut bench = Bench::new();
    bench.put([
        network("blue", 42),
        vtep("blue", 1, None),
        route("blue", "0.0.0.0/0", to(&[1])),
    ]);
    let hint = |bench: &mut Bench| {
        let touched = bench.compiler.take_touched(&bench.rib);
        touched.into_iter().next().unwrap().1.unwrap().hint
    };
    assert_eq!(hint(&mut bench), None, "the default route tells nothing");
    bench.put([route("blue", "10.0.2.0/24", to(&[1]))]);
    assert_eq!(hint(&mut bench), Some("10.0.2.1".parse().unwrap()));
}

#[test]
fn a_network_has_what_the_dataplane_asks_for() {
    let bench = filled();
    let (id, network) = bench.compiler.network(&"blue".parse().unwrap()).unwrap();
    assert!(network.mac.is_local() && network.mac.is_unicast());
    assert_eq!(bench.compiler.mtu(&"blue".parse().unwrap()), Some(1450));
    assert!(network.knows_vtep(address(2)) && !network.knows_vtep(address(3)));
    assert_eq!(network.icmp_source_v4(), Ipv4Addr::new(10, 0, 1, 1));
    assert_eq!(
        network.icmp_source_v6(),
        "fd00:1::1".parse::<Ipv6Addr>().unwrap()
    );
    let tables = bench.compiler.tables();
    assert_eq!(
        tables.network_by_key(network.underlay, network.key, address(2)),
        Some(id)
    );
    let other = Environment {
        local: address(101),
        ..ENVIRONMENT
    };
    let mut compiler = Compiler::new(other);
    let mut rib = Rib::new(other.local);
    let object = Operation::Apply {
        object: self::network("blue", 42),
        exist_ok: true,
    };
    let applied = rib.apply(Source::Static, [object]).unwrap();
    compiler.apply(&rib, &applied.delta);
    let (_, far) = compiler.network(&"blue".parse().unwrap()).unwrap();
    assert_ne!(far.mac, network.mac, "nodes differ");
}

#[test]
fn with_uplinks_the_templates_have_every_outer_header() {
    let compiled = |uplink| {
        let environment = Environment {
            uplink,
            ..ENVIRONMENT
        };
        let mut rib = Rib::new(environment.local);
        let vtep = Vtep {
            network: "blue".parse().unwrap(),
            address: address(2),
            mac: Some(FAR),
        };
        let objects: [Object; 2] = [network("blue", 42), vtep.into()];
        let put = objects.map(|object| Operation::Apply {
            object,
            exist_ok: true,
        });
        let applied = rib.apply(Source::Static, put).unwrap();
        let mut compiler = Compiler::new(environment);
        compiler.apply(&rib, &applied.delta);
        let (_, table) = compiler.network(&"blue".parse().unwrap()).unwrap();
        let key = TunnelKey::to(&"blue".parse().unwrap(), address(2), None);
        let tables = compiler.tables();
        let endpoint = Endpoint {
            local: SocketAddr::new(ENVIRONMENT.local, 4789),
            encapsulation: Encapsulation::Vxlan,
            checksum: UdpChecksum::On,
        };
        assert_eq!(tables.underlay(table.underlay), Some(endpoint));
        let tunnel = tables.tunnel(compiler.tunnel(&key).unwrap()).unwrap();
        tunnel.template.clone().unwrap()
    };
    assert_eq!(compiled(false).l2_offset(), None);
    let whole = compiled(true);
    assert_eq!(whole.l2_offset(), Some(0));
    assert_eq!(whole.bytes()[..6], uplink::MAC.0);
    assert_eq!(whole.bytes()[whole.ip_offset() + 8], 65, "64 on the wire");
}

#[test]
fn an_underlay_lasts_while_a_network_uses_it() {
    let mut bench = filled();
    let underlays = |bench: &Bench| bench.compiler.underlays().collect::<Vec<_>>();
    let first = underlays(&bench);
    assert_eq!(first.len(), 1);
    bench.put([network("red", 43)]);
    assert_eq!(underlays(&bench), first);
    let Object::Network(mut moved) = network("blue", 42) else {
        unreachable!()
    };
    moved.encap = Encap::Vxlan {
        vni: 42.try_into().unwrap(),
        port: 8472,
    };
    bench.put([Object::Network(moved)]);
    assert_eq!(underlays(&bench).len(), 2);
    assert_eq!(underlays(&bench)[0], first[0]);
    let remote = bench
        .compiler
        .tables()
        .tunnel(bench.tunnel(1, None))
        .unwrap()
        .remote;
    assert_eq!(remote.to_string(), "192.0.2.1:8472");
    bench.delete(&network("red", 43));
    assert_eq!(underlays(&bench).len(), 1);
}
