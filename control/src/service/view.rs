//! From objects to messages, with what became of them.

use ipnet::IpNet;
use ringlay_encap::{MacAddr, Vni};
use tonic::Status;

use super::status::not_found;
use crate::{
    app::Engine,
    compile::TunnelKey,
    mtu::Next,
    object::{
        FdbEntry, Key, Kind, Name, Neighbour, Network, Object, Path, Port, Route, RouteKey, Site,
        Source, Target, Vtep,
    },
    proto,
    rib::RouteRef,
};

/// Which run of the daemon speaks, and how far it is.
pub(super) fn instance(engine: &Engine) -> Option<proto::Instance> {
    let uuid = engine.identity().uuid.clone();
    Some(proto::Instance {
        uuid,
        generation: engine.generation(),
    })
}

pub(super) fn network(engine: &Engine, source: Source, network: &Network) -> proto::Network {
    let table = engine.compiler().network(&network.name);
    let reason = engine.mtu_reason(network);
    let endpoint = engine.compiler().endpoint(&network.name);
    let encap = network.encap;
    let learning = network.mode.learning();
    let stations = table.map(|(id, _)| engine.stations().counts(id));
    let stations = stations.unwrap_or_default();
    proto::Network {
        name: network.name.to_string(),
        vni: encap.vni().map(Vni::value),
        encap: encap.encapsulation().to_string(),
        mode: network.mode.to_string(),
        fdb_ageing_ms: learning.map(|it| it.ageing.as_millis() as u64), // at most 12 days
        fdb_limit: learning.map(|it| it.limit),
        port: encap.port().map(u32::from),
        key: encap.key().map(|key| key.0),
        inner: encap.inner().to_string(),
        preset: text(network.preset.map(|preset| preset.name)),
        ecn: network.headers.ecn_word().to_owned(),
        dscp: network.headers.dscp.to_string(),
        ttl: text(network.headers.ttl),
        encap_limit: network.headers.encap_limit.map(u32::from),
        udp_checksum: text(encap.port().map(|_| network.headers.udp_checksum)),
        mtu: network.mtu.map(u32::from),
        mac: text(network.mac),
        mss_clamp: network.mss_clamp.to_string(),
        fragment: network.fragment,
        accept_unknown_vteps: network.accept_unknown_vteps,
        source: source.to_string(),
        status: table.map(|(id, table)| proto::NetworkStatus {
            id: id.0.into(),
            mtu: engine.compiler().mtu(&network.name).unwrap_or_default(),
            mtu_reason: reason,
            // Ringlay is no station of a bridged network.
            mac: text((!network.mode.is_bridged()).then_some(table.mac)),
            underlay: text(endpoint),
            accept_unknown_vteps: table.accept_unknown_vteps,
            fdb_learned: stations.learned as u32, // limited
            fdb_refused: stations.refused,
            warnings: engine
                .warnings(&network.name)
                .map(|(_, text)| text.clone())
                .collect(),
        }),
    }
}

pub(super) fn port(engine: &Engine, source: Source, port: &Port) -> proto::Port {
    let id = engine.compiler().port(&port.name);
    let status = engine
        .ports()
        .get(&port.name)
        .zip(id)
        .map(|(entry, id)| proto::PortStatus {
            id: id.0.into(),
            index: entry.open.device.index,
            queues: entry.open.queues as u32, // one a worker
            mtu: entry.open.mtu,
            mode: entry.open.mode.clone(),
            warnings: entry.warnings().cloned().collect(),
            mac: text(engine.compiler().link_mac(&port.name)),
        });
    proto::Port {
        name: port.name.to_string(),
        network: port.network.to_string(),
        kind: port.kind.to_string(),
        device: port.device.to_string(),
        netns: text(port.netns.as_ref().map(|path| path.display())),
        addresses: port.addresses.iter().map(ToString::to_string).collect(),
        mac: text(port.mac),
        proxy: port.proxy,
        zero_copy: port.zero_copy.to_string(),
        queues: port.queues.map(u32::from),
        routes: Some(port.routes),
        source: source.to_string(),
        status,
    }
}

pub(super) fn vtep(engine: &Engine, source: Source, vtep: &Vtep) -> proto::Vtep {
    let far_end = engine.far_end(&TunnelKey::to(&vtep.network, vtep.address, None));
    let way = engine.way(vtep.address);
    let router = way.and_then(|way| match way.next {
        Next::Router(router) => Some(router),
        Next::End | Next::Nobody => None,
    });
    let warnings = engine.warnings(&vtep.network);
    let warnings = warnings.filter(|(end, _)| *end == Some(vtep.address));
    proto::Vtep {
        network: vtep.network.to_string(),
        address: vtep.address.to_string(),
        mac: text(vtep.mac),
        source: source.to_string(),
        status: far_end.map(|(id, status)| proto::VtepStatus {
            tunnel: id.0,
            state: status.state.to_owned(),
            mac: text(status.mac),
            target: text(status.target),
            link: text(way.map(|way| &way.link)),
            router: text(router),
            on_link: engine.is_on_link(vtep.address),
            warnings: warnings.map(|(_, text)| text.clone()).collect(),
        }),
    }
}

pub(super) fn route(source: Source, route: &Route) -> proto::Route {
    let (network, prefix, path) = route.clone().into_parts();
    show_route(source.name(), &network, prefix, &path)
}

/// A route, where it is kept.
pub(super) fn route_ref(route: RouteRef<'_>) -> proto::Route {
    let source = route.source.name();
    show_route(source, route.network, route.prefix, route.path)
}

pub(super) fn show_route(source: &str, network: &Name, prefix: IpNet, path: &Path) -> proto::Route {
    use proto::route::Target as Raw;
    let target = match &path.target {
        Target::Vteps(vteps) => {
            let addresses = vteps.iter().map(ToString::to_string).collect();
            Raw::Vteps(proto::VtepList { addresses })
        }
        Target::Port(name) => Raw::Port(name.to_string()),
        Target::Drop => Raw::Drop(true),
    };
    proto::Route {
        network: network.to_string(),
        prefix: prefix.to_string(),
        target: Some(target),
        via: text(path.via),
        direct: path.direct,
        source: source.to_owned(),
    }
}

pub(super) fn neighbour(source: Source, neighbour: &Neighbour) -> proto::Neighbour {
    proto::Neighbour {
        network: neighbour.network.to_string(),
        address: neighbour.address.to_string(),
        vtep: neighbour.vtep.to_string(),
        mac: neighbour.mac.to_string(),
        source: source.to_string(),
        status: Some(proto::NeighbourStatus {
            state: "static".to_owned(),
            age_seconds: 0,
        }),
        ..proto::Neighbour::default()
    }
}

/// What was learned through the tunnels of a network, and of hosts on its ports.
pub(super) fn learned<'a>(
    engine: &'a Engine,
    network: &'a Name,
) -> impl Iterator<Item = proto::Neighbour> + 'a {
    let hosts = engine
        .hosts_of(network)
        .map(move |(port, host)| proto::Neighbour {
            network: network.to_string(),
            address: host.address.to_string(),
            mac: text(host.mac),
            port: port.to_string(),
            source: "learned".to_owned(),
            status: Some(proto::NeighbourStatus {
                state: host.state.to_owned(),
                age_seconds: host.age.map_or(0, |age| age.as_secs()),
            }),
            ..proto::Neighbour::default()
        });
    let far_ends = engine.compiler().tunnels_of(network);
    let far_ends = far_ends.filter_map(move |key| {
        let (_, status) = engine.far_end(key)?;
        Some(proto::Neighbour {
            network: network.to_string(),
            address: status.target?.to_string(),
            vtep: key.vtep.to_string(),
            mac: status.mac?.to_string(),
            source: "learned".to_owned(),
            status: Some(proto::NeighbourStatus {
                state: status.state.to_owned(),
                age_seconds: status.age?.as_secs(),
            }),
            ..proto::Neighbour::default()
        })
    });
    hosts.chain(far_ends)
}

pub(super) fn fdb(source: Source, entry: &FdbEntry) -> proto::FdbEntry {
    proto::FdbEntry {
        status: None,
        ..show_station(source.name(), &entry.network, entry.mac, &entry.site)
    }
}

/// What was learned in a bridged network. Where an entry of the desired state is in force, that is.
pub(super) fn stations<'a>(
    engine: &'a Engine,
    network: &'a Name,
) -> impl Iterator<Item = proto::FdbEntry> + 'a {
    let stations = engine.stations_of(network);
    stations.map(move |(mac, site, age)| proto::FdbEntry {
        status: Some(proto::FdbStatus {
            age_seconds: age.as_secs(),
        }),
        ..show_station("learned", network, mac, &site)
    })
}

fn show_station(source: &str, network: &Name, mac: MacAddr, site: &Site) -> proto::FdbEntry {
    use proto::fdb_entry::Site as Raw;
    proto::FdbEntry {
        network: network.to_string(),
        mac: mac.to_string(),
        site: Some(match site {
            Site::Vtep(vtep) => Raw::Vtep(vtep.to_string()),
            Site::Port(port) => Raw::Port(port.to_string()),
        }),
        source: source.to_owned(),
        status: None,
    }
}

/// An object of any kind, as it is in force now.
pub(super) fn object(engine: &Engine, source: Source, of: &Object) -> proto::Object {
    use proto::object::Kind as Raw;
    let kind = match of {
        Object::Network(it) => Raw::Network(network(engine, source, it)),
        Object::Port(it) => Raw::Port(port(engine, source, it)),
        Object::Vtep(it) => Raw::Vtep(vtep(engine, source, it)),
        Object::Route(it) => Raw::Route(route(source, it)),
        Object::Neighbour(it) => Raw::Neighbour(neighbour(source, it)),
        Object::FdbEntry(it) => Raw::Fdb(fdb(source, it)),
    };
    proto::Object { kind: Some(kind) }
}

pub(super) fn route_key(key: &RouteKey) -> proto::RouteKey {
    proto::RouteKey {
        network: key.network.to_string(),
        prefix: key.prefix.to_string(),
    }
}

pub(super) fn key(of: &Key) -> proto::ObjectKey {
    use proto::object_key::Kind as Raw;
    let kind = match of {
        Key::Network(name) => Raw::Network(proto::NetworkKey {
            name: name.to_string(),
        }),
        Key::Port(name) => Raw::Port(proto::PortKey {
            name: name.to_string(),
        }),
        Key::Vtep(key) => Raw::Vtep(proto::VtepKey {
            network: key.network.to_string(),
            address: key.address.to_string(),
        }),
        Key::Route(key) => Raw::Route(route_key(key)),
        Key::Neighbour(key) => Raw::Neighbour(proto::NeighbourKey {
            network: key.network.to_string(),
            address: key.address.to_string(),
        }),
        Key::FdbEntry(key) => Raw::Fdb(proto::FdbKey {
            network: key.network.to_string(),
            mac: key.mac.to_string(),
        }),
    };
    proto::ObjectKey { kind: Some(kind) }
}

/// The object in force under a key.
pub(super) fn find<T: TryFrom<Object>>(engine: &Engine, key: Key) -> Result<(Source, T), Status> {
    let found = engine.rib().entry(&key);
    let found = found.and_then(|(source, object)| Some((source, T::try_from(object).ok()?)));
    found.ok_or_else(|| not_found(&key))
}

/// The objects of one kind: those in force, or of all sources.
pub(super) fn list<'a, T: Kind + TryFrom<Object> + 'a>(
    engine: &Engine,
    all: bool,
    in_force: impl Iterator<Item = (Source, &'a T)>,
) -> Vec<(Source, T)> {
    if !all {
        return in_force.map(|(source, it)| (source, it.clone())).collect();
    }
    let objects = engine.rib().iter_all();
    objects
        .filter_map(|(source, object)| Some((source, T::try_from(object).ok()?)))
        .collect()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
