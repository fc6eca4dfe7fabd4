//! An AF_XDP socket with its four rings: one queue of one device, in both directions.
//!
//! Memory is an arena, all of which is the kernel's UMEM, each slot of it a chunk.
//! Several sockets may have the same arena, each as a UMEM of its own: a slot has one owner, so what
//! one received another may send, and what was put elsewhere in a slot too. The kernel pins all of
//! the arena as long as a socket has it. Which packets a socket receives is the business of an XDP
//! program.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::kick::{self, Kernel};
use super::lent::Lent;
use super::ring::{Consumer, Producer};
use crate::sys::arena::{Arena, Slot};
use crate::sys::mapping::Mapping;

/// Bytes that the kernel leaves free in front of each packet it receives
/// (`XDP_PACKET_HEADROOM` in `linux/bpf.h`).
pub const HEADROOM: usize = 256;

/// Bytes of a slot, and the longest packet that is sent. A device that reads and writes slots itself
/// sees pages, which may lie anywhere: none may cross from one into another.
pub const CHUNK: usize = 4096;

/// The longest packet that is received, in bytes: longer ones are dropped by the kernel.
pub const RECEIVE_MAX: usize = CHUNK - HEADROOM;

/// How the kernel moves packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// The device's driver reads and writes the slots.
    ZeroCopy,
    /// The kernel copies between its own memory and the slots.
    Copy,
}

/// Which queue to serve, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpConfig {
    /// The device's interface index, in the namespace that the socket was opened in.
    pub device: u32,
    /// The number of the queue.
    pub queue: u32,
    /// Whether to insist on one way; otherwise zero-copy where the driver has it.
    pub copying: Option<Copying>,
    /// Entries of each ring, a power of two; the one of slots to receive into has twice as many.
    pub entries: u32,
    /// So many slots are lent from the beginning, as far as the arena has them: a device that writes
    /// into slots drops whatever comes, for the host too, as long as it has none.
    pub lent: usize,
}

/// A bound socket.
#[derive(Debug)]
pub struct XdpSocket {
    /// Closed first: the kernel lets go of the memory before the slots return to the arena.
    socket: OwnedFd,
    fill: Producer<u64>,
    receive: Consumer<libc::xdp_desc>,
    transmit: Producer<libc::xdp_desc>,
    completion: Consumer<u64>,
    /// Slots to receive into.
    empty: Lent,
    /// Slots on their way out.
    full: Lent,
    copying: Copying,
    arena: Rc<Arena>,
}

/// The slots that a closed socket had lent. A device may go on to read and write them for a moment:
/// the kernel has it let go of them after the socket's end (`xp_release_deferred`). To be dropped
/// when that is over.
#[derive(Debug)]
pub struct Closed {
    _slots: [Lent; 2],
}

/// What the kernel counted of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpDrops {
    /// Packets that found the receive ring full.
    pub ring_full: u64,
    /// Packets that found no slot to go to.
    pub no_slot: u64,
    /// Packets that were too long for a slot.
    pub too_long: u64,
    /// Entries of a ring that the kernel refused.
    pub invalid: u64,
}

/// What was received: a slot, where in it the packet starts, and its length.
#[derive(Debug)]
pub struct Received {
    /// The slot.
    pub slot: Slot,
    /// Offset of the first byte.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

impl XdpSocket {
    /// Makes of an [open](super::open) socket one that serves a queue with the slots of `arena`,
    /// each of which has [`CHUNK`] bytes.
    ///
    /// # Errors
    ///
    /// `EBUSY` when another socket serves the queue, `EOPNOTSUPP`, or whatever the driver says, when
    /// zero-copy is insisted on and not to be had, `EINVAL` when there is no such queue, `InvalidInput`
    /// when slots are not of that size, `ENODEV` when there is no such device, `ENOBUFS` when
    /// RLIMIT_MEMLOCK is too small for the arena.
    pub fn new(socket: OwnedFd, arena: Rc<Arena>, config: XdpConfig) -> io::Result<Self> {
        let fd = socket.as_fd();
        register_umem(fd, &arena)?;
        let entries = config.entries;
        let fill_entries = entries.saturating_mul(2);
        for (ring, entries) in [
            (libc::XDP_UMEM_FILL_RING, fill_entries),
            (libc::XDP_UMEM_COMPLETION_RING, entries),
            (libc::XDP_RX_RING, entries),
            (libc::XDP_TX_RING, entries),
        ] {
            set(fd, ring, &entries)?;
        }
        let offsets = mmap_offsets(fd)?;
        let map = |parts: &libc::xdp_ring_offset, entry: usize, entries: u32, at: u64| {
            let len = parts.desc as usize + entries as usize * entry;
            Mapping::shared(fd, len, at as libc::off_t)
        };
        let address = size_of::<u64>();
        let descriptor = size_of::<libc::xdp_desc>();
        let fill = libc::XDP_UMEM_PGOFF_FILL_RING;
        let fill = map(&offsets.fr, address, fill_entries, fill)?;
        let completion = libc::XDP_UMEM_PGOFF_COMPLETION_RING;
        let completion = map(&offsets.cr, address, entries, completion)?;
        let receive = libc::XDP_PGOFF_RX_RING as u64;
        let receive = map(&offsets.rx, descriptor, entries, receive)?;
        let transmit = libc::XDP_PGOFF_TX_RING as u64;
        let transmit = map(&offsets.tx, descriptor, entries, transmit)?;
        let lent = || Lent::new(arena.count());
        let mut made = Self {
            empty: lent(),
            full: lent(),
            fill: Producer::new(fill, &offsets.fr, fill_entries)?,
            receive: Consumer::new(receive, &offsets.rx, entries)?,
            transmit: Producer::new(transmit, &offsets.tx, entries)?,
            completion: Consumer::new(completion, &offsets.cr, entries)?,
            copying: Copying::Copy,
            socket,
            arena,
        };
        while made.lent() < config.lent
            && let Some(slot) = made.arena.take()
            && made.lend(slot).is_ok()
        {}
        made.publish();
        bind(made.as_fd(), &config)?;
        made.copying = copying(made.as_fd())?;
        Ok(made)
    }

    /// Closes the socket. Its slots are free when what is returned is dropped, which takes time with
    /// zero-copy. Those of a socket that is merely dropped are lost then.
    pub fn close(mut self) -> Closed {
        let slots = [mem::take(&mut self.empty), mem::take(&mut self.full)];
        Closed { _slots: slots }
    }

    /// Lends a slot to receive into; gives it back if it is of another arena or the ring is full.
    ///
    /// # Errors
    ///
    /// The slot.
    #[inline]
    pub fn lend(&mut self, slot: Slot) -> Result<(), Slot> {
        if !slot.is_of(&self.arena) {
            return Err(slot);
        }
        let address = self.empty.keep(slot);
        if self.fill.push(address) {
            return Ok(());
        }
        match self.empty.take(address) {
            Some((slot, _)) => Err(slot),
            None => Ok(()),
        }
    }

    /// Takes a packet that was received. The kernel learns of it by [`Self::advance`].
    #[inline]
    pub fn receive(&mut self) -> Option<Received> {
        loop {
            let packet = self.receive.pop()?;
            // An address that was not lent is the kernel's error, and no memory of ours.
            if let Some((slot, start)) = self.empty.take(packet.addr) {
                let len = (packet.len as usize).min(slot.bytes().len() - start);
                return Some(Received { slot, start, len });
            }
        }
    }

    /// Queues `len` bytes at `start` of a slot to be sent; gives the slot back if it is of
    /// another arena, the packet is empty or not inside it, or the ring is full.
    ///
    /// # Errors
    ///
    /// The slot.
    #[inline]
    pub fn send(&mut self, slot: Slot, start: usize, len: usize) -> Result<(), Slot> {
        let inside = start <= slot.bytes().len() && len <= slot.bytes().len() - start;
        if !inside || len == 0 || !slot.is_of(&self.arena) {
            return Err(slot);
        }
        let address = self.full.keep(slot);
        let packet = libc::xdp_desc {
            addr: address + start as u64,
            len: len as u32,
            options: 0,
        };
        if self.transmit.push(packet) {
            return Ok(());
        }
        match self.full.take(address) {
            Some((slot, _)) => Err(slot),
            None => Ok(()),
        }
    }

    /// Takes back all slots whose packets are sent, and says how many.
    #[inline]
    pub fn complete(&mut self) -> usize {
        take_back(&mut self.completion, &mut self.full)
    }

    /// Shows the kernel what was lent and taken, without entering it.
    #[inline]
    pub fn publish(&self) {
        self.receive.release();
        self.fill.publish();
    }

    /// Shows the kernel what was lent, taken and queued. Enters it only if it has to be.
    ///
    /// Returns the number of system calls.
    ///
    /// # Errors
    ///
    /// `ENETDOWN` and `ENXIO` when the device is down or gone.
    #[inline]
    pub fn advance(&mut self) -> io::Result<u64> {
        self.publish();
        self.transmit.publish();
        let Self {
            socket,
            fill,
            completion,
            full,
            transmit,
            ..
        } = self;
        let complete = || take_back(completion, full);
        let calls = kick::send(&*socket, self.copying, transmit, complete)?;
        Ok(calls + kick::receive(&*socket, fill)?)
    }

    /// Shows the kernel what was lent and taken. Enters it only if the device would not receive
    /// otherwise.
    ///
    /// Returns the number of system calls.
    ///
    /// # Errors
    ///
    /// As for [`Self::advance`].
    #[inline]
    pub fn advance_to_receive(&self) -> io::Result<u64> {
        self.publish();
        kick::receive(&self.socket, &self.fill)
    }

    /// Whether no packet can be queued now.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.transmit.is_full()
    }

    /// Whether the kernel has not yet taken all packets that were shown to it.
    #[inline]
    pub fn has_backlog(&self) -> bool {
        self.transmit.waiting() > 0
    }

    /// Slots that wait for packets.
    #[inline]
    pub fn lent(&self) -> usize {
        self.empty.count()
    }

    /// Packets that are queued or being sent.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.full.count()
    }

    /// Whether a packet is there to be received.
    #[inline]
    pub fn has_packets(&self) -> bool {
        self.receive.count() > 0
    }

    /// What the kernel dropped.
    ///
    /// # Errors
    ///
    /// None that is known: the option is as old as the sockets.
    pub fn drops(&self) -> io::Result<XdpDrops> {
        // SAFETY: `xdp_statistics` consists of integers.
        let mut counted: libc::xdp_statistics = unsafe { mem::zeroed() };
        read(self.socket.as_fd(), libc::XDP_STATISTICS, &mut counted)?;
        Ok(XdpDrops {
            ring_full: counted.rx_ring_full,
            no_slot: counted.rx_fill_ring_empty_descs,
            // When it copies, the kernel counts here what found no slot, too.
            too_long: counted
                .rx_dropped
                .saturating_sub(counted.rx_fill_ring_empty_descs),
            invalid: counted.rx_invalid_descs + counted.tx_invalid_descs,
        })
    }

    /// How the kernel moves packets.
    #[inline]
    pub fn copying(&self) -> Copying {
        self.copying
    }
}

impl Drop for XdpSocket {
    /// Loses the slots that a device may still have.
    fn drop(&mut self) {
        if self.copying == Copying::ZeroCopy {
            mem::forget((mem::take(&mut self.empty), mem::take(&mut self.full)));
        }
    }
}

/// How the kernel moves the packets of a bound AF_XDP socket.
///
/// # Errors
///
/// `ENOPROTOOPT` before Linux 5.3.
pub fn copying(socket: BorrowedFd<'_>) -> io::Result<Copying> {
    let mut options = libc::xdp_options { flags: 0 };
    read(socket, libc::XDP_OPTIONS, &mut options)?;
    Ok(match options.flags & libc::XDP_OPTIONS_ZEROCOPY {
        0 => Copying::Copy,
        _ => Copying::ZeroCopy,
    })
}

/// Takes slots back whose packets are sent, and says how many.
#[inline]
fn take_back(completion: &mut Consumer<u64>, full: &mut Lent) -> usize {
    let before = full.count();
    while let Some(address) = completion.pop() {
        drop(full.take(address));
    }
    completion.release();
    before - full.count()
}

impl Kernel for OwnedFd {
    fn send(&self) -> io::Result<()> {
        let fd = self.as_raw_fd();
        // SAFETY: no data and no address: a null pointer with a length of zero.
        let rc = unsafe {
            let no_bytes = std::ptr::null();
            libc::sendto(fd, no_bytes, 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        check(rc < 0)
    }

    fn receive(&self) -> io::Result<()> {
        let fd = self.as_raw_fd();
        // SAFETY: as above, and no place for an address.
        let rc = unsafe { libc::recv(fd, std::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
        check(rc < 0)
    }
}

impl AsFd for XdpSocket {
    /// Readable when there are packets.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(super) fn register_umem(socket: BorrowedFd<'_>, arena: &Arena) -> io::Result<()> {
    if arena.stride() != CHUNK {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `xdp_umem_reg` consists of integers.
    let mut umem: libc::xdp_umem_reg = unsafe { mem::zeroed() };
    umem.addr = arena.base() as u64;
    umem.len = arena.count() as u64 * arena.stride() as u64;
    umem.chunk_size = CHUNK as u32;
    // The kernel pins the pages and writes to those alone that the fill ring names: each of a
    // slot that `Lent` keeps until it comes back or the socket is closed.
    set(socket, libc::XDP_UMEM_REG, &umem)
}

fn mmap_offsets(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: `xdp_mmap_offsets` consists of integers.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { mem::zeroed() };
    read(socket, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

fn bind(socket: BorrowedFd<'_>, config: &XdpConfig) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP
            | match config.copying {
                Some(Copying::ZeroCopy) => libc::XDP_ZEROCOPY,
                Some(Copying::Copy) => libc::XDP_COPY,
                None => 0,
            },
        sxdp_ifindex: config.device,
        sxdp_queue_id: config.queue,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: the kernel reads one `sockaddr_xdp`.
    let rc = unsafe {
        let len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len)
    };
    check(rc < 0)
}

/// Sets an option of the level SOL_XDP.
fn set<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let fd = socket.as_raw_fd();
    let value = (&raw const *value).cast();
    // SAFETY: the kernel reads at most `len` bytes of the value, which is borrowed until the end.
    let rc = unsafe { libc::setsockopt(fd, libc::SOL_XDP, option, value, len) };
    check(rc < 0)
}

/// Reads an option of the level SOL_XDP into a structure of integers.
fn read<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let fd = socket.as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes of `value`, whose type has no invalid values:
    // the callers are in this file.
    let rc = unsafe {
        let value = (&raw mut *value).cast();
        libc::getsockopt(fd, libc::SOL_XDP, option, value, &raw mut len)
    };
    check(rc < 0)
}

/// The error of a call that failed.
fn check(failed: bool) -> io::Result<()> {
    if failed {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
