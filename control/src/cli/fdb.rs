//! `ringlay fdb`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    print::{self, Line},
    session::session,
    verbs::{NetworkFilter, Verb},
};
use crate::proto::{
    ApplyFdbEntryRequest, DeleteFdbEntryRequest, FdbEntry, FdbKey, GetFdbEntryRequest,
    ListFdbEntriesRequest, fdb_entry::Site, fdb_service_client::FdbServiceClient,
};

/// The verbs of this object.
pub(super) type FdbVerb = Verb<FdbArgs, MacArgs, NetworkFilter>;

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct FdbArgs {
    /// The station's MAC address.
    mac: String,
    /// Its network.
    #[arg(long)]
    network: String,
    /// Outer address of the VTEP that it is behind.
    #[arg(long, required_unless_present = "port", conflicts_with = "port")]
    vtep: Option<String>,
    /// Name of the port that it is behind.
    #[arg(long)]
    port: Option<String>,
}

impl FdbArgs {
    fn object(self) -> FdbEntry {
        let (vtep, port) = (self.vtep.map(Site::Vtep), self.port.map(Site::Port));
        FdbEntry {
            network: self.network,
            mac: self.mac,
            site: vtep.or(port),
            ..FdbEntry::default()
        }
    }
}

/// Names one.
#[derive(Debug, Args)]
pub(super) struct MacArgs {
    /// The station's MAC address.
    mac: String,
    /// Its network.
    #[arg(long)]
    network: String,
}

impl MacArgs {
    fn key(self) -> FdbKey {
        FdbKey {
            network: self.network,
            mac: self.mac,
        }
    }
}

pub(super) fn run(verb: FdbVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        Verb::List {
            filter,
            all_sources,
            json,
            ..
        } => {
            let request = ListFdbEntriesRequest {
                network: filter.network.clone(),
                all_sources,
            };
            let reply = session(socket, async |channel| {
                let mut client = FdbServiceClient::new(channel);
                Ok(client.list_fdb_entries(request).await?.into_inner())
            })?;
            print::list(&reply.entries, json, line, value)
        }
        Verb::Show { key, json } => {
            let request = GetFdbEntryRequest {
                key: Some(key.key()),
            };
            let reply = session(socket, async |channel| {
                Ok(FdbServiceClient::new(channel)
                    .get_fdb_entry(request)
                    .await?
                    .into_inner())
            })?;
            let entry = reply.entry.unwrap_or_default();
            if json {
                print::print_json(&value(&entry))
            } else {
                print::print(&details(&entry))
            }
        }
        Verb::Add { object, options } => {
            let entry = Some(FdbEntry {
                source: options.source,
                ..object.object()
            });
            let request = ApplyFdbEntryRequest {
                entry,
                exist_ok: Some(options.replace),
            };
            session(socket, async |channel| {
                FdbServiceClient::new(channel)
                    .apply_fdb_entry(request)
                    .await?;
                Ok(())
            })
        }
        Verb::Delete { key, options } => {
            let (source, missing_ok) = (options.source, options.missing_ok);
            let request = DeleteFdbEntryRequest {
                key: Some(key.key()),
                source,
                missing_ok,
            };
            session(socket, async |channel| {
                FdbServiceClient::new(channel)
                    .delete_fdb_entry(request)
                    .await?;
                Ok(())
            })
        }
    }
}

fn line(entry: &FdbEntry) -> String {
    let (vtep, port) = site(entry);
    let age = entry.status.as_ref().map(|it| it.age_seconds);
    Line::new(&entry.mac)
        .word("network", &entry.network)
        .optional("vtep", vtep)
        .optional("port", port)
        .optional("age", age.map(|age| format!("{age}s")))
        .word("source", &entry.source)
        .done()
}

fn details(entry: &FdbEntry) -> String {
    line(entry) + "\n"
}

fn value(entry: &FdbEntry) -> Value {
    let (vtep, port) = site(entry);
    json!({
        "mac": entry.mac,
        "network": entry.network,
        "vtep": vtep,
        "port": port,
        "age_seconds": entry.status.as_ref().map(|it| it.age_seconds),
        "source": entry.source,
    })
}

/// The VTEP or port that a station is behind.
fn site(entry: &FdbEntry) -> (Option<&str>, Option<&str>) {
    match &entry.site {
        Some(Site::Vtep(vtep)) => (Some(vtep), None),
        Some(Site::Port(port)) => (None, Some(port)),
        None => (None, None),
    }
}
