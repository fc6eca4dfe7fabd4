//! How what is known of the paths to far ends goes into tables, devices and kernel routes.

use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Engine, Probed};
use crate::{
    compile::TunnelKey,
    mtu::{Finding, Limit, NotBelieved, icmp::TooBig},
    object::{Key, Kind, Name, Network, VtepKey},
    rib::Delta,
};

/// How large packets to one far end may be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerMtu {
    /// The network.
    pub network: Name,
    /// The outer address of the far end.
    pub vtep: IpAddr,
    /// The largest inner IP packet, in bytes.
    pub mtu: u16,
    /// The largest outer IP packet that gets there, in bytes.
    pub outer: u16,
    /// By how many bytes the encapsulation makes packets longer.
    pub overhead: u16,
    /// What decides.
    pub origin: Origin,
    /// How long what was found out is still believed, if it was.
    pub expires: Option<Duration>,
    /// Whether larger packets that vanish without a word would be noticed.
    pub probed: Probed,
}

/// What decides how large packets may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration of the network; then what the path would take.
    Configured(Limit),
    /// The path.
    Path(Limit),
}

impl Origin {
    /// One word for it: link, route, router, probe or configured.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configured(_) => "configured",
            Self::Path(limit) => limit.name(),
        }
    }

    /// The router that said it, if one did.
    pub fn router(&self) -> Option<IpAddr> {
        match self {
            Self::Path(Limit::Path {
                finding: Finding::Router(router),
                ..
            }) => Some(*router),
            _ => None,
        }
    }
}

impl PeerMtu {
    /// Why it is so, for people to read.
    pub fn reason(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for PeerMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outer, overhead) = (self.outer, self.overhead);
        match &self.origin {
            Origin::Path(limit) => write!(f, "{outer} {limit}, less {overhead}"),
            Origin::Configured(limit) => {
                write!(f, "configured; {outer} {limit}, less {overhead}, ")?;
                let fits = outer.saturating_sub(overhead);
                if self.mtu <= fits {
                    write!(f, "would allow {fits}")
                } else {
                    write!(f, "allow {fits}: longer packets are fragmented underneath")
                }
            }
        }
    }
}

impl Engine {
    /// Looks up the ways to all far ends again, after links or routes of the host changed.
    pub fn underlay_changed(&mut self) {
        let ends: BTreeSet<_> = self.rib.vteps().map(|(_, vtep)| vtep.address).collect();
        self.paths.retain(|end| ends.contains(&end));
        let changed = self.look_up(&ends.into_iter().collect::<Vec<_>>());
        self.follow_paths(&changed);
        let moved = self.follow_reach();
        if moved {
            self.host.publish(self.compiler.tables());
        }
        if self.warn() || moved {
            self.generation += 1;
            let vteps = self.rib.vteps().map(|(_, vtep)| Key::Vtep(vtep.key()));
            self.announce(vteps);
        }
    }

    /// How large packets to each far end of each network may be.
    pub fn peer_mtus(&self) -> impl Iterator<Item = PeerMtu> {
        let vteps = self.rib.vteps();
        vteps.filter_map(|(_, vtep)| self.peer_mtu(&vtep.network, vtep.address))
    }

    /// How large packets to one far end may be.
    pub fn peer_mtu(&self, network: &Name, vtep: IpAddr) -> Option<PeerMtu> {
        let key = TunnelKey::to(network, vtep, None);
        let (mtu, limit) = (self.compiler.tunnel_mtu(&key), self.paths.limit(vtep));
        let expires = match &limit {
            Limit::Path { until, .. } => Some(until.saturating_duration_since(Instant::now())),
            _ => None,
        };
        let configured = self.rib.network(network)?.mtu.is_some();
        Some(PeerMtu {
            network: network.clone(),
            vtep,
            mtu,
            outer: self.paths.sizes(vtep).now,
            overhead: self.compiler.overhead(network)?,
            origin: if configured {
                Origin::Configured(limit)
            } else {
                Origin::Path(limit)
            },
            expires,
            probed: self.probed(vtep),
        })
    }

    /// Where the MTU of a network comes from, which is that of its widest tunnel.
    pub fn mtu_reason(&self, network: &Network) -> String {
        let peers = self.rib.vteps_of(&network.name);
        let peers = peers.filter_map(|vtep| self.peer_mtu(&network.name, vtep.address));
        let overhead = self.compiler.overhead(&network.name).unwrap_or_default();
        match peers.max_by_key(|peer| peer.outer) {
            Some(widest) => widest.reason(),
            None if network.mtu.is_some() => "configured".to_owned(),
            None => {
                let outer = self.compiler.environment().mtu;
                format!("{outer} of the underlay, less {overhead}")
            }
        }
    }

    /// A router says that a packet was too big for it. That is believed only if a tunnel may have
    /// sent the packet.
    ///
    /// # Errors
    ///
    /// If it is not believed, or no news.
    pub fn too_big(&mut self, router: IpAddr, said: &TooBig<'_>) -> Result<(), NotBelieved> {
        let (quote, end) = (&said.quote, said.quote.destination);
        if quote.source != self.rib.local() || !self.compiler.may_have_sent(quote) {
            return Err(NotBelieved::Foreign);
        }
        if quote.len <= said.mtu || quote.len > self.paths.sizes(end).way {
            return Err(NotBelieved::Length(quote.len));
        }
        let finding = Finding::Router(router);
        self.paths.learn(end, said.mtu, finding, Instant::now())?;
        self.probe_soon([end]);
        self.follow_paths(&BTreeSet::from([end]));
        Ok(())
    }

    /// Looks up the ways to far ends that a change brings.
    pub(super) fn look_up_new(&mut self, delta: &Delta) {
        let new = delta.vteps.iter().filter(|change| change.before.is_none());
        let ends: BTreeSet<_> = new.map(|change| change.latest().address).collect();
        if !self
            .look_up(&ends.into_iter().collect::<Vec<_>>())
            .is_empty()
        {
            self.compiler.set_paths(self.paths.all_sizes());
        }
    }

    /// Forgets what was found out too long ago.
    pub(super) fn expire_paths(&mut self) {
        let changed = self.paths.expire(Instant::now());
        self.follow_paths(&changed);
    }

    /// Asks the kernel for the ways to these ends. Returns those whose sizes changed.
    fn look_up(&mut self, ends: &[IpAddr]) -> BTreeSet<IpAddr> {
        if ends.is_empty() {
            return BTreeSet::new();
        }
        match self.host.ways(self.rib.local(), ends) {
            Ok(ways) => {
                let changed = self.paths.update(ends, ways);
                self.probe_soon(changed.iter().copied());
                changed
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell the MTU towards far ends");
                BTreeSet::new()
            }
        }
    }

    /// Makes tables, devices and kernel routes follow the paths to these ends.
    pub(super) fn follow_paths(&mut self, changed: &BTreeSet<IpAddr>) {
        if changed.is_empty() || !self.compiler.set_paths(self.paths.all_sizes()) {
            return;
        }
        for &vtep in changed {
            let (mtu, limit) = (self.paths.sizes(vtep).now, self.paths.limit(vtep));
            tracing::info!(%vtep, mtu, %limit, "path MTU");
        }
        self.host.publish(self.compiler.tables());
        self.ports.sync_mtus(&self.rib, &self.compiler, true);
        self.generation += 1;
        let vteps = self.rib.vteps().map(|(_, vtep)| vtep);
        let vteps = vteps.filter(|vtep| changed.contains(&vtep.address));
        let keys: BTreeSet<_> = vteps
            .flat_map(|vtep| {
                let (network, address) = (vtep.network.clone(), vtep.address);
                let name = network.clone();
                [Key::Vtep(VtepKey { network, address }), Key::Network(name)]
            })
            .collect();
        self.announce(keys);
    }
}
