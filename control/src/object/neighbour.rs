//! A neighbour: the MAC address of an inner address.

use std::{fmt, net::IpAddr};

use ringlay_encap::MacAddr;

use super::{Kind, Name};

/// Which MAC address an inner address has behind a VTEP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The network.
    pub network: Name,
    /// The inner address.
    pub address: IpAddr,
    /// The outer address of the VTEP that it is behind.
    pub vtep: IpAddr,
    /// Its MAC address.
    pub mac: MacAddr,
}

/// What distinguishes two neighbours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourKey {
    /// The network.
    pub network: Name,
    /// The inner address.
    pub address: IpAddr,
}

impl Kind for Neighbour {
    type Key = NeighbourKey;

    fn key(&self) -> NeighbourKey {
        NeighbourKey {
            network: self.network.clone(),
            address: self.address,
        }
    }
}

impl fmt::Display for NeighbourKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} network {}", self.address, self.network)
    }
}
