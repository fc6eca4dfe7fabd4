//! What a change does, and what comes of one that fails: all of it or nothing.

use ringlay_control::{
    client::error_detail,
    object::Source,
    proto::{
        self, ApplyRouteRequest, ApplySnapshotRequest, BatchRequest, DeleteRouteRequest,
        DeleteVtepRequest, GetPortRequest, GetRouteRequest, ListPortsRequest, Route, VtepKey,
        object::Kind, route::Target,
    },
};
use ringlay_dataplane::tables::NextHop;
use tonic::Code;

use super::{CONFIG, node::Node, put, route, route_key, to};

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
