//! The packet engine of Ringlay.
//!
//! A *worker* is one pinned thread that runs frames to completion: its *driver*
//! (io_uring, or epoll where io_uring is not allowed) fills a *batch* from the
//! worker's own queues, the *nodes* move every frame of the batch along exactly
//! one edge, and the driver sends what reached an output.
//!
//! ```text
//!  TUN queue ──► ip_input ──► ip_lookup ──┬──► tunnel_encap ──► underlay
//!                   ▲                     ├──► port_output ───► TUN queue
//!  underlay ──────► vxlan_decap, ...      ├──► icmp_error ────► ip_lookup (once)
//!                   ├──► arp_input        ├──► hold (neighbour unresolved)
//!                   └──► ndisc_input      └──► drop (a named reason)
//! ```
//!
//! Workers share nothing that is written per packet. Tables are immutable
//! snapshots ([`tables::Tables`]) that the control plane publishes and that a
//! worker picks up between batches. Counters belong to one worker each and are
//! only read by others.
//!
//! This crate knows no configuration format, no RPC and no asynchronous runtime.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod batch;
pub mod counters;
pub mod driver;
pub mod drop_reason;
pub mod endpoint;
pub mod event;
pub mod frame;
pub mod id;
pub mod mempool;
pub mod node;
pub mod port;
pub mod probe;
pub mod runtime;
pub mod snapshot;
pub mod stage;
pub mod stats;
pub mod sys;
pub mod tables;
pub mod worker;
