//! The network configuration on standard input (CNI specification, section 1).
//!
//! Keys that this version has no use for are left to the plugins chained with it.

use std::path::PathBuf;

use ringlay_control::client::DEFAULT_SOCKET;
use serde::Deserialize;
use serde_json::Value;

use crate::environment::{Attachment, is_identifier};
use crate::error::{CniError, Failure};
use crate::spec_version::SpecVersion;

/// A device without Ethernet.
const TUN: &str = "tun";
/// Devices with Ethernet.
const TAP: &str = "tap";
const VETH: &str = "veth";
/// How the other end of a pair of devices is served.
const PACKET: &str = "packet";
const AF_XDP: &str = "af_xdp";

/// A configuration in a version that we speak.
#[derive(Debug)]
pub(crate) struct NetworkConfig {
    pub(crate) version: SpecVersion,
    /// The name of the configuration; what it attaches belongs to it.
    pub(crate) name: String,
    /// The Ringlay network to attach to.
    pub(crate) network: String,
    /// Where the daemon listens.
    pub(crate) socket: PathBuf,
    /// What sort of device the container gets; what the daemon thinks right if it does not say.
    pub(crate) attach: String,
    /// How the other end of a pair of devices is served; `packet` if it does not say.
    driver: String,
    /// The result of the plugins before.
    pub(crate) previous_result: Option<Value>,
    /// The plugin that chooses addresses; the daemon does if there is none.
    pub(crate) ipam: Option<String>,
    /// Routes in the container; default ones if there are none.
    pub(crate) routes: Vec<Route>,
    /// What the container's resolver is to use.
    pub(crate) dns: Option<Value>,
    /// What the runtime wants of this container.
    pub(crate) wishes: Wishes,
    /// The attachments that GC must keep.
    valid_attachments: Option<Value>,
    /// The whole, as plugins that we run get it.
    pub(crate) raw: Vec<u8>,
}

/// A route in the container.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Route {
    pub(crate) dst: String,
    pub(crate) mtu: Option<u32>,
    pub(crate) advmss: Option<u32>,
    pub(crate) priority: Option<u32>,
    pub(crate) table: Option<u32>,
}

/// What a runtime may want of one container: `runtimeConfig` by the capabilities of the same
/// names (CONVENTIONS.md), and `args.cni`.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Addresses to give it.
    pub(crate) ips: Vec<String>,
    /// Ranges to choose of, one of each set.
    pub(crate) ranges: Vec<Vec<Range>>,
    /// A MAC address to give the device.
    pub(crate) mac: Option<String>,
}

/// A range of addresses as `host-local` has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Range {
    subnet: String,
    range_start: Option<String>,
    range_end: Option<String>,
}

impl Range {
    /// The range as the daemon reads it.
    pub(crate) fn to_text(&self) -> Result<String, CniError> {
        match (&self.range_start, &self.range_end) {
            (None, None) => Ok(self.subnet.clone()),
            (Some(start), Some(end)) => Ok(format!("{start}-{end}")),
            _ => Err(CniError::InvalidConfig {
                key: "runtimeConfig.ipRanges",
                reason: "has one of rangeStart and rangeEnd; give both or none".to_owned(),
            }),
        }
    }
}

impl NetworkConfig {
    /// Whether the container's device is known to carry Ethernet frames.
    pub(crate) fn is_ethernet(&self) -> bool {
        [TAP, VETH].contains(&self.attach.as_str())
    }

    /// The sort of device as the daemon calls it.
    pub(crate) fn kind(&self) -> String {
        match (self.attach.as_str(), self.driver.as_str()) {
            (VETH, AF_XDP) => format!("{VETH}-{AF_XDP}"),
            (attach, _) => attach.to_owned(),
        }
    }

    /// Reads a configuration, its version first: what the keys mean depends on it.
    pub(crate) fn parse(input: &[u8]) -> Result<Self, Failure> {
        let raw: RawConfig =
            serde_json::from_slice(input).map_err(|source| CniError::Decode { source })?;
        // Before there was such a key there was version 0.1.0.
        let found = raw.cni_version.as_deref().unwrap_or("0.1.0");
        let version = SpecVersion::parse(found).ok_or_else(|| CniError::IncompatibleVersion {
            found: found.to_owned(),
        })?;
        raw.check().map_err(|error| Failure::new(error, version))?;
        let name = raw.name.unwrap_or_default();
        let runtime = raw.runtime_config.unwrap_or_default();
        let mut ips = runtime.ips.unwrap_or_default();
        ips.extend(
            raw.args
                .and_then(|args| args.cni?.ips)
                .into_iter()
                .flatten(),
        );
        Ok(Self {
            version,
            network: raw.network.unwrap_or_else(|| name.clone()),
            name,
            socket: raw.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            attach: raw.attach.unwrap_or_default(),
            driver: raw.driver.unwrap_or_else(|| PACKET.to_owned()),
            previous_result: raw.previous_result.filter(Value::is_object),
            ipam: raw.ipam.and_then(|ipam| ipam.kind),
            routes: raw.routes.unwrap_or_default(),
            dns: raw.dns,
            wishes: Wishes {
                ips,
                ranges: runtime.ip_ranges.unwrap_or_default(),
                mac: runtime.mac.filter(|mac| !mac.is_empty()),
            },
            valid_attachments: raw.valid_attachments,
            raw: input.to_owned(),
        })
    }

    /// The attachments that GC must keep.
    pub(crate) fn valid_attachments(&self) -> Result<Vec<Attachment>, CniError> {
        let invalid = |reason: &str| CniError::InvalidConfig {
            key: "cni.dev/valid-attachments",
            reason: reason.to_owned(),
        };
        let Some(list) = &self.valid_attachments else {
            return Err(invalid("is missing"));
        };
        let list = list.as_array().ok_or_else(|| invalid("is no list"))?;
        let text = |item: &Value, key: &str| item.get(key)?.as_str().map(str::to_owned);
        let attachment = |item| {
            Some(Attachment {
                container_id: text(item, "containerID")?,
                interface: text(item, "ifname")?,
            })
        };
        let all = list.iter().map(attachment).collect::<Option<_>>();
        all.ok_or_else(|| invalid("has an item without containerID or ifname"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfig {
    cni_version: Option<String>,
    name: Option<String>,
    network: Option<String>,
    socket: Option<PathBuf>,
    attach: Option<String>,
    driver: Option<String>,
    ipam: Option<RawIpam>,
    routes: Option<Vec<Route>>,
    dns: Option<Value>,
    runtime_config: Option<RuntimeConfig>,
    args: Option<RawArgs>,
    #[serde(rename = "prevResult")]
    previous_result: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Value>,
}

#[derive(Deserialize)]
struct RawIpam {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeConfig {
    ips: Option<Vec<String>>,
    ip_ranges: Option<Vec<Vec<Range>>>,
    mac: Option<String>,
}

#[derive(Deserialize)]
struct RawArgs {
    cni: Option<CniArgs>,
}

#[derive(Deserialize)]
struct CniArgs {
    ips: Option<Vec<String>>,
}

impl RawConfig {
    fn check(&self) -> Result<(), CniError> {
        let invalid = |key, reason: String| Err(CniError::InvalidConfig { key, reason });
        match self.name.as_deref() {
            None | Some("") => return invalid("name", "is missing".to_owned()),
            Some(name) if !is_identifier(name) => {
                return invalid(
                    "name",
                    format!("`{name}` has a character that is not allowed"),
                );
            }
            Some(_) => {}
        }
        if self.network.as_deref() == Some("") {
            return invalid("network", "is empty".to_owned());
        }
        let unknown = |attach: &&str| ![TUN, TAP, VETH].contains(attach);
        if let Some(attach) = self.attach.as_deref().filter(unknown) {
            let reason =
                format!("this version supports `{TUN}`, `{TAP}` and `{VETH}`, not `{attach}`");
            return invalid("attach", reason);
        }
        if let Some(driver) = self.driver.as_deref() {
            if self.attach.as_deref() != Some(VETH) {
                let reason = format!("is of use with `attach` `{VETH}` only");
                return invalid("driver", reason);
            }
            if ![PACKET, AF_XDP].contains(&driver) {
                let reason = format!("is `{PACKET}` or `{AF_XDP}`, not `{driver}`");
                return invalid("driver", reason);
            }
        }
        let kind = self.ipam.as_ref().and_then(|ipam| ipam.kind.as_deref());
        if let Some(kind) = kind.filter(|kind| kind.is_empty() || kind.contains('/')) {
            return invalid("ipam.type", format!("`{kind}` is no name of a plugin"));
        }
        match &self.socket {
            Some(socket) if !socket.is_absolute() => invalid(
                "socket",
                format!("`{}` is no absolute path", socket.display()),
            ),
            _ => Ok(()),
        }
    }
}
