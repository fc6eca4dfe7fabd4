//! `ringlay network`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    print::{self, Line, or_null},
    session::session,
    verbs::{NameArg, NoFilter, Verb},
};
use crate::proto::{
    ApplyNetworkRequest, DeleteNetworkRequest, GetNetworkRequest, ListNetworksRequest, Network,
    NetworkKey, network_service_client::NetworkServiceClient,
};

/// The verbs of this object.
pub(super) type NetworkVerb = Verb<NetworkArgs, NameArg, NoFilter>;

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

impl NetworkArgs {
    fn object(self) -> Network {
        Network {
            name: self.name,
            vni: self.vni,
            encap: self.encap,
            key: self.key,
            inner: self.inner,
            preset: self.preset,
            ecn: self.ecn,
            dscp: self.dscp,
            ttl: self.ttl,
            udp_checksum: self.udp_checksum,
            encap_limit: self.encap_limit,
            port: self.port,
            mode: self.mode,
            fdb_ageing_ms: self.fdb_ageing.map(|seconds| u64::from(seconds) * 1000),
            fdb_limit: self.fdb_limit,
            mtu: self.mtu,
            mac: self.mac,
            mss_clamp: self.mss_clamp,
            fragment: self.fragment,
            accept_unknown_vteps: self.accept_unknown_vteps,
            ..Network::default()
        }
    }
}

impl NameArg {
    fn key(self) -> NetworkKey {
        NetworkKey { name: self.name }
    }
}

pub(super) fn run(verb: NetworkVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        Verb::List {
            all_sources, json, ..
        } => {
            let request = ListNetworksRequest { all_sources };
            let reply = session(socket, async |channel| {
                let mut client = NetworkServiceClient::new(channel);
                Ok(client.list_networks(request).await?.into_inner())
            })?;
            print::list(&reply.networks, json, line, value)
        }
        Verb::Show { key, json } => {
            let request = GetNetworkRequest {
                key: Some(key.key()),
            };
            let reply = session(socket, async |channel| {
                Ok(NetworkServiceClient::new(channel)
                    .get_network(request)
                    .await?
                    .into_inner())
            })?;
            let network = reply.network.unwrap_or_default();
            if json {
                print::print_json(&value(&network))
            } else {
                print::print(&details(&network))
            }
        }
        Verb::Add { object, options } => {
            let network = Some(Network {
                source: options.source,
                ..object.object()
            });
            let request = ApplyNetworkRequest {
                network,
                exist_ok: Some(options.replace),
            };
            session(socket, async |channel| {
                NetworkServiceClient::new(channel)
                    .apply_network(request)
                    .await?;
                Ok(())
            })
        }
        Verb::Delete { key, options } => {
            let (source, missing_ok) = (options.source, options.missing_ok);
            let request = DeleteNetworkRequest {
                key: Some(key.key()),
                source,
                missing_ok,
            };
            session(socket, async |channel| {
                NetworkServiceClient::new(channel)
                    .delete_network(request)
                    .await?;
                Ok(())
            })
        }
    }
}

fn line(network: &Network) -> String {
    let status = network.status.clone().unwrap_or_default();
    Line::new(&network.name)
        .word("encap", &network.encap)
        .optional("vni", network.vni)
        .optional("key", network.key)
        .word("mode", &network.mode)
        .optional("port", network.port)
        .word("inner", &network.inner)
        .optional("preset", filled(&network.preset))
        .word("mtu", status.mtu)
        .word("mac", &status.mac)
        .flag("fragment", network.fragment)
        .flag("accept_unknown_vteps", status.accept_unknown_vteps)
        .word("source", &network.source)
        .done()
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn details(network: &Network) -> String {
    let status = network.status.clone().unwrap_or_default();
    let underlay = format!(
        "    underlay {} mtu from: {}",
        status.underlay, status.mtu_reason
    );
    let headers = Line::new("    outer headers:")
        .word("ecn", &network.ecn)
        .word("dscp", &network.dscp)
        .optional("ttl", filled(&network.ttl))
        .optional("udp_checksum", filled(&network.udp_checksum))
        .optional("encap_limit", network.encap_limit)
        .done();
    let stations = network.fdb_limit.map_or_else(String::new, |limit| {
        let ageing = network.fdb_ageing_ms.unwrap_or_default() / 1000;
        let (learned, refused) = (status.fdb_learned, status.fdb_refused);
        format!("    fdb learned {learned} limit {limit} refused {refused} ageing {ageing}s\n")
    });
    let warnings = print::warnings(&status.warnings);
    format!(
        "{}\n{underlay}\n{headers}\n{stations}{warnings}",
        line(network)
    )
}

fn value(network: &Network) -> Value {
    let status = network.status.clone().unwrap_or_default();
    json!({
        "name": network.name,
        "vni": network.vni,
        "encap": network.encap,
        "key": network.key,
        "inner": network.inner,
        "preset": or_null(&network.preset),
        "ecn": network.ecn,
        "dscp": network.dscp,
        "ttl": or_null(&network.ttl),
        "udp_checksum": or_null(&network.udp_checksum),
        "encap_limit": network.encap_limit,
        "mode": network.mode,
        "fdb_ageing_ms": network.fdb_ageing_ms,
        "fdb_limit": network.fdb_limit,
        "fdb_learned": network.fdb_limit.map(|_| status.fdb_learned),
        "fdb_refused": network.fdb_limit.map(|_| status.fdb_refused),
        "port": network.port,
        "mtu": status.mtu,
        "mtu_reason": status.mtu_reason,
        "mac": or_null(&status.mac),
        "underlay": status.underlay,
        "mss_clamp": network.mss_clamp,
        "fragment": network.fragment,
        "accept_unknown_vteps": status.accept_unknown_vteps,
        "warnings": status.warnings,
        "source": network.source,
    })
}
