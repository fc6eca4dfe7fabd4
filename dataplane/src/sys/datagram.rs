//! A received datagram, by whichever system call it came.

use std::net::SocketAddr;

use crate::sys::arena::Slot;

/// One datagram, or a train of them that the kernel coalesced.
#[derive(Debug)]
pub struct Datagram {
    /// The memory it is in, from the receiver's payload offset on.
    pub slot: Slot,
    /// Payload bytes.
    pub len: usize,
    /// The sender, if it has an IP address.
    pub remote: Option<SocketAddr>,
    /// Payload bytes of each datagram in a train, the last perhaps shorter;
    /// zero for a single one.
    pub segment_size: u16,
    /// Traffic class of the outer IP header, where the socket was told to report it.
    pub traffic_class: u8,
    /// Time to live or hop limit of the outer IP header, where the socket was told to report it;
    /// otherwise zero.
    pub ttl: u8,
    /// The slot was too small and the rest is lost.
    pub truncated: bool,
}
