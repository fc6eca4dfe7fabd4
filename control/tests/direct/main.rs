//! The whole control plane over a Unix socket, on a machine that only remembers: needs no
//! privilege and moves no packet. See `netns.rs` for the real thing.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]

mod attach;
mod change;
mod endpoint;
mod fake_host;
mod node;
mod source;
mod stages;
mod watch;

use ringlay_control::proto::{
    self, ApplyNetworkRequest, ApplyRouteRequest, ListRoutesRequest, Object, Operation, Route,
    RouteKey, VtepList, object::Kind, operation::Verb, route::Target,
};
use ringlay_dataplane::tables::NextHop;
use ringlay_encap::TunnelKey;

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
        let routes = self.list_routes(request).await;
        routes.into_iter().map(|route| route.prefix).collect()
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
