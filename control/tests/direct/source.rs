//! Whose objects are whose: the configuration file, clients, and snapshots of one source.

use ringlay_control::{
    client::error_detail,
    config::Config,
    proto::{ApplySnapshotRequest, ListRoutesRequest, Object, object::Kind, route::Target},
};
use ringlay_dataplane::tables::NextHop;

use super::{CONFIG, node::Node, route};

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
    let routes = node.list_routes(request).await;
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
