//! The configuration file as TOML sees it. Values are not judged here: see [`super::convert`].

use serde::Deserialize;
use toml::{Spanned, Value};

/// A value and where it stands.
pub(super) type At<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) node: Node,
    pub(super) dataplane: Dataplane,
    pub(super) underlay: Option<Spanned<Underlay>>,
    pub(super) network: Vec<Spanned<Network>>,
    pub(super) port: Vec<Spanned<Port>>,
    pub(super) vtep: Vec<Spanned<Vtep>>,
    pub(super) route: Vec<Spanned<Route>>,
    pub(super) neighbour: Vec<Spanned<Neighbour>>,
    pub(super) ipam: Vec<Spanned<Ipam>>,
    pub(super) fdb: Vec<Spanned<Fdb>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Node {
    pub(super) name: At<String>,
    pub(super) socket: At<String>,
    pub(super) state: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dataplane {
    pub(super) workers: At<Value>,
    pub(super) driver: At<String>,
    pub(super) poll: At<String>,
    pub(super) spin: At<Value>,
    pub(super) stages: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Underlay {
    pub(super) address: At<String>,
    pub(super) device: At<String>,
    pub(super) driver: At<String>,
    pub(super) zero_copy: At<String>,
    pub(super) df: At<String>,
    pub(super) probe: At<String>,
    pub(super) accept_unknown_vteps: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) name: At<String>,
    pub(super) preset: At<String>,
    pub(super) encap: At<String>,
    pub(super) vni: At<i64>,
    pub(super) key: At<i64>,
    pub(super) inner: At<String>,
    pub(super) ecn: At<String>,
    pub(super) dscp: At<Value>,
    pub(super) ttl: At<Value>,
    pub(super) udp_checksum: At<Value>,
    pub(super) encap_limit: At<Value>,
    pub(super) mode: At<String>,
    pub(super) fdb_ageing: At<String>,
    pub(super) fdb_limit: At<i64>,
    pub(super) port: At<i64>,
    pub(super) mtu: At<Value>,
    pub(super) mac: At<String>,
    pub(super) mss_clamp: At<Value>,
    pub(super) fragment: bool,
    pub(super) accept_unknown_vteps: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Port {
    pub(super) name: At<String>,
    pub(super) network: At<String>,
    pub(super) kind: At<String>,
    pub(super) device: At<String>,
    pub(super) netns: At<String>,
    pub(super) addresses: Vec<Spanned<String>>,
    pub(super) mac: At<String>,
    pub(super) proxy: At<bool>,
    pub(super) zero_copy: At<String>,
    pub(super) queues: At<Value>,
    pub(super) routes: At<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vtep {
    pub(super) network: At<String>,
    pub(super) address: At<String>,
    pub(super) mac: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Route {
    pub(super) network: At<String>,
    pub(super) prefix: At<String>,
    pub(super) vtep: At<Value>,
    pub(super) port: At<String>,
    pub(super) drop: At<bool>,
    pub(super) via: At<String>,
    pub(super) direct: At<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Neighbour {
    pub(super) network: At<String>,
    pub(super) address: At<String>,
    pub(super) vtep: At<String>,
    pub(super) mac: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fdb {
    pub(super) network: At<String>,
    pub(super) mac: At<String>,
    pub(super) vtep: At<String>,
    pub(super) port: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ipam {
    pub(super) network: At<String>,
    pub(super) ranges: At<Vec<Spanned<String>>>,
    pub(super) exclude: Vec<Spanned<String>>,
    pub(super) subnets: Vec<Spanned<String>>,
    pub(super) gateways: Vec<Spanned<String>>,
    pub(super) masquerade: Option<bool>,
}
