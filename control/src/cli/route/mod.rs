//! `ringlay route`.

mod import;
mod list;

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::{import::ImportArgs, list::RouteFilter};
use super::{
    failure::Failure,
    object::{self, Object},
    print::{Line, or_null},
    session::session,
    verbs::{NetworkFilter, Verb},
};
use crate::proto::{Route, RouteKey, VtepList, route::Target};

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub(super) enum RouteVerb {
    #[command(flatten)]
    Common(Verb<RouteArgs, PrefixArgs, RouteFilter>),
    /// Load many from a file, all at once or not at all.
    Import(ImportArgs),
}

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct RouteArgs {
    /// Its prefix.
    prefix: String,
    /// Its network.
    #[arg(long)]
    network: String,
    #[command(flatten)]
    target: TargetArgs,
    /// Address of the router whose MAC address the packets are sent to, behind the VTEP or on the
    /// port, which then has Ethernet.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        conflicts_with = "drop"
    )]
    via: String,
    /// Send packets without encapsulation while the VTEP is on the same link; otherwise, and
    /// whenever it is not, through the tunnel.
    #[arg(long, requires = "vtep", conflicts_with = "via")]
    direct: bool,
}

/// Where it leads.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// To this VTEP, or to one of these by flow.
    #[arg(long, value_delimiter = ',')]
    vtep: Vec<String>,
    /// Out of this port.
    #[arg(long)]
    port: Option<String>,
    /// Nowhere.
    #[arg(long)]
    drop: bool,
}

/// Names one route.
#[derive(Debug, Args)]
pub(super) struct PrefixArgs {
    /// Its prefix.
    prefix: String,
    /// Its network.
    #[arg(long)]
    network: String,
}

impl From<PrefixArgs> for RouteKey {
    fn from(PrefixArgs { prefix, network }: PrefixArgs) -> Self {
        Self { network, prefix }
    }
}

pub(super) fn run(verb: RouteVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        RouteVerb::Common(Verb::List {
            filter,
            all_sources,
            json,
        }) => list::run(filter.request(all_sources), json, socket),
        RouteVerb::Common(Verb::One(verb)) => object::run_one::<Route>(verb, socket),
        RouteVerb::Import(args) => import::run(&args, socket),
    }
}

impl Object for Route {
    type Add = RouteArgs;
    type Key = PrefixArgs;

    fn new(described: RouteArgs, source: String) -> Self {
        let target = match described.target.port {
            Some(port) => Target::Port(port),
            None if described.target.drop => Target::Drop(true),
            None => Target::Vteps(VtepList {
                addresses: described.target.vtep,
            }),
        };
        Self {
            network: described.network,
            prefix: described.prefix,
            target: Some(target),
            via: described.via,
            direct: described.direct,
            source,
        }
    }

    fn line(&self) -> String {
        let line = Line::new(&self.prefix).word("network", &self.network);
        let line = match &self.target {
            Some(Target::Vteps(list)) => line.word("vtep", list.addresses.join(",")),
            Some(Target::Port(port)) => line.word("port", port),
            Some(Target::Drop(_)) | None => line.flag("drop", true),
        };
        line.word("via", &self.via)
            .flag("direct", self.direct)
            .word("source", &self.source)
            .done()
    }

    fn value(&self) -> Value {
        let (mut vteps, mut port, mut drop) = (Value::Null, Value::Null, false);
        match &self.target {
            Some(Target::Vteps(list)) => vteps = json!(list.addresses),
            Some(Target::Port(name)) => port = json!(name),
            Some(Target::Drop(_)) | None => drop = true,
        }
        json!({
            "prefix": self.prefix,
            "network": self.network,
            "vtep": vteps,
            "port": port,
            "drop": drop,
            "via": or_null(&self.via),
            "direct": self.direct,
            "source": self.source,
        })
    }
}
