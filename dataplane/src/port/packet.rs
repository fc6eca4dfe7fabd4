//! A device that is an Ethernet port beside the host, by packet sockets: some for what comes, one for
//! what goes.
//!
//! The sockets are served where the host's own stack is, behind the device's queueing disciplines and
//! classifiers (`tc(8)`), which so rule what Ringlay sends and receives there as they rule the host.
//! Nothing about the device is changed, and what was added goes with the process. Frames for others
//! are not copied to the sockets: a filter keeps them out.

mod filter;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ringlay_encap::{EtherType, MacAddr};
use thiserror::Error;

use super::station::Station;
use crate::sys::filter as bpf;
use crate::sys::{link, packet, sockopt};

/// Memory for what a socket has not handed over yet, in bytes. A super-frame takes some 70 KiB of it.
const BUFFER: u32 = 4 << 20;

/// Which device to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketConfig {
    /// The device's name.
    pub device: String,
    /// Its interface index.
    pub index: u32,
    /// Who Ringlay is there.
    pub station: Station,
    /// Workers to serve it.
    pub workers: usize,
}

/// A device with its sockets.
#[derive(Debug)]
pub struct PacketDevice {
    /// Sockets for each worker; the first is to send by, all others are to receive from.
    pub queues: Vec<Vec<OwnedFd>>,
    /// Has the device listen to the station's MAC address, until it is dropped.
    pub membership: OwnedFd,
}

/// Why a device cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenPacketError {
    /// The process may not have packet sockets.
    #[error("packet sockets take CAP_NET_RAW, and their memory CAP_NET_ADMIN")]
    NotPermitted(#[source] io::Error),
    /// The host would take the station's frames, too.
    #[error(
        "{device} has the MAC address {mac} itself, so that the host would take what is for \
         Ringlay, too: choose another by `mac`"
    )]
    HostsAddress {
        /// The device.
        device: String,
        /// The address.
        mac: MacAddr,
    },
    /// Another step failed.
    #[error("cannot {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Opens the sockets. What they receive from now on waits for the workers.
///
/// # Errors
///
/// See [`OpenPacketError`]; then nothing is left behind.
pub fn open(config: &PacketConfig) -> Result<PacketDevice, OpenPacketError> {
    check(config)?;
    let PacketConfig {
        index,
        station,
        workers,
        ..
    } = config;
    let sender = || {
        let socket = packet::sender(*index)?;
        sockopt::set_send_buffer(socket.as_fd(), BUFFER)?;
        Ok(vec![socket])
    };
    let queues = (0..*workers).map(|_| sender()).collect::<io::Result<_>>();
    let mut queues: Vec<Vec<OwnedFd>> = queues.map_err(failed("open packet sockets"))?;
    for ethertype in [EtherType::IPV4, EtherType::IPV6] {
        let sockets = receivers(*index, ethertype, station, *workers)?;
        for (queue, socket) in queues.iter_mut().zip(sockets) {
            queue.push(socket);
        }
    }
    // Few come, and they belong to no flow.
    if let Some(first) = queues.first_mut() {
        first.extend(receivers(*index, EtherType::ARP, station, 1)?);
    }
    let membership = packet::listen_to(*index, station.mac.0);
    let membership = membership.map_err(failed("listen to a MAC address"))?;
    Ok(PacketDevice { queues, membership })
}

/// Sockets for frames of one EtherType that are for the station, over which the kernel spreads them.
fn receivers(
    index: u32,
    ethertype: EtherType,
    station: &Station,
    count: usize,
) -> Result<Vec<OwnedFd>, OpenPacketError> {
    let open = || {
        let socket = packet::receiver(index, ethertype.0)?;
        sockopt::set_receive_buffer(socket.as_fd(), BUFFER)?;
        Ok(socket)
    };
    let sockets = (0..count).map(|_| open()).collect::<io::Result<Vec<_>>>();
    let sockets = sockets.map_err(failed("open packet sockets"))?;
    if count > 1 {
        packet::spread(&sockets).map_err(failed("spread packets over the workers"))?;
    }
    // From now on: before, several sockets would have taken the same frame.
    let program = filter::program(ethertype, station);
    let mut attached = sockets
        .iter()
        .map(|socket| bpf::attach(socket.as_fd(), &program));
    let attached = attached.try_for_each(|it| it);
    attached.map_err(failed("attach a filter"))?;
    Ok(sockets)
}

fn check(config: &PacketConfig) -> Result<(), OpenPacketError> {
    let PacketConfig {
        device, station, ..
    } = config;
    let own = link::hardware_address(device).map_err(failed("read the MAC address"))?;
    if own == station.mac.0 {
        let (device, mac) = (device.clone(), station.mac);
        return Err(OpenPacketError::HostsAddress { device, mac });
    }
    Ok(())
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> OpenPacketError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => OpenPacketError::NotPermitted(source),
        _ => OpenPacketError::Step { step, source },
    }
}
