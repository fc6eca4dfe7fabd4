//! A network: one tunnel key.

use std::{fmt, net::IpAddr, str::FromStr};

use ringlay_encap::{MacAddr, Preset, preset::InnerMac};

use super::{Encap, Headers, Kind, Mode, Name, written};

/// A network with its own forwarding table, by a tunnel key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: Name,
    /// How its packets cross the underlay.
    pub encap: Encap,
    /// What it forwards by.
    pub mode: Mode,
    /// The system whose conventions it follows, if it was asked for so.
    pub preset: Option<Preset>,
    /// What its outer headers take from the inner ones.
    pub headers: Headers,
    /// Largest IP packet inside, in bytes; derived from the underlay if absent.
    pub mtu: Option<u16>,
    /// Our VTEP's MAC address in it; derived from the VTEP address and the key if absent.
    pub mac: Option<MacAddr>,
    /// Whether TCP connections begin with segments that fit the tunnels.
    pub mss_clamp: MssClamp,
    /// Whether IPv4 packets that are too long for a tunnel, and may be fragmented, are so inside it
    /// rather than outside.
    pub fragment: bool,
    /// Whether tunnel frames from unlisted VTEPs are accepted; the node's default if absent.
    pub accept_unknown_vteps: Option<bool>,
}

/// Whether TCP connections through a network begin with segments that fit its tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MssClamp {
    /// While a tunnel takes less than the network's ports.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// A text is none of `auto`, `on` and `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, on or off")]
pub struct MssClampError;

impl FromStr for MssClamp {
    type Err = MssClampError;

    fn from_str(text: &str) -> Result<Self, MssClampError> {
        written(&[Self::Auto, Self::On, Self::Off], text).ok_or(MssClampError)
    }
}

impl fmt::Display for MssClamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

impl Network {
    /// The MTUs that may be configured: what each IPv4 host must reassemble (RFC 791), to what a
    /// frame holds.
    pub const MTU_RANGE: std::ops::RangeInclusive<u16> = 576..=65_000;

    /// The inner destination MAC address that all VTEPs share, where the conventions say so.
    pub fn shared_mac(&self) -> Option<MacAddr> {
        match self.preset?.inner_mac {
            InnerMac::Shared(mac) => Some(mac),
            InnerMac::Published | InnerMac::Any => None,
        }
    }

    /// The inner destination MAC address of a VTEP that has none configured, if nobody need ask.
    pub fn usual_mac(&self, vtep: IpAddr) -> Option<MacAddr> {
        match self.preset?.inner_mac {
            InnerMac::Shared(mac) => Some(mac),
            InnerMac::Any => Some(MacAddr::derive_local(vtep.to_string().as_bytes())),
            InnerMac::Published => None,
        }
    }
}

impl Kind for Network {
    type Key = Name;

    fn key(&self) -> Name {
        self.name.clone()
    }
}
