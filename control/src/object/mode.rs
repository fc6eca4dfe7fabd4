//! Whether a network routes packets or bridges frames, from the keys that say it.

use std::{fmt, time::Duration};

use super::{Encap, EncapFault, Inner};

/// What a network forwards by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By IP address: its ports and tunnels lead to prefixes.
    #[default]
    Routed,
    /// By MAC address: all ports and tunnels are one Ethernet.
    Bridged(Learning),
}

/// How a bridged network learns where stations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// How long a station is known that sends nothing.
    pub ageing: Duration,
    /// So many stations are learned at most; zero learns nothing.
    pub limit: u32,
}

impl Learning {
    /// The times that may be configured.
    pub const AGEING_RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(1_000_000);

    /// More stations than a network may learn.
    pub const LIMIT_MAX: u32 = 1_000_000;
}

impl Default for Learning {
    /// As long as the kernel's bridge remembers, and so many that nobody fills the memory.
    fn default() -> Self {
        Self {
            ageing: Duration::from_secs(300),
            limit: 16_384,
        }
    }
}

impl Mode {
    /// Whether frames are bridged.
    pub fn is_bridged(self) -> bool {
        matches!(self, Self::Bridged(_))
    }

    /// How it learns, if it does.
    pub fn learning(self) -> Option<Learning> {
        match self {
            Self::Routed => None,
            Self::Bridged(learning) => Some(learning),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Routed => "routed",
            Self::Bridged(_) => "bridged",
        })
    }
}

/// The keys that say it; those left out have defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModeKeys<'a> {
    /// The word for it.
    pub mode: Option<&'a str>,
    /// How long a silent station is known.
    pub ageing: Option<Duration>,
    /// How many stations are learned.
    pub limit: Option<i64>,
}

impl ModeKeys<'_> {
    /// Whether they ask for a bridged network, as far as that can be told.
    pub fn is_bridged(&self) -> bool {
        self.mode == Some("bridged")
    }

    /// What a network with this encapsulation forwards by.
    ///
    /// # Errors
    ///
    /// If a value cannot be used, or makes no sense in such a network.
    pub fn resolve(&self, encap: Encap) -> Result<Mode, EncapFault> {
        match self.mode {
            None | Some("routed") => self.routed(),
            Some("bridged") => self.bridged(encap),
            Some(other) => {
                let problem = format!("{other:?} is not known; use \"routed\" or \"bridged\"");
                Err(wrong("mode", problem))
            }
        }
    }

    fn routed(&self) -> Result<Mode, EncapFault> {
        let settings = [
            ("fdb_ageing", self.ageing.is_some()),
            ("fdb_limit", self.limit.is_some()),
        ];
        match settings.into_iter().find(|(_, there)| *there) {
            Some((key, _)) => {
                let problem = "is of use only with mode = \"bridged\"; remove it";
                Err(wrong(key, problem.to_owned()))
            }
            None => Ok(Mode::Routed),
        }
    }

    fn bridged(&self, encap: Encap) -> Result<Mode, EncapFault> {
        let kind = encap.encapsulation();
        if !kind.carries_frames() {
            let problem = format!(
                "{kind} carries no Ethernet frames, as bridged networks need it; use \"vxlan\", \
                 \"geneve\" or \"gre\""
            );
            return Err(wrong("encap", problem));
        }
        if encap.inner() != Inner::Ethernet {
            let problem = "bridged networks carry Ethernet frames; remove it";
            return Err(wrong("inner", problem.to_owned()));
        }
        let usual = Learning::default();
        let ageing = self.ageing.unwrap_or(usual.ageing);
        if !Learning::AGEING_RANGE.contains(&ageing) {
            let problem = "is out of range; use a duration from \"1s\" to \"1000000s\"";
            return Err(wrong("fdb_ageing", problem.to_owned()));
        }
        let limit = match self.limit {
            None => usual.limit,
            Some(limit) => {
                let fitting = u32::try_from(limit).ok();
                let fitting = fitting.filter(|limit| *limit <= Learning::LIMIT_MAX);
                fitting.ok_or_else(|| {
                    let most = Learning::LIMIT_MAX;
                    wrong(
                        "fdb_limit",
                        format!("{limit} is out of range; use 0 to {most}"),
                    )
                })?
            }
        };
        Ok(Mode::Bridged(Learning { ageing, limit }))
    }
}

fn wrong(key: &'static str, problem: String) -> EncapFault {
    EncapFault::Wrong { key, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_sense_is_taken() {
        let vxlan = Encap::Vxlan {
            vni: 7.try_into().unwrap(),
            port: 4789,
        };
        let bare = Encap::Gre {
            key: None,
            inner: Inner::Ip,
        };
        let bridged = ModeKeys {
            mode: Some("bridged"),
            ..ModeKeys::default()
        };
        let long = Some(Duration::from_secs(300));
        assert_eq!(ModeKeys::default().resolve(bare), Ok(Mode::Routed));
        let mode = bridged.resolve(vxlan).unwrap();
        assert_eq!(mode, Mode::Bridged(Learning::default()));
        assert_eq!(mode.to_string(), "bridged");
        let at = |keys: ModeKeys<'_>, encap| match keys.resolve(encap) {
            Err(EncapFault::Wrong { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(bridged, Encap::Ipip), "encap");
        assert_eq!(at(bridged, bare), "inner");
        let mode = Some("hub");
        assert_eq!(at(ModeKeys { mode, ..bridged }, vxlan), "mode");
        let limit = Some(-1);
        assert_eq!(at(ModeKeys { limit, ..bridged }, vxlan), "fdb_limit");
        let ageing = Some(Duration::ZERO);
        assert_eq!(at(ModeKeys { ageing, ..bridged }, vxlan), "fdb_ageing");
        let keys = ModeKeys {
            ageing: long,
            ..ModeKeys::default()
        };
        assert_eq!(at(keys, vxlan), "fdb_ageing");
    }
}
