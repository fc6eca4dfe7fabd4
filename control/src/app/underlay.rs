//! Finds the local VTEP address, the links that tunnel packets leave by, and what fits through
//! them. Opens nothing.

use std::net::IpAddr;

use thiserror::Error;

use crate::{
    config,
    mtu::{Next, Way},
    netlink::{self, Link, NetlinkError},
    object::DeviceName,
};

/// Where the tunnels end, and how much fits through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The local VTEP address.
    pub address: IpAddr,
    /// The links by which tunnel packets leave, at least one. That by which they come is the
    /// first.
    pub links: Vec<Link>,
    /// The way of tunnel packets to far ends of which nothing else is known: the narrowest of the
    /// links.
    pub way: Way,
}

/// Why the local VTEP address cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalError {
    /// There is no such device.
    #[error("there is no device {0}; see `ip link show`")]
    NoDevice(DeviceName),
    /// The device has no address that others can reach.
    #[error("{0} has no global address; add one, or name underlay.address")]
    NoAddress(DeviceName),
    /// No link has the address.
    #[error("{0} is not an address of this host; see `ip address show`")]
    NotOurs(IpAddr),
    /// The link is too narrow.
    #[error("the MTU {mtu} of {link} leaves no room for packets; raise it")]
    TooNarrow {
        /// The link.
        link: String,
        /// Its MTU.
        mtu: u32,
    },
    /// The kernel cannot be asked.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// The smallest MTU of an IPv4 link (RFC 791), and what encapsulation takes of it at most.
const MTU_MIN_V4: u32 = 68 + 128;
/// The smallest MTU of an IPv6 link (RFC 8200 section 5).
const MTU_MIN_V6: u32 = 1280;
/// Of so many remote VTEPs are the routes looked up: hosts have few links.
const VTEPS_LOOKED_UP: usize = 256;

impl Local {
    /// Asks the kernel. `vteps` are the remote tunnel ends that are known already: where only
    /// an address is configured, the routes to them tell the links.
    ///
    /// # Errors
    ///
    /// If the address or device is not there.
    pub fn find(setting: &config::Local, vteps: &[IpAddr]) -> Result<Self, LocalError> {
        let (address, vteps) = match setting {
            config::Local::Address(address) => (*address, vteps),
            config::Local::Device(device) => (address_of(device)?, &[][..]),
        };
        let carrier = netlink::link_of(address)?.ok_or(LocalError::NotOurs(address))?;
        let vteps = &vteps[..vteps.len().min(VTEPS_LOOKED_UP)];
        let links = in_order(carrier, netlink::links_toward(address, vteps)?);
        let way = narrowest(address, &links)?;
        Ok(Self {
            address,
            links,
            way,
        })
    }

    /// The link by which tunnel packets come.
    pub fn link(&self) -> &Link {
        &self.links[0]
    }
}

/// The links that packets leave by; the one with the address if that is not known. It also comes
/// first among several.
fn in_order(carrier: Link, mut links: Vec<Link>) -> Vec<Link> {
    if links.is_empty() {
        return vec![carrier];
    }
    links.sort_by_key(|link| (link.index != carrier.index, link.index));
    links
}

/// The narrowest of these links, if tunnels have room in it.
fn narrowest(address: IpAddr, links: &[Link]) -> Result<Way, LocalError> {
    let least = if address.is_ipv4() {
        MTU_MIN_V4
    } else {
        MTU_MIN_V6
    };
    let narrowest = links.iter().min_by_key(|link| link.mtu);
    let Link { name, mtu, .. } = narrowest.expect("there is at least one");
    let link = name.clone();
    if *mtu < least {
        return Err(LocalError::TooNarrow { link, mtu: *mtu });
    }
    Ok(Way {
        link,
        link_mtu: *mtu,
        route_mtu: None,
        next: Next::Nobody,
    })
}

fn address_of(device: &DeviceName) -> Result<IpAddr, LocalError> {
    let addresses = netlink::addresses_of(device.as_str())?;
    let addresses = addresses.ok_or_else(|| LocalError::NoDevice(device.clone()))?;
    let global: Vec<_> = addresses.into_iter().filter(is_global).collect();
    let first = global
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| global.first());
    first
        .copied()
        .ok_or_else(|| LocalError::NoAddress(device.clone()))
}

fn is_global(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !link_local && !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn link(index: u32, name: &str, mtu: u32) -> Link {
        Link {
            index,
            name: name.to_owned(),
            mtu,
            ethernet: true,
        }
    }

    #[test]
    fn the_narrowest_link_decides_what_fits() {
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let links = [link(2, "eth0", 9000), link(3, "eth1", 1500)];
        let way = narrowest(v4, &links).unwrap();
        assert_eq!((way.link.as_str(), way.mtu()), ("eth1", 1500));
        assert!(narrowest(v4, &[link(2, "eth0", 100)]).is_err());
    }

    #[test]
    fn the_link_with_the_address_comes_first() {
        let lo = || link(1, "lo", 65536);
        let two = || vec![link(2, "eth0", 1500), link(3, "eth1", 1500)];
        assert_eq!(in_order(lo(), Vec::new()), [lo()]);
        assert_eq!(in_order(lo(), two()), two());
        let mut reversed = two();
        reversed.reverse();
        assert_eq!(in_order(link(3, "eth1", 1500), two()), reversed);
    }
}
