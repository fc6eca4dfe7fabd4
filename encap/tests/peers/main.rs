//! Tunnel packets of others: the kernel's VXLAN device, Open vSwitch and scapy wrote some that the
//! views decode and templates reproduce, and tshark reads what the templates write.
//!
//! The captures, and the scripts that make them, are in `tests/vectors/`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod kernel;
mod ovs;
mod pcap;
mod rebuild;
mod scapy;
mod tshark;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringlay_encap::MacAddr;

/// Both ends of the underlay in the captures.
const UNDERLAY_MACS: [MacAddr; 2] = [
    MacAddr([2, 0, 0, 0, 0x77, 0x0a]),
    MacAddr([2, 0, 0, 0, 0x77, 0x0b]),
];
const ENDS_V4: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 168, 77, 2)),
];
const ENDS_V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2)),
];
