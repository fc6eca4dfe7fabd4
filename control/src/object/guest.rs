//! What is special about a port that a container owns.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use ringlay_encap::MacAddr;
use serde::{Deserialize, Serialize};

use super::DeviceName;

/// How the device of a container differs from others: it outlives the daemon, and the container's
/// own routes lead to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// The device's addresses.
    pub addresses: Vec<IpNet>,
    /// The MAC address of an Ethernet device.
    pub mac: Option<MacAddr>,
    /// Routes inside the container's namespace, through the device.
    pub routes: Vec<GuestRoute>,
    /// Whether a device of this name that is there already is taken up: it is one that an earlier
    /// run of the daemon left.
    pub resumed: bool,
    /// The container's end, if the port's device is the other one of a pair.
    pub pair: Option<PairEnd>,
}

/// One end of a pair of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairEnd {
    /// The namespace that it is in.
    pub netns: PathBuf,
    /// Its name there.
    pub device: DeviceName,
}

/// A route inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRoute {
    /// The prefix.
    pub prefix: IpNet,
    /// The router behind the device, if it is an Ethernet device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Largest packet along it, in bytes; the device's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Largest TCP segment to announce, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Its metric; the kernel's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Its routing table; the main one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
}

impl GuestRoute {
    /// A route of which nothing is said but the prefix.
    pub fn to(prefix: IpNet) -> Self {
        Self {
            prefix,
            via: None,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
        }
    }
}
