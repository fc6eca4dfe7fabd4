//! The whole control plane over a Unix socket, on a machine that only remembers: needs no
//! privilege and moves no packet. See `netns.rs` for the real thing.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]

mod attach;
mod fake_host;
mod node;
mod stages;

use std::net::IpAddr;

use ringlay_control::{
    client::error_detail,
    config::Config,
    object::Source,
    proto::{
        self, ApplyNetworkRequest, ApplyRouteRequest, ApplySnapshotRequest, BatchRequest,
        DeleteRouteRequest, DeleteVtepRequest, GetNodeRequest, GetPortRequest, GetRouteRequest,
        ListNeighboursRequest, ListPortsRequest, ListRoutesRequest, ListVtepsRequest, Object,
        ObjectKey, Operation, Route, RouteKey, Vtep, VtepKey, VtepList, WatchRequest, object::Kind,
        object_key, operation::Verb, route::Target, watch_response,
    },
};
use ringlay_dataplane::{event::Event, tables::NextHop};
use ringlay_encap::{Encapsulation, TunnelKey, UdpChecksum};
use tonic::Code;

use self::node::Node;

const CONFIG: &str = r#"
[underlay]
address = "192.0.2.100"

[[network]]
name = "blue"
vni = 42

[[port]]
network = "blue"
device = "rl0"
addresses = ["10.0.1.1/24"]

[[vtep]]
network = "blue"
address = "192.0.2.1"

[[route]]
network = "blue"
prefix = "10.0.2.0/24"
vtep = "192.0.2.1"
"#;

fn route(prefix: &str, target: Target) -> Route {
    let (network, prefix) = ("blue".to_owned(), prefix.to_owned());
    Route {
        network,
        prefix,
        target: Some(target),
        ..Route::default()
    }
}

fn to(vtep: &str) -> Target {
    Target::Vteps(VtepList {
        addresses: vec![vtep.to_owned()],
    })
}

fn route_key(prefix: &str) -> Option<RouteKey> {
    Some(RouteKey {
        network: "blue".to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn put(kind: Kind) -> Operation {
    let verb = Some(Verb::Apply(Object { kind: Some(kind) }));
    Operation {
        verb,
        ..Operation::default()
    }
}

impl Node {
    async fn apply(&self, route: Route) -> Result<u64, tonic::Status> {
        let request = ApplyRouteRequest {
            route: Some(route),
            exist_ok: None,
        };
        let reply = self.routes().apply_route(request).await?.into_inner();
        Ok(reply.instance.unwrap().generation)
    }

    async fn apply_network(&self, network: &proto::Network) -> Result<(), tonic::Status> {
        let request = ApplyNetworkRequest {
            network: Some(network.clone()),
            exist_ok: Some(true),
        };
        self.networks().apply_network(request).await.map(drop)
    }

    async fn prefixes(&self) -> Vec<String> {
        let request = ListRoutesRequest::default();
        let mut pieces = self
            .routes()
            .list_routes(request)
            .await
            .unwrap()
            .into_inner();
        let mut prefixes = Vec::new();
        while let Some(piece) = pieces.message().await.unwrap() {
            prefixes.extend(piece.routes.into_iter().map(|route| route.prefix));
        }
        prefixes
    }

    /// Where the tables in force send a packet.
    fn next_hop(&self, address: [u8; 4]) -> Option<NextHop> {
        self.host.with(|state| {
            let id = state.tables.network_by_key(
                *state.underlays.keys().next().unwrap(),
                TunnelKey::Vxlan(42.try_into().unwrap()),
                "192.168.77.2".parse().unwrap(),
            )?;
            let fib = &state.tables.network(id)?.fib;
            let found = fib.v4.lookup(address.into())?;
            Some(state.tables.next_hop(*found, 0).clone())
        })
    }
}

#[tokio::test]
async fn a_change_is_in_force_when_the_reply_comes() {
    let node = Node::start(CONFIG).await;
    assert_eq!(node.next_hop([10, 9, 0, 1]), None);
    let generation = node
        .apply(route("10.9.0.0/16", to("192.0.2.1")))
        .await
        .unwrap();
    assert!(matches!(
        node.next_hop([10, 9, 0, 1]),
        Some(NextHop::Tunnel(_))
    ));
    assert!(matches!(
        node.next_hop([10, 0, 1, 9]),
        Some(NextHop::Port(_))
    ));
    // The same again changes nothing.
    assert_eq!(
        node.apply(route("10.9.0.0/16", to("192.0.2.1")))
            .await
            .unwrap(),
        generation
    );
    let later = node
        .apply(route("10.9.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    assert!(later > generation);
    assert_eq!(node.next_hop([10, 9, 0, 1]), Some(NextHop::Drop));
    let key = route_key("10.9.0.0/16");
    let request = DeleteRouteRequest {
        key,
        ..DeleteRouteRequest::default()
    };
    node.routes().delete_route(request.clone()).await.unwrap();
    assert_eq!(node.next_hop([10, 9, 0, 1]), None);
    let status = node
        .routes()
        .delete_route(request.clone())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let request = DeleteRouteRequest {
        missing_ok: true,
        ..request
    };
    node.routes().delete_route(request).await.unwrap();
}

#[tokio::test]
async fn kernel_routes_follow_remote_prefixes() {
    let node = Node::start(CONFIG).await;
    let routes = || {
        node.host.with(|state| {
            state
                .routes
                .iter()
                .map(|(_, prefix)| prefix.to_string())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(routes(), ["10.0.2.0/24"]);
    node.apply(route("10.9.0.0/16", to("192.0.2.1")))
        .await
        .unwrap();
    node.apply(route("10.8.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    assert_eq!(routes(), ["10.0.2.0/24", "10.9.0.0/16"]);
    node.apply(route("10.9.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    assert_eq!(routes(), ["10.0.2.0/24"]);
    // What the kernel refuses is told, and tried again when the route changes.
    node.host
        .with(|state| state.routed.insert("10.7.0.0/16".parse().unwrap()));
    node.apply(route("10.7.0.0/16", to("192.0.2.1")))
        .await
        .unwrap();
    let ports = node
        .ports()
        .list_ports(ListPortsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        ports.ports[0].status.as_ref().unwrap().warnings,
        ["10.7.0.0/16: exists"]
    );
}

#[tokio::test]
async fn errors_say_field_reason_and_hint() {
    let node = Node::start(CONFIG).await;
    let status = node
        .apply(route("10.9.0.0/16", to("192.0.2.9")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let detail = error_detail(&status).unwrap();
    assert_eq!(detail.field, "route 10.9.0.0/16 network blue: vtep");
    assert_eq!(detail.reason, "UNKNOWN_VTEP");
    assert!(detail.hint.contains("add the vtep"), "{}", detail.hint);
    let status = node
        .apply(route("10.9.0.1/16", Target::Drop(true)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(error_detail(&status).unwrap().field, "route.prefix");
    let request = GetRouteRequest {
        key: route_key("10.9.0.0/16"),
    };
    let status = node.routes().get_route(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    // Nobody speaks for the configuration file.
    let stolen = Route {
        source: "static".to_owned(),
        ..route("10.9.0.0/16", to("192.0.2.1"))
    };
    assert_eq!(
        node.apply(stolen).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let key = Some(VtepKey {
        network: "blue".to_owned(),
        address: "192.0.2.1".to_owned(),
    });
    let request = DeleteVtepRequest {
        key,
        ..DeleteVtepRequest::default()
    };
    let status = node.vteps().delete_vtep(request).await.unwrap_err();
    assert_eq!(error_detail(&status).unwrap().reason, "NOT_YOURS");
}

#[tokio::test]
async fn exist_ok_decides_whether_add_replaces() {
    let node = Node::start(CONFIG).await;
    let request = |exist_ok| ApplyRouteRequest {
        route: Some(route("10.9.0.0/16", Target::Drop(true))),
        exist_ok,
    };
    node.routes()
        .apply_route(request(Some(false)))
        .await
        .unwrap();
    let status = node
        .routes()
        .apply_route(request(Some(false)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    node.routes().apply_route(request(None)).await.unwrap();
}

#[tokio::test]
async fn a_device_that_cannot_be_had_undoes_the_whole_change() {
    let node = Node::start(CONFIG).await;
    let before = node.show_config().await;
    let port = |name: &str| proto::Port {
        network: "blue".to_owned(),
        device: name.to_owned(),
        ..proto::Port::default()
    };
    let network = proto::Network {
        name: "red".to_owned(),
        vni: Some(43),
        port: Some(8472),
        ..proto::Network::default()
    };
    let ports = node.host.with(|state| state.ports.clone());
    let underlays = node.host.with(|state| state.underlays.clone());
    let generation = node.host.with(|state| state.generation);
    node.host
        .with(|state| state.broken.insert("rl2".to_owned()));
    let operations = vec![
        put(Kind::Network(network)),
        put(Kind::Port(port("rl1"))),
        put(Kind::Port(port("rl2"))),
        put(Kind::Route(route(
            "10.9.0.0/16",
            Target::Port("rl1".to_owned()),
        ))),
    ];
    let request = BatchRequest {
        source: String::new(),
        operations,
    };
    let status = node.state().batch(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("rl2 is broken"), "{status}");
    assert_eq!(node.host.with(|state| state.ports.clone()), ports);
    assert_eq!(node.host.with(|state| state.underlays.clone()), underlays);
    assert_eq!(node.host.with(|state| state.generation), generation);
    assert_eq!(node.show_config().await, before);
    // With the cause gone it works.
    node.host.with(|state| state.broken.clear());
    node.state().batch(request).await.unwrap();
    assert_eq!(
        node.host
            .with(|state| (state.ports.len(), state.underlays.len())),
        (3, 2)
    );
    let key = Some(proto::PortKey {
        name: "rl1".to_owned(),
    });
    let port = node
        .ports()
        .get_port(GetPortRequest { key })
        .await
        .unwrap()
        .into_inner()
        .port;
    assert_eq!(port.unwrap().status.unwrap().mode, "fake");
}

#[tokio::test]
async fn a_taken_udp_port_is_an_error_and_the_network_is_not_there() {
    let node = Node::start(CONFIG).await;
    node.host.with(|state| state.taken.insert(8472));
    let network = proto::Network {
        name: "red".to_owned(),
        vni: Some(43),
        port: Some(8472),
        ..proto::Network::default()
    };
    let request = ApplyNetworkRequest {
        network: Some(network),
        exist_ok: None,
    };
    let status = node.networks().apply_network(request).await.unwrap_err();
    assert!(status.message().contains("8472 is taken"), "{status}");
    assert!(!node.show_config().await.contains("red"));
}

#[tokio::test]
async fn a_udp_port_can_become_of_another_kind() {
    let node = Node::start(CONFIG).await;
    let open = || {
        let endpoints = node.host.with(|state| state.underlays.clone());
        // The other one is in nobody's way.
        assert_eq!(endpoints.len(), 2);
        let found = endpoints.values().find(|it| it.local.port() == 8472);
        found.map(|it| (it.encapsulation, it.checksum))
    };
    let vxlan = proto::Network {
        name: "red".to_owned(),
        vni: Some(43),
        port: Some(8472),
        ..proto::Network::default()
    };
    let geneve = proto::Network {
        encap: "geneve".to_owned(),
        ttl: "copy".to_owned(),
        ..vxlan.clone()
    };
    let bare = proto::Network {
        udp_checksum: "off".to_owned(),
        ttl: "copy".to_owned(),
        ..vxlan.clone()
    };
    for (network, encapsulation, checksum) in [
        (&vxlan, Encapsulation::Vxlan, UdpChecksum::On),
        (&bare, Encapsulation::Vxlan, UdpChecksum::Off),
        (&geneve, Encapsulation::Geneve, UdpChecksum::On),
    ] {
        node.apply_network(network).await.unwrap();
        assert_eq!(open(), Some((encapsulation, checksum)));
    }
    // What fails later leaves it as it was.
    node.host
        .with(|state| state.broken.insert("rl2".to_owned()));
    let port = proto::Port {
        network: "red".to_owned(),
        device: "rl2".to_owned(),
        ..proto::Port::default()
    };
    let request = BatchRequest {
        source: String::new(),
        operations: [Kind::Network(bare), Kind::Port(port)].map(put).to_vec(),
    };
    let status = node.state().batch(request).await.unwrap_err();
    assert!(status.message().contains("rl2 is broken"), "{status}");
    assert_eq!(open(), Some((Encapsulation::Geneve, UdpChecksum::On)));
    assert_eq!(node.host.with(|state| state.ttls.len()), 1, "told anew");
}

#[tokio::test]
async fn times_to_live_are_reported_where_a_network_takes_them_over() {
    let node = Node::start(CONFIG).await;
    let reported = || {
        node.host.with(|state| {
            let ports = state.ttls.iter().map(|id| state.underlays[id].local.port());
            ports.collect::<Vec<_>>()
        })
    };
    let network = |name: &str, vni, port, ttl: &str| proto::Network {
        name: name.to_owned(),
        vni: Some(vni),
        port: Some(port),
        ttl: ttl.to_owned(),
        ..proto::Network::default()
    };
    for (network, expected) in [
        (network("red", 43, 8472, ""), &[][..]),
        (network("red", 43, 8472, "copy"), &[8472]),
        // They share an endpoint.
        (network("green", 44, 8472, "9"), &[8472]),
        (network("green", 44, 8472, "copy"), &[8472]),
        (network("red", 43, 8472, "9"), &[8472]),
        (network("green", 44, 4790, "copy"), &[4790]),
        (network("green", 44, 4790, ""), &[]),
    ] {
        node.apply_network(&network).await.unwrap();
        assert_eq!(reported(), expected, "{network:?}");
    }
}

#[tokio::test]
async fn a_snapshot_replaces_the_objects_of_its_source_only() {
    let node = Node::start(CONFIG).await;
    node.apply(route("10.1.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    let snapshot = |prefixes: &[&str], generation, dry_run| ApplySnapshotRequest {
        source: "cluster".to_owned(),
        generation,
        objects: prefixes
            .iter()
            .map(|prefix| Object {
                kind: Some(Kind::Route(route(prefix, Target::Drop(true)))),
            })
            .collect(),
        dry_run,
    };
    let counts = async |request| {
        let reply = node.state().apply_snapshot(request).await?.into_inner();
        let difference = reply.difference.unwrap();
        let counts = (
            difference.added.len(),
            difference.changed.len(),
            difference.removed.len(),
        );
        Ok::<_, tonic::Status>(counts)
    };
    let both = ["10.2.0.0/16", "10.3.0.0/16"];
    assert_eq!(counts(snapshot(&both, 5, true)).await.unwrap(), (2, 0, 0));
    assert_eq!(
        node.prefixes().await,
        ["10.0.2.0/24", "10.1.0.0/16"],
        "that was a dry run"
    );
    assert_eq!(counts(snapshot(&both, 5, false)).await.unwrap(), (2, 0, 0));
    assert_eq!(counts(snapshot(&both, 5, false)).await.unwrap(), (0, 0, 0));
    assert_eq!(
        counts(snapshot(&["10.3.0.0/16", "10.4.0.0/16"], 6, false))
            .await
            .unwrap(),
        (1, 0, 1)
    );
    let expected = ["10.0.2.0/24", "10.1.0.0/16", "10.3.0.0/16", "10.4.0.0/16"];
    assert_eq!(node.prefixes().await, expected);
    let status = counts(snapshot(&[], 5, false)).await.unwrap_err();
    assert_eq!(error_detail(&status).unwrap().reason, "STALE");
    assert_eq!(counts(snapshot(&[], 0, false)).await.unwrap(), (0, 0, 2));
}

#[tokio::test]
async fn the_configuration_file_wins_over_clients() {
    let node = Node::start(CONFIG).await;
    node.apply(route("10.0.2.0/24", Target::Drop(true)))
        .await
        .unwrap();
    assert!(matches!(
        node.next_hop([10, 0, 2, 1]),
        Some(NextHop::Tunnel(_))
    ));
    let request = ListRoutesRequest {
        all_sources: true,
        ..ListRoutesRequest::default()
    };
    let mut pieces = node
        .routes()
        .list_routes(request)
        .await
        .unwrap()
        .into_inner();
    let routes = pieces.message().await.unwrap().unwrap().routes;
    let sources: Vec<_> = routes.iter().map(|route| route.source.as_str()).collect();
    assert_eq!(sources, ["static", "grpc"]);
}

#[tokio::test]
async fn a_reload_changes_what_differs_and_nothing_of_others() {
    let node = Node::start(CONFIG).await;
    node.apply(route("10.9.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    let reload = |text: String| {
        let config = Config::parse("x.toml".as_ref(), text).unwrap();
        node.engine
            .lock()
            .unwrap()
            .reload(&config)
            .map(|done| done.delta.iter().count())
    };
    assert_eq!(reload(CONFIG.to_owned()).unwrap(), 0);
    assert_eq!(
        reload(CONFIG.replace("10.0.2.0/24", "10.0.3.0/24")).unwrap(),
        2
    );
    assert_eq!(node.prefixes().await, ["10.0.3.0/24", "10.9.0.0/16"]);
    let error = reload(CONFIG.replace("192.0.2.100", "192.0.2.101")).unwrap_err();
    assert!(
        error.to_string().contains("underlay.address cannot change"),
        "{error}"
    );
    let bad = CONFIG.replace("vtep = \"192.0.2.1\"", "vtep = \"192.0.2.9\"");
    let error = reload(bad).unwrap_err().to_string();
    assert!(
        error.starts_with("x.toml:21: route.vtep: the network has no vtep"),
        "{error}"
    );
    assert_eq!(node.prefixes().await, ["10.0.3.0/24", "10.9.0.0/16"]);
    // A device under another name is another device.
    assert_eq!(reload(CONFIG.replace("rl0", "rl9")).unwrap(), 4);
    assert_eq!(
        node.host
            .with(|state| state.ports.values().cloned().collect::<Vec<_>>()),
        ["rl9"]
    );
}

#[tokio::test]
async fn what_is_shown_as_configuration_leads_to_the_same_state() {
    let node = Node::start(CONFIG).await;
    node.apply(route("10.9.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    let shown = node.show_config().await;
    assert!(shown.contains("# source: grpc\n[[route]]"), "{shown}");
    let again = Node::start(&shown).await;
    assert_eq!(again.prefixes().await, node.prefixes().await);
    assert_eq!(
        again.show_config().await,
        shown.replace("# source: grpc\n", "")
    );
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_goes_on_with_changes() {
    let node = Node::start(CONFIG).await;
    let mut watch = node
        .state()
        .watch(WatchRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut initial = 0;
    loop {
        match watch.message().await.unwrap().unwrap().event.unwrap() {
            watch_response::Event::Present(_) => initial += 1,
            watch_response::Event::InitialEnd(_) => break,
            removed => panic!("{removed:?}"),
        }
    }
    assert_eq!(initial, 4);
    let generation = node
        .apply(route("10.9.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    let message = watch.message().await.unwrap().unwrap();
    assert_eq!(message.instance.unwrap().generation, generation);
    let Some(watch_response::Event::Present(object)) = message.event else {
        panic!()
    };
    let Some(Kind::Route(shown)) = object.kind else {
        panic!()
    };
    assert_eq!(
        (shown.prefix.as_str(), shown.source.as_str()),
        ("10.9.0.0/16", "grpc")
    );
    let key = route_key("10.9.0.0/16");
    let request = DeleteRouteRequest {
        key: key.clone(),
        ..DeleteRouteRequest::default()
    };
    node.routes().delete_route(request).await.unwrap();
    let event = watch.message().await.unwrap().unwrap().event.unwrap();
    let kind = Some(object_key::Kind::Route(key.unwrap()));
    assert_eq!(event, watch_response::Event::Removed(ObjectKey { kind }));
}

#[tokio::test]
async fn far_ends_are_asked_for_learned_and_shown() {
    let node = Node::start(CONFIG).await;
    let (tunnel, _) = node.host.with(|state| state.injected[0].clone());
    let unresolved = node
        .host
        .with(|state| state.tables.tunnel(tunnel).unwrap().template.is_none());
    assert!(unresolved);
    let heard = Event::NeighbourHeard {
        network: node
            .host
            .with(|state| state.tables.tunnel(tunnel).unwrap().network),
        vtep: IpAddr::from([192, 0, 2, 1]),
        address: IpAddr::from([10, 0, 2, 1]),
        mac: [2, 0, 0, 0, 0, 1].into(),
        answered: true,
    };
    node.engine.lock().unwrap().handle([heard]);
    let resolved = node
        .host
        .with(|state| state.tables.tunnel(tunnel).unwrap().template.is_some());
    assert!(resolved);
    let vteps = node
        .vteps()
        .list_vteps(ListVtepsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let status = vteps.vteps[0].status.clone().unwrap();
    assert_eq!(
        (status.state.as_str(), status.mac.as_str()),
        ("reachable", "02:00:00:00:00:01")
    );
    let request = ListNeighboursRequest::default();
    let neighbours = node
        .neighbours()
        .list_neighbours(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(neighbours.neighbours[0].address, "10.0.2.1");
    assert_eq!(neighbours.neighbours[0].source, "learned");
    // A configured address takes its place, and the VTEP is no longer asked.
    let vtep = Vtep {
        network: "blue".to_owned(),
        address: "192.0.2.1".to_owned(),
        mac: "02:00:00:00:00:02".to_owned(),
        ..Vtep::default()
    };
    let objects = vec![put(Kind::Vtep(vtep))];
    node.state()
        .batch(BatchRequest {
            source: "cni".to_owned(),
            operations: objects,
        })
        .await
        .unwrap();
    let vteps = node
        .vteps()
        .list_vteps(ListVtepsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        vteps.vteps[0].status.as_ref().unwrap().state,
        "reachable",
        "static wins over cni"
    );
}

#[tokio::test]
async fn every_start_has_another_instance_and_the_node_tells_its_driver() {
    let node = Node::start(CONFIG).await;
    let reply = node
        .nodes()
        .get_node(GetNodeRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.instance.unwrap().uuid, node.uuid);
    let shown = reply.node.unwrap();
    assert_eq!(
        (shown.driver.as_str(), shown.driver_reason.as_str()),
        ("epoll", "a fake")
    );
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let node = Node::start(CONFIG).await;
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let health = HealthClient::new(node.channel.clone())
        .check(request)
        .await
        .unwrap();
    assert_eq!(health.into_inner().status, 1, "SERVING");
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(node.channel.clone());
    let requests = tokio_stream::iter([request]);
    let mut replies = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let reply = replies
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(services) = reply else {
        panic!("{reply:?}")
    };
    let names: Vec<_> = services
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in [
        "Network",
        "Port",
        "Vtep",
        "Route",
        "Neighbour",
        "Node",
        "Stats",
        "State",
    ] {
        assert!(
            names.contains(&format!("ringlay.v1.{name}Service")),
            "{name} in {names:?}"
        );
    }
}

#[tokio::test]
async fn closing_leaves_nothing_open() {
    let node = Node::start(CONFIG).await;
    node.engine.lock().unwrap().close();
    node.host.with(|state| {
        assert!(state.ports.is_empty() && state.underlays.is_empty() && state.routes.is_empty());
    });
}

#[tokio::test]
async fn many_routes_come_and_go_in_one_batch() {
    const COUNT: u32 = 20_000;
    let node = Node::start(CONFIG).await;
    let prefix = |n: u32| format!("{}/32", std::net::Ipv4Addr::from(0x0b00_0000 + n));
    let operations = (0..COUNT).map(|n| put(Kind::Route(route(&prefix(n), Target::Drop(true)))));
    let request = BatchRequest {
        source: "grpc".to_owned(),
        operations: operations.collect(),
    };
    node.state().batch(request).await.unwrap();
    assert_eq!(node.prefixes().await.len(), COUNT as usize + 1);
    let request = ApplySnapshotRequest {
        source: "grpc".to_owned(),
        ..Default::default()
    };
    node.state().apply_snapshot(request).await.unwrap();
    assert_eq!(node.prefixes().await.len(), 1);
    assert_eq!(
        node.engine
            .lock()
            .unwrap()
            .rib()
            .iter_all()
            .filter(|(source, _)| *source == Source::Grpc)
            .count(),
        0
    );
}
