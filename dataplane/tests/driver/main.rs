//! Both drivers over real sockets and TUN devices.
//!
//! Every scenario runs with io_uring and with epoll: what a queue does must not
//! depend on the driver. They need root, `/dev/net/tun` and io_uring, and fail
//! without.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod allocations;
mod checksums;
mod confined;
#[path = "../counting/mod.rs"]
mod counting;
mod faults;
#[path = "../ip/mod.rs"]
mod ip;
mod lifecycle;
mod packet;
mod raw;
mod rig;
mod train;
mod tun;
mod underlay;
#[path = "../veth/mod.rs"]
mod veth;
mod xdp;

/// Makes a test of each scenario for each driver.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod io_uring {
            $(#[test] fn $name() { super::$name(ringlay_dataplane::driver::DriverKind::IoUring); })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(ringlay_dataplane::driver::DriverKind::Epoll); })*
        }
    };
}
pub(crate) use scenarios;
