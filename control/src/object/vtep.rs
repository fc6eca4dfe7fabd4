//! A VTEP: a remote tunnel end of one network.

use std::{fmt, net::IpAddr};

use ringlay_encap::MacAddr;

use super::{Kind, Name};

/// A remote tunnel end of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vtep {
    /// The network.
    pub network: Name,
    /// Its outer address.
    pub address: IpAddr,
    /// Inner destination MAC address; resolved through the tunnel if absent.
    pub mac: Option<MacAddr>,
}

/// What distinguishes two VTEPs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VtepKey {
    /// The network.
    pub network: Name,
    /// The outer address.
    pub address: IpAddr,
}

impl Kind for Vtep {
    type Key = VtepKey;

    fn key(&self) -> VtepKey {
        VtepKey {
            network: self.network.clone(),
            address: self.address,
        }
    }
}

impl fmt::Display for VtepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} network {}", self.address, self.network)
    }
}
