//! Tunnel packets of others: Open vSwitch and scapy wrote some that the views decode and templates
//! reproduce, and tshark reads what the templates write.
//!
//! The captures, and the scripts that make them, are in `tests/vectors/`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod ovs;
mod pcap;
mod rebuild;
mod scapy;
mod tshark;
