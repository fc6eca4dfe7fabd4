//! What a node tells by itself: changes, far ends that it learned of, its health.

use std::net::IpAddr;

use ringlay_control::proto::{
    BatchRequest, DeleteRouteRequest, GetNodeRequest, ListNeighboursRequest, ObjectKey, Vtep,
    object::Kind, object_key, route::Target, watch_response,
};
use ringlay_dataplane::event::Event;

use super::{CONFIG, node::Node, put, route, route_key};

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_goes_on_with_changes() {
    let node = Node::start(CONFIG).await;
    let mut watch = node.watch().await;
    assert_eq!(watch.present, 4);
    let generation = node
        .apply(route("10.9.0.0/16", Target::Drop(true)))
        .await
        .unwrap();
    let message = watch.next().await;
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
    let event = watch.next().await.event.unwrap();
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
    let status = node.list_vteps().await[0].status.clone().unwrap();
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
    let vteps = node.list_vteps().await;
    assert_eq!(
        vteps[0].status.as_ref().unwrap().state,
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
