//! `ringlay fdb`.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    failure::Failure,
    object::{self, Listed, Object, VerbOf},
    print::{self, Line},
    session::session,
    verbs::{DeleteOptions, NetworkFilter},
};
use crate::proto::{
    ApplyFdbEntryRequest, DeleteFdbEntryRequest, FdbEntry, FdbKey, FlushFdbRequest,
    GetFdbEntryRequest, ListFdbEntriesRequest, fdb_entry::Site,
    fdb_service_client::FdbServiceClient, flush_fdb_request,
};

/// What to do with entries.
#[derive(Debug, Subcommand)]
pub(super) enum FdbVerb {
    #[command(flatten)]
    Of(VerbOf<FdbEntry>),
    /// Forget those that were learned; configured ones stay. Who sends is learned again.
    Flush(FlushArgs),
}

/// What `flush` is limited to.
#[derive(Debug, Args)]
pub(super) struct FlushArgs {
    #[command(flatten)]
    filter: NetworkFilter,
    /// Only those behind the VTEP with this outer address.
    #[arg(long)]
    vtep: Option<String>,
    /// Only those behind the port of this name.
    #[arg(long, conflicts_with = "vtep")]
    port: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Does what the verb says.
pub(super) fn run(verb: FdbVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        FdbVerb::Of(verb) => object::run::<FdbEntry>(verb, socket),
        FdbVerb::Flush(args) => flush(args, socket),
    }
}

fn flush(args: FlushArgs, socket: &Path) -> Result<(), Failure> {
    let vtep = args.vtep.map(flush_fdb_request::Site::Vtep);
    let port = args.port.map(flush_fdb_request::Site::Port);
    let request = FlushFdbRequest {
        network: args.filter.network,
        site: vtep.or(port),
    };
    let reply = session(socket, async |channel| {
        Ok(FdbServiceClient::new(channel).flush_fdb(request).await?)
    })?;
    let flushed = reply.into_inner().flushed;
    if args.json {
        return print::print_json(&json!({ "flushed": flushed }));
    }
    print::print(&format!("{flushed} forgotten\n"))
}

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

impl Object for FdbEntry {
    type Add = FdbArgs;
    type Key = MacArgs;

    fn new(described: FdbArgs, source: String) -> Self {
        let vtep = described.vtep.map(Site::Vtep);
        let port = described.port.map(Site::Port);
        Self {
            network: described.network,
            mac: described.mac,
            site: vtep.or(port),
            source,
            ..Self::default()
        }
    }

    async fn find(channel: Channel, key: MacArgs) -> Result<Self, Failure> {
        let request = GetFdbEntryRequest {
            key: Some(key.key()),
        };
        let reply = FdbServiceClient::new(channel)
            .get_fdb_entry(request)
            .await?;
        Ok(reply.into_inner().entry.unwrap_or_default())
    }

    async fn apply(self, channel: Channel, exist_ok: bool) -> Result<(), Failure> {
        let request = ApplyFdbEntryRequest {
            entry: Some(self),
            exist_ok: Some(exist_ok),
        };
        FdbServiceClient::new(channel)
            .apply_fdb_entry(request)
            .await?;
        Ok(())
    }

    async fn delete(channel: Channel, key: MacArgs, options: DeleteOptions) -> Result<(), Failure> {
        let request = DeleteFdbEntryRequest {
            key: Some(key.key()),
            source: options.source,
            missing_ok: options.missing_ok,
        };
        FdbServiceClient::new(channel)
            .delete_fdb_entry(request)
            .await?;
        Ok(())
    }

    fn line(&self) -> String {
        let (vtep, port) = site(self);
        let age = self.status.as_ref().map(|it| it.age_seconds);
        Line::new(&self.mac)
            .word("network", &self.network)
            .optional("vtep", vtep)
            .optional("port", port)
            .optional("age", age.map(|age| format!("{age}s")))
            .word("source", &self.source)
            .done()
    }

    fn value(&self) -> Value {
        let (vtep, port) = site(self);
        json!({
            "mac": self.mac,
            "network": self.network,
            "vtep": vtep,
            "port": port,
            "age_seconds": self.status.as_ref().map(|it| it.age_seconds),
            "source": self.source,
        })
    }
}

impl Listed for FdbEntry {
    type Filter = NetworkFilter;

    async fn list(
        channel: Channel,
        filter: NetworkFilter,
        all_sources: bool,
    ) -> Result<Vec<Self>, Failure> {
        let network = filter.network;
        let request = ListFdbEntriesRequest {
            network,
            all_sources,
        };
        let reply = FdbServiceClient::new(channel)
            .list_fdb_entries(request)
            .await?;
        Ok(reply.into_inner().entries)
    }
}

/// The VTEP or port that a station is behind.
fn site(entry: &FdbEntry) -> (Option<&str>, Option<&str>) {
    match &entry.site {
        Some(Site::Vtep(vtep)) => (Some(vtep), None),
        Some(Site::Port(port)) => (None, Some(port)),
        None => (None, None),
    }
}
