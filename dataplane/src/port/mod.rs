//! What frames enter and leave by: opening the devices and sockets whose queues
//! the drivers then serve. No frame passes through this module.

mod tunnel_mark;
mod zero_copy;

pub mod classifier;
pub mod packet;
pub mod redirect;
pub mod sink;
pub mod station;
pub mod tap;
pub mod tun;
pub mod tunnels;
pub mod underlay;
pub mod uplink;
pub mod wire;
pub mod xdp;
