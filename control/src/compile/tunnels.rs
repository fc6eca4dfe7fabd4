//! Tunnels: one for each VTEP of a network, one more for each router behind it that a route names,
//! and one that is none for direct routes to it. Does not resolve MAC addresses: see
//! [`crate::neighbour`].

use std::{collections::BTreeMap, net::IpAddr};

use ringlay_dataplane::id::TunnelId;
use ringlay_encap::{MacAddr, Template};

use super::id_pool::IdPool;
use crate::object::Name;

/// What distinguishes two tunnels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelKey {
    /// The network.
    pub network: Name,
    /// The outer address of the far end.
    pub vtep: IpAddr,
    /// The inner address of the far router, if a route names it.
    pub via: Option<IpAddr>,
    /// Whether it is none: packets go to the far end as they are.
    pub direct: bool,
}

/// A tunnel.
#[derive(Clone, Debug)]
pub(super) struct Tunnel {
    pub(super) id: TunnelId,
    /// The VTEP itself, and routes that name a router behind it or are direct.
    users: u32,
    /// The MAC address that was resolved; configured ones are not noted here.
    pub(super) learned: Option<MacAddr>,
    /// An inner address that may be behind it.
    pub(super) hint: Option<IpAddr>,
    pub(super) template: Option<Template>,
}

/// All tunnels.
#[derive(Clone, Debug, Default)]
pub(super) struct Tunnels {
    map: BTreeMap<TunnelKey, Tunnel>,
    keys: BTreeMap<TunnelId, TunnelKey>,
    pool: IdPool,
}

impl Tunnels {
    /// The tunnel for so many more users.
    pub(super) fn acquire(&mut self, key: &TunnelKey, users: u32) -> TunnelId {
        if let Some(tunnel) = self.map.get_mut(key) {
            tunnel.users += users;
            return tunnel.id;
        }
        let id = TunnelId(self.pool.take());
        let tunnel = Tunnel {
            id,
            users,
            learned: None,
            hint: key.via,
            template: None,
        };
        self.map.insert(key.clone(), tunnel);
        self.keys.insert(id, key.clone());
        id
    }

    /// Takes back so many users.
    pub(super) fn release(&mut self, key: &TunnelKey, users: u32) {
        let Some(tunnel) = self.map.get_mut(key) else {
            return;
        };
        tunnel.users -= users;
        if tunnel.users == 0 {
            let id = tunnel.id;
            self.map.remove(key);
            self.keys.remove(&id);
            self.pool.give_back(id.0);
        }
    }

    pub(super) fn get(&self, key: &TunnelKey) -> Option<&Tunnel> {
        self.map.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &TunnelKey) -> Option<&mut Tunnel> {
        self.map.get_mut(key)
    }

    pub(super) fn key(&self, id: TunnelId) -> Option<&TunnelKey> {
        self.keys.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TunnelKey, &Tunnel)> {
        self.map.iter()
    }

    /// The tunnels of one network.
    pub(super) fn of<'a>(&'a self, network: &'a Name) -> impl Iterator<Item = &'a TunnelKey> {
        self.map.keys().filter(move |key| key.network == *network)
    }
}
