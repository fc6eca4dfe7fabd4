//! Networks and the local tunnel endpoints that they share: networks of one encapsulation on one
//! UDP port have one endpoint, which is there as long as one of them is.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use ringlay_dataplane::{
    endpoint::Endpoint,
    id::{NetworkId, UnderlayId},
    tables,
};
use ringlay_encap::{EcnMode, Encapsulation, MacAddr, TtlPolicy, UdpChecksum};

use super::{
    Compiler, Environment,
    bridges::BridgeEntry,
    mtus::{NetworkMtus, overhead},
    narrow,
};
use crate::object::{Inner, Name, Network};

/// What tells local tunnel endpoints apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Carrier {
    pub(super) encapsulation: Encapsulation,
    /// Zero where it does not go over UDP.
    pub(super) port: u16,
    pub(super) checksum: UdpChecksum,
}

impl Carrier {
    fn endpoint(self, local: IpAddr) -> Endpoint {
        Endpoint {
            local: SocketAddr::new(local, self.port),
            encapsulation: self.encapsulation,
            checksum: self.checksum,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NetworkEntry {
    pub(super) id: NetworkId,
    pub(super) mtus: NetworkMtus,
    pub(super) inner: Inner,
    pub(super) ecn: EcnMode,
    pub(super) checksum: UdpChecksum,
    /// If frames are bridged.
    pub(super) bridge: Option<BridgeEntry>,
    pub(super) table: tables::Network,
}

impl NetworkEntry {
    pub(super) fn carrier(&self) -> Carrier {
        Carrier {
            encapsulation: self.table.key.encapsulation(),
            port: self.table.port,
            checksum: self.checksum,
        }
    }
}

impl Compiler {
    /// The local tunnel endpoints that networks use.
    pub fn underlays(&self) -> impl Iterator<Item = (UnderlayId, Endpoint)> {
        let local = self.environment.local;
        self.underlays
            .iter()
            .map(move |(carrier, (id, _))| (*id, carrier.endpoint(local)))
    }

    /// The endpoints at which outer times to live are taken over by a network.
    pub fn copied_ttls(&self) -> BTreeSet<UnderlayId> {
        let tables = self.networks.values().map(|entry| &entry.table);
        let copying = tables.filter(|table| table.ttl == Some(TtlPolicy::Copy));
        copying.map(|table| table.underlay).collect()
    }

    /// The local tunnel endpoint of a network.
    pub fn endpoint(&self, name: &Name) -> Option<Endpoint> {
        let carrier = self.networks.get(name)?.carrier();
        Some(carrier.endpoint(self.environment.local))
    }

    pub(super) fn put_network(&mut self, network: &Network) {
        let (key, port) = (
            network.encap.tunnel_key(),
            network.encap.port().unwrap_or(0),
        );
        let carrier = Carrier {
            encapsulation: key.encapsulation(),
            port,
            checksum: network.headers.udp_checksum,
        };
        let underlay = self.acquire_underlay(carrier);
        let environment = self.environment;
        let derived = || derive_mac(environment.local, network);
        let known = self.networks.contains_key(&network.name);
        let accept = network.accept_unknown_vteps;
        let ids = &mut self.network_ids;
        let entry = self
            .networks
            .entry(network.name.clone())
            .or_insert_with(|| NetworkEntry {
                id: NetworkId(narrow(ids.take())),
                mtus: NetworkMtus::default(),
                inner: network.encap.inner(),
                ecn: network.headers.ecn,
                checksum: network.headers.udp_checksum,
                bridge: None,
                table: tables::Network::new(underlay, key),
            });
        let before = known.then(|| entry.carrier());
        entry.inner = network.encap.inner();
        entry.bridge = network.mode.learning().map(|learning| BridgeEntry {
            learning,
            ..entry.bridge.take().unwrap_or_default()
        });
        let table = &mut entry.table;
        table.underlay = underlay;
        table.key = key;
        table.port = port;
        table.shared_mac = network.shared_mac();
        table.ttl = network.headers.ttl;
        table.dscp = network.headers.dscp;
        table.encap_limit = network.headers.encap_limit;
        entry.ecn = network.headers.ecn;
        entry.checksum = network.headers.udp_checksum;
        table.mac = network.mac.unwrap_or_else(derived);
        // Without a key nothing tells which network a stranger's packet is for: only one that asks
        // for it gets those. Without a checksum over IPv6 nothing tells a damaged address.
        let by_default = environment.accept_unknown_vteps
            && !key.is_absent()
            && !takes_zero(environment, network);
        table.accept_unknown_vteps = accept.unwrap_or(by_default);
        table.fragment = network.fragment;
        entry.mtus.configured = network.mtu;
        entry.mtus.clamp = network.mss_clamp;
        entry.mtus.overhead = overhead(&environment, network);
        before.into_iter().for_each(|it| self.release_underlay(it));
    }

    pub(super) fn remove_network(&mut self, name: &Name) {
        if let Some(entry) = self.networks.remove(name) {
            self.network_ids.give_back(entry.id.0.into());
            self.release_underlay(entry.carrier());
        }
    }

    pub(super) fn acquire_underlay(&mut self, carrier: Carrier) -> UnderlayId {
        let ids = &mut self.underlay_ids;
        let fresh = || (UnderlayId(narrow(ids.take())), 0);
        let (id, users) = self.underlays.entry(carrier).or_insert_with(fresh);
        *users += 1;
        *id
    }

    pub(super) fn release_underlay(&mut self, carrier: Carrier) {
        if let Some((id, users)) = self.underlays.get_mut(&carrier) {
            *users -= 1;
            if *users == 0 {
                self.underlay_ids.give_back(id.0.into());
                self.underlays.remove(&carrier);
            }
        }
    }
}

/// Whether a network's packets may come over IPv6 without an outer checksum.
fn takes_zero(environment: Environment, network: &Network) -> bool {
    environment.local.is_ipv6() && network.headers.udp_checksum != UdpChecksum::On
}

/// The same on every start, and different on every node and in every network.
fn derive_mac(local: IpAddr, network: &Network) -> MacAddr {
    let mut seed = match local {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if let Some(vni) = network.encap.vni() {
        seed.extend(vni.to_be_bytes());
    }
    if let Some(key) = network.encap.key() {
        seed.extend(key.0.to_be_bytes());
    }
    MacAddr::derive_local(&seed)
}
