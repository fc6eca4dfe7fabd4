//! A port: a device by which packets enter and leave a network.

use std::{fmt, path::PathBuf, str::FromStr};

use ipnet::IpNet;
use ringlay_encap::MacAddr;

use super::{DeviceName, Guest, Kind, Name, ZeroCopy, written};

/// A device by which packets enter and leave a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name it is known by.
    pub name: Name,
    /// Its network.
    pub network: Name,
    /// What sort of device it is.
    pub kind: PortKind,
    /// The device.
    pub device: DeviceName,
    /// The network namespace that the device lives in; the daemon's own if absent.
    pub netns: Option<PathBuf>,
    /// Addresses with the length of the prefix that is reached through the device. Those of the
    /// device, or, if it is an Ethernet device, those of Ringlay as a router on it.
    pub addresses: Vec<IpNet>,
    /// Ringlay's own MAC address on an Ethernet device; derived from its names if absent.
    pub mac: Option<MacAddr>,
    /// Whether hosts on an Ethernet device may ask for the MAC address of whatever is routed
    /// elsewhere, and are told Ringlay's.
    pub proxy: bool,
    /// Whether an AF_XDP device's driver moves frames without copies.
    pub zero_copy: ZeroCopy,
    /// Queues of the device; one for each worker if absent.
    pub queues: Option<u16>,
    /// Whether the network's remote prefixes become kernel routes through the device.
    pub routes: bool,
    /// What is special about it if a container owns the device.
    pub guest: Option<Guest>,
}

/// A sort of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortKind {
    /// A TUN device: IP packets from and to the kernel.
    #[default]
    Tun,
    /// A TAP device: Ethernet frames from and to the kernel, or what it bridges the device with.
    Tap,
    /// A device that is there already, past the kernel's own stack by AF_XDP: Ethernet frames from
    /// and to whoever is behind it.
    AfXdp,
    /// The same by packet sockets: super-frames, too, and the device's queueing disciplines rule.
    Packet,
}

impl Port {
    /// Whether `other` can take its place without the device being opened anew.
    pub fn same_device(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.device == other.device
            && self.netns == other.netns
            && self.queues == other.queues
            && self.guest == other.guest
            && self.zero_copy == other.zero_copy
            && (!self.kind.is_station() || self.same_station(other))
    }

    /// Whether the same frames are for it.
    fn same_station(&self, other: &Self) -> bool {
        self.mac == other.mac && self.addresses == other.addresses && self.proxy == other.proxy
    }
}

impl PortKind {
    /// Every sort.
    pub const ALL: [Self; 4] = [Self::Tun, Self::Tap, Self::AfXdp, Self::Packet];

    /// Whether it carries Ethernet frames, so that Ringlay is a router among other hosts there.
    pub fn is_ethernet(self) -> bool {
        self != Self::Tun
    }

    /// Whether the device is there already, and Ringlay a station on it beside the host.
    pub fn is_station(self) -> bool {
        matches!(self, Self::AfXdp | Self::Packet)
    }
}

impl fmt::Display for PortKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tun => "tun",
            Self::Tap => "tap",
            Self::AfXdp => "af_xdp",
            Self::Packet => "packet",
        })
    }
}

/// A text is no sort of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected tun, tap, af_xdp or packet")]
pub struct PortKindError;

impl FromStr for PortKind {
    type Err = PortKindError;

    fn from_str(text: &str) -> Result<Self, PortKindError> {
        written(&Self::ALL, text).ok_or(PortKindError)
    }
}

impl Kind for Port {
    type Key = Name;

    fn key(&self) -> Name {
        self.name.clone()
    }
}
