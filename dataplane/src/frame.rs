//! One packet in one slot of the mempool, with what the nodes learned about it.
//!
//! A frame has exactly one owner. Its data is a window into the slot; headers
//! are pushed and pulled by moving the window's start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ringlay_encap::ip::IpVersion;

use crate::drop_reason::DropReason;
use crate::id::{NetworkId, PortId, TunnelId, UnderlayId};
use crate::sys::arena::{Arena, Slot};

/// Where a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// An access port; the data starts at the IP header.
    Port(PortId),
    /// An Ethernet port; the data starts at the Ethernet header.
    Ethernet(PortId),
    /// The underlay; the data starts at the tunnel header.
    Underlay(UnderlayId),
    /// The uplink of an underlay; the data starts at the outer Ethernet header.
    Uplink(UnderlayId),
    /// The wire of all underlays; the data starts at the outer Ethernet header.
    Wire,
    /// This node made it (an ICMP error, an ARP request).
    Node,
}

/// Kinds of segmentation a super-frame asks for (`VIRTIO_NET_HDR_GSO_*` in
/// `linux/virtio_net.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// One packet, nothing to segment.
    #[default]
    None,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP, each segment a datagram (`VIRTIO_NET_HDR_GSO_UDP_L4`).
    UdpL4,
}

/// Where the headers are of a super-frame inside a UDP tunnel. What is to be cut, and
/// what lacks a checksum, is then the inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulation {
    /// The version of the outer IP header.
    pub outer: IpVersion,
    /// Where the outer UDP header starts.
    pub transport: u16,
    /// Where the inner IP header starts.
    pub inner: u16,
    /// Every packet that is cut from it gets an outer UDP checksum; in the super-frame
    /// there is the sum of the pseudo-header.
    pub checksum: bool,
}

/// The checksum and segmentation metadata of a virtio-net header, in host order.
///
/// Offsets count from the first byte of the frame: on a port that of the IP header, on
/// an Ethernet port or an uplink that of the (outer) Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Bytes `csum_start..` still need a checksum at `csum_start + csum_offset`.
    pub needs_checksum: bool,
    /// The checksum was verified by whoever handed the frame over.
    pub checksum_valid: bool,
    /// TCP segments carry ECN (`VIRTIO_NET_HDR_GSO_ECN`).
    pub ecn: bool,
    /// What to cut the frame into.
    pub gso: Gso,
    /// Bytes of headers, as a hint from the kernel.
    pub header_len: u16,
    /// Payload bytes of each segment; meaningless without `gso`.
    pub gso_size: u16,
    /// Where the checksummed range starts.
    pub csum_start: u16,
    /// Where in that range the checksum is stored.
    pub csum_offset: u16,
    /// The tunnel that the super-frame is in already.
    pub tunnel: Option<Encapsulation>,
}

/// What the nodes know about a frame.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Where the frame came from.
    pub ingress: Ingress,
    /// The network it belongs to; meaningful once a node has set it.
    pub network: NetworkId,
    /// Hash of the packet's flow, for the outer source port and equal-cost choice.
    pub flow_hash: u32,
    /// The tunnel it is to leave by, once looked up.
    pub tunnel: TunnelId,
    /// The port it is to leave by, once looked up.
    pub egress: PortId,
    /// The tunnel endpoint it is to leave by, once encapsulated.
    pub underlay: UnderlayId,
    /// Why it is dropped, once it is on its way to `icmp_error`.
    pub fault: DropReason,
    /// Outer source of a frame from the underlay; outer destination of one to it. Of one to an
    /// Ethernet port the host, or router, that it is to go to.
    pub remote: SocketAddr,
    /// Size of each datagram, the last perhaps shorter, in a train of them from or to
    /// the underlay; zero if the frame is a single one.
    pub segment_size: u16,
    /// The outer traffic class (DSCP and ECN, RFC 2474 and RFC 3168) of a frame from or
    /// to the underlay; one for all datagrams of a train.
    pub traffic_class: u8,
    /// The outer time to live or hop limit of a frame to the underlay's sockets, where zero leaves
    /// it to the kernel, or of one from the underlay, where zero says that it is not known.
    pub ttl: u8,
    /// How many more tunnels the packet may enter, in an outer IPv6 header of its own; none if
    /// there is to be none. Only by raw sockets.
    pub encap_limit: Option<u8>,
    /// Bytes in front that a socket would put there itself, once the outer headers are there.
    pub outer: u8,
    /// Whether the path to `remote` does not take it whole: the outer packet is to be
    /// fragmented, by this host or underway.
    pub oversized: bool,
    /// Pending checksum and segmentation work.
    pub offload: Offload,
}

impl Meta {
    const NEW: Self = Self {
        ingress: Ingress::Node,
        network: NetworkId(0),
        flow_hash: 0,
        tunnel: TunnelId(0),
        egress: PortId(0),
        underlay: UnderlayId(0),
        fault: DropReason::Shutdown,
        remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        segment_size: 0,
        traffic_class: 0,
        ttl: 0,
        encap_limit: None,
        outer: 0,
        oversized: false,
        offload: Offload {
            needs_checksum: false,
            checksum_valid: false,
            ecn: false,
            gso: Gso::None,
            header_len: 0,
            gso_size: 0,
            csum_start: 0,
            csum_offset: 0,
            tunnel: None,
        },
    };
}

/// A packet buffer and its metadata.
#[derive(Debug)]
pub struct Frame {
    slot: Slot,
    /// Offset of the first data byte in the slot. `start + len` never exceeds the slot.
    start: u32,
    len: u32,
    /// What is known about the packet.
    pub meta: Meta,
}

impl Frame {
    /// An empty frame whose data starts at `start`.
    #[inline]
    pub(crate) fn new(slot: Slot, start: usize) -> Self {
        debug_assert!(start <= slot.bytes().len());
        Self {
            slot,
            start: start as u32,
            len: 0,
            meta: Meta::NEW,
        }
    }

    /// A frame over data that a driver placed in `slot` at `start..start + len`.
    ///
    /// # Panics
    ///
    /// If the range is not inside the slot.
    #[inline]
    pub(crate) fn from_slot(slot: Slot, start: usize, len: usize) -> Self {
        assert!(start <= slot.bytes().len() && len <= slot.bytes().len() - start);
        Self {
            slot,
            start: start as u32,
            len: len as u32,
            meta: Meta::NEW,
        }
    }

    /// The same packet in `other`, at the place where that one's data starts.
    ///
    /// # Panics
    ///
    /// If `other` has no room for it.
    #[inline]
    pub(crate) fn copy_to(&self, mut other: Self) -> Self {
        other.set_len(self.len());
        other.data_mut().copy_from_slice(self.data());
        other.meta = self.meta;
        other
    }

    /// Whether its memory is a slot of `arena`.
    #[inline]
    pub(crate) fn is_of(&self, arena: &Rc<Arena>) -> bool {
        self.slot.is_of(arena)
    }

    /// Gives up the frame for its slot.
    #[inline]
    pub(crate) fn into_slot(self) -> Slot {
        self.slot
    }

    /// The packet's bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let start = self.start as usize;
        &self.slot.bytes()[start..start + self.len as usize]
    }

    /// The packet's bytes, writable.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let start = self.start as usize;
        let end = start + self.len as usize;
        &mut self.slot.bytes_mut()[start..end]
    }

    /// How many datagrams it is on the underlay.
    #[inline]
    pub fn datagrams(&self) -> usize {
        match usize::from(self.meta.segment_size) {
            0 => 1,
            size => self.len().div_ceil(size).max(1),
        }
    }

    /// Free bytes behind the data.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.slot.bytes().len() - self.start as usize - self.len as usize
    }

    /// Number of bytes in the packet.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the packet has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Free bytes in front of the data.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.start as usize
    }

    /// Grows the packet by `n` bytes at the front and returns the new bytes.
    ///
    /// # Panics
    ///
    /// If the headroom is smaller than `n`.
    #[inline]
    pub fn prepend(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.headroom(), "no headroom for {n} bytes");
        self.start -= n as u32;
        self.len += n as u32;
        &mut self.data_mut()[..n]
    }

    /// Removes `n` bytes from the front.
    ///
    /// # Panics
    ///
    /// If the packet is shorter than `n`.
    #[inline]
    pub fn trim_front(&mut self, n: usize) {
        assert!(n <= self.len(), "cannot trim {n} of {} bytes", self.len);
        self.start += n as u32;
        self.len -= n as u32;
    }

    /// Shortens the packet to `len` bytes; does nothing if it is shorter already.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Sets the number of data bytes, uncovering whatever the slot holds.
    ///
    /// # Panics
    ///
    /// If the slot has no room for `len` bytes after the start.
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.slot.bytes().len() - self.start as usize);
        self.len = len as u32;
    }
}

#[cfg(test)]
mod tests {
    use crate::mempool::{CAPACITY, HEADROOM, Mempool};

    #[test]
    fn headers_are_pushed_and_pulled_without_moving_data() {
        let pool = Mempool::new(1).unwrap();
        let mut frame = pool.copy_of(b"payload").unwrap();
        frame.prepend(3).copy_from_slice(b"hdr");
        assert_eq!(frame.data(), b"hdrpayload");
        assert_eq!(frame.headroom(), HEADROOM - 3);
        frame.trim_front(5);
        assert_eq!(frame.data(), b"yload");
        frame.truncate(2);
        assert_eq!(frame.data(), b"yl");
    }

    #[test]
    fn a_frame_holds_the_largest_packet_and_returns_to_its_pool() {
        let pool = Mempool::new(1).unwrap();
        assert!(pool.copy_of(&vec![0; CAPACITY + 1]).is_none());
        let frame = pool.copy_of(&vec![5; CAPACITY]).unwrap();
        assert!(pool.allocate().is_none());
        assert_eq!(frame.data().last(), Some(&5));
        drop(frame);
        assert_eq!(pool.available(), 1);
    }

    #[test]
    #[should_panic(expected = "no headroom")]
    fn headroom_is_finite() {
        Mempool::new(1)
            .unwrap()
            .allocate()
            .unwrap()
            .prepend(HEADROOM + 1);
    }
}
