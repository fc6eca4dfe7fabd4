//! `ringlay neighbour`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    object::Object,
    print::{Line, or_null},
    verbs::AddressArgs,
};
use crate::proto::{Neighbour, NeighbourKey};

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

impl From<AddressArgs> for NeighbourKey {
    fn from(AddressArgs { address, network }: AddressArgs) -> Self {
        Self { network, address }
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
