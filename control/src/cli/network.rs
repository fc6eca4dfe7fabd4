//! `ringlay network`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    object::Object,
    print::{self, Line, or_null},
    verbs::NameArg,
};
use crate::proto::{Network, NetworkKey};

/// What `add` needs.
#[derive(Debug, Args)]
pub(super) struct NetworkArgs {
    /// Its name.
    name: String,
    /// VXLAN or Geneve network identifier, 0 to 16777215.
    #[arg(long)]
    vni: Option<u32>,
    /// How packets cross the underlay: vxlan, geneve, gre, ipip or none; vxlan, or that of the preset,
    /// unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    encap: String,
    /// GRE key.
    #[arg(long)]
    key: Option<u32>,
    /// What is inside the tunnels: ip, or ethernet, each packet in a frame.
    #[arg(long, default_value = "", hide_default_value = true)]
    inner: String,
    /// Whose conventions are the defaults: flannel, calico, cilium or antrea.
    #[arg(long, default_value = "", hide_default_value = true)]
    preset: String,
    /// How congestion marks cross: normal or compatibility; normal unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    ecn: String,
    /// Outer DSCP: a number, or copy, both ways; 0 unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    dscp: String,
    /// Outer time to live: a number, or copy, both ways; the host's usual one unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    ttl: String,
    /// Outer UDP checksum: on, sent (over IPv6 zero is accepted too) or off; on unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    udp_checksum: String,
    /// How many more tunnels packets may enter, as outer IPv6 headers of GRE and IP in IP say; they
    /// say nothing unless given.
    #[arg(long)]
    encap_limit: Option<u32>,
    /// UDP destination port; the one assigned to the encapsulation unless given.
    #[arg(long)]
    port: Option<u32>,
    /// Largest IP packet inside; what fits the underlay unless given.
    #[arg(long)]
    mtu: Option<u32>,
    /// What it forwards by: routed, by IP address, or bridged, by MAC address.
    #[arg(long, default_value = "", hide_default_value = true)]
    mode: String,
    /// Bridged: how many seconds a station is known that sends nothing; 300 unless given.
    #[arg(long, value_name = "SECONDS")]
    fdb_ageing: Option<u32>,
    /// Bridged: how many stations are learned at most; 16384 unless given.
    #[arg(long)]
    fdb_limit: Option<u32>,
    /// Our VTEP's MAC address in it; derived unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    mac: String,
    /// Let TCP connections begin with segments that fit the tunnels: auto, on or off.
    #[arg(long, default_value = "", hide_default_value = true)]
    mss_clamp: String,
    /// Fragment IPv4 packets that are too long for a tunnel, and may be, inside it rather than
    /// outside.
    #[arg(long)]
    fragment: bool,
    /// Whether tunnel frames from unlisted VTEPs are accepted.
    #[arg(long, value_name = "BOOL")]
    accept_unknown_vteps: Option<bool>,
}

impl From<NameArg> for NetworkKey {
    fn from(NameArg { name }: NameArg) -> Self {
        Self { name }
    }
}

impl Object for Network {
    type Add = NetworkArgs;
    type Key = NameArg;

    fn new(described: NetworkArgs, source: String) -> Self {
        Self {
            name: described.name,
            vni: described.vni,
            encap: described.encap,
            key: described.key,
            inner: described.inner,
            preset: described.preset,
            ecn: described.ecn,
            dscp: described.dscp,
            ttl: described.ttl,
            udp_checksum: described.udp_checksum,
            encap_limit: described.encap_limit,
            port: described.port,
            mode: described.mode,
            fdb_ageing_ms: described
                .fdb_ageing
                .map(|seconds| u64::from(seconds) * 1000),
            fdb_limit: described.fdb_limit,
            mtu: described.mtu,
            mac: described.mac,
            mss_clamp: described.mss_clamp,
            fragment: described.fragment,
            accept_unknown_vteps: described.accept_unknown_vteps,
            source,
            ..Self::default()
        }
    }

    fn line(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        Line::new(&self.name)
            .word("encap", &self.encap)
            .optional("vni", self.vni)
            .optional("key", self.key)
            .word("mode", &self.mode)
            .optional("port", self.port)
            .word("inner", &self.inner)
            .optional("preset", filled(&self.preset))
            .word("mtu", status.mtu)
            .word("mac", &status.mac)
            .flag("fragment", self.fragment)
            .flag("accept_unknown_vteps", status.accept_unknown_vteps)
            .word("source", &self.source)
            .done()
    }

    fn details(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        let underlay = format!(
            "    underlay {} mtu from: {}",
            status.underlay, status.mtu_reason
        );
        let headers = Line::new("    outer headers:")
            .word("ecn", &self.ecn)
            .word("dscp", &self.dscp)
            .optional("ttl", filled(&self.ttl))
            .optional("udp_checksum", filled(&self.udp_checksum))
            .optional("encap_limit", self.encap_limit)
            .done();
        let stations = self.fdb_limit.map_or_else(String::new, |limit| {
            let ageing = self.fdb_ageing_ms.unwrap_or_default() / 1000;
            let (learned, refused) = (status.fdb_learned, status.fdb_refused);
            format!("    fdb learned {learned} limit {limit} refused {refused} ageing {ageing}s\n")
        });
        let warnings = print::warnings(&status.warnings);
        format!(
            "{}\n{underlay}\n{headers}\n{stations}{warnings}",
            self.line()
        )
    }

    fn value(&self) -> Value {
        let status = self.status.clone().unwrap_or_default();
        json!({
            "name": self.name,
            "vni": self.vni,
            "encap": self.encap,
            "key": self.key,
            "inner": self.inner,
            "preset": or_null(&self.preset),
            "ecn": self.ecn,
            "dscp": self.dscp,
            "ttl": or_null(&self.ttl),
            "udp_checksum": or_null(&self.udp_checksum),
            "encap_limit": self.encap_limit,
            "mode": self.mode,
            "fdb_ageing_ms": self.fdb_ageing_ms,
            "fdb_limit": self.fdb_limit,
            "fdb_learned": self.fdb_limit.map(|_| status.fdb_learned),
            "fdb_refused": self.fdb_limit.map(|_| status.fdb_refused),
            "port": self.port,
            "mtu": status.mtu,
            "mtu_reason": status.mtu_reason,
            "mac": or_null(&status.mac),
            "underlay": status.underlay,
            "mss_clamp": self.mss_clamp,
            "fragment": self.fragment,
            "accept_unknown_vteps": status.accept_unknown_vteps,
            "warnings": status.warnings,
            "source": self.source,
        })
    }
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
