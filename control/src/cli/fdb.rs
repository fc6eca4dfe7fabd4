//! `ringlay fdb`.

use clap::Args;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    failure::Failure,
    object::{Listed, Object},
    print::Line,
    verbs::{DeleteOptions, NetworkFilter},
};
use crate::proto::{
    ApplyFdbEntryRequest, DeleteFdbEntryRequest, FdbEntry, FdbKey, GetFdbEntryRequest,
    ListFdbEntriesRequest, fdb_entry::Site, fdb_service_client::FdbServiceClient,
};

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
