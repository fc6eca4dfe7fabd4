//! A route: where a prefix leads.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{Kind, Name};

/// Where a prefix leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub network: Name,
    /// The prefix, without host bits.
    pub prefix: IpNet,
    /// Where it leads.
    pub target: Target,
    /// Inner address of the far router whose MAC address the packets are sent to. Only with
    /// exactly one VTEP.
    pub via: Option<IpAddr>,
    /// Whether packets go to the far ends as they are, while those are on the same link; otherwise
    /// through the tunnels. Only with VTEPs.
    pub direct: bool,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// To one of these VTEPs, chosen by flow. Never empty.
    Vteps(Vec<IpAddr>),
    /// Out of a port.
    Port(Name),
    /// Nowhere, silently.
    Drop,
}

/// All that a route says but its prefix: what many routes of a network have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Where it leads.
    pub target: Target,
    /// As in [`Route::via`].
    pub via: Option<IpAddr>,
    /// As in [`Route::direct`].
    pub direct: bool,
}

impl Target {
    /// The VTEPs it names.
    pub fn vteps(&self) -> &[IpAddr] {
        match self {
            Self::Vteps(vteps) => vteps,
            Self::Port(_) | Self::Drop => &[],
        }
    }
}

impl Route {
    /// The network, the prefix, and all the rest.
    pub fn into_parts(self) -> (Name, IpNet, Path) {
        let path = Path {
            target: self.target,
            via: self.via,
            direct: self.direct,
        };
        (self.network, self.prefix, path)
    }
}

impl Path {
    /// The route of a prefix that goes this way.
    pub fn route(&self, network: &Name, prefix: IpNet) -> Route {
        Route {
            network: network.clone(),
            prefix,
            target: self.target.clone(),
            via: self.via,
            direct: self.direct,
        }
    }
}

/// What distinguishes two routes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The network.
    pub network: Name,
    /// The prefix, without host bits.
    pub prefix: IpNet,
}

impl Kind for Route {
    type Key = RouteKey;

    fn key(&self) -> RouteKey {
        RouteKey {
            network: self.network.clone(),
            prefix: self.prefix,
        }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} network {}", self.prefix, self.network)
    }
}
