//! A Ringlay node talks to implementations that are not Ringlay's: the kernel's VXLAN device, Open
//! vSwitch and scapy. tshark understands what it says.
//!
//! Needs root, iproute2, ethtool, nftables, ping, tcpdump, tshark, Open vSwitch and scapy, and
//! fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod checksum;
mod decode;
mod hops;
mod ovs;
mod presets;
mod scapy;
mod traffic;
mod uplink;
