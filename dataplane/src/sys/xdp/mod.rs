//! AF_XDP sockets (`linux/if_xdp.h`): packets of a device's queue, past the kernel's own stack.
//!
//! Bottom up: `ring` is one ring, `lent` the memory that the kernel has, `socket` both with
//! the system calls.

mod lent;
mod probe;
mod ring;
mod socket;

pub use probe::{open, register_probe_umem};
pub use socket::{CHUNK, Copying, HEADROOM, RECEIVE_MAX, Received, XdpConfig, XdpDrops, XdpSocket};
