//! What sort of device a container gets, and what else there must be for it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::object::{PortKind, written};

/// A sort of device for containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachKind {
    /// A TUN device: an IP link without Ethernet.
    #[default]
    Tun,
    /// A TAP device: Ethernet, on which Ringlay is the only other host and the router.
    Tap,
    /// One end of a veth pair, the other of which Ringlay serves by packet sockets: Ethernet, too.
    Veth,
    /// The same by AF_XDP.
    #[serde(rename = "veth-af_xdp")]
    VethXdp,
}

/// The addresses of the router on each Ethernet device of a container. They are good on that link
/// only, so that all have the same.
const ROUTERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

impl AttachKind {
    /// Every sort.
    pub const ALL: [Self; 4] = [Self::Tun, Self::Tap, Self::Veth, Self::VethXdp];

    /// The sort of port that serves it.
    pub fn port(self) -> PortKind {
        match self {
            Self::Tun => PortKind::Tun,
            Self::Tap => PortKind::Tap,
            Self::Veth => PortKind::Packet,
            Self::VethXdp => PortKind::AfXdp,
        }
    }

    /// Whether there is a pair of devices.
    pub fn is_pair(self) -> bool {
        matches!(self, Self::Veth | Self::VethXdp)
    }

    /// The router inside, by which a container reaches what its address is of the version of.
    pub fn router(self, like: IpAddr) -> Option<IpAddr> {
        let mut routers = ROUTERS.into_iter();
        let router = routers.find(|it| it.is_ipv4() == like.is_ipv4());
        router.filter(|_| self.port().is_ethernet())
    }

    /// The addresses of a port that serves these addresses inside a container.
    pub(super) fn port_addresses(self, inside: &[IpNet]) -> Vec<IpNet> {
        if !self.port().is_ethernet() {
            return inside.to_vec();
        }
        let wanted = |router: &IpAddr| {
            let mut nets = inside.iter();
            nets.any(|net| net.addr().is_ipv4() == router.is_ipv4())
        };
        let routers = ROUTERS.into_iter().filter(wanted);
        routers.map(IpNet::from).collect()
    }
}

impl fmt::Display for AttachKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tun => "tun",
            Self::Tap => "tap",
            Self::Veth => "veth",
            Self::VethXdp => "veth-af_xdp",
        })
    }
}

/// A text is no sort of device for containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected tun, tap, veth or veth-af_xdp")]
pub struct AttachKindError;

impl FromStr for AttachKind {
    type Err = AttachKindError;

    fn from_str(text: &str) -> Result<Self, AttachKindError> {
        written(&Self::ALL, text).ok_or(AttachKindError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_router_on_ethernet_for_each_version_in_use() {
        let inside: [IpNet; 1] = ["10.1.0.5/32".parse().unwrap()];
        assert_eq!(AttachKind::Tun.port_addresses(&inside), inside);
        assert_eq!(AttachKind::Tun.router(inside[0].addr()), None);
        let router = AttachKind::Tap.router(inside[0].addr()).unwrap();
        assert_eq!(router.to_string(), "169.254.1.1");
        assert_eq!(AttachKind::Tap.port_addresses(&inside), [router.into()]);
    }

    #[test]
    fn kinds_parse_back() {
        for kind in AttachKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("bridge".parse::<AttachKind>().is_err());
    }
}
