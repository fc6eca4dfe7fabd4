//! Two hosts on one underlay: namespaces `PREFIX-a` and `PREFIX-b` joined by a veth pair.
//!
//! It makes the underlay only; overlays are [`super::leg`]s.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use ringlay_dataplane::sys::ethtool;

use super::cleanup::Cleanup;
use super::namespace::Namespace;
use super::{LabError, link};

/// Name of the underlay device in each host.
pub const UNDERLAY_DEVICE: &str = "eth0";

/// What the underlay is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderlayConfig {
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether the veth passes segments and checksums on unfinished, as a NIC with offloads takes
    /// them. Off, it is like a NIC that can do neither.
    pub offloads: bool,
}

impl Default for UnderlayConfig {
    fn default() -> Self {
        Self {
            mtu: 1500,
            offloads: true,
        }
    }
}

/// One of the two hosts.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its address on the underlay.
    pub underlay: Ipv4Addr,
}

/// The two hosts.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The host that traffic starts from.
    pub a: Host,
    /// The host that it goes to.
    pub b: Host,
    /// How their underlay was made.
    pub underlay: UnderlayConfig,
}

impl Topology {
    /// Makes both hosts and their underlay.
    ///
    /// # Errors
    /// If a namespace or device cannot be made.
    pub fn create(
        cleanup: &Cleanup,
        prefix: &str,
        underlay: UnderlayConfig,
    ) -> Result<Self, LabError> {
        let a = Host {
            namespace: Namespace::create(cleanup, &format!("{prefix}-a"))?,
            underlay: UNDERLAY_A,
        };
        let b = Host {
            namespace: Namespace::create(cleanup, &format!("{prefix}-b"))?,
            underlay: UNDERLAY_B,
        };
        a.namespace
            .run(|| link::add_veth(UNDERLAY_DEVICE, &b.namespace, UNDERLAY_DEVICE))??;
        for host in [&a, &b] {
            host.namespace.run(|| raise(host.underlay, underlay))??;
        }
        for host in [&a, &b] {
            let wait = || link::wait_until_operational(UNDERLAY_DEVICE, PATIENCE);
            host.namespace.run(wait)??;
        }
        Ok(Self { a, b, underlay })
    }
}

fn raise(address: Ipv4Addr, underlay: UnderlayConfig) -> Result<(), LabError> {
    link::set_mtu(UNDERLAY_DEVICE, underlay.mtu)?;
    if !underlay.offloads {
        ethtool::set_features(UNDERLAY_DEVICE, &OFFLOADS.map(|name| (name, false)))
            .map_err(LabError::io("turn the offloads of the veth off"))?;
    }
    let address = Ipv4Net::new(address, UNDERLAY_PREFIX).expect("a prefix length within 32");
    link::add_address(UNDERLAY_DEVICE, IpNet::V4(address))?;
    link::set_up(UNDERLAY_DEVICE)
}

/// Underlay address of host a.
pub const UNDERLAY_A: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// Underlay address of host b.
pub const UNDERLAY_B: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
const UNDERLAY_PREFIX: u8 = 24;

/// Longer than the kernel takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything by which a veth spares the sender work, by the kernel's names
/// (net/ethtool/common.c, `netdev_features_strings`).
const OFFLOADS: [&str; 10] = [
    "tx-checksum-ip-generic",
    "tx-generic-segmentation",
    "tx-tcp-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-mangleid-segmentation",
    "tx-tcp6-segmentation",
    "tx-udp-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
    "tx-gso-list",
];
