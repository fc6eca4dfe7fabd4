//! TUN devices: one multi-queue device a port, each queue with virtio-net headers.
//!
//! Addresses and routes are the control plane's business.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tun::AbstractDevice;

use crate::sys::rtnetlink::Rtnetlink;
use crate::sys::tun::{DEVICE_NODE, TunQueue};
use crate::sys::{link, netns, virtio};

pub use crate::sys::tun::{Layer, TunOffloads};

/// Bytes of virtio-net header in front of each packet that a queue carries.
pub const VNET_HEADER_LEN: usize = virtio::HEADER_LEN;

/// Packets that each queue holds before the kernel drops: a worker that is busy
/// with other queues must find a burst of this one still there.
const TRANSMIT_QUEUE_LEN: u32 = 5000;

/// The smallest MTU of an IPv4 link (RFC 791) and the largest of a TUN device.
const MTU_RANGE: std::ops::RangeInclusive<u32> = 68..=65_535;

/// What device to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunConfig {
    /// Its name, at most 15 bytes; `%d` stands for the first free number.
    pub name: String,
    /// The network namespace it lives in, as a path; by default the caller's.
    pub netns: Option<PathBuf>,
    /// The number of queues: one for each worker.
    pub queues: usize,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// What the kernel may leave to Ringlay; refused ones are left out.
    pub offloads: TunOffloads,
    /// How long it lives.
    pub life: Life,
}

/// How long a device lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// As long as its queues are open.
    #[default]
    Queues,
    /// Until its [`Keeper`] lets go, also if the process ends before.
    Kept,
    /// The same, and one that an earlier process kept is taken up with its addresses and routes.
    Resumed,
}

/// An open device. It vanishes when the last queue is closed, unless it has a keeper.
#[derive(Debug)]
pub struct TunDevice {
    /// The name that the kernel gave it.
    pub name: String,
    /// Its interface index in its namespace.
    pub index: u32,
    /// Which frames it carries.
    pub layer: Layer,
    /// Its queues, non-blocking.
    pub queues: Vec<OwnedFd>,
    /// The offloads in force.
    pub offloads: TunOffloads,
    /// The offloads that were asked for and refused, each with the reason.
    pub refused: Vec<(TunOffloads, io::Error)>,
    /// What keeps it in being, if something does.
    pub keeper: Option<Keeper>,
}

/// Keeps a device in being, also beyond the end of the process.
///
/// It holds all queues open: closing one makes the kernel wait for all CPUs, for which a worker
/// has no time.
#[derive(Debug)]
pub struct Keeper {
    queues: Vec<OwnedFd>,
    index: u32,
}

impl Keeper {
    fn new(queues: &[OwnedFd], index: u32) -> io::Result<Self> {
        let queues = queues
            .iter()
            .map(OwnedFd::try_clone)
            .collect::<io::Result<Vec<_>>>()?;
        let keeper = Self { queues, index };
        keeper.set_persistent(true)?;
        Ok(keeper)
    }

    /// Lets the device go: it vanishes when its queues are closed, those of the workers and these.
    ///
    /// # Errors
    ///
    /// If the device is gone already.
    pub fn release(&self) -> io::Result<()> {
        self.set_persistent(false)
    }

    /// What tells when the device is out of sight.
    ///
    /// # Errors
    ///
    /// If its namespace cannot be entered.
    pub fn watch(&self) -> io::Result<Watch> {
        let queue = self.queues.first().ok_or(io::ErrorKind::NotFound)?;
        let namespace = TunQueue::namespace(queue.as_fd())?;
        let socket = || Socket::new(Domain::IPV4, Type::DGRAM, None);
        Ok(Watch {
            socket: netns::visit_open(&namespace, socket)??,
            index: self.index,
        })
    }

    fn set_persistent(&self, persistent: bool) -> io::Result<()> {
        match self.queues.first() {
            Some(queue) => TunQueue::set_persistent(queue.as_fd(), persistent),
            None => Ok(()),
        }
    }
}

/// Looks whether a device is in its namespace, from outside.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    index: u32,
}

impl Watch {
    /// Whether it still is.
    pub fn is_there(&self) -> bool {
        link::is_there(self.socket.as_fd(), self.index)
    }
}

/// Why a device could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenTunError {
    /// The configuration asks for no queues.
    #[error("TUN device `{name}` needs at least one queue")]
    NoQueues {
        /// The device.
        name: String,
    },
    /// The name cannot be one of a device.
    #[error("`{name}` cannot be a device name: use 1 to 15 bytes without `/`, `:` and spaces")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// The MTU is out of range.
    #[error("MTU {mtu} of TUN device `{name}` is not between 68 and 65535")]
    InvalidMtu {
        /// The device.
        name: String,
        /// The MTU asked for.
        mtu: u32,
    },
    /// The kernel has no TUN driver, or the container does not show it.
    #[error(
        "{DEVICE_NODE} is missing: load the `tun` kernel module (modprobe tun), or give the \
         container the device (--device {DEVICE_NODE})"
    )]
    NoDriver,
    /// The process may not create the device.
    #[error("no permission to create TUN device `{name}`: CAP_NET_ADMIN is needed")]
    NotPermitted {
        /// The device.
        name: String,
    },
    /// The name is taken.
    #[error(
        "device `{name}` exists already: choose another name, or see who owns it with \
         `ip -d link show {name}` and remove it with `ip link delete {name}`"
    )]
    InUse {
        /// The device.
        name: String,
    },
    /// The kernel grants fewer queues.
    #[error("TUN device `{name}` gets {granted} queues and not {asked}: use fewer workers")]
    TooManyQueues {
        /// The device.
        name: String,
        /// Queues asked for.
        asked: usize,
        /// Queues granted.
        granted: usize,
    },
    /// The namespace cannot be entered.
    #[error(
        "cannot enter the network namespace {}: does it exist, and have we CAP_SYS_ADMIN?",
        path.display()
    )]
    Netns {
        /// The namespace.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another step failed.
    #[error("cannot {step} of TUN device `{name}`")]
    Step {
        /// The device.
        name: String,
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Creates the device, with its queues, and brings it up.
///
/// # Errors
///
/// See [`OpenTunError`]; then no device is left behind.
pub fn open(config: &TunConfig) -> Result<TunDevice, OpenTunError> {
    let form = Form {
        layer: Layer::Ip,
        header_len: VNET_HEADER_LEN,
        is_host: false,
    };
    open_as(config, form)
}

/// What tells kinds of devices apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Which frames it carries.
    pub(super) layer: Layer,
    /// Bytes of virtio-net header in front of each.
    pub(super) header_len: usize,
    /// Whether the kernel is a host of its own behind it, which may say so.
    pub(super) is_host: bool,
}

/// The same for a device of another kind.
pub(super) fn open_as(config: &TunConfig, form: Form) -> Result<TunDevice, OpenTunError> {
    check(config)?;
    let open_here = || open_here(config, form);
    let Some(path) = &config.netns else {
        return open_here();
    };
    netns::run_in(path, open_here).map_err(|source| OpenTunError::Netns {
        path: path.clone(),
        source,
    })?
}

fn check(config: &TunConfig) -> Result<(), OpenTunError> {
    let name = config.name.clone();
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    if name.is_empty() || name.len() > link::MAX_NAME_LEN || name.contains(forbidden) {
        return Err(OpenTunError::InvalidName { name });
    }
    if config.queues == 0 {
        return Err(OpenTunError::NoQueues { name });
    }
    if !MTU_RANGE.contains(&config.mtu) {
        return Err(OpenTunError::InvalidMtu {
            name,
            mtu: config.mtu,
        });
    }
    Ok(())
}

/// Opens the device in this thread's namespace.
fn open_here(config: &TunConfig, form: Form) -> Result<TunDevice, OpenTunError> {
    let first = open_queue(config)?;
    let fresh = config.life != Life::Resumed;
    let name = first
        .attach(&config.name, form.layer, fresh)
        .map_err(|error| attach_error(config, 0, error))?;
    first
        .set_header_len(form.header_len)
        .map_err(failed(config, "set the header length"))?;
    let (offloads, refused) = set_offloads(&first, config.offloads);
    let mut queues = vec![first];
    for granted in 1..config.queues {
        let queue = open_queue(config)?;
        queue
            .attach(&name, form.layer, false)
            .map_err(|e| attach_error(config, granted, e))?;
        queues.push(queue);
    }
    let index = link::index(&name).map_err(failed(config, "find the index"))?;
    configure(config, &name, index, &queues[0], form)?;
    let queues: Vec<_> = queues.into_iter().map(OwnedFd::from).collect();
    let keeper = match config.life {
        Life::Queues => None,
        Life::Kept | Life::Resumed => {
            Some(Keeper::new(&queues, index).map_err(failed(config, "keep the queues"))?)
        }
    };
    Ok(TunDevice {
        name,
        index,
        layer: form.layer,
        queues,
        offloads,
        refused,
        keeper,
    })
}

fn open_queue(config: &TunConfig) -> Result<TunQueue, OpenTunError> {
    TunQueue::open().map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => OpenTunError::NoDriver,
        Some(libc::EACCES | libc::EPERM) => OpenTunError::NotPermitted {
            name: config.name.clone(),
        },
        _ => failed(config, "open a queue")(error),
    })
}

fn attach_error(config: &TunConfig, granted: usize, error: io::Error) -> OpenTunError {
    let name = config.name.clone();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => OpenTunError::NotPermitted { name },
        Some(libc::EBUSY | libc::EEXIST) => OpenTunError::InUse { name },
        Some(libc::EINVAL) if granted == 0 => OpenTunError::InvalidName { name },
        Some(libc::E2BIG) => OpenTunError::TooManyQueues {
            name,
            asked: config.queues,
            granted,
        },
        _ => failed(config, "attach a queue")(error),
    }
}

fn failed(config: &TunConfig, step: &'static str) -> impl FnOnce(io::Error) -> OpenTunError {
    let name = config.name.clone();
    move |source| OpenTunError::Step { name, step, source }
}

/// Asks for all offloads together and, if that is refused, for one after the other.
/// The kernel grants USO for both IP versions or for none, and tunnel GSO only on
/// top of the others (`set_offload` in `drivers/net/tun.c`).
fn set_offloads(
    queue: &TunQueue,
    wanted: TunOffloads,
) -> (TunOffloads, Vec<(TunOffloads, io::Error)>) {
    if queue.set_offloads(wanted).is_ok() {
        return (wanted, Vec::new());
    }
    let mut granted = TunOffloads::NONE;
    let mut refused = Vec::new();
    let uso = TunOffloads::USO4 | TunOffloads::USO6;
    let kinds = wanted
        .iter()
        .map(|kind| if uso.contains(kind) { uso } else { kind });
    for kind in kinds.filter(|&kind| wanted.contains(kind)) {
        if granted.contains(kind) || refused.iter().any(|&(other, _)| other == kind) {
            continue;
        }
        match queue.set_offloads(granted | kind) {
            Ok(()) => granted = granted | kind,
            Err(error) => refused.push((kind, error)),
        }
    }
    (granted, refused)
}

/// Sets MTU and queue length and brings the device up.
fn configure(
    config: &TunConfig,
    name: &str,
    index: u32,
    queue: &TunQueue,
    form: Form,
) -> Result<(), OpenTunError> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(failed(config, "open a socket for the settings"))?;
    link::set_transmit_queue_len(socket.as_fd(), name, TRANSMIT_QUEUE_LEN)
        .map_err(failed(config, "set the transmit queue length"))?;
    let rtnetlink = Rtnetlink::open().map_err(failed(config, "open a netlink socket"))?;
    spare_queueing(&rtnetlink, index);
    if !form.is_host {
        quieten_ipv6(&rtnetlink, index);
    }
    // Adopts the queue for its settings; the queue stays open when this goes.
    let mut adopted = tun::Configuration::default();
    adopted
        .raw_fd(queue.as_raw_fd())
        .close_fd_on_drop(false)
        .tun_name(name);
    let mut device = tun::create(&adopted).map_err(tun_failed(config, "take up the settings"))?;
    let mtu = config.mtu as u16; // `check` has seen that it fits
    device
        .set_mtu(mtu)
        .map_err(tun_failed(config, "set the MTU"))?;
    device
        .enabled(true)
        .map_err(tun_failed(config, "bring up the link"))
}

/// Spares the device the kernel's queueing disciplines. The device's own queues are queues enough,
/// and it is never asked to wait; but as it may have 256 of them, bringing it up would take the
/// kernel 256 disciplines with room for as many packets each: 48 MB and 3 ms. A kernel without
/// disciplines has none to be spared.
fn spare_queueing(rtnetlink: &Rtnetlink, index: u32) {
    let _ = rtnetlink.set_no_queue(index);
}

/// Keeps the kernel from giving the device a link-local address, for which it
/// would send router solicitations into the overlay. Where IPv6 is off this does
/// not work and does not matter.
fn quieten_ipv6(rtnetlink: &Rtnetlink, index: u32) {
    let _ = rtnetlink.set_no_link_local(index);
}

fn tun_failed(config: &TunConfig, step: &'static str) -> impl FnOnce(tun::Error) -> OpenTunError {
    let failed = failed(config, step);
    move |error| {
        failed(match error {
            tun::Error::Io(error) => error,
            other => io::Error::other(other),
        })
    }
}

#[cfg(test)]
mod tests;
