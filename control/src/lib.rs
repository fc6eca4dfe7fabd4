//! Control plane of Ringlay.
//!
//! ```text
//!  config file ──┐
//!  gRPC ─────────┼──► rib (desired state, by source) ──► compile ──► dataplane tables
//!                │                                          ▲
//!  workers' events ──► neighbour (MAC addresses of VTEPs) ──┘
//! ```
//!
//! Feature `client` has the `ringlay.v1` messages and a way to reach a daemon;
//! feature `server` adds the daemon itself and the `ringlay` command. This crate
//! touches no packet: it decides what workers look up, and opens what they read.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "lab")]
pub mod lab;
#[cfg(feature = "client")]
pub mod proto;
#[cfg(feature = "client")]
pub mod stages;

#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod attach;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod compile;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod fdb;
#[cfg(feature = "server")]
pub mod ipam;
#[cfg(feature = "server")]
pub mod mtu;
#[cfg(feature = "server")]
pub mod neighbour;
#[cfg(feature = "server")]
pub mod netlink;
#[cfg(feature = "server")]
pub mod object;
#[cfg(feature = "server")]
pub mod rib;
#[cfg(feature = "server")]
pub mod service;
