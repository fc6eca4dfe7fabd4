//! `RouteService.ListRoutes`: pieces, filters, and the route that an address takes.

use ringlay_control::proto::{ListRoutesRequest, Route};

use super::{CONFIG, generate, import::import, node::Node};

impl Node {
    async fn taken(&self, address: &str) -> Vec<(String, String)> {
        let request = ListRoutesRequest {
            address: address.to_owned(),
            ..ListRoutesRequest::default()
        };
        let routes = self.list_routes(request).await;
        routes
            .into_iter()
            .map(|route| (route.prefix, route.source))
            .collect()
    }
}

fn within(prefix: &str) -> ListRoutesRequest {
    ListRoutesRequest {
        prefix: prefix.to_owned(),
        ..ListRoutesRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_complete_and_in_order_however_long() {
    let node = Node::start(CONFIG).await;
    import(
        &node,
        &generate::lines(100_000, 30_000, &["192.0.2.1", "drop"]),
        &[],
    )
    .unwrap();
    let routes = node.list_routes(ListRoutesRequest::default()).await;
    assert_eq!(routes.len(), 130_001);
    let prefix = |route: &Route| route.prefix.parse::<ipnet::IpNet>().unwrap();
    assert!(routes.is_sorted_by_key(prefix));
    let part = node.list_routes(within("64.16.0.0/12")).await;
    let net: ipnet::IpNet = "64.16.0.0/12".parse().unwrap();
    let expected: Vec<_> = routes
        .iter()
        .filter(|it| net.contains(&prefix(it)))
        .cloned()
        .collect();
    assert!(!expected.is_empty() && expected.len() < 10_000);
    assert_eq!(part, expected);
    assert_eq!(node.list_routes(within("2000::/3")).await.len(), 30_000);
    assert_eq!(node.list_routes(within("::/0")).await.len(), 30_000);
    assert_eq!(node.list_routes(within("0.0.0.0/0")).await.len(), 100_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_layers() {
    let node = Node::start(CONFIG).await;
    import(&node, "10.0.2.0/24 drop\n10.0.0.0/8 192.0.2.2\n", &[]).unwrap();
    let sources = |routes: Vec<Route>| -> Vec<_> {
        routes
            .into_iter()
            .map(|route| (route.prefix, route.source))
            .collect()
    };
    let pair = |prefix: &str, source: &str| (prefix.to_owned(), source.to_owned());
    let (wide, ours) = (pair("10.0.0.0/8", "import"), pair("10.0.2.0/24", "static"));
    let covered = pair("10.0.2.0/24", "import");
    let all = ListRoutesRequest {
        all_sources: true,
        ..ListRoutesRequest::default()
    };
    assert_eq!(
        sources(node.list_routes(all.clone()).await),
        [wide.clone(), ours.clone(), covered.clone()]
    );
    let of_import = ListRoutesRequest {
        source: "import".to_owned(),
        ..all
    };
    assert_eq!(
        sources(node.list_routes(of_import).await),
        [wide.clone(), covered]
    );
    let inside = sources(node.list_routes(within("10.0.2.0/24")).await);
    assert_eq!(inside, std::slice::from_ref(&ours));
    let red = ListRoutesRequest {
        network: "red".to_owned(),
        ..ListRoutesRequest::default()
    };
    assert_eq!(node.list_routes(red).await, []);
    assert_eq!(node.taken("10.0.2.77").await, [ours]);
    assert_eq!(node.taken("10.200.2.77").await, [wide]);
    assert_eq!(
        node.taken("10.0.1.77").await,
        [pair("10.0.1.0/24", "connected")]
    );
    assert_eq!(
        node.taken("10.0.1.1").await,
        [pair("10.0.1.1/32", "connected")]
    );
    assert_eq!(node.taken("11.0.1.1").await, []);
    assert_eq!(node.taken("fd00::1").await, []);
    import(&node, "10.0.1.0/24 192.0.2.3\n10.0.1.1/32 drop\n", &[]).unwrap();
    assert_eq!(
        node.taken("10.0.1.77").await,
        [pair("10.0.1.0/24", "import")]
    );
    assert_eq!(
        node.taken("10.0.1.1").await,
        [pair("10.0.1.1/32", "connected")]
    );
}
