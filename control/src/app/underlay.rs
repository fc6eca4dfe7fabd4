//! Finds the local VTEP address and what fits through its link, and chooses how packets reach
//! it. Opens nothing.

use std::net::IpAddr;

use thiserror::Error;

use crate::{
    config::{self, UnderlayDriver},
    netlink::{self, NetlinkError},
    object::DeviceName,
};

/// Where the tunnels end, and how much fits through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The local VTEP address.
    pub address: IpAddr,
    /// The interface index of the link that has it.
    pub link: u32,
    /// The largest inner IP packet whose tunnel packet fits the link.
    pub mtu: u16,
    /// Where the MTU comes from, for people to read.
    pub mtu_reason: String,
}

/// How packets reach the underlay, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The driver in use, never `Auto`.
    pub driver: UnderlayDriver,
    /// Why this one, for people to read.
    pub reason: String,
}

impl Chosen {
    /// Follows the configuration; left to us, the sockets that every kernel has are it.
    pub fn new(setting: UnderlayDriver) -> Self {
        let (driver, reason) = match setting {
            UnderlayDriver::Auto => (UnderlayDriver::Udp, "works on every underlay"),
            configured => (configured, "as configured"),
        };
        Self {
            driver,
            reason: reason.to_owned(),
        }
    }

    /// Whether tunnel endpoints have uplinks.
    pub fn has_uplinks(&self) -> bool {
        self.driver == UnderlayDriver::TunnelGso
    }
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

/// Outer Ethernet is not in the link's MTU: IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14.
const OVERHEAD_V4: u16 = 50;
/// The same with IPv6 40.
const OVERHEAD_V6: u16 = 70;
/// The smallest MTU of an IPv4 link (RFC 791).
const MTU_MIN: u16 = 68;

impl Local {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// If the address or device is not there.
    pub fn find(setting: &config::Local) -> Result<Self, LocalError> {
        let address = match setting {
            config::Local::Address(address) => *address,
            config::Local::Device(device) => address_of(device)?,
        };
        let link = netlink::link_of(address)?.ok_or(LocalError::NotOurs(address))?;
        let overhead = if address.is_ipv4() {
            OVERHEAD_V4
        } else {
            OVERHEAD_V6
        };
        // No frame of ours is larger than an IP packet can be.
        let outer = u16::try_from(link.mtu).unwrap_or(u16::MAX);
        let mtu = outer.checked_sub(overhead).filter(|mtu| *mtu >= MTU_MIN);
        let mtu = mtu.ok_or_else(|| LocalError::TooNarrow {
            link: link.name.clone(),
            mtu: link.mtu,
        })?;
        // More than a super-frame with its headers holds is of no use.
        let mtu = mtu.min(*crate::object::Network::MTU_RANGE.end());
        let mtu_reason = format!("MTU {} of {} less {overhead}", link.mtu, link.name);
        Ok(Self {
            address,
            link: link.index,
            mtu,
            mtu_reason,
        })
    }
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
