//! `/dev/net/tun`: opening queues and asking for offloads (`linux/if_tun.h`).
//!
//! It configures nothing else of the device; [`crate::port::tun`] does.

use std::ffi::CStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::sys::link;

/// The device node that queues are opened through.
pub const DEVICE_NODE: &str = "/dev/net/tun";

/// Which frames a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// IP packets (`IFF_TUN`).
    Ip,
    /// Ethernet frames (`IFF_TAP`).
    Ethernet,
}

/// Kinds of work that a device may leave to whoever reads from it: a set of
/// `TUN_F_*` flags.
///
/// What is written to a device may ask for any of them at any time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TunOffloads(u32);

// The numbers are our own: the headers of older distributions lack the later ones.
impl TunOffloads {
    /// The kernel finishes checksums and hands over single packets.
    pub const NONE: Self = Self(0);
    /// Packets may lack their transport checksum; the others need this one.
    pub const CSUM: Self = Self(0x01);
    /// TCP super-frames over IPv4.
    pub const TSO4: Self = Self(0x02);
    /// TCP super-frames over IPv6.
    pub const TSO6: Self = Self(0x04);
    /// UDP super-frames over IPv4 (Linux 6.2).
    pub const USO4: Self = Self(0x20);
    /// UDP super-frames over IPv6 (Linux 6.2).
    pub const USO6: Self = Self(0x40);
    /// Super-frames of every kind that the nodes cut and merge.
    pub const SUPER_FRAMES: Self =
        Self(Self::CSUM.0 | Self::TSO4.0 | Self::TSO6.0 | Self::USO4.0 | Self::USO6.0);
    /// Super-frames inside UDP tunnels (Linux 6.17).
    pub const UDP_TUNNEL_GSO: Self = Self(0x80);
    /// The same with an outer checksum (Linux 6.17).
    pub const UDP_TUNNEL_GSO_CSUM: Self = Self(0x100);
    /// Super-frames inside UDP tunnels of either sort.
    pub const TUNNELS: Self = Self(Self::UDP_TUNNEL_GSO.0 | Self::UDP_TUNNEL_GSO_CSUM.0);

    /// Each kind with its name.
    pub const KINDS: [(Self, &'static str); 7] = [
        (Self::CSUM, "CSUM"),
        (Self::TSO4, "TSO4"),
        (Self::TSO6, "TSO6"),
        (Self::USO4, "USO4"),
        (Self::USO6, "USO6"),
        (Self::UDP_TUNNEL_GSO, "UDP_TUNNEL_GSO"),
        (Self::UDP_TUNNEL_GSO_CSUM, "UDP_TUNNEL_GSO_CSUM"),
    ];

    /// Whether all of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kinds in the set, one by one.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        Self::KINDS
            .into_iter()
            .map(|(kind, _)| kind)
            .filter(move |&kind| self.contains(kind))
    }
}

impl BitOr for TunOffloads {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TunOffloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, name) in Self::KINDS.iter().filter(|(kind, _)| self.contains(*kind)) {
            write!(f, "{separator}{name}")?;
            separator = " ";
        }
        if separator.is_empty() {
            f.write_str("none")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for TunOffloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunOffloads({self})")
    }
}

/// One queue of a multi-queue device, with a virtio-net header on each frame.
#[derive(Debug)]
pub struct TunQueue {
    file: File,
}

impl TunQueue {
    /// Opens [`DEVICE_NODE`]; the queue belongs to no device yet.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`: without the `tun` driver `ENOENT` or `ENODEV`.
    pub fn open() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // io_uring needs non-blocking descriptors: on others its fallback to
        // poll can block in the kernel.
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK);
        Ok(Self {
            file: options.open(DEVICE_NODE)?,
        })
    }

    /// Makes it a queue of the device `name` in this thread's network namespace
    /// and returns the device's name; the kernel replaces `%d` in `name`.
    ///
    /// With `create` the device must not exist before, otherwise it must.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_ADMIN`, `EBUSY` when the device exists although
    /// it must not, `EINVAL` when it is not of this kind or the name is unusable,
    /// `E2BIG` when it has no more queues.
    pub fn attach(&self, name: &str, layer: Layer, create: bool) -> io::Result<String> {
        let kind = match layer {
            Layer::Ip => libc::IFF_TUN,
            Layer::Ethernet => libc::IFF_TAP,
        };
        let flags = kind | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
        let flags = if create {
            flags | libc::IFF_TUN_EXCL
        } else {
            flags
        };
        let mut request = link::request(name)?;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is.
        self.check(unsafe { libc::ioctl(self.raw(), libc::TUNSETIFF, &raw mut request) })?;
        let bytes = request.ifr_name.map(|c| c as u8);
        let name = CStr::from_bytes_until_nul(&bytes).map_err(io::Error::other)?;
        Ok(name.to_string_lossy().into_owned())
    }

    /// Sets the length of the virtio-net header of all the device's queues.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is too short for the kernel.
    pub fn set_header_len(&self, len: usize) -> io::Result<()> {
        let len = libc::c_int::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: TUNSETVNETHDRSZ reads one int, which `len` is.
        self.check(unsafe { libc::ioctl(self.raw(), libc::TUNSETVNETHDRSZ, &raw const len) })
    }

    /// Sets the offloads of the device, all of them or none.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the kernel does not know one of them.
    pub fn set_offloads(&self, offloads: TunOffloads) -> io::Result<()> {
        let bits = libc::c_ulong::from(offloads.0);
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        self.check(unsafe { libc::ioctl(self.raw(), libc::TUNSETOFFLOAD, bits) })
    }

    /// Says whether the device outlives its last queue.
    ///
    /// # Errors
    ///
    /// `EBADFD` when the queue belongs to no device, e.g. to one that was deleted.
    pub fn set_persistent(queue: BorrowedFd<'_>, persistent: bool) -> io::Result<()> {
        let flag = libc::c_ulong::from(persistent);
        // SAFETY: TUNSETPERSIST takes its argument by value.
        let rc = unsafe { libc::ioctl(queue.as_raw_fd(), libc::TUNSETPERSIST, flag) };
        if rc >= 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// The network namespace that the queue was opened in.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_ADMIN` there.
    pub fn namespace(queue: BorrowedFd<'_>) -> io::Result<File> {
        // SAFETY: SIOCGSKNS takes no argument and returns a new descriptor.
        let fd = unsafe { libc::ioctl(queue.as_raw_fd(), libc::SIOCGSKNS as _) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for us, so nobody else owns it.
        Ok(unsafe { File::from_raw_fd(fd) })
    }

    /// The `IFF_*` features of the driver.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn features(&self) -> io::Result<u32> {
        let mut features: libc::c_uint = 0;
        // SAFETY: TUNGETFEATURES writes one unsigned int, which `features` is.
        self.check(unsafe { libc::ioctl(self.raw(), libc::TUNGETFEATURES, &raw mut features) })?;
        Ok(features)
    }

    fn raw(&self) -> libc::c_int {
        self.file.as_raw_fd()
    }

    fn check(&self, rc: libc::c_int) -> io::Result<()> {
        if rc >= 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl AsRawFd for TunQueue {
    fn as_raw_fd(&self) -> libc::c_int {
        self.raw()
    }
}

impl From<TunQueue> for OwnedFd {
    fn from(queue: TunQueue) -> Self {
        queue.file.into()
    }
}
