//! A port: a TUN device.

use std::path::PathBuf;

use ipnet::IpNet;

use super::{DeviceName, Guest, Kind, Name};

/// A TUN device by which packets enter and leave a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name it is known by.
    pub name: Name,
    /// Its network.
    pub network: Name,
    /// The device.
    pub device: DeviceName,
    /// The network namespace that the device lives in; the daemon's own if absent.
    pub netns: Option<PathBuf>,
    /// Addresses of the device, with the length of the prefix that is reached through it.
    pub addresses: Vec<IpNet>,
    /// Queues of the device; one for each worker if absent.
    pub queues: Option<u16>,
    /// Whether the network's remote prefixes become kernel routes through the device.
    pub routes: bool,
    /// What is special about it if a container owns the device.
    pub guest: Option<Guest>,
}

impl Port {
    /// Whether `other` can take its place without the device being opened anew.
    pub fn same_device(&self, other: &Self) -> bool {
        self.device == other.device
            && self.netns == other.netns
            && self.queues == other.queues
            && self.guest == other.guest
    }
}

impl Kind for Port {
    type Key = Name;

    fn key(&self) -> Name {
        self.name.clone()
    }
}
