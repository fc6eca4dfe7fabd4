//! A device that carries a tunnel endpoint's packets as its uplink, or is an Ethernet port, past the
//! host's own stack: AF_XDP sockets for its queues, and a program that leads packets to them.
//!
//! Everything else that the device receives goes on to the host, and so does what the sockets cannot
//! take. Nothing about the device is changed, and what was added goes with the process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use thiserror::Error;

use super::xdp::{Selection, XdpProgram};
use super::zero_copy;
use crate::sys::bpf::XdpMode;
use crate::sys::rtnetlink::Rtnetlink;
use crate::sys::xdp::Copying;
use crate::sys::{ethtool, packet, xdp};

/// What wire to make of which device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireConfig {
    /// Which packets are led.
    pub selection: Selection,
    /// The device's name.
    pub device: String,
    /// Its interface index.
    pub index: u32,
    /// So many workers must be able to send, those beyond the queues by packet sockets.
    pub senders: usize,
    /// Whether to insist on one way to move frames; otherwise without copies where the device's
    /// driver can do so, and does it well.
    pub copying: Option<Copying>,
}

/// A device whose packets are led to sockets, as soon as [`lead`] is called.
#[derive(Debug)]
pub struct WireDevice {
    /// Its interface index.
    pub index: u32,
    /// A socket for each of its queues, neither set up nor bound.
    pub sockets: Vec<OwnedFd>,
    /// So many of those queues, the first ones, were there before the program, and the device sends
    /// by as many: by others the kernel sends nothing, without a word. Some of those the driver may
    /// have added for what programs send (virtio_net): it completes nothing that a socket sends by
    /// them, and takes them away with the program, without a thought for memory that a socket lent
    /// it.
    pub lasting: usize,
    /// By so many queues the device sends now, those that were added for the program included.
    pub sends_by: u32,
    /// A packet socket for each worker beyond those that last.
    pub senders: Vec<OwnedFd>,
    /// Where the program runs.
    pub mode: XdpMode,
    /// Why it does not run in the driver, if it does not.
    pub not_native: Option<io::Error>,
    /// Whether to insist on one way to move frames.
    pub copying: Option<Copying>,
    /// Why the driver is not asked to do without copies, though it may be able to, if it is not.
    pub objection: Option<&'static str>,
    /// Leads the packets to the sockets.
    pub program: XdpProgram,
}

/// Why a device cannot be a wire.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenWireError {
    /// There are no AF_XDP sockets.
    #[error(
        "AF_XDP sockets cannot be had: that takes a kernel with CONFIG_XDP_SOCKETS, and CAP_NET_RAW"
    )]
    Socket(#[source] io::Error),
    /// There are no packet sockets.
    #[error("packet sockets cannot be had, which takes CAP_NET_RAW")]
    Sender(#[source] io::Error),
    /// Somebody else's program is there.
    #[error(
        "{device} has an XDP program already{}, which is not replaced: see `ip link show {device}`",
        numbered(*program)
    )]
    Taken {
        /// The device.
        device: String,
        /// Its number, as far as that can be told.
        program: Option<u32>,
        /// Why it failed.
        source: io::Error,
    },
    /// Frames are to be moved without copies.
    #[error("the driver of {device} runs no XDP program, which zero-copy takes")]
    NotNative {
        /// The device.
        device: String,
        /// Why it does not.
        source: io::Error,
    },
    /// The program cannot be run.
    #[error(
        "no XDP program can be run on {device}: that takes Linux 5.9 with BPF, CAP_BPF and CAP_NET_ADMIN"
    )]
    Program {
        /// The device.
        device: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Opens the sockets and runs the program, in the device's driver or, if that has no place for it,
/// where the kernel's stack begins. It leads nothing anywhere yet.
///
/// # Errors
///
/// See [`OpenWireError`]; then nothing is left behind.
pub fn open(config: &WireConfig) -> Result<WireDevice, OpenWireError> {
    let mut expected = receive_queues(&config.device);
    let lasting = expected.min(send_queues(&config.device));
    loop {
        let opened = open_queues(config, expected, lasting)?;
        let found = receive_queues(&config.device);
        if found <= expected {
            return Ok(opened);
        }
        expected = found;
    }
}

/// By how many queues a device receives, as far as it tells.
pub fn receive_queues(device: &str) -> u32 {
    ethtool::receive_queues(device).unwrap_or(1).max(1)
}

/// By how many queues a device sends, as far as it tells.
pub fn send_queues(device: &str) -> u32 {
    ethtool::send_queues(device).unwrap_or(1).max(1)
}

/// The same for so many queues, of which the first last.
fn open_queues(
    config: &WireConfig,
    queues: u32,
    lasting: u32,
) -> Result<WireDevice, OpenWireError> {
    let sockets = (0..queues).map(|_| xdp::open()).collect::<Result<_, _>>();
    let sockets = sockets.map_err(OpenWireError::Socket)?;
    let senders = (lasting as usize..config.senders).map(|_| packet::sender(config.index));
    let senders = senders.collect::<Result<_, _>>();
    let senders = senders.map_err(OpenWireError::Sender)?;
    let attach = |mode| XdpProgram::attach(config.index, queues, mode, &config.selection);
    let refused = |source: io::Error| {
        let device = config.device.clone();
        match source.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => OpenWireError::Taken {
                device,
                program: program_of(config.index),
                source,
            },
            _ => OpenWireError::Program { device, source },
        }
    };
    let (program, mode, not_native) = match attach(XdpMode::Native) {
        Ok(program) => (program, XdpMode::Native, None),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) => {
            return Err(refused(error));
        }
        Err(source) if config.copying == Some(Copying::ZeroCopy) => {
            let device = config.device.clone();
            return Err(OpenWireError::NotNative { device, source });
        }
        Err(error) => {
            let program = attach(XdpMode::Generic).map_err(refused)?;
            (program, XdpMode::Generic, Some(error))
        }
    };
    // Where the kernel's stack begins, packets are not in memory of ours any more.
    let (copying, objection) = match mode {
        XdpMode::Native => well_advised(config),
        XdpMode::Generic => (Some(Copying::Copy), None),
    };
    Ok(WireDevice {
        index: config.index,
        sockets,
        lasting: lasting as usize,
        sends_by: send_queues(&config.device),
        senders,
        mode,
        not_native,
        copying,
        objection,
        program,
    })
}

/// How to move frames, and what speaks against doing without copies, unless somebody insists.
fn well_advised(config: &WireConfig) -> (Option<Copying>, Option<&'static str>) {
    let WireConfig {
        device, copying, ..
    } = config;
    match (copying, zero_copy::objection(device)) {
        (None, Some(why)) => (Some(Copying::Copy), Some(why)),
        (Some(Copying::ZeroCopy), Some(why)) => {
            tracing::warn!(device, why, "zero-copy is insisted on");
            (*copying, None)
        }
        _ => (*copying, None),
    }
}

/// The number of the program on a device, if there is one and the kernel tells.
fn program_of(device: u32) -> Option<u32> {
    Rtnetlink::open()
        .and_then(|it| it.xdp_program(device))
        .ok()?
}

fn numbered(program: Option<u32>) -> String {
    program.map_or_else(String::new, |number| format!(" (id {number})"))
}

/// Copies of the sockets, to be [led to](lead) once they are bound.
///
/// # Errors
///
/// When the process has no descriptor left.
pub fn copies(sockets: &[OwnedFd]) -> io::Result<Vec<OwnedFd>> {
    sockets.iter().map(OwnedFd::try_clone).collect()
}

/// How many of the sockets, which are bound, the device's driver serves without copies.
///
/// # Errors
///
/// What the kernel says.
pub fn zero_copies(sockets: &[OwnedFd]) -> io::Result<usize> {
    let mut count = 0;
    for socket in sockets {
        count += usize::from(xdp::copying(socket.as_fd())? == Copying::ZeroCopy);
    }
    Ok(count)
}

/// Leads the packets of each queue to its socket, which is bound. The copies are closed.
///
/// # Errors
///
/// When a socket is not bound.
pub fn lead(program: &XdpProgram, copies: Vec<OwnedFd>) -> io::Result<()> {
    for (queue, socket) in (0..).zip(&copies) {
        program.lead(queue, socket.as_fd())?;
    }
    Ok(())
}
