//! Probing of the paths to far ends: which tunnel a request goes through, what it looks like, and
//! what becomes of what it finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use ringlay_dataplane::{id::TunnelId, probe};
use ringlay_encap::{MacAddr, eth};
use tokio::sync::oneshot;

use super::Engine;
use crate::{
    mtu::{
        PATH_MIN_V4, PATH_MIN_V6,
        probe::{Outcome, Probe, Prober},
    },
    neighbour::solicit,
    object::{Encap, Network},
};

/// How soon after something new was said of a path it is probed.
const SOON: Duration = Duration::from_secs(1);

/// A far end that cannot be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotProbe {
    /// It is no VTEP.
    #[error("{0} is no VTEP; see `ringlay vtep list`")]
    Unknown(IpAddr),
    /// There is nothing to ask it for.
    #[error(
        "no inner address behind {0} is known that could be asked for: add a route that leads there"
    )]
    NoTarget(IpAddr),
    /// There is no tunnel.
    #[error("packets to {0} are not encapsulated: they cross one link, whose MTU is known")]
    Plain(IpAddr),
}

/// What became of the probing of a far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// Nobody wants it.
    Off,
    /// There is nothing to ask it for.
    NoTarget,
    /// It was not yet.
    NotYet,
    /// It answered.
    Answered,
    /// It answered nothing: what is dropped on the way there without a word is not found out.
    Silent,
}

impl Probed {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoTarget => "no-target",
            Self::NotYet => "pending",
            Self::Answered => "answered",
            Self::Silent => "silent",
        }
    }
}

/// When to probe, and who waits for it.
#[derive(Debug)]
pub(super) struct Probing {
    prober: Prober,
    /// What our requests are known by, where the far end's inner MAC address is of no help.
    token: u64,
    /// Whether each far end answered last time.
    answered: BTreeMap<IpAddr, bool>,
    /// When each far end is probed next.
    next: BTreeMap<IpAddr, Instant>,
    waiting: BTreeMap<IpAddr, Vec<oneshot::Sender<Option<u16>>>>,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            prober: Prober::default(),
            token: RandomState::new().hash_one(()),
            answered: BTreeMap::new(),
            next: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }
}

impl Engine {
    /// Begins to look for what really gets to a far end: the answer is the largest outer IP packet,
    /// or nothing if nothing is answered.
    ///
    /// # Errors
    ///
    /// If that cannot be found out.
    pub fn probe(&mut self, end: IpAddr) -> Result<oneshot::Receiver<Option<u16>>, CannotProbe> {
        if !self.rib.vteps().any(|(_, vtep)| vtep.address == end) {
            return Err(CannotProbe::Unknown(end));
        }
        let is_plain = |(_, it): (_, &Network)| it.encap == Encap::Plain;
        if self.rib.networks().all(is_plain) {
            return Err(CannotProbe::Plain(end));
        }
        self.probe_frame(end, 0).ok_or(CannotProbe::NoTarget(end))?;
        let (answer, answered) = oneshot::channel();
        self.probing.waiting.entry(end).or_default().push(answer);
        self.probing.prober.stop(end);
        self.start_probe(end);
        self.poll();
        Ok(answered)
    }

    /// A far end was heard through its tunnel.
    pub(super) fn heard_from(&mut self, end: IpAddr) {
        self.probing.prober.heard(end, None, Instant::now());
    }

    /// A far end answered a probe of this size, which is ours if its token is.
    pub fn probe_answered(&mut self, end: IpAddr, token: u64, size: u16) {
        if token == self.probing.token {
            let now = Instant::now();
            self.probing.prober.heard(end, Some(size), now);
        }
    }

    /// What our probes are known by.
    pub fn probe_token(&self) -> u64 {
        self.probing.token
    }

    /// What became of the probing of a far end.
    pub(super) fn probed(&self, end: IpAddr) -> Probed {
        match self.probing.answered.get(&end) {
            Some(true) => Probed::Answered,
            Some(false) => Probed::Silent,
            None if self.identity.settings.probe.is_none() => Probed::Off,
            None if self.probe_frame(end, 0).is_none() => Probed::NoTarget,
            None => Probed::NotYet,
        }
    }

    /// Lets these far ends be probed soon.
    pub(super) fn probe_soon(&mut self, ends: impl IntoIterator<Item = IpAddr>) {
        let at = Instant::now() + SOON;
        for end in ends {
            let next = self.probing.next.entry(end).or_insert(at);
            *next = at.min(*next);
        }
    }

    /// Sends the requests that are due, and takes up what was found.
    pub(super) fn poll_probes(&mut self) {
        let now = Instant::now();
        self.start_due_probes(now);
        loop {
            let (probes, ended) = self.probing.prober.poll(now);
            for Probe { end, size } in &probes {
                if let Some((tunnel, frame)) = self.probe_frame(*end, *size) {
                    self.host.inject(tunnel, frame);
                }
            }
            let changed: BTreeSet<_> = ended.into_iter().filter_map(|it| self.ended(it)).collect();
            if changed.is_empty() {
                return;
            }
            self.follow_paths(&changed);
        }
    }

    /// When [`Self::poll_probes`] has something to do next.
    pub(super) fn probe_deadline(&self) -> Option<Instant> {
        let next = self.probing.next.values().min().copied();
        let next = next.filter(|_| self.identity.settings.probe.is_some());
        next.into_iter().chain(self.probing.prober.deadline()).min()
    }

    fn start_due_probes(&mut self, now: Instant) {
        let Some(interval) = self.identity.settings.probe else {
            return;
        };
        let due = self.probing.next.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(end, _)| *end).collect();
        for end in due {
            if !self.paths.contains(end) {
                self.probing.next.remove(&end);
                self.probing.answered.remove(&end);
                continue;
            }
            self.probing.next.insert(end, now + interval);
            self.start_probe(end);
        }
    }

    /// What has ended; returns the far end if packets to it may now have another size.
    fn ended(&mut self, (end, outcome): (IpAddr, Outcome)) -> Option<IpAddr> {
        let answers = outcome != Outcome::Silent;
        self.probing.answered.insert(end, answers);
        let (found, changed) = match outcome {
            Outcome::Silent => (None, false),
            Outcome::Fits(size) => (Some(size), self.paths.measured(end, size, Instant::now())),
        };
        for waiting in self.probing.waiting.remove(&end).unwrap_or_default() {
            // Who asked may have gone.
            let _ = waiting.send(found);
        }
        changed.then_some(end)
    }

    /// Always from the largest on: what was found before is looked for anew, before it is forgotten.
    fn start_probe(&mut self, end: IpAddr) {
        let least = if end.is_ipv4() {
            PATH_MIN_V4
        } else {
            PATH_MIN_V6
        };
        let most = self.paths.sizes(end).way;
        self.probing.prober.start(end, least, most, Instant::now());
    }

    /// A request to a far end, padded so that the outer packet has `size` bytes, and the tunnel that
    /// it goes through.
    fn probe_frame(&self, end: IpAddr, size: u16) -> Option<(TunnelId, Vec<u8>)> {
        let networks = self.rib.networks().map(|(_, network)| &network.name);
        let mut tunnels = networks.flat_map(|name| self.compiler.tunnels_of(name));
        tunnels.find_map(|key| {
            // What is not encapsulated goes by one link, whose MTU is known.
            let probed = key.vtep == end && !self.compiler.is_plain(key);
            // Nobody on a bridged network is Ringlay's to ask, or in its place.
            let probed = probed && !self.rib.is_bridged(&key.network);
            let id = self.compiler.tunnel(key).filter(|_| probed)?;
            let view = self.compiler.view(&self.rib, id)?;
            let overhead = self.compiler.overhead(&key.network)?;
            let inner = usize::from(size.saturating_sub(overhead));
            if !view.needs_mac {
                let (local, token) = (self.rib.local(), self.probing.token);
                return Some((id, probe::request(local, end, token, size, inner)));
            }
            let target = self.resolver.status(id, Instant::now())?.target?;
            let mut frame = solicit(view.mac, &view.addresses, target);
            // Systems that publish MAC addresses expect no frames for groups.
            if let Some(MacAddr(mac)) = view.configured {
                frame[..mac.len()].copy_from_slice(&mac);
            }
            // The overhead has the inner Ethernet header.
            frame.resize(frame.len().max(inner + eth::HEADER_LEN), 0);
            Some((id, frame))
        })
    }
}
