//! `ringlay port`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    object::Object,
    print::{self, Line, or_null},
    verbs::NameArg,
};
use crate::proto::{Port, PortKey};

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct PortArgs {
    /// Its name, and its device's unless that is given.
    name: String,
    /// Its network.
    #[arg(long)]
    network: String,
    /// Its sort: `tun` (IP packets), `tap` (Ethernet frames), or `af_xdp` or `packet` (Ethernet frames
    /// of a device that is there already).
    #[arg(long, default_value = "tun")]
    kind: String,
    /// Name of the device.
    #[arg(long)]
    device: Option<String>,
    /// Path of the network namespace that the device lives in.
    #[arg(long, default_value = "", hide_default_value = true)]
    netns: String,
    /// Addresses of the device, or with Ethernet Ringlay's own on it, ADDRESS/LENGTH each.
    #[arg(long = "address", value_name = "ADDRESS/LENGTH", value_delimiter = ',')]
    addresses: Vec<String>,
    /// With Ethernet: Ringlay's own MAC address; derived from its names unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    mac: String,
    /// With Ethernet: answer address resolution for whatever is routed elsewhere.
    #[arg(long)]
    proxy: bool,
    /// With `af_xdp`: whether the device's driver moves frames without copies: `auto` (if it can), `on`
    /// or `off`.
    #[arg(
        long,
        value_name = "WHETHER",
        default_value = "",
        hide_default_value = true
    )]
    zero_copy: String,
    /// Queues of the device; one for each worker unless given.
    #[arg(long)]
    queues: Option<u32>,
    /// Do not make the network's remote prefixes kernel routes through the device.
    #[arg(long)]
    no_routes: bool,
}

impl From<NameArg> for PortKey {
    fn from(NameArg { name }: NameArg) -> Self {
        Self { name }
    }
}

impl Object for Port {
    type Add = PortArgs;
    type Key = NameArg;

    fn new(described: PortArgs, source: String) -> Self {
        Self {
            device: described.device.unwrap_or_else(|| described.name.clone()),
            name: described.name,
            network: described.network,
            kind: described.kind,
            netns: described.netns,
            addresses: described.addresses,
            mac: described.mac,
            proxy: described.proxy,
            zero_copy: described.zero_copy,
            queues: described.queues,
            routes: described.no_routes.then_some(false),
            source,
            ..Self::default()
        }
    }

    fn line(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        Line::new(&self.name)
            .word("network", &self.network)
            .word("kind", &self.kind)
            .word("device", &self.device)
            .word("netns", &self.netns)
            .word("address", self.addresses.join(","))
            .word("mac", &status.mac)
            .flag("proxy", self.proxy)
            .word("zero_copy", zero_copy(self).unwrap_or_default())
            .word("mtu", status.mtu)
            .word("queues", status.queues)
            .flag("routes", self.routes.unwrap_or(true))
            .word("source", &self.source)
            .done()
    }

    fn details(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        format!(
            "{}\n    index {} mode {}\n{}",
            self.line(),
            status.index,
            status.mode,
            print::warnings(&status.warnings)
        )
    }

    fn value(&self) -> Value {
        let status = self.status.clone().unwrap_or_default();
        json!({
            "name": self.name,
            "network": self.network,
            "kind": self.kind,
            "device": self.device,
            "netns": or_null(&self.netns),
            "addresses": self.addresses,
            "mac": or_null(&status.mac),
            "proxy": self.proxy,
            "zero_copy": zero_copy(self),
            "index": status.index,
            "mtu": status.mtu,
            "queues": status.queues,
            "routes": self.routes,
            "mode": status.mode,
            "warnings": status.warnings,
            "source": self.source,
        })
    }
}

/// What is wanted of the device's driver, if that can be said of this port.
fn zero_copy(port: &Port) -> Option<&str> {
    (port.kind == "af_xdp").then_some(port.zero_copy.as_str())
}
