//! `RouteService.LoadRoutes`: all or nothing, and what it says about it.

use ringlay_control::{
    client::error_detail,
    proto::{
        LoadBegin, LoadCommit, LoadDifference, LoadPiece, LoadResult, LoadRoutesRequest, LoadStage,
        Route, RoutePath, VtepList, load_routes_request::Part, load_routes_response::Event,
        route::Target, route_path, watch_response,
    },
};
use ringlay_dataplane::tables::NextHop;
use tonic::{Code, Status};

use super::{CONFIG, node::Node};

fn begin(replace: bool) -> Part {
    Part::Begin(LoadBegin {
        network: "blue".to_owned(),
        replace,
        ..LoadBegin::default()
    })
}

fn path(vtep: &str) -> RoutePath {
    let addresses = vtep.split(',').map(str::to_owned).collect();
    RoutePath {
        direct: false,
        target: Some(route_path::Target::Vteps(VtepList { addresses })),
        via: String::new(),
    }
}

fn record(octets: [u8; 4], length: u8, path: u32) -> Vec<u8> {
    let mut record = vec![4, length];
    record.extend(octets);
    record.extend(path.to_be_bytes());
    record
}

fn piece(paths: &[&str], records: &[Vec<u8>]) -> Part {
    Part::Piece(LoadPiece {
        paths: paths.iter().map(|vtep| path(vtep)).collect(),
        packed: records.concat(),
        routes: Vec::new(),
    })
}

fn commit() -> Part {
    Part::Commit(LoadCommit {})
}

/// What a load says.
#[derive(Debug, Default)]
struct Said {
    stages: Vec<LoadStage>,
    difference: LoadDifference,
    result: Option<LoadResult>,
}

impl Said {
    /// Added, changed, unchanged, removed, overridden.
    fn counts(&self) -> [u64; 5] {
        let it = self.result.as_ref().unwrap();
        [
            it.added,
            it.changed,
            it.unchanged,
            it.removed,
            it.overridden,
        ]
    }
}

impl Node {
    async fn load(&self, parts: Vec<Part>) -> Result<Said, Status> {
        let requests = parts
            .into_iter()
            .map(|part| LoadRoutesRequest { part: Some(part) });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut replies = self.routes().load_routes(requests).await?.into_inner();
        let mut said = Said::default();
        while let Some(reply) = replies.message().await? {
            match reply.event.unwrap() {
                Event::Progress(progress) => said.stages.push(progress.stage()),
                Event::Difference(piece) => {
                    said.difference.added.extend(piece.added);
                    said.difference.changed.extend(piece.changed);
                    said.difference.removed.extend(piece.removed);
                }
                Event::Result(result) => said.result = Some(result),
            }
        }
        Ok(said)
    }

    /// Where the tables in force send a packet: a VTEP's last octet, or words.
    fn goes(&self, address: [u8; 4]) -> String {
        let engine = self.engine.lock().unwrap();
        let (id, _) = engine.compiler().network(&"blue".parse().unwrap()).unwrap();
        self.host.with(|state| {
            let fib = &state.tables.network(id).unwrap().fib;
            let Some(found) = fib.v4.lookup(address.into()) else {
                return "no route".to_owned();
            };
            match state.tables.next_hop(*found, 0) {
                NextHop::Tunnel(id) => engine.compiler().tunnel_key(*id).unwrap().vtep.to_string(),
                other => format!("{other:?}"),
            }
        })
    }

    fn tables(&self) -> u64 {
        self.host.with(|state| state.generation)
    }
}

#[tokio::test]
async fn all_routes_of_a_stream_come_in_force_with_one_set_of_tables() {
    let node = Node::start(CONFIG).await;
    let before = node.tables();
    let said = node
        .load(vec![
            begin(false),
            piece(
                &["192.0.2.1"],
                &[record([10, 1, 0, 0], 16, 0), record([10, 2, 0, 0], 16, 0)],
            ),
            piece(
                &["192.0.2.2"],
                &[record([10, 3, 0, 0], 16, 1), record([10, 1, 2, 0], 24, 1)],
            ),
            commit(),
        ])
        .await
        .unwrap();
    assert_eq!(said.counts(), [4, 0, 0, 0, 0]);
    assert_eq!(said.result.as_ref().unwrap().received, 4);
    let stages = [
        LoadStage::Merging,
        LoadStage::Published,
        LoadStage::Confirmed,
    ];
    assert_eq!(said.stages, stages);
    assert_eq!(node.tables(), before + 1);
    assert_eq!(node.goes([10, 1, 1, 1]), "192.0.2.1");
    assert_eq!(node.goes([10, 1, 2, 1]), "192.0.2.2");
    assert_eq!(node.goes([10, 3, 2, 1]), "192.0.2.2");
    // The same once more changes nothing, and nobody is bothered.
    let one = || {
        let only = piece(&["192.0.2.1"], &[record([10, 2, 0, 0], 16, 0)]);
        vec![begin(true), only, commit()]
    };
    let again = node.load(one()).await.unwrap();
    assert_eq!(again.counts(), [0, 0, 1, 3, 0]);
    let tables = node.tables();
    let again = node.load(one()).await.unwrap();
    assert_eq!(again.counts(), [0, 0, 1, 0, 0]);
    assert_eq!(node.tables(), tables);
    assert_eq!(node.goes([10, 3, 2, 1]), "no route");
}

#[tokio::test]
async fn a_stream_that_breaks_leaves_nothing() {
    let node = Node::start(CONFIG).await;
    let (before, config) = (node.tables(), node.show_config().await);
    let pieces = || {
        vec![
            begin(true),
            piece(&["192.0.2.1"], &[record([10, 1, 0, 0], 16, 0)]),
        ]
    };
    let error = node.load(pieces()).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("nothing was loaded"), "{error}");
    // A client that vanishes.
    let (sender, requests) = tokio::sync::mpsc::channel(4);
    for part in pieces() {
        sender
            .send(LoadRoutesRequest { part: Some(part) })
            .await
            .unwrap();
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let replies = node.routes().load_routes(requests).await.unwrap();
    drop((replies, sender));
    let empty = node.load(vec![begin(false), commit()]).await.unwrap();
    assert_eq!(empty.counts(), [0; 5]);
    assert_eq!((node.tables(), node.show_config().await), (before, config));
}

#[tokio::test]
async fn one_bad_route_refuses_all_and_is_named() {
    let node = Node::start(CONFIG).await;
    let (before, config) = (node.tables(), node.show_config().await);
    let good = record([10, 1, 0, 0], 16, 0);
    let vteps = &["192.0.2.1", "192.0.2.9"];
    for (records, problem) in [
        (
            vec![record([10, 1, 0, 1], 16, 0)],
            "record 2: piece.packed: 10.1.0.1/16 is too long or has host bits",
        ),
        (
            vec![record([10, 1, 0, 0], 33, 0)],
            "record 2: piece.packed: 10.1.0.0/33 is too long or has host bits",
        ),
        (
            vec![record([10, 2, 0, 0], 16, 2)],
            "record 2: 10.2.0.0/16: there is no path 2; 2 were sent",
        ),
        (
            vec![vec![5, 1]],
            "record 2: piece.packed: is cut off, or no record",
        ),
        (
            vec![vec![4, 8, 10, 0, 0, 0, 0]],
            "record 2: piece.packed: is cut off, or no record",
        ),
        (
            vec![record([10, 2, 0, 0], 16, 0), good.clone()],
            "record 3: 10.1.0.0/16: record 1 has this prefix already",
        ),
        (
            vec![record([10, 3, 0, 0], 16, 0), record([10, 2, 0, 0], 16, 1)],
            "record 3: route 10.2.0.0/16 network blue: vtep: the network has no vtep 192.0.2.9",
        ),
    ] {
        let records = [vec![good.clone()], records].concat();
        let parts = vec![begin(true), piece(vteps, &records), commit()];
        let error = node.load(parts).await.unwrap_err();
        assert_eq!(error.message(), problem);
        let detail = error_detail(&error).unwrap();
        assert!(
            problem.starts_with(&format!("{}: ", detail.field)),
            "{detail:?}"
        );
    }
    for (parts, problem) in [
        (vec![commit()], "part: the first must be begin"),
        (vec![begin(false), begin(false)], "part: begin came twice"),
        (
            vec![Part::Begin(LoadBegin::default()), commit()],
            "begin.network: is missing",
        ),
        (
            vec![
                Part::Begin(LoadBegin {
                    network: "red".to_owned(),
                    ..LoadBegin::default()
                }),
                commit(),
            ],
            "network red: does not exist",
        ),
    ] {
        assert_eq!(node.load(parts).await.unwrap_err().message(), problem);
    }
    assert_eq!((node.tables(), node.show_config().await), (before, config));
}

#[tokio::test]
async fn a_load_replaces_only_its_source_and_bows_to_higher_ones() {
    let node = Node::start(CONFIG).await;
    let routes = |vtep: u32| {
        piece(
            &["192.0.2.2", "192.0.2.3"],
            &[
                record([10, 0, 2, 0], 24, vtep),
                record([10, 5, 0, 0], 16, vtep),
            ],
        )
    };
    let said = node
        .load(vec![begin(true), routes(0), commit()])
        .await
        .unwrap();
    assert_eq!(said.counts(), [2, 0, 0, 0, 1]);
    assert_eq!(
        node.goes([10, 0, 2, 1]),
        "192.0.2.1",
        "the configured route is in force"
    );
    assert_eq!(node.goes([10, 5, 0, 1]), "192.0.2.2");
    let said = node
        .load(vec![begin(true), routes(1), commit()])
        .await
        .unwrap();
    assert_eq!(said.counts(), [0, 2, 0, 0, 1]);
    assert_eq!(node.goes([10, 5, 0, 1]), "192.0.2.3");
    let said = node.load(vec![begin(true), commit()]).await.unwrap();
    assert_eq!(said.counts(), [0, 0, 0, 2, 0]);
    assert_eq!(node.goes([10, 0, 2, 1]), "192.0.2.1");
    assert_eq!(node.goes([10, 5, 0, 1]), "no route");
}

#[tokio::test]
async fn routes_in_words_are_as_good_and_follow_the_packed_ones() {
    let node = Node::start(CONFIG).await;
    let route = |prefix: &str, target| Route {
        prefix: prefix.to_owned(),
        target: Some(target),
        ..Route::default()
    };
    let mixed = |last: &str| {
        Part::Piece(LoadPiece {
            paths: vec![path("192.0.2.2")],
            packed: record([10, 5, 0, 0], 16, 0),
            routes: vec![
                route("10.6.0.0/16", Target::Port("rl0".to_owned())),
                route(last, Target::Drop(true)),
            ],
        })
    };
    let parts = vec![begin(false), mixed("fd00::1/8"), commit()];
    let error = node.load(parts).await.unwrap_err();
    assert_eq!(
        error.message(),
        "record 3: route.prefix: fd00::1/8 has host bits; write fd00::/8"
    );
    let parts = vec![begin(false), mixed("fd00::/8"), commit()];
    assert_eq!(node.load(parts).await.unwrap().counts(), [3, 0, 0, 0, 0]);
    assert!(
        node.show_config()
            .await
            .contains("prefix = \"fd00::/8\"\ndrop = true")
    );
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let node = Node::start(CONFIG).await;
    let load = |dry_run| {
        let mut first = begin(true);
        if let Part::Begin(begin) = &mut first {
            begin.dry_run = dry_run;
        }
        let records = [record([10, 7, 0, 0], 16, 0), record([10, 8, 0, 0], 16, 0)];
        vec![first, piece(&["192.0.2.2"], &records), commit()]
    };
    let earlier = [record([10, 8, 0, 0], 16, 0), record([10, 9, 0, 0], 16, 0)];
    node.load(vec![begin(true), piece(&["192.0.2.1"], &earlier), commit()])
        .await
        .unwrap();
    let (before, config) = (node.tables(), node.show_config().await);
    let said = node.load(load(true)).await.unwrap();
    assert_eq!((node.tables(), node.show_config().await), (before, config));
    let prefixes = |routes: &[Route]| {
        routes
            .iter()
            .map(|it| it.prefix.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(prefixes(&said.difference.added), ["10.7.0.0/16"]);
    assert_eq!(prefixes(&said.difference.changed), ["10.8.0.0/16"]);
    assert_eq!(said.difference.removed[0].prefix, "10.9.0.0/16");
    assert_eq!(said.counts(), [1, 1, 0, 1, 0]);
    assert_eq!(
        node.load(load(false)).await.unwrap().counts(),
        said.counts()
    );
}

#[tokio::test]
async fn watchers_see_each_route_of_a_load() {
    let node = Node::start(CONFIG).await;
    let mut watch = node.watch().await;
    let records: Vec<_> = (0..5000u32)
        .map(|number| {
            let [_, b, c, _] = (number << 8).to_be_bytes();
            record([11, b, c, 0], 24, 0)
        })
        .collect();
    let parts = vec![begin(false), piece(&["192.0.2.1"], &records), commit()];
    node.load(parts).await.unwrap();
    for _ in 0..records.len() {
        let event = watch.next().await.event.unwrap();
        assert!(
            matches!(event, watch_response::Event::Present(_)),
            "{event:?}"
        );
    }
    node.load(vec![begin(true), commit()]).await.unwrap();
    for _ in 0..records.len() {
        let event = watch.next().await.event.unwrap();
        assert!(
            matches!(event, watch_response::Event::Removed(_)),
            "{event:?}"
        );
    }
}
