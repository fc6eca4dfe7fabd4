//! Packets without encapsulation: by which endpoint they leave, and where they go while a far end is
//! not on the same link.
//!
//! A router between would not know their destinations. In a network without encapsulation they are
//! dropped then, under a name. Direct routes of other networks lead through the tunnel instead:
//! nobody who asks for them wants to lose a far end that has moved behind a router.

use std::{collections::BTreeSet, net::IpAddr};

use ringlay_dataplane::{
    id::{TunnelId, UnderlayId},
    tables::NextHop,
};
use ringlay_encap::{Encapsulation, UdpChecksum};

use super::{Compiler, TunnelKey, Wire, networks::Carrier};
use crate::rib::Rib;

/// The endpoint that has neither a port nor a protocol.
pub(super) const CARRIER: Carrier = Carrier {
    encapsulation: Encapsulation::Plain,
    port: 0,
    checksum: UdpChecksum::On,
};

impl Compiler {
    /// Takes note of the far ends that are on the same link. Returns whether that changes where
    /// packets go.
    pub fn set_on_link(&mut self, ends: BTreeSet<IpAddr>) -> bool {
        let changed = self.on_link != ends;
        self.on_link = ends;
        changed && self.plain_endpoint().is_some()
    }

    /// Takes note of the link that packets without encapsulation leave by past the kernel's own
    /// stack, or that there is none. Returns whether that changes the tables.
    pub fn set_onward(&mut self, rib: &Rib, onward: Option<Wire>) -> bool {
        if self.onward == onward {
            return false;
        }
        self.onward = onward;
        let keys = self.tunnels.iter().map(|(key, _)| key);
        let keys: Vec<_> = keys.filter(|key| self.is_plain(key)).cloned().collect();
        keys.iter().for_each(|key| self.refresh_template(rib, key));
        !keys.is_empty()
    }

    /// Has the endpoint for packets without encapsulation, also while nobody needs it.
    pub fn hold_plain(&mut self) {
        self.acquire_underlay(CARRIER);
    }

    /// The opposite of [`Self::hold_plain`].
    pub fn let_plain_go(&mut self) {
        self.release_underlay(CARRIER);
    }

    /// Whether a tunnel is none.
    pub fn is_plain(&self, key: &TunnelKey) -> bool {
        let network = self.networks.get(&key.network);
        key.direct
            || network.is_some_and(|entry| entry.carrier().encapsulation == CARRIER.encapsulation)
    }

    /// The endpoint for packets without encapsulation, if there are such.
    pub(super) fn plain_endpoint(&self) -> Option<UnderlayId> {
        self.underlays.get(&CARRIER).map(|(id, _)| *id)
    }

    /// The tunnel of a route, for so many more users.
    pub(super) fn hold_tunnel(&mut self, key: &TunnelKey, users: u32) -> TunnelId {
        if key.direct && self.tunnels.get(key).is_none() {
            self.hold_plain();
        }
        self.tunnels.acquire(key, users)
    }

    /// Takes back so many users of a route's tunnel.
    pub(super) fn let_tunnel_go(&mut self, key: &TunnelKey, users: u32) {
        let known = self.tunnels.get(key).is_some();
        self.tunnels.release(key, users);
        if key.direct && known && self.tunnels.get(key).is_none() {
            self.let_plain_go();
        }
    }

    /// Where packets for a tunnel go now.
    pub(super) fn leads_to(&self, id: TunnelId) -> NextHop {
        let there = NextHop::Tunnel(id);
        if self.plain_endpoint().is_none() {
            return there;
        }
        let Some(key) = self.tunnels.key(id) else {
            return there;
        };
        if !self.is_plain(key) || self.on_link.contains(&key.vtep) {
            return there;
        }
        let tunnel = key.tunnelled();
        match self.tunnel(&tunnel) {
            Some(tunnelled) if !self.is_plain(&tunnel) => NextHop::Tunnel(tunnelled),
            _ => NextHop::OffLink,
        }
    }
}
