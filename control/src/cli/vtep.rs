//! `ringlay vtep`.

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
    ApplyVtepRequest, DeleteVtepRequest, GetVtepRequest, ListVtepsRequest, Vtep, VtepKey,
    vtep_service_client::VtepServiceClient,
};

/// The verbs of this object.
pub(super) type VtepVerb = Verb<VtepArgs, AddressArgs, NetworkFilter>;

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct VtepArgs {
    /// Its outer address.
    address: String,
    /// Its network.
    #[arg(long)]
    network: String,
    /// Inner destination MAC address; resolved through the tunnel unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    mac: String,
}

impl VtepArgs {
    fn object(self) -> Vtep {
        let (network, address, mac) = (self.network, self.address, self.mac);
        Vtep {
            network,
            address,
            mac,
            ..Vtep::default()
        }
    }
}

/// Names one.
#[derive(Debug, Args)]
pub(super) struct AddressArgs {
    /// Its address.
    address: String,
    /// Its network.
    #[arg(long)]
    network: String,
}

impl AddressArgs {
    fn key(self) -> VtepKey {
        VtepKey {
            network: self.network,
            address: self.address,
        }
    }
}

pub(super) fn run(verb: VtepVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        Verb::List {
            filter,
            all_sources,
            json,
            ..
        } => {
            let request = ListVtepsRequest {
                network: filter.network.clone(),
                all_sources,
            };
            let reply = session(socket, async |channel| {
                let mut client = VtepServiceClient::new(channel);
                Ok(client.list_vteps(request).await?.into_inner())
            })?;
            print::list(&reply.vteps, json, line, value)
        }
        Verb::Show { key, json } => {
            let request = GetVtepRequest {
                key: Some(key.key()),
            };
            let reply = session(socket, async |channel| {
                Ok(VtepServiceClient::new(channel)
                    .get_vtep(request)
                    .await?
                    .into_inner())
            })?;
            let vtep = reply.vtep.unwrap_or_default();
            if json {
                print::print_json(&value(&vtep))
            } else {
                print::print(&details(&vtep))
            }
        }
        Verb::Add { object, options } => {
            let vtep = Some(Vtep {
                source: options.source,
                ..object.object()
            });
            let request = ApplyVtepRequest {
                vtep,
                exist_ok: Some(options.replace),
            };
            session(socket, async |channel| {
                VtepServiceClient::new(channel).apply_vtep(request).await?;
                Ok(())
            })
        }
        Verb::Delete { key, options } => {
            let (source, missing_ok) = (options.source, options.missing_ok);
            let request = DeleteVtepRequest {
                key: Some(key.key()),
                source,
                missing_ok,
            };
            session(socket, async |channel| {
                VtepServiceClient::new(channel).delete_vtep(request).await?;
                Ok(())
            })
        }
    }
}

fn line(vtep: &Vtep) -> String {
    let status = vtep.status.clone().unwrap_or_default();
    Line::new(&vtep.address)
        .word("network", &vtep.network)
        .word("mac", &status.mac)
        .word("state", &status.state)
        .word("dev", &status.link)
        .word("router", &status.router)
        .flag("on-link", status.on_link)
        .word("source", &vtep.source)
        .done()
}

fn details(vtep: &Vtep) -> String {
    let status = vtep.status.clone().unwrap_or_default();
    let far_end = Line::new("   ")
        .word("tunnel", status.tunnel)
        .word("target", &status.target);
    let warnings = print::warnings(&status.warnings);
    format!("{}\n{}\n{warnings}", line(vtep), far_end.done())
}

fn value(vtep: &Vtep) -> Value {
    let status = vtep.status.clone().unwrap_or_default();
    json!({
        "address": vtep.address,
        "network": vtep.network,
        "mac": or_null(&status.mac),
        "state": status.state,
        "target": or_null(&status.target),
        "link": or_null(&status.link),
        "router": or_null(&status.router),
        "on_link": status.on_link,
        "warnings": status.warnings,
        "source": vtep.source,
    })
}
