//! Nothing is lost to the MTU: two nodes, and a router in the underlay between them.
//!
//! Needs root, iproute2, ethtool and ping, and fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod discover;
mod follow;
mod fragment;
mod probe;
mod reassembly;
mod topology;
