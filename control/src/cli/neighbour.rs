//! `ringlay neighbour`.

use clap::Args;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    failure::Failure,
    object::{Listed, Object},
    print::{Line, or_null},
    verbs::{DeleteOptions, NetworkFilter},
};
use crate::proto::{
    ApplyNeighbourRequest, DeleteNeighbourRequest, GetNeighbourRequest, ListNeighboursRequest,
    Neighbour, NeighbourKey, neighbour_service_client::NeighbourServiceClient,
};

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

impl Object for Neighbour {
    type Add = NeighbourArgs;
    type Key = AddressArgs;

    fn new(described: NeighbourArgs, source: String) -> Self {
        Self {
            network: described.network,
            address: described.address,
            vtep: described.vtep,
            mac: described.mac,
            source,
            ..Self::default()
        }
    }

    async fn find(channel: Channel, key: AddressArgs) -> Result<Self, Failure> {
        let request = GetNeighbourRequest {
            key: Some(key.key()),
        };
        let reply = NeighbourServiceClient::new(channel)
            .get_neighbour(request)
            .await?;
        Ok(reply.into_inner().neighbour.unwrap_or_default())
    }

    async fn apply(self, channel: Channel, exist_ok: bool) -> Result<(), Failure> {
        let request = ApplyNeighbourRequest {
            neighbour: Some(self),
            exist_ok: Some(exist_ok),
        };
        NeighbourServiceClient::new(channel)
            .apply_neighbour(request)
            .await?;
        Ok(())
    }

    async fn delete(
        channel: Channel,
        key: AddressArgs,
        options: DeleteOptions,
    ) -> Result<(), Failure> {
        let request = DeleteNeighbourRequest {
            key: Some(key.key()),
            source: options.source,
            missing_ok: options.missing_ok,
        };
        NeighbourServiceClient::new(channel)
            .delete_neighbour(request)
            .await?;
        Ok(())
    }

    fn line(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        let learned = status.state != "static";
        Line::new(&self.address)
            .word("network", &self.network)
            .word("vtep", &self.vtep)
            .word("port", &self.port)
            .word("mac", &self.mac)
            .word("state", &status.state)
            .optional("age", learned.then(|| format!("{}s", status.age_seconds)))
            .word("source", &self.source)
            .done()
    }

    fn value(&self) -> Value {
        let status = self.status.clone().unwrap_or_default();
        json!({
            "address": self.address,
            "network": self.network,
            "vtep": or_null(&self.vtep),
            "port": or_null(&self.port),
            "mac": self.mac,
            "state": status.state,
            "age_seconds": status.age_seconds,
            "source": self.source,
        })
    }
}

impl Listed for Neighbour {
    type Filter = NetworkFilter;

    async fn list(
        channel: Channel,
        filter: NetworkFilter,
        all_sources: bool,
    ) -> Result<Vec<Self>, Failure> {
        let network = filter.network;
        let request = ListNeighboursRequest {
            network,
            all_sources,
        };
        let reply = NeighbourServiceClient::new(channel)
            .list_neighbours(request)
            .await?;
        Ok(reply.into_inner().neighbours)
    }
}
