//! A network: one VNI.

use ringlay_encap::{MacAddr, Vni};

use super::{Kind, Name};

/// One VNI: a routed network with its own forwarding table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: Name,
    /// Its VXLAN network identifier.
    pub vni: Vni,
    /// UDP destination port of its tunnels.
    pub port: u16,
    /// Largest IP packet inside, in bytes; derived from the underlay if absent.
    pub mtu: Option<u16>,
    /// Our VTEP's MAC address in it; derived from the VTEP address and VNI if absent.
    pub mac: Option<MacAddr>,
    /// Whether tunnel frames from unlisted VTEPs are accepted; the node's default if absent.
    pub accept_unknown_vteps: Option<bool>,
}

impl Network {
    /// The MTUs that may be configured: what each IPv4 host must reassemble (RFC 791), to what a
    /// frame holds.
    pub const MTU_RANGE: std::ops::RangeInclusive<u16> = 576..=65_000;
}

impl Kind for Network {
    type Key = Name;

    fn key(&self) -> Name {
        self.name.clone()
    }
}
