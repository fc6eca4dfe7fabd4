//! `ringlay route`.

mod import;
mod list;

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::{import::ImportArgs, list::RouteFilter};
use super::{
    failure::Failure,
    print::{self, Line, or_null},
    session::session,
    verbs::Verb,
};
use crate::proto::{
    ApplyRouteRequest, DeleteRouteRequest, GetRouteRequest, Route, RouteKey, VtepList,
    route::Target, route_service_client::RouteServiceClient,
};

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

impl RouteArgs {
    fn object(self) -> Route {
        let target = match self.target.port {
            Some(port) => Target::Port(port),
            None if self.target.drop => Target::Drop(true),
            None => Target::Vteps(VtepList {
                addresses: self.target.vtep,
            }),
        };
        Route {
            network: self.network,
            prefix: self.prefix,
            target: Some(target),
            via: self.via,
            direct: self.direct,
            source: String::new(),
        }
    }
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

impl PrefixArgs {
    fn key(self) -> RouteKey {
        RouteKey {
            network: self.network,
            prefix: self.prefix,
        }
    }
}

pub(super) fn run(verb: RouteVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        RouteVerb::Common(verb) => run_common(verb, socket),
        RouteVerb::Import(args) => import::run(&args, socket),
    }
}

fn run_common(
    verb: Verb<RouteArgs, PrefixArgs, RouteFilter>,
    socket: &Path,
) -> Result<(), Failure> {
    match verb {
        Verb::List {
            filter,
            all_sources,
            json,
        } => list::run(filter.request(all_sources), json, socket),
        Verb::Show { key, json } => {
            let request = GetRouteRequest {
                key: Some(key.key()),
            };
            let reply = session(socket, async |channel| {
                Ok(RouteServiceClient::new(channel)
                    .get_route(request)
                    .await?
                    .into_inner())
            })?;
            let route = reply.route.unwrap_or_default();
            if json {
                print::print_json(&value(&route))
            } else {
                print::print(&details(&route))
            }
        }
        Verb::Add { object, options } => {
            let route = Some(Route {
                source: options.source,
                ..object.object()
            });
            let request = ApplyRouteRequest {
                route,
                exist_ok: Some(options.replace),
            };
            session(socket, async |channel| {
                RouteServiceClient::new(channel)
                    .apply_route(request)
                    .await?;
                Ok(())
            })
        }
        Verb::Delete { key, options } => {
            let (source, missing_ok) = (options.source, options.missing_ok);
            let request = DeleteRouteRequest {
                key: Some(key.key()),
                source,
                missing_ok,
            };
            session(socket, async |channel| {
                RouteServiceClient::new(channel)
                    .delete_route(request)
                    .await?;
                Ok(())
            })
        }
    }
}

fn line(route: &Route) -> String {
    let line = Line::new(&route.prefix).word("network", &route.network);
    let line = match &route.target {
        Some(Target::Vteps(list)) => line.word("vtep", list.addresses.join(",")),
        Some(Target::Port(port)) => line.word("port", port),
        Some(Target::Drop(_)) | None => line.flag("drop", true),
    };
    line.word("via", &route.via)
        .flag("direct", route.direct)
        .word("source", &route.source)
        .done()
}

fn details(route: &Route) -> String {
    line(route) + "\n"
}

fn value(route: &Route) -> Value {
    let (mut vteps, mut port, mut drop) = (Value::Null, Value::Null, false);
    match &route.target {
        Some(Target::Vteps(list)) => vteps = json!(list.addresses),
        Some(Target::Port(name)) => port = json!(name),
        Some(Target::Drop(_)) | None => drop = true,
    }
    json!({
        "prefix": route.prefix,
        "network": route.network,
        "vtep": vteps,
        "port": port,
        "drop": drop,
        "via": or_null(&route.via),
        "direct": route.direct,
        "source": route.source,
    })
}
