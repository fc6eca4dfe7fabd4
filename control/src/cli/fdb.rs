//! `ringlay fdb`.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    object::{self, Object, VerbOf},
    print::{self, Line},
    session::session,
    verbs::NetworkFilter,
};
use crate::proto::{
    FdbEntry, FdbKey, FlushFdbRequest, fdb_entry::Site, fdb_service_client::FdbServiceClient,
    flush_fdb_request,
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

impl From<MacArgs> for FdbKey {
    fn from(MacArgs { mac, network }: MacArgs) -> Self {
        Self { network, mac }
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

/// The VTEP or port that a station is behind.
fn site(entry: &FdbEntry) -> (Option<&str>, Option<&str>) {
    match &entry.site {
        Some(Site::Vtep(vtep)) => (Some(vtep), None),
        Some(Site::Port(port)) => (None, Some(port)),
        None => (None, None),
    }
}
