//! `ringlay port`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    print::{self, Line, or_null},
    session::session,
    verbs::{NetworkFilter, Verb},
};
use crate::proto::{
    ApplyPortRequest, DeletePortRequest, GetPortRequest, ListPortsRequest, Port, PortKey,
    port_service_client::PortServiceClient,
};

/// The verbs of this object.
pub(super) type PortVerb = Verb<PortArgs, PortName, NetworkFilter>;

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct PortArgs {
    /// Its name, and its device's unless that is given.
    name: String,
    /// Its network.
    #[arg(long)]
    network: String,
    /// Its sort: `tun` (IP packets), `tap` (Ethernet frames), or `af_xdp` or `packet` (Ethernet frames
    /// of a device that is there already).
    #[arg(long, default_value = "tun")]
    kind: String,
    /// Name of the device.
    #[arg(long)]
    device: Option<String>,
    /// Path of the network namespace that the device lives in.
    #[arg(long, default_value = "", hide_default_value = true)]
    netns: String,
    /// Addresses of the device, or with Ethernet Ringlay's own on it, ADDRESS/LENGTH each.
    #[arg(long = "address", value_name = "ADDRESS/LENGTH", value_delimiter = ',')]
    addresses: Vec<String>,
    /// With Ethernet: Ringlay's own MAC address; derived from its names unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    mac: String,
    /// With Ethernet: answer address resolution for whatever is routed elsewhere.
    #[arg(long)]
    proxy: bool,
    /// Queues of the device; one for each worker unless given.
    #[arg(long)]
    queues: Option<u32>,
    /// Do not make the network's remote prefixes kernel routes through the device.
    #[arg(long)]
    no_routes: bool,
}

impl PortArgs {
    fn object(self) -> Port {
        Port {
            device: self.device.unwrap_or_else(|| self.name.clone()),
            name: self.name,
            network: self.network,
            kind: self.kind,
            netns: self.netns,
            addresses: self.addresses,
            mac: self.mac,
            proxy: self.proxy,
            queues: self.queues,
            routes: self.no_routes.then_some(false),
            ..Port::default()
        }
    }
}

/// Names one port.
#[derive(Debug, Args)]
pub(super) struct PortName {
    /// Its name.
    name: String,
}

impl PortName {
    fn key(self) -> PortKey {
        PortKey { name: self.name }
    }
}

pub(super) fn run(verb: PortVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        Verb::List {
            filter,
            all_sources,
            json,
            ..
        } => {
            let request = ListPortsRequest {
                network: filter.network.clone(),
                all_sources,
            };
            let reply = session(socket, async |channel| {
                let mut client = PortServiceClient::new(channel);
                Ok(client.list_ports(request).await?.into_inner())
            })?;
            print::list(&reply.ports, json, line, value)
        }
        Verb::Show { key, json } => {
            let request = GetPortRequest {
                key: Some(key.key()),
            };
            let reply = session(socket, async |channel| {
                Ok(PortServiceClient::new(channel)
                    .get_port(request)
                    .await?
                    .into_inner())
            })?;
            let port = reply.port.unwrap_or_default();
            if json {
                print::print_json(&value(&port))
            } else {
                print::print(&details(&port))
            }
        }
        Verb::Add { object, options } => {
            let port = Some(Port {
                source: options.source,
                ..object.object()
            });
            let request = ApplyPortRequest {
                port,
                exist_ok: Some(options.replace),
            };
            session(socket, async |channel| {
                PortServiceClient::new(channel).apply_port(request).await?;
                Ok(())
            })
        }
        Verb::Delete { key, options } => {
            let (source, missing_ok) = (options.source, options.missing_ok);
            let request = DeletePortRequest {
                key: Some(key.key()),
                source,
                missing_ok,
            };
            session(socket, async |channel| {
                PortServiceClient::new(channel).delete_port(request).await?;
                Ok(())
            })
        }
    }
}

fn line(port: &Port) -> String {
    let status = port.status.clone().unwrap_or_default();
    Line::new(&port.name)
        .word("network", &port.network)
        .word("kind", &port.kind)
        .word("device", &port.device)
        .word("netns", &port.netns)
        .word("address", port.addresses.join(","))
        .word("mac", &status.mac)
        .flag("proxy", port.proxy)
        .word("mtu", status.mtu)
        .word("queues", status.queues)
        .flag("routes", port.routes.unwrap_or(true))
        .word("source", &port.source)
        .done()
}

fn details(port: &Port) -> String {
    let status = port.status.clone().unwrap_or_default();
    format!(
        "{}\n    index {} mode {}\n{}",
        line(port),
        status.index,
        status.mode,
        print::warnings(&status.warnings)
    )
}

fn value(port: &Port) -> Value {
    let status = port.status.clone().unwrap_or_default();
    json!({
        "name": port.name,
        "network": port.network,
        "kind": port.kind,
        "device": port.device,
        "netns": or_null(&port.netns),
        "addresses": port.addresses,
        "mac": or_null(&status.mac),
        "proxy": port.proxy,
        "index": status.index,
        "mtu": status.mtu,
        "queues": status.queues,
        "routes": port.routes,
        "mode": status.mode,
        "warnings": status.warnings,
        "source": port.source,
    })
}
