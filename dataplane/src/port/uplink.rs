//! The uplink of a tunnel endpoint: a TAP device that takes and gives encapsulated
//! super-frames unsegmented, because the kernel can cut them late or leave it to the NIC
//! (UDP tunnel GSO, Linux 6.17).
//!
//! Frames written to it are addressed to its own MAC address, so the kernel routes them on like
//! any it forwards, and a firewall of the host sees them as forwarded packets. Everything that allows this is a setting of the TAP device and goes with it.
//! Frames for the endpoint come by a [`Redirect`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ringlay_encap::MacAddr;
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use super::redirect::Redirect;
use super::tun::{self, OpenTunError, TunConfig, TunOffloads};
use crate::sys::tun::Layer;
use crate::sys::{link, virtio};

/// Bytes of virtio-net header in front of each frame that a queue carries.
pub const VNET_HEADER_LEN: usize = virtio::TUNNEL_HEADER_LEN;

/// The device's MAC address: the outer destination of what is written to it. Each device is a
/// link of its own, so all have the same.
pub const MAC: MacAddr = MacAddr([0x02, 0x52, 0x4c, 0x00, 0x00, 0x01]);

/// The outer source of what is written to it.
pub const PEER_MAC: MacAddr = MacAddr([0x02, 0x52, 0x4c, 0x00, 0x00, 0x02]);

/// What the uplink is of use for.
const NEEDED: TunOffloads = TunOffloads::UDP_TUNNEL_GSO;

/// The largest MTU of a TAP device: packets are measured where they leave.
const MTU: u32 = 65_535 - 14;

/// What uplink to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkConfig {
    /// The tunnel endpoint: address and UDP port.
    pub local: SocketAddr,
    /// The interface index of the device that has the address.
    pub underlay: u32,
    /// The number of queues: one for each worker.
    pub queues: usize,
}

/// An open uplink. The device vanishes when the last queue is closed.
#[derive(Debug)]
pub struct UplinkDevice {
    /// The name that the kernel gave the TAP device.
    pub name: String,
    /// Its interface index.
    pub index: u32,
    /// Its queues, non-blocking.
    pub queues: Vec<OwnedFd>,
    /// The offloads in force.
    pub offloads: TunOffloads,
    /// Leads the endpoint's packets to it. To be dropped first.
    pub redirect: Redirect,
}

/// Why there can be no uplink.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenUplinkError {
    /// The TAP device cannot be had.
    #[error(transparent)]
    Device(#[from] OpenTunError),
    /// The kernel is too old.
    #[error(
        "the kernel refuses {} to TAP devices, as those before Linux 6.17 do: use `driver = \"udp\"` \
         under [underlay]",
        NEEDED
    )]
    NoTunnelGso,
    /// A setting of the device cannot be made.
    #[error("cannot set {key} of the uplink to {value}: is /proc/sys writable?")]
    Setting {
        /// The file below `/proc/sys/net`.
        key: String,
        /// What was to be written.
        value: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The endpoint's packets cannot be led to it.
    #[error(
        "cannot redirect packets for {local} to the uplink: that takes Linux 6.6 with BPF, and \
         CAP_BPF"
    )]
    Redirect {
        /// The endpoint.
        local: SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// Another step failed.
    #[error("cannot {step} of the uplink")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Creates the device in this thread's network namespace and leads the endpoint's packets to it.
///
/// With an IPv4 endpoint the kernel's check of source addresses (rp_filter) also wants the device
/// to have an address, whichever: that is the caller's to give.
///
/// # Errors
///
/// See [`OpenUplinkError`]; then nothing is left behind.
pub fn open(config: &UplinkConfig) -> Result<UplinkDevice, OpenUplinkError> {
    let tap = TunConfig {
        name: "rluplink%d".to_owned(),
        netns: None,
        queues: config.queues,
        mtu: MTU,
        offloads: TunOffloads::SUPER_FRAMES | NEEDED | TunOffloads::UDP_TUNNEL_GSO_CSUM,
    };
    let tap = tun::open_as(&tap, Layer::Ethernet, VNET_HEADER_LEN)?;
    if !tap.offloads.contains(NEEDED) {
        return Err(OpenUplinkError::NoTunnelGso);
    }
    set_mac(&tap.name)?;
    settings(&tap.name, config.local)?;
    let redirect =
        Redirect::attach(config.local, config.underlay, tap.index).map_err(|source| {
            OpenUplinkError::Redirect {
                local: config.local,
                source,
            }
        })?;
    Ok(UplinkDevice {
        name: tap.name,
        index: tap.index,
        queues: tap.queues,
        offloads: tap.offloads,
        redirect,
    })
}

fn set_mac(name: &str) -> Result<(), OpenUplinkError> {
    let step = |step| move |source| OpenUplinkError::Step { step, source };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(step("open a socket for the settings"))?;
    link::set_hardware_address(socket.as_fd(), name, MAC.0).map_err(step("set the MAC address"))
}

/// Lets the kernel forward what comes from the device although the host at large does not
/// forward, and although its source is the host's own address.
fn settings(name: &str, local: SocketAddr) -> Result<(), OpenUplinkError> {
    if local.is_ipv4() {
        set(format!("ipv4/conf/{name}/forwarding"), "1")?;
        set(format!("ipv4/conf/{name}/accept_local"), "1")?;
        // Loose: the stricter of this and the setting for all devices counts, and loose ranks
        // above strict.
        set(format!("ipv4/conf/{name}/rp_filter"), "2")
    } else {
        set(format!("ipv6/conf/{name}/force_forwarding"), "1")
    }
}

fn set(key: String, value: &'static str) -> Result<(), OpenUplinkError> {
    let path = Path::new("/proc/sys/net").join(&key);
    fs::write(path, value).map_err(|source| OpenUplinkError::Setting { key, value, source })
}
