//! Bridged networks: guests in namespaces of their own, on one Ethernet across two nodes, or a node
//! and a kernel bridge with a VXLAN device.
//!
//! Needs root, iproute2, ethtool and ping, and fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod fdb;
mod kernel;
mod site;
mod traffic;
