//! What is special about a port that a container owns.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How the device of a container differs from others: it outlives the daemon, and the container's
/// own routes lead to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// Routes inside the container's namespace, through the device.
    pub routes: Vec<GuestRoute>,
    /// Whether a device of this name that is there already is taken up: it is one that an earlier
    /// run of the daemon left.
    pub resumed: bool,
}

/// A route inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRoute {
    /// The prefix.
    pub prefix: IpNet,
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
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
        }
    }
}
