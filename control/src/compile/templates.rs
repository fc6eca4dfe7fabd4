//! The ready-made headers of tunnels: how packets leave, and with which fields, is decided here.

use ringlay_dataplane::port::uplink;
use ringlay_encap::{DfPolicy, Template, TtlPolicy, template};

use super::{Compiler, TunnelKey, configured_mac};
use crate::{object::Inner, rib::Rib};

impl Compiler {
    /// Makes the headers of a tunnel anew, from what is known of its way and its far end.
    pub(super) fn refresh_template(&mut self, rib: &Rib, key: &TunnelKey) {
        if self.is_plain(key) {
            return self.refresh_plain_template(key);
        }
        let Some(network) = self.networks.get(&key.network) else {
            return;
        };
        let Some(tunnel) = self.tunnels.get_mut(key) else {
            return;
        };
        let mac = configured_mac(rib, key).or(tunnel.learned);
        let inner = match network.inner {
            Inner::Ip => Some(template::Inner::Ip),
            Inner::Ethernet if network.bridge.is_some() => Some(template::Inner::Frames),
            Inner::Ethernet => mac.map(|dst| template::Inner::Ethernet {
                dst,
                src: network.table.mac,
            }),
        };
        tunnel.template = inner.and_then(|inner| {
            let ttl = network.table.ttl.unwrap_or_default();
            let mut builder = Template::builder(self.environment.local, key.vtep)
                .port(network.table.port)
                .ecn_mode(network.ecn)
                .dscp_policy(network.table.dscp)
                .ttl_policy(ttl)
                .udp_checksum(network.checksum.is_sent());
            builder = builder.df_policy(if self.environment.dont_fragment {
                DfPolicy::Copy
            } else {
                DfPolicy::Clear
            });
            // A limit has no place in what uplinks cut.
            // Nor have frames in tunnels right above IP.
            let cuttable = network.bridge.is_none() || network.table.port != 0;
            if self.environment.uplink && network.table.encap_limit.is_none() && cuttable {
                builder = builder.ethernet(uplink::MAC, uplink::PEER_MAC);
                // The kernel that routes it on takes one from its time to live.
                if let TtlPolicy::Set(ttl) = ttl {
                    builder = builder.ttl(ttl.get().saturating_add(1));
                }
            } else if let Some(wire) = &self.wire
                && let Some(next_hop) = wire.next_hop(key.vtep)
            {
                builder = builder.ethernet(next_hop, wire.mac);
            }
            // Fails if the addresses are of two IP versions, which the desired state excludes.
            builder.tunnel(network.table.key, inner).ok()
        });
    }

    /// The same without encapsulation: at most an Ethernet header, where the next hop is known.
    fn refresh_plain_template(&mut self, key: &TunnelKey) {
        let mut builder = Template::builder(self.environment.local, key.vtep);
        if let Some(link) = self.onward.as_ref().or(self.wire.as_ref())
            && let Some(next_hop) = link.next_hop(key.vtep)
        {
            builder = builder.ethernet(next_hop, link.mac);
        }
        if let Some(tunnel) = self.tunnels.get_mut(key) {
            tunnel.template = builder.plain().ok();
        }
    }
}
