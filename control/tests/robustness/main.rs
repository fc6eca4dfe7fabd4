//! A node stays up, keeps its books and keeps its peers whatever is thrown at it.
//!
//! Needs root, iproute2, ethtool, ping and tcpdump, and fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod books;
mod flood;
mod kill;
mod kinds;
mod mutate;
mod pcap;
mod samples;
mod stop;
