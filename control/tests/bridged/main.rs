//! Bridged networks: guests in namespaces of their own, on one Ethernet across two nodes, or a node
//! and a bridge of the kernel or of Open vSwitch.
//!
//! Needs root, iproute2, ethtool, ping and Open vSwitch, and fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod fdb;
mod kernel;
mod ovs;
mod site;
mod traffic;
