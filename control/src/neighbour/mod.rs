//! Finds the MAC addresses of tunnels' far ends, by ARP and neighbour discovery through the
//! tunnels. Those of hosts on Ethernet ports are found by [`hosts`].
//!
//! Each tunnel is asked for by up to three requests a second apart, then ever less often; what is
//! found is asked for again before it expires. Time is an argument and requests are returned:
//! nothing here sleeps or sends. Answering others is the workers' job.

pub mod hosts;
mod solicit;
mod state;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use ringlay_dataplane::id::{NetworkId, TunnelId};
use ringlay_encap::MacAddr;

use self::state::State;

pub(crate) use self::solicit::solicit;
pub use self::state::{BACK_OFF_MAX, LIFETIME, REFRESH, REQUESTS, RETRANSMIT};
use crate::compile::TunnelView;

/// An Ethernet frame to send through a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The tunnel.
    pub tunnel: TunnelId,
    /// The frame.
    pub frame: Vec<u8>,
}

/// How far a tunnel's far end is known, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `static`, `reachable`, `incomplete` or `failed`.
    pub state: &'static str,
    /// Its MAC address, if it is known.
    pub mac: Option<MacAddr>,
    /// The inner address that was heard, or is asked for.
    pub target: Option<IpAddr>,
    /// How long ago it was last heard, if it was.
    pub age: Option<Duration>,
}

/// All tunnels' far ends.
#[derive(Debug, Default)]
pub struct Resolver {
    entries: BTreeMap<TunnelId, Entry>,
    /// By network and outer address.
    index: BTreeMap<(NetworkId, IpAddr), BTreeSet<TunnelId>>,
}

#[derive(Debug)]
struct Entry {
    view: TunnelView,
    /// The destination of the packet that waits, or waited last.
    wanted: Option<IpAddr>,
    state: State,
}

impl Resolver {
    /// Takes up a tunnel, or what changed about it. What was resolved before stays.
    ///
    /// Returns whether what was resolved no longer holds.
    pub fn put(&mut self, id: TunnelId, view: TunnelView, now: Instant) -> bool {
        let entry = match self.entries.get_mut(&id) {
            Some(entry) if (entry.view.network, entry.view.vtep) == (view.network, view.vtep) => {
                entry.view = view;
                entry
            }
            _ => {
                self.remove(id);
                self.index
                    .entry((view.network, view.vtep))
                    .or_default()
                    .insert(id);
                self.entries.insert(
                    id,
                    Entry {
                        view,
                        wanted: None,
                        state: State::Quiet,
                    },
                );
                self.entries.get_mut(&id).expect("it was just inserted")
            }
        };
        if entry.view.is_settled() {
            let lost = matches!(entry.state, State::Reachable { .. });
            entry.state = State::Quiet;
            return lost;
        }
        entry.start(now);
        false
    }

    /// Forgets a tunnel.
    pub fn remove(&mut self, id: TunnelId) {
        if let Some(entry) = self.entries.remove(&id) {
            let key = (entry.view.network, entry.view.vtep);
            if let Some(tunnels) = self.index.get_mut(&key) {
                tunnels.remove(&id);
                if tunnels.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }

    /// A packet for `destination` waits for a tunnel's far end.
    pub fn unresolved(&mut self, id: TunnelId, destination: IpAddr, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.view.is_settled() {
            return;
        }
        let news = entry.wanted.replace(destination) != Some(destination);
        entry.start(now);
        entry.state.hurry(news, now);
    }

    /// A VTEP told which MAC address an inner address has. Returns the tunnels whose far end is
    /// now known by another MAC address than before.
    pub fn heard(
        &mut self,
        network: NetworkId,
        vtep: IpAddr,
        address: IpAddr,
        mac: MacAddr,
        now: Instant,
    ) -> Vec<TunnelId> {
        let Some(tunnels) = self.index.get(&(network, vtep)) else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        for id in tunnels {
            let entry = self
                .entries
                .get_mut(id)
                .expect("the index names only entries");
            if mac.is_unicast() && entry.accepts(address, mac) {
                let before = entry.state.mac();
                entry.state = State::Reachable {
                    mac,
                    address,
                    heard: now,
                    sent: 0,
                };
                if before != Some(mac) {
                    changed.push(*id);
                }
            }
        }
        changed
    }

    /// The requests that are due, and the tunnels whose far end is no longer known.
    pub fn poll(&mut self, now: Instant) -> (Vec<Request>, Vec<TunnelId>) {
        let mut requests = Vec::new();
        let mut lost = Vec::new();
        for (id, entry) in &mut self.entries {
            if entry.state.deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            if entry.state.expire(now) {
                lost.push(*id);
            }
            let frames = entry.ask(now).into_iter();
            requests.extend(frames.map(|frame| Request { tunnel: *id, frame }));
        }
        (requests, lost)
    }

    /// When [`Self::poll`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let states = self.entries.values().map(|entry| &entry.state);
        states.filter_map(State::deadline).min()
    }

    /// The MAC address that was resolved for a tunnel's far end.
    pub fn mac(&self, id: TunnelId) -> Option<MacAddr> {
        self.entries.get(&id)?.state.mac()
    }

    /// How far a tunnel's far end is known.
    pub fn status(&self, id: TunnelId, now: Instant) -> Option<Status> {
        Some(self.entries.get(&id)?.status(now))
    }
}

impl Entry {
    /// Begins to ask, if there is something to ask for and nobody is asking.
    fn start(&mut self, now: Instant) {
        if matches!(self.state, State::Quiet) && !self.targets().is_empty() {
            self.state = State::asking(now);
        }
    }

    /// The inner addresses to ask for. Either may be the only one that is answered: a kernel
    /// answers for itself alone, and a hint may name a host that does not exist.
    fn targets(&self) -> Vec<IpAddr> {
        if let Some(via) = self.view.via {
            return vec![via];
        }
        let known = match self.state {
            State::Reachable { address, .. } => Some(address),
            State::Quiet | State::Asking { .. } => None,
        };
        let mut targets = Vec::with_capacity(3);
        for target in [known, self.wanted, self.view.hint].into_iter().flatten() {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    /// Whether what was heard is about this tunnel's far end.
    fn accepts(&self, address: IpAddr, mac: MacAddr) -> bool {
        if self.view.is_settled() {
            return false;
        }
        if let Some(via) = self.view.via {
            return address == via;
        }
        match self.state {
            // Another host behind the same VTEP says nothing about this one.
            State::Reachable {
                mac: known,
                address: heard,
                ..
            } => known == mac || heard == address,
            State::Quiet | State::Asking { .. } => true,
        }
    }

    /// The frames of one request, which is due.
    fn ask(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if !self.state.ask(now) {
            return Vec::new();
        }
        let view = &self.view;
        self.targets()
            .into_iter()
            .map(|it| solicit(view.mac, &view.addresses, it))
            .collect()
    }

    fn status(&self, now: Instant) -> Status {
        let target = self.targets().first().copied();
        let (state, mac, age) = match self.state {
            State::Quiet if self.view.is_settled() => ("static", self.view.configured, None),
            State::Quiet => ("incomplete", None, None),
            State::Asking { sent, .. } if sent > REQUESTS => ("failed", None, None),
            State::Asking { .. } => ("incomplete", None, None),
            State::Reachable { mac, heard, .. } => ("reachable", Some(mac), Some(now - heard)),
        };
        Status {
            state,
            mac,
            target,
            age,
        }
    }
}
