//! `ringlay neighbour`.

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
    ApplyNeighbourRequest, DeleteNeighbourRequest, GetNeighbourRequest, ListNeighboursRequest,
    Neighbour, NeighbourKey, neighbour_service_client::NeighbourServiceClient,
};

/// The verbs of this object.
pub(super) type NeighbourVerb = Verb<NeighbourArgs, AddressArgs, NetworkFilter>;

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct NeighbourArgs {
    /// Its inner address.
    address: String,
    /// Its network.
    #[arg(long)]
    network: String,
    /// Outer address of the VTEP that it is behind.
    #[arg(long)]
    vtep: String,
    /// Its MAC address.
    #[arg(long)]
    mac: String,
}

impl NeighbourArgs {
    fn object(self) -> Neighbour {
        Neighbour {
            network: self.network,
            address: self.address,
            vtep: self.vtep,
            mac: self.mac,
            ..Neighbour::default()
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
    fn key(self) -> NeighbourKey {
        NeighbourKey {
            network: self.network,
            address: self.address,
        }
    }
}

pub(super) fn run(verb: NeighbourVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        Verb::List {
            filter,
            all_sources,
            json,
            ..
        } => {
            let request = ListNeighboursRequest {
                network: filter.network.clone(),
                all_sources,
            };
            let reply = session(socket, async |channel| {
                let mut client = NeighbourServiceClient::new(channel);
                Ok(client.list_neighbours(request).await?.into_inner())
            })?;
            print::list(&reply.neighbours, json, line, value)
        }
        Verb::Show { key, json } => {
            let request = GetNeighbourRequest {
                key: Some(key.key()),
            };
            let reply = session(socket, async |channel| {
                Ok(NeighbourServiceClient::new(channel)
                    .get_neighbour(request)
                    .await?
                    .into_inner())
            })?;
            let neighbour = reply.neighbour.unwrap_or_default();
            if json {
                print::print_json(&value(&neighbour))
            } else {
                print::print(&details(&neighbour))
            }
        }
        Verb::Add { object, options } => {
            let neighbour = Some(Neighbour {
                source: options.source,
                ..object.object()
            });
            let request = ApplyNeighbourRequest {
                neighbour,
                exist_ok: Some(options.replace),
            };
            session(socket, async |channel| {
                NeighbourServiceClient::new(channel)
                    .apply_neighbour(request)
                    .await?;
                Ok(())
            })
        }
        Verb::Delete { key, options } => {
            let (source, missing_ok) = (options.source, options.missing_ok);
            let request = DeleteNeighbourRequest {
                key: Some(key.key()),
                source,
                missing_ok,
            };
            session(socket, async |channel| {
                NeighbourServiceClient::new(channel)
                    .delete_neighbour(request)
                    .await?;
                Ok(())
            })
        }
    }
}

fn line(neighbour: &Neighbour) -> String {
    let status = neighbour.status.clone().unwrap_or_default();
    let learned = status.state != "static";
    Line::new(&neighbour.address)
        .word("network", &neighbour.network)
        .word("vtep", &neighbour.vtep)
        .word("port", &neighbour.port)
        .word("mac", &neighbour.mac)
        .word("state", &status.state)
        .optional("age", learned.then(|| format!("{}s", status.age_seconds)))
        .word("source", &neighbour.source)
        .done()
}

fn details(neighbour: &Neighbour) -> String {
    line(neighbour) + "\n"
}

fn value(neighbour: &Neighbour) -> Value {
    let status = neighbour.status.clone().unwrap_or_default();
    json!({
        "address": neighbour.address,
        "network": neighbour.network,
        "vtep": or_null(&neighbour.vtep),
        "port": or_null(&neighbour.port),
        "mac": neighbour.mac,
        "state": status.state,
        "age_seconds": status.age_seconds,
        "source": neighbour.source,
    })
}
