//! `ringlay vtep`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    object::Object,
    print::{self, Line, or_null},
    verbs::AddressArgs,
};
use crate::proto::{Vtep, VtepKey};

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

impl From<AddressArgs> for VtepKey {
    fn from(AddressArgs { address, network }: AddressArgs) -> Self {
        Self { network, address }
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
