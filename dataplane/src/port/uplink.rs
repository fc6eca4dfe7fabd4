//! The uplink of a tunnel endpoint: a TAP device that takes and gives encapsulated
//! super-frames unsegmented, because the kernel can cut them late or leave it to the NIC
//! (UDP tunnel GSO, Linux 6.17).
//!
//! Frames written to it are addressed to its own MAC address, so the kernel routes them on like any
//! it forwards, and a firewall of the host sees them as forwarded packets. Everything that allows
//! this is a setting of the TAP device and goes with it. Frames for an endpoint over UDP come by a
//! redirection. Those for others come by its raw sockets, super-frames included; what leaves is
//! marked for the kernel to cut (`tunnel_mark.rs`). What is not encapsulated has the Ethernet
//! header of its next hop already, and leaves by the underlay's device at once, past the host's
//! routes and firewall.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ringlay_encap::ip::IpVersion;
use ringlay_encap::{Encapsulation, MacAddr};
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use super::classifier::Hook;
use super::tun::{self, Form, Life, OpenTunError, TunConfig, TunDevice, TunOffloads};
use super::{redirect, tunnel_mark};
use crate::endpoint::Endpoint;
use crate::sys::tun::Layer;
use crate::sys::{link, netns, virtio};

/// Bytes of virtio-net header in front of each frame that a queue carries.
pub const VNET_HEADER_LEN: usize = virtio::TUNNEL_HEADER_LEN;

/// The device's MAC address: the outer destination of what is written to it. Each device is a
/// link of its own, so all have the same.
pub const MAC: MacAddr = MacAddr([0x02, 0x52, 0x4c, 0x00, 0x00, 0x01]);

/// The outer source of what is written to it.
pub const PEER_MAC: MacAddr = MacAddr([0x02, 0x52, 0x4c, 0x00, 0x00, 0x02]);

/// What the uplink is of use for; outer headers have checksums.
const NEEDED: TunOffloads = TunOffloads::TUNNELS;

/// The largest MTU of a TAP device: packets are measured where they leave.
const MTU: u32 = 65_535 - 14;

/// What uplink to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkConfig {
    /// The tunnel endpoint.
    pub endpoint: Endpoint,
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
    /// Leads the endpoint's packets to it, or marks those that leave. To be dropped first.
    pub hook: Hook,
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
        "the kernel refuses {} to TAP devices, as those before Linux 6.17 do",
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
    /// The kernel cannot be told of tunnels right above IP.
    #[error("cannot mark super-frames for {endpoint}: that takes Linux 6.6 with BPF, and CAP_BPF")]
    Mark {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why it failed.
        source: io::Error,
    },
    /// What is not encapsulated cannot be sent on.
    #[error(
        "cannot send packets without encapsulation on by device {to}: that takes Linux 6.6 with \
         BPF, and CAP_BPF"
    )]
    Onward {
        /// The interface index of the device.
        to: u32,
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
    let tap = open_tap("rluplink%d", config.queues)?;
    configure(&tap.name, config.endpoint.local.ip())?;
    let hook = hook(config, tap.index)?;
    Ok(UplinkDevice {
        name: tap.name,
        index: tap.index,
        queues: tap.queues,
        offloads: tap.offloads,
        hook,
    })
}

/// Tries each step of [`open`] on a device that is thrown away, in a new network namespace where
/// that is allowed; ends with the first that fails. `local` is the endpoint's address.
///
/// The device that has the address is not touched.
pub fn probe(local: IpAddr) -> Vec<(&'static str, Result<(), OpenUplinkError>)> {
    netns::run_in_new(|| try_steps(local)).unwrap_or_else(|_| try_steps(local))
}

fn try_steps(local: IpAddr) -> Vec<(&'static str, Result<(), OpenUplinkError>)> {
    const DEVICE: &str = "TAP device for tunnel GSO";
    let tap = match open_tap("rlprobe%d", 1) {
        Ok(tap) => tap,
        Err(error) => return vec![(DEVICE, Err(error))],
    };
    let mut tried = vec![(DEVICE, Ok(()))];
    let configured = configure(&tap.name, local);
    let configurable = configured.is_ok();
    tried.push(("settings of the uplink", configured));
    if configurable {
        // Itself for want of another: nothing is received there.
        let redirected = redirect(SocketAddr::new(local, 0), tap.index, tap.index);
        tried.push(("redirection by BPF (TCX)", redirected.map(drop)));
    }
    tried
}

/// Only with all that makes it an uplink.
fn open_tap(name: &str, queues: usize) -> Result<TunDevice, OpenUplinkError> {
    let tap = TunConfig {
        name: name.to_owned(),
        netns: None,
        queues,
        mtu: MTU,
        offloads: TunOffloads::SUPER_FRAMES | NEEDED,
        life: Life::Queues,
    };
    let form = Form {
        layer: Layer::Ethernet,
        header_len: VNET_HEADER_LEN,
        is_host: false,
    };
    let tap = tun::open_as(&tap, form)?;
    if tap.offloads.contains(NEEDED) {
        Ok(tap)
    } else {
        Err(OpenUplinkError::NoTunnelGso)
    }
}

fn hook(config: &UplinkConfig, uplink: u32) -> Result<Hook, OpenUplinkError> {
    let endpoint = config.endpoint;
    if endpoint.encapsulation == Encapsulation::Plain {
        let to = config.underlay;
        let failed = |source| OpenUplinkError::Onward { to, source };
        return redirect::attach_all(uplink, to).map_err(failed);
    }
    if endpoint.protocols().is_empty() {
        return redirect(endpoint.local, config.underlay, uplink);
    }
    let version = match endpoint.local {
        SocketAddr::V4(_) => IpVersion::V4,
        SocketAddr::V6(_) => IpVersion::V6,
    };
    tunnel_mark::attach(version, endpoint.encapsulation, uplink)
        .map_err(|source| OpenUplinkError::Mark { endpoint, source })
}

fn redirect(local: SocketAddr, from: u32, to: u32) -> Result<Hook, OpenUplinkError> {
    redirect::attach(local, from, to).map_err(|source| OpenUplinkError::Redirect { local, source })
}

fn configure(name: &str, local: IpAddr) -> Result<(), OpenUplinkError> {
    set_mac(name)?;
    settings(name, local)
}

fn set_mac(name: &str) -> Result<(), OpenUplinkError> {
    let step = |step| move |source| OpenUplinkError::Step { step, source };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(step("open a socket for the settings"))?;
    link::set_hardware_address(socket.as_fd(), name, MAC.0).map_err(step("set the MAC address"))
}

/// Lets the kernel forward what comes from the device although the host at large does not
/// forward, and although its source is the host's own address.
fn settings(name: &str, local: IpAddr) -> Result<(), OpenUplinkError> {
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
