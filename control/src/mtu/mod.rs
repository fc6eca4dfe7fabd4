//! How large packets may be on their way to each far end, and why.
//!
//! For every remote tunnel end there is what the kernel says of the way there, and perhaps what was
//! found out about it since. Sizes are those of outer IP packets: what an encapsulation takes of
//! them is for [`crate::compile`] to say. Nothing here asks the kernel or sends; time is an argument.

pub mod icmp;
pub mod probe;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use thiserror::Error;

/// How long a path MTU is believed that was found out (RFC 1191 section 6.3: ten minutes).
pub const LIFETIME: Duration = Duration::from_secs(600);

/// The smallest path MTU that is believed of IPv4, as Linux has it (`net.ipv4.route.min_pmtu`).
pub const PATH_MIN_V4: u16 = 552;

/// What every link carries of IPv6 (RFC 8200 section 5).
pub const PATH_MIN_V6: u16 = 1280;

/// The kernel's way to a tunnel end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The link that packets leave by.
    pub link: String,
    /// The link's MTU in bytes.
    pub link_mtu: u32,
    /// The MTU that the route has of its own, if it does.
    pub route_mtu: Option<u32>,
    /// Who takes the packets next.
    pub next: Next,
}

/// Who takes packets to a tunnel end next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// The end itself: it is on the same link.
    End,
    /// This router.
    Router(IpAddr),
    /// It is not known: there is no way.
    #[default]
    Nobody,
}

impl Way {
    /// The largest outer IP packet that goes this way, in bytes.
    pub fn mtu(&self) -> u16 {
        let mtu = self.route_mtu.unwrap_or(u32::MAX).min(self.link_mtu);
        // No IP packet is larger, whatever a loopback device says.
        u16::try_from(mtu).unwrap_or(u16::MAX)
    }

    fn limit(&self) -> Limit {
        let link = self.link.clone();
        match self.route_mtu {
            Some(mtu) if mtu < self.link_mtu => Limit::Route { link },
            _ => Limit::Link { link },
        }
    }
}

/// How a path MTU was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This router said so, about a packet of ours.
    Router(IpAddr),
    /// Larger packets were not answered.
    Probe,
}

/// What limits the packets to a tunnel end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The MTU of the link that they leave by.
    Link {
        /// Its name.
        link: String,
    },
    /// The MTU of the kernel's route.
    Route {
        /// The link that it leads to.
        link: String,
    },
    /// The MTU of the path, found out.
    Path {
        /// How.
        finding: Finding,
        /// When it is no longer believed.
        until: Instant,
    },
}

impl Limit {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Link { .. } => "link",
            Self::Route { .. } => "route",
            Self::Path { finding, .. } => match finding {
                Finding::Router(_) => "router",
                Finding::Probe => "probe",
            },
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { link } => write!(f, "of link {link}"),
            Self::Route { link } => write!(f, "of the route by {link}"),
            Self::Path { finding, .. } => match finding {
                Finding::Router(router) => write!(f, "told by router {router}"),
                Finding::Probe => write!(f, "found by probing"),
            },
        }
    }
}

/// Why a path MTU is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotBelieved {
    /// There is no such tunnel end.
    #[error("no tunnel leads there")]
    Stranger,
    /// No tunnel of ours has sent that.
    #[error("it is about no packet of ours")]
    Foreign,
    /// The packet would have fit, or is longer than any that was sent.
    #[error("it is about a packet of {0} bytes")]
    Length(u16),
    /// No path is so narrow.
    #[error("below {0}, the least that is believed")]
    TooSmall(u16),
    /// It is not below what is in force.
    #[error("no less than the {0} in force")]
    NoNews(u16),
}

/// Sizes for one tunnel end, in bytes of outer IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What the way there takes, as the kernel has it.
    pub way: u16,
    /// What is in force now: never more.
    pub now: u16,
}

#[derive(Clone, Debug)]
struct Path {
    way: Way,
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    mtu: u16,
    finding: Finding,
    until: Instant,
}

/// The paths to all tunnel ends.
#[derive(Clone, Debug)]
pub struct Paths {
    /// For tunnel ends to which the kernel has no way.
    unknown: Way,
    paths: BTreeMap<IpAddr, Path>,
}

impl Paths {
    /// No paths yet; what the kernel has no way to is taken to go by `unknown`.
    pub fn new(unknown: Way) -> Self {
        Self {
            unknown,
            paths: BTreeMap::new(),
        }
    }

    /// Takes up what the kernel says of the ways to `ends`. One that it has lost stays as it was:
    /// nothing goes there now, and it may come back. Returns the ends whose sizes changed.
    pub fn update(&mut self, ends: &[IpAddr], mut ways: BTreeMap<IpAddr, Way>) -> BTreeSet<IpAddr> {
        let mut changed = BTreeSet::new();
        for &end in ends {
            let before = self.paths.get(&end).map(Path::sizes);
            let way = ways.remove(&end);
            match self.paths.get_mut(&end) {
                Some(path) => path.follow(way),
                None => {
                    let way = way.unwrap_or_else(|| self.unknown.clone());
                    self.paths.insert(end, Path { way, found: None });
                }
            }
            if before != self.paths.get(&end).map(Path::sizes) {
                changed.insert(end);
            }
        }
        changed
    }

    /// Forgets all but these ends.
    pub fn retain(&mut self, keep: impl Fn(IpAddr) -> bool) {
        self.paths.retain(|end, _| keep(*end));
    }

    /// Takes note that no more than `mtu` bytes reach an end.
    ///
    /// # Errors
    ///
    /// If that is not believed.
    pub fn learn(
        &mut self,
        end: IpAddr,
        mtu: u16,
        finding: Finding,
        now: Instant,
    ) -> Result<(), NotBelieved> {
        let path = self.paths.get_mut(&end).ok_or(NotBelieved::Stranger)?;
        let least = if end.is_ipv4() {
            PATH_MIN_V4
        } else {
            PATH_MIN_V6
        };
        if mtu < least {
            return Err(NotBelieved::TooSmall(least));
        }
        let in_force = path.sizes().now;
        if mtu >= in_force {
            return Err(NotBelieved::NoNews(in_force));
        }
        let until = now + LIFETIME;
        path.found = Some(Found {
            mtu,
            finding,
            until,
        });
        Ok(())
    }

    /// Takes note that packets of `mtu` bytes reach an end and no larger ones. Returns whether that
    /// is news.
    pub fn measured(&mut self, end: IpAddr, mtu: u16, now: Instant) -> bool {
        let Some(path) = self.paths.get_mut(&end) else {
            return false;
        };
        let before = path.sizes().now;
        let known = path.found.filter(|found| found.mtu == mtu);
        // A router that was right has the credit.
        let finding = known.map_or(Finding::Probe, |found| found.finding);
        let until = now + LIFETIME;
        path.found = (mtu < path.way.mtu()).then_some(Found {
            mtu,
            finding,
            until,
        });
        path.sizes().now != before
    }

    /// Whether an end is known.
    pub fn contains(&self, end: IpAddr) -> bool {
        self.paths.contains_key(&end)
    }

    /// Forgets what was found out too long ago. Returns the ends whose sizes changed.
    pub fn expire(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let mut changed = BTreeSet::new();
        for (end, path) in &mut self.paths {
            if path.found.is_some_and(|found| found.until <= now) {
                path.found = None;
                changed.insert(*end);
            }
        }
        changed
    }

    /// When [`Self::expire`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let found = self.paths.values().filter_map(|path| path.found);
        found.map(|found| found.until).min()
    }

    /// The sizes for a tunnel end.
    pub fn sizes(&self, end: IpAddr) -> Sizes {
        let unknown = self.unknown.mtu();
        let unknown = Sizes {
            way: unknown,
            now: unknown,
        };
        self.paths.get(&end).map_or(unknown, Path::sizes)
    }

    /// The sizes for each tunnel end.
    pub fn all_sizes(&self) -> impl Iterator<Item = (IpAddr, Sizes)> {
        self.paths.iter().map(|(end, path)| (*end, path.sizes()))
    }

    /// The kernel's way to a tunnel end, if it is known.
    pub fn way(&self, end: IpAddr) -> Option<&Way> {
        self.paths.get(&end).map(|path| &path.way)
    }

    /// What limits the packets to a tunnel end.
    pub fn limit(&self, end: IpAddr) -> Limit {
        match self.paths.get(&end) {
            Some(path) => path.limit(),
            None => self.unknown.limit(),
        }
    }
}

impl Path {
    fn sizes(&self) -> Sizes {
        let way = self.way.mtu();
        let now = self.found.map_or(way, |found| found.mtu.min(way));
        Sizes { way, now }
    }

    fn limit(&self) -> Limit {
        match self.found {
            Some(Found {
                mtu,
                finding,
                until,
            }) if mtu < self.way.mtu() => Limit::Path { finding, until },
            _ => self.way.limit(),
        }
    }

    /// Another way may be wider or narrower beyond the first link: what was found out is void.
    fn follow(&mut self, way: Option<Way>) {
        if let Some(way) = way
            && way != self.way
        {
            self.way = way;
            self.found = None;
        }
    }
}
