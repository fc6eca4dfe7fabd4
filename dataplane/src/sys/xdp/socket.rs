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
    /// Entries of each ring, a power of two.
    pub entries: u32,
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
    arena: Rc<Arena>,
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
    /// `EBUSY` when another socket serves the queue, `EOPNOTSUPP` when the driver does not copy
    /// as wanted, `EINVAL` when there is no such queue, `InvalidInput` when slots are not of that
    /// size, `ENODEV` when there is no such device, `ENOBUFS` when RLIMIT_MEMLOCK is too small for the arena.
    pub fn new(socket: OwnedFd, arena: Rc<Arena>, config: XdpConfig) -> io::Result<Self> {
        let fd = socket.as_fd();
        register_umem(fd, &arena)?;
        for ring in [
            libc::XDP_UMEM_FILL_RING,
            libc::XDP_UMEM_COMPLETION_RING,
            libc::XDP_RX_RING,
            libc::XDP_TX_RING,
        ] {
            set(fd, ring, &config.entries)?;
        }
        let offsets = mmap_offsets(fd)?;
        let entries = config.entries;
        let map = |parts: &libc::xdp_ring_offset, entry: usize, at: u64| {
            let len = parts.desc as usize + entries as usize * entry;
            Mapping::shared(fd, len, at as libc::off_t)
        };
        let address = size_of::<u64>();
        let descriptor = size_of::<libc::xdp_desc>();
        let fill = map(&offsets.fr, address, libc::XDP_UMEM_PGOFF_FILL_RING)?;
        let completion = map(&offsets.cr, address, libc::XDP_UMEM_PGOFF_COMPLETION_RING)?;
        let receive = map(&offsets.rx, descriptor, libc::XDP_PGOFF_RX_RING as u64)?;
        let transmit = map(&offsets.tx, descriptor, libc::XDP_PGOFF_TX_RING as u64)?;
        let socket_rings = (
            Producer::new(fill, &offsets.fr, entries)?,
            Consumer::new(receive, &offsets.rx, entries)?,
            Producer::new(transmit, &offsets.tx, entries)?,
            Consumer::new(completion, &offsets.cr, entries)?,
        );
        bind(fd, &config)?;
        let (fill, receive, transmit, completion) = socket_rings;
        let lent = || Lent::new(arena.count());
        Ok(Self {
            empty: lent(),
            full: lent(),
            socket,
            fill,
            receive,
            transmit,
            completion,
            arena,
        })
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
        let before = self.full.count();
        while let Some(address) = self.completion.pop() {
            drop(self.full.take(address));
        }
        self.completion.release();
        before - self.full.count()
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
        let mut calls = 0;
        // In copy mode the kernel sends from within the call, a few packets each time.
        while self.transmit.needs_wakeup() && self.transmit.waiting() > 0 {
            calls += 1;
            let before = self.transmit.waiting();
            match self.enter_to_send() {
                Err(error) if !is_transient(&error) => return Err(error),
                // The completion ring may be full. A queue that the device does not send by is no error
                // to the kernel.
                _ if self.transmit.waiting() == before && self.complete() == 0 => break,
                _ => {}
            }
        }
        if self.fill.needs_wakeup() && self.fill.waiting() > 0 {
            calls += 1;
            self.enter_to_receive()?;
        }
        Ok(calls)
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
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` before Linux 5.3.
    pub fn copying(&self) -> io::Result<Copying> {
        let mut options = libc::xdp_options { flags: 0 };
        read(self.socket.as_fd(), libc::XDP_OPTIONS, &mut options)?;
        Ok(match options.flags & libc::XDP_OPTIONS_ZEROCOPY {
            0 => Copying::Copy,
            _ => Copying::ZeroCopy,
        })
    }

    fn enter_to_send(&self) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        // SAFETY: no data and no address: a null pointer with a length of zero.
        let rc = unsafe {
            let no_bytes = std::ptr::null();
            libc::sendto(fd, no_bytes, 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        check(rc < 0)
    }

    fn enter_to_receive(&self) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        // SAFETY: as above, and no place for an address.
        let rc = unsafe { libc::recv(fd, std::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
        match check(rc < 0) {
            Err(error) if is_transient(&error) => Ok(()),
            result => result,
        }
    }
}

impl AsFd for XdpSocket {
    /// Readable when there are packets.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the kernel has done a part, or does it soon.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR)
    )
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
