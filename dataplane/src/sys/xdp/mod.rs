//! AF_XDP sockets (`linux/if_xdp.h`): packets of a device's queue, past the kernel's own stack.
//!
//! Bottom up: `ring` is one ring, `kick` when the kernel is entered for it, `lent` the memory that the
//! kernel has, `socket` all of that with the system calls.

mod kick;
mod lent;
mod probe;
mod ring;
mod socket;

pub use probe::{open, register_probe_umem};
pub use socket::{
    CHUNK, Closed, Copying, HEADROOM, RECEIVE_MAX, Received, XdpConfig, XdpDrops, XdpSocket,
    copying,
};
