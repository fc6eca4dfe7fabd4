//! How the host's routes lead to far ends: on the same link, behind a router, or into one of this
//! node's own ports. Says what is not as it should be; where packets go then is for
//! [`crate::compile`] to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::Engine;
use crate::{
    app::error::ChangeError,
    mtu::{Next, Way},
    object::{Encap, Key, Kind, Name, Network, Path, Port, Target, Vtep},
    rib::{ApplyError, Change, Delta, Problem, Rib},
};

/// So many networks may carry one another: what the dataplane lets pass.
const DEPTH_MAX: usize = 4;

/// What is not as it should be, by network and, if it is about one, far end.
pub(super) type Warnings = BTreeMap<(Name, Option<IpAddr>), Vec<String>>;

/// Refuses far ends behind a router, which packets without encapsulation do not reach: those that
/// `concerned` picks.
pub(in crate::app) fn refuse_routed(
    rib: &Rib,
    concerned: impl Fn(&Vtep) -> bool,
    next: impl Fn(IpAddr) -> Option<Next>,
) -> Result<(), ApplyError> {
    let plain = rib.networks().map(|(_, network)| network);
    let plain = plain.filter(|network| network.encap == Encap::Plain);
    let vteps = plain.flat_map(|network| rib.vteps_of(&network.name));
    for vtep in vteps.filter(|vtep| concerned(vtep)) {
        if let Some(Next::Router(router)) = next(vtep.address) {
            let problem = Problem::BehindRouter { router };
            return Err(ApplyError::new(Key::Vtep(vtep.key()), "address", problem));
        }
    }
    Ok(())
}

impl Engine {
    /// The host's way to a far end, if it has one.
    pub fn way(&self, end: IpAddr) -> Option<&Way> {
        let way = self.paths.way(end)?;
        (way.next != Next::Nobody).then_some(way)
    }

    /// Whether a far end is on the same link.
    pub fn is_on_link(&self, end: IpAddr) -> bool {
        let way = self.way(end);
        way.is_some_and(|way| way.next == Next::End && self.own_port(&way.link).is_none())
    }

    /// What is not as it should be about a network or one of its far ends, for people to read.
    pub fn warnings(&self, network: &Name) -> impl Iterator<Item = (Option<IpAddr>, &String)> {
        let of_network = self
            .warnings
            .iter()
            .filter(move |((of, _), _)| of == network);
        of_network.flat_map(|((_, end), texts)| texts.iter().map(|text| (*end, text)))
    }

    /// The same of all networks.
    pub fn all_warnings(&self) -> impl Iterator<Item = (&Name, &String)> {
        let all = self.warnings.iter();
        all.flat_map(|((network, _), texts)| texts.iter().map(move |text| (network, text)))
    }

    /// Refuses new far ends that packets without encapsulation cannot reach. One that is lost later
    /// is no reason to refuse anything: its packets are dropped under a name until it is back.
    pub(super) fn refuse_routed(&self, delta: &Delta) -> Result<(), ChangeError> {
        let new = |vtep: &Vtep| {
            let appears = |change: &Change<Vtep>| {
                change.before.is_none() && change.latest().key() == vtep.key()
            };
            let becomes = |change: &Change<Network>| {
                let was = change.before.as_ref().map(|it| it.encap);
                change.latest().name == vtep.network && was != Some(Encap::Plain)
            };
            delta.vteps.iter().any(appears) || delta.networks.iter().any(becomes)
        };
        let next = |end| Some(self.way(end)?.next);
        Ok(refuse_routed(&self.rib, new, next)?)
    }

    /// Tells the compiler which far ends are on the same link. Returns whether that changes where
    /// packets go.
    pub(super) fn follow_reach(&mut self) -> bool {
        let ends = self.rib.vteps().map(|(_, vtep)| vtep.address);
        let on_link: BTreeSet<_> = ends.filter(|end| self.is_on_link(*end)).collect();
        self.compiler.set_on_link(on_link)
    }

    /// Logs what is no longer, or no longer not, as it should be. Returns whether anything is.
    pub(super) fn warn(&mut self) -> bool {
        let now = self.look_for_warnings();
        let before = std::mem::replace(&mut self.warnings, now);
        for ((network, end), texts) in &self.warnings {
            let known = before.get(&(network.clone(), *end));
            for text in texts
                .iter()
                .filter(|it| known.is_none_or(|known| !known.contains(it)))
            {
                tracing::warn!(%network, "{text}");
            }
        }
        for ((network, end), _) in before
            .iter()
            .filter(|(key, _)| !self.warnings.contains_key(key))
        {
            match end {
                Some(vtep) => tracing::info!(%network, %vtep, "far end reached as it should be"),
                None => tracing::info!(%network, "as it should be again"),
            }
        }
        before != self.warnings
    }

    fn look_for_warnings(&self) -> Warnings {
        let mut warnings = Warnings::new();
        let mut note = |network: &Name, end, text| {
            let texts = warnings.entry((network.clone(), end)).or_default();
            texts.push(text);
        };
        for (_, vtep) in self.rib.vteps() {
            if let Some(text) = self.unreachable(vtep) {
                note(&vtep.network, Some(vtep.address), text);
            }
        }
        for (_, network) in self.rib.networks() {
            for text in self.not_received(network) {
                note(&network.name, None, text);
            }
        }
        warnings
    }

    /// Why packets do not get to a far end.
    fn unreachable(&self, vtep: &Vtep) -> Option<String> {
        let (end, network) = (vtep.address, &vtep.network);
        let way = self.way(end);
        let port = way.and_then(|way| self.own_port(&way.link));
        if let Some(port) = port
            && self.comes_back(network, end, DEPTH_MAX)
        {
            let (device, local) = (&port.device, self.rib.local());
            return Some(format!(
                "the host's route to {end} leads by {device} into the overlay, and back into \
                 network {network}: its packets are dropped (tunnel_loop); give {end} a route by \
                 the underlay, see `ip route get {end} from {local}`"
            ));
        }
        let is_plain = self
            .rib
            .network(network)
            .is_some_and(|it| it.encap == Encap::Plain);
        if !is_plain || self.is_on_link(end) {
            return None;
        }
        let why = match (port, way.map(|way| way.next)) {
            (Some(port), _) => format!("reached through this node's port {}", port.name),
            (None, Some(Next::Router(router))) => format!("behind the router {router}"),
            (None, _) => "one that the host has no route to".to_owned(),
        };
        Some(format!(
            "{end} is {why}: without encapsulation its packets are dropped (next_hop_off_link)"
        ))
    }

    /// Why the host does not hand on what comes in without encapsulation.
    fn not_received(&self, network: &Network) -> Vec<String> {
        let mut ends: Vec<_> = self
            .rib
            .vteps_of(&network.name)
            .map(|it| it.address)
            .collect();
        let is_direct = |path: &Path| path.direct;
        if network.encap != Encap::Plain {
            ends.retain(|_| self.rib.has_path(&network.name, is_direct));
        }
        let links: BTreeSet<_> = ends
            .iter()
            .filter_map(|end| Some(&self.way(*end)?.link))
            .collect();
        if links.is_empty() {
            return Vec::new();
        }
        let (own, away): (Vec<_>, Vec<_>) = self
            .rib
            .ports_of(&network.name)
            .partition(|port| port.netns.is_none() && !port.kind.is_ethernet());
        let mut texts = Vec::new();
        if own.is_empty() && !away.is_empty() {
            texts.push(
                "what comes in without encapsulation is for the host to route, and the network has \
                 no port in the host's own network namespace to which it could"
                    .to_owned(),
            );
        }
        let is_v4 = self.rib.local().is_ipv4();
        for link in links {
            texts.extend(self.host.hindrances(link, is_v4, !away.is_empty()));
        }
        texts
    }

    /// Whether a network's packet to a far end comes back into the network.
    fn comes_back(&self, network: &Name, end: IpAddr, depth: usize) -> bool {
        let mut entered = vec![(end, depth)];
        while let Some((end, depth)) = entered.pop() {
            let Some(port) = self.way(end).and_then(|way| self.own_port(&way.link)) else {
                continue;
            };
            if port.network == *network || depth == 0 {
                return true;
            }
            let route = self.rib.longest_route(&port.network, end);
            if let Some(Target::Vteps(next)) = route.map(|route| &route.path.target) {
                entered.extend(next.iter().map(|end| (*end, depth - 1)));
            }
        }
        false
    }

    /// This node's port whose device in the host's own namespace has this name.
    fn own_port(&self, device: &str) -> Option<&Port> {
        let ports = self.rib.ports().map(|(_, port)| port);
        let mut own = ports.filter(|port| port.netns.is_none());
        own.find(|port| port.device.as_str() == device)
    }
}
