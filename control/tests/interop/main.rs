//! A Ringlay node and the kernel's VXLAN device talk to each other, and tshark understands them.
//!
//! Needs root, iproute2, ethtool, ping, tcpdump and tshark, and fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod decode;
mod traffic;
mod uplink;
