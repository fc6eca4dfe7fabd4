//! `ringlay vtep`.

use clap::Args;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    failure::Failure,
    object::{Listed, Object},
    print::{self, Line, or_null},
    verbs::{DeleteOptions, NetworkFilter},
};
use crate::proto::{
    ApplyVtepRequest, DeleteVtepRequest, GetVtepRequest, ListVtepsRequest, Vtep, VtepKey,
    vtep_service_client::VtepServiceClient,
};

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

impl Object for Vtep {
    type Add = VtepArgs;
    type Key = AddressArgs;

    fn new(described: VtepArgs, source: String) -> Self {
        let (network, address, mac) = (described.network, described.address, described.mac);
        Self {
            network,
            address,
            mac,
            source,
            ..Self::default()
        }
    }

    async fn find(channel: Channel, key: AddressArgs) -> Result<Self, Failure> {
        let request = GetVtepRequest {
            key: Some(key.key()),
        };
        let reply = VtepServiceClient::new(channel).get_vtep(request).await?;
        Ok(reply.into_inner().vtep.unwrap_or_default())
    }

    async fn apply(self, channel: Channel, exist_ok: bool) -> Result<(), Failure> {
        let request = ApplyVtepRequest {
            vtep: Some(self),
            exist_ok: Some(exist_ok),
        };
        VtepServiceClient::new(channel).apply_vtep(request).await?;
        Ok(())
    }

    async fn delete(
        channel: Channel,
        key: AddressArgs,
        options: DeleteOptions,
    ) -> Result<(), Failure> {
        let request = DeleteVtepRequest {
            key: Some(key.key()),
            source: options.source,
            missing_ok: options.missing_ok,
        };
        VtepServiceClient::new(channel).delete_vtep(request).await?;
        Ok(())
    }

    fn line(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        Line::new(&self.address)
            .word("network", &self.network)
            .word("mac", &status.mac)
            .word("state", &status.state)
            .word("dev", &status.link)
            .word("router", &status.router)
            .flag("on-link", status.on_link)
            .word("source", &self.source)
            .done()
    }

    fn details(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        let far_end = Line::new("   ")
            .word("tunnel", status.tunnel)
            .word("target", &status.target);
        let warnings = print::warnings(&status.warnings);
        format!("{}\n{}\n{warnings}", self.line(), far_end.done())
    }

    fn value(&self) -> Value {
        let status = self.status.clone().unwrap_or_default();
        json!({
            "address": self.address,
            "network": self.network,
            "mac": or_null(&status.mac),
            "state": status.state,
            "target": or_null(&status.target),
            "link": or_null(&status.link),
            "router": or_null(&status.router),
            "on_link": status.on_link,
            "warnings": status.warnings,
            "source": self.source,
        })
    }
}

impl Listed for Vtep {
    type Filter = NetworkFilter;

    async fn list(
        channel: Channel,
        filter: NetworkFilter,
        all_sources: bool,
    ) -> Result<Vec<Self>, Failure> {
        let network = filter.network;
        let request = ListVtepsRequest {
            network,
            all_sources,
        };
        let reply = VtepServiceClient::new(channel).list_vteps(request).await?;
        Ok(reply.into_inner().vteps)
    }
}
