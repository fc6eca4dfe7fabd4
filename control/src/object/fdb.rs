//! An entry of the forwarding database of a bridged network: where a station is.

use std::{fmt, net::IpAddr};

use ringlay_encap::MacAddr;

use super::{Kind, Name};

/// Where a station of a bridged network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    /// The network.
    pub network: Name,
    /// The station's MAC address.
    pub mac: MacAddr,
    /// Where it is.
    pub site: Site,
}

/// Where a station is, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Behind the VTEP with this outer address.
    Vtep(IpAddr),
    /// Behind a port.
    Port(Name),
}

/// What distinguishes two entries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbKey {
    /// The network.
    pub network: Name,
    /// The station's MAC address.
    pub mac: MacAddr,
}

impl Kind for FdbEntry {
    type Key = FdbKey;

    fn key(&self) -> FdbKey {
        FdbKey {
            network: self.network.clone(),
            mac: self.mac,
        }
    }
}

impl fmt::Display for FdbKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} network {}", self.mac, self.network)
    }
}
