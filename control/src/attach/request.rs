//! What somebody wants attached, and the addresses it gets.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use ringlay_encap::MacAddr;

use super::{
    AttachError, AttachKind, Attachments, pool,
    record::{AttachmentKey, NetnsId, Record},
};
use crate::{
    app::Engine,
    ipam::{self, AddressRange},
    object::{GuestRoute, Name},
};

/// A container to attach.
#[derive(Clone, Debug)]
pub struct Request {
    /// The container and the device.
    pub key: AttachmentKey,
    /// The network.
    pub network: Name,
    /// Who asks.
    pub owner: String,
    /// The container's network namespace.
    pub netns: PathBuf,
    /// Addresses that somebody else chose. None are chosen then.
    pub addresses: Vec<IpNet>,
    /// Addresses to choose.
    pub requested: Vec<IpAddr>,
    /// Sets to choose one address of each, in the place of the network's.
    pub sets: Vec<Vec<AddressRange>>,
    /// Routes inside the container. Default ones if there are none and the addresses are ours.
    pub routes: Vec<GuestRoute>,
    /// What sort of device it gets; if none is said, the network's usual one.
    pub kind: Option<AttachKind>,
    /// The MAC address of an Ethernet device; if there is none, one that the key determines.
    pub mac: Option<MacAddr>,
    /// Whether it is fine if it is attached like this already.
    pub exist_ok: bool,
}

impl Request {
    pub(super) fn record(
        self,
        kind: AttachKind,
        link: Option<&Link>,
        addresses: Vec<IpNet>,
        netns_id: NetnsId,
        boot_id: String,
    ) -> Record {
        let mut routes = self.routes;
        if routes.is_empty() && self.addresses.is_empty() {
            routes = default_routes(&addresses);
        }
        match link {
            Some(link) => link.lead(&mut routes),
            None => {
                for route in &mut routes {
                    route.via = kind.router(route.prefix.addr());
                }
            }
        }
        let derived = || MacAddr::derive_local(self.key.to_string().as_bytes());
        let mac = self.mac.unwrap_or_else(derived);
        Record {
            key: self.key,
            network: self.network.to_string(),
            owner: self.owner,
            netns: self.netns,
            netns_id,
            boot_id,
            kind,
            bridged: link.is_some(),
            mac: kind.port().is_ethernet().then(|| mac.to_string()),
            addresses,
            routes,
        }
    }
}

/// What a container meets on the one link of a bridged network.
#[derive(Debug)]
pub(super) struct Link {
    /// The routers there.
    pub(super) gateways: Vec<IpAddr>,
}

impl Link {
    /// Leads routes to the router of their IP version, unless they name one; those that have none
    /// are left out.
    fn lead(&self, routes: &mut Vec<GuestRoute>) {
        for route in routes.iter_mut() {
            let is_v4 = route.prefix.addr().is_ipv4();
            let gateway = self.gateways.iter().find(|it| it.is_ipv4() == is_v4);
            route.via = route.via.or_else(|| gateway.copied());
        }
        routes.retain(|route| route.via.is_some());
    }
}

/// Everything of the IP versions that there are addresses of.
fn default_routes(addresses: &[IpNet]) -> Vec<GuestRoute> {
    let defaults = [
        IpNet::new(IpAddr::from([0_u8; 4]), 0),
        IpNet::new(IpAddr::from([0_u8; 16]), 0),
    ];
    let has = |default: &IpNet| {
        let same = |net: &IpNet| net.addr().is_ipv4() == default.addr().is_ipv4();
        addresses.iter().any(same)
    };
    let defaults = defaults.into_iter().flatten();
    defaults.filter(has).map(GuestRoute::to).collect()
}

impl Attachments {
    /// The addresses that a container gets, each with the length of a host's prefix if it is ours.
    pub(super) fn addresses(
        &self,
        engine: &Engine,
        request: &Request,
    ) -> Result<Vec<IpNet>, AttachError> {
        if !request.addresses.is_empty() {
            return Ok(request.addresses.clone());
        }
        let network = &request.network;
        if !request.requested.is_empty() {
            let requested = request.requested.iter().copied();
            return requested
                .map(|address| self.claim(engine, network, address))
                .collect();
        }
        let sets = match request.sets.is_empty() {
            true => pool(engine, network)?.sets(),
            false => request.sets.clone(),
        };
        let chosen = self.choose(engine, network, &sets, &request.key.to_string())?;
        Ok(match pool(engine, network) {
            Ok(pool) => chosen.iter().map(|net| pool.on_link(net.addr())).collect(),
            Err(_) => chosen,
        })
    }

    /// One address of each set.
    pub(super) fn choose(
        &self,
        engine: &Engine,
        network: &Name,
        sets: &[Vec<AddressRange>],
        identity: &str,
    ) -> Result<Vec<IpNet>, AttachError> {
        let excluded = pool(engine, network).map(|pool| pool.exclude.as_slice());
        let excluded = excluded.unwrap_or_default();
        let choose = |ranges: &Vec<AddressRange>| {
            let taken = |address| {
                excluded.iter().any(|range| range.contains(address))
                    || self.is_taken(engine, network, address)
            };
            let chosen = ipam::choose(ranges, identity, taken);
            chosen.map(IpNet::from).ok_or_else(|| {
                let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
                let ranges = ranges.join(" and ");
                let network = network.clone();
                AttachError::Exhausted { network, ranges }
            })
        };
        sets.iter().map(choose).collect()
    }

    /// One certain address.
    fn claim(
        &self,
        engine: &Engine,
        network: &Name,
        address: IpAddr,
    ) -> Result<IpNet, AttachError> {
        let (pool, network) = (pool(engine, network)?, network.clone());
        if !pool.contains(address) {
            return Err(AttachError::NotInPool { address, network });
        }
        if self.is_taken(engine, &network, address) {
            return Err(AttachError::Taken { address, network });
        }
        Ok(pool.on_link(address))
    }

    fn is_taken(&self, engine: &Engine, network: &Name, address: IpAddr) -> bool {
        let ours = self.owners.contains_key(&(network.to_string(), address));
        // The ports of containers are among ours.
        let own = engine
            .rib()
            .ports_of(network)
            .filter(|port| port.guest.is_none());
        ours || own
            .flat_map(|port| &port.addresses)
            .any(|net| net.addr() == address)
    }
}
