//! Finds the MAC addresses of hosts on Ethernet ports, by ARP and neighbour discovery.
//!
//! A host is asked for while packets wait for it, by up to three requests a second apart, and again
//! before what it said expires. Those that do not answer are forgotten, until the next packet.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use ringlay_dataplane::id::PortId;
use ringlay_encap::MacAddr;

use super::{
    solicit::solicit,
    state::{REQUESTS, State},
};
use crate::compile::LinkView;

/// Hosts of one port that are known or asked for, at most: nobody can fill our memory by pretending
/// to be many, or by looking for many.
pub const HOSTS_MAX: usize = 4096;

/// An Ethernet frame to send out of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRequest {
    /// The port.
    pub port: PortId,
    /// The frame.
    pub frame: Vec<u8>,
}

/// A host, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its address.
    pub address: IpAddr,
    /// `reachable` or `incomplete`.
    pub state: &'static str,
    /// Its MAC address, if it is known.
    pub mac: Option<MacAddr>,
    /// How long ago it was last heard, if it was.
    pub age: Option<Duration>,
}

/// A host whose MAC address is another than before, or no longer known.
pub type Changed = (PortId, IpAddr, Option<MacAddr>);

/// The hosts on all Ethernet ports.
#[derive(Debug, Default)]
pub struct Hosts {
    ports: BTreeMap<PortId, Segment>,
}

#[derive(Debug)]
struct Segment {
    view: LinkView,
    hosts: BTreeMap<IpAddr, State>,
}

impl Hosts {
    /// Takes up a port, or what changed about it.
    pub fn put(&mut self, port: PortId, view: LinkView) {
        match self.ports.get_mut(&port) {
            Some(segment) => segment.view = view,
            None => {
                let hosts = BTreeMap::new();
                self.ports.insert(port, Segment { view, hosts });
            }
        }
    }

    /// Forgets a port and its hosts.
    pub fn remove(&mut self, port: PortId) {
        self.ports.remove(&port);
    }

    /// A packet waits for a host.
    pub fn unresolved(&mut self, port: PortId, address: IpAddr, now: Instant) {
        let Some(segment) = self.ports.get_mut(&port) else {
            return;
        };
        if let Some(state) = segment.hosts.get_mut(&address) {
            state.hurry(false, now);
        } else if segment.hosts.len() < HOSTS_MAX {
            segment.hosts.insert(address, State::asking(now));
        }
    }

    /// A host told its MAC address. Returns what that changes.
    pub fn heard(
        &mut self,
        port: PortId,
        address: IpAddr,
        mac: MacAddr,
        answered: bool,
        now: Instant,
    ) -> Option<Changed> {
        let segment = self.ports.get_mut(&port)?;
        let room = segment.hosts.len() < HOSTS_MAX;
        let known = segment.hosts.get(&address);
        // An answer that nobody asked for is worth nothing.
        if known.is_none() && (answered || !room) || !mac.is_unicast() {
            return None;
        }
        let before = known.and_then(State::mac);
        let state = State::Reachable {
            mac,
            address,
            heard: now,
            sent: 0,
        };
        segment.hosts.insert(address, state);
        (before != Some(mac)).then_some((port, address, Some(mac)))
    }

    /// The requests that are due, and the hosts that are no longer known.
    pub fn poll(&mut self, now: Instant) -> (Vec<HostRequest>, Vec<Changed>) {
        let (mut requests, mut lost) = (Vec::new(), Vec::new());
        for (&port, segment) in &mut self.ports {
            let Segment { view, hosts } = segment;
            hosts.retain(|&address, state| {
                if state.deadline().is_none_or(|deadline| deadline > now) {
                    return true;
                }
                if state.expire(now) {
                    lost.push((port, address, None));
                    return false;
                }
                if matches!(state, State::Asking { sent, .. } if *sent >= REQUESTS) {
                    return false;
                }
                let known = state.mac();
                if state.ask(now) {
                    let frame = request(view, address, known);
                    requests.push(HostRequest { port, frame });
                }
                true
            });
        }
        (requests, lost)
    }

    /// When [`Self::poll`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let states = self.ports.values().flat_map(|it| it.hosts.values());
        states.filter_map(State::deadline).min()
    }

    /// The hosts on a port, by address.
    pub fn of(&self, port: PortId, now: Instant) -> impl Iterator<Item = Host> {
        let hosts = self.ports.get(&port).into_iter().flat_map(|it| &it.hosts);
        hosts.map(move |(&address, state)| {
            let (state, mac, age) = match *state {
                State::Reachable { mac, heard, .. } => (
                    "reachable",
                    Some(mac),
                    Some(now.saturating_duration_since(heard)),
                ),
                State::Quiet | State::Asking { .. } => ("incomplete", None, None),
            };
            Host {
                address,
                state,
                mac,
                age,
            }
        })
    }
}

/// A frame that asks for a host: all, or, if it was known, itself.
fn request(view: &LinkView, address: IpAddr, known: Option<MacAddr>) -> Vec<u8> {
    // From the address that is on the same prefix, if there is one.
    let (near, far): (Vec<&IpNet>, Vec<_>) = view
        .addresses
        .iter()
        .partition(|net| net.contains(&address));
    let addresses: Vec<_> = near.into_iter().chain(far).map(IpNet::addr).collect();
    let mut frame = solicit(view.mac, &addresses, address);
    if let Some(mac) = known {
        frame[..mac.0.len()].copy_from_slice(&mac.0);
    }
    frame
}

#[cfg(test)]
mod tests {
    use ringlay_encap::{ArpRepr, EthernetFrame};

    use super::*;
    use crate::neighbour::{LIFETIME, REFRESH, RETRANSMIT};

    const PORT: PortId = PortId(3);
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn hosts() -> Hosts {
        let mut hosts = Hosts::default();
        let addresses = ["10.1.0.1/24", "10.2.0.1/24", "fd00::1/64"];
        let view = LinkView {
            mac: MAC,
            addresses: addresses.map(|it| it.parse().unwrap()).to_vec(),
        };
        hosts.put(PORT, view);
        hosts
    }

    #[test]
    fn a_host_is_asked_for_three_times_and_then_forgotten() {
        let (mut hosts, start) = (hosts(), Instant::now());
        hosts.unresolved(PORT, ip("10.2.0.9"), start);
        for n in 0..3 {
            let now = start + RETRANSMIT * n;
            assert_eq!(hosts.deadline(), Some(now));
            // Impatience changes nothing.
            hosts.unresolved(PORT, ip("10.2.0.9"), now);
            let (requests, lost) = hosts.poll(now);
            assert_eq!((requests.len(), lost.len()), (1, 0));
            let frame = EthernetFrame::new_checked(&requests[0].frame[..]).unwrap();
            assert_eq!((frame.dst(), frame.src()), (MacAddr::BROADCAST, MAC));
            let arp = ArpRepr::parse(frame.payload()).unwrap();
            let ends = (IpAddr::from(arp.sender_ip), IpAddr::from(arp.target_ip));
            assert_eq!(ends, (ip("10.2.0.1"), ip("10.2.0.9")));
            assert_eq!(hosts.poll(now), (Vec::new(), Vec::new()));
        }
        let (requests, _) = hosts.poll(start + RETRANSMIT * 3);
        assert!(requests.is_empty());
        assert_eq!(hosts.deadline(), None);
    }

    #[test]
    fn what_is_known_is_asked_for_again_before_it_expires() {
        let (mut hosts, start) = (hosts(), Instant::now());
        hosts.unresolved(PORT, ip("10.1.0.9"), start);
        let changed = hosts.heard(PORT, ip("10.1.0.9"), HOST, true, start);
        assert_eq!(changed, Some((PORT, ip("10.1.0.9"), Some(HOST))));
        assert_eq!(hosts.heard(PORT, ip("10.1.0.9"), HOST, true, start), None);
        assert_eq!(hosts.deadline(), Some(start + REFRESH));
        let (requests, _) = hosts.poll(start + REFRESH);
        assert_eq!(requests[0].frame[..6], HOST.0, "the host itself is asked");
        for n in 1..3 {
            assert_eq!(hosts.poll(start + REFRESH + RETRANSMIT * n).0.len(), 1);
        }
        assert_eq!(hosts.deadline(), Some(start + LIFETIME));
        let (requests, lost) = hosts.poll(start + LIFETIME);
        assert!(requests.is_empty());
        assert_eq!(lost, [(PORT, ip("10.1.0.9"), None)]);
        assert_eq!(hosts.of(PORT, start).count(), 0);
    }

    #[test]
    fn only_those_are_believed_who_ask_or_were_asked() {
        let (mut hosts, now) = (hosts(), Instant::now());
        assert_eq!(hosts.heard(PORT, ip("10.1.0.9"), HOST, true, now), None);
        let changed = hosts.heard(PORT, ip("10.1.0.9"), HOST, false, now);
        assert_eq!(changed, Some((PORT, ip("10.1.0.9"), Some(HOST))));
        let moved = MacAddr([2, 0, 0, 0, 0, 8]);
        let changed = hosts.heard(PORT, ip("10.1.0.9"), moved, true, now);
        assert_eq!(changed, Some((PORT, ip("10.1.0.9"), Some(moved))));
        assert_eq!(
            hosts.heard(PortId(4), ip("10.1.0.9"), HOST, false, now),
            None
        );
        hosts.remove(PORT);
        assert_eq!(hosts.heard(PORT, ip("10.1.0.9"), HOST, false, now), None);
    }

    #[test]
    fn nobody_fills_the_memory() {
        let (mut hosts, now) = (hosts(), Instant::now());
        for n in 0..2 * HOSTS_MAX as u128 {
            let address = std::net::Ipv6Addr::from_bits(n + (0xfd00 << 112));
            hosts.unresolved(PORT, address.into(), now);
            hosts.heard(PORT, address.into(), HOST, false, now);
        }
        assert_eq!(hosts.of(PORT, now).count(), HOSTS_MAX);
    }
}
