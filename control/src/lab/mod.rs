//! A laboratory on one machine: hosts as network namespaces, overlays between them, traffic.
//!
//! `ringlay demo` and the `ringlay-perf` rig are built from these pieces. Everything made here is
//! entered into one [`cleanup::Cleanup`], which takes it back in reverse order when its owner
//! drops it, when a step fails or panics, and on Ctrl-C. Nothing here touches the namespace the
//! process was started in, needs iproute2, or configures a Ringlay node other than through its
//! config file.

pub mod bridge;
pub mod cleanup;
pub mod cpu;
pub mod drops;
mod error;
pub mod kernel_drops;
pub mod kernel_vxlan;
pub mod leg;
pub mod link;
pub mod machine;
pub mod namespace;
pub mod neighbour;
pub mod one_packet_loop;
pub mod placement;
pub mod process;
pub mod protocol_counters;
pub mod ringlay_node;
pub mod signals;
pub mod statistics;
pub mod sysctl;
pub mod table;
pub mod topology;
pub mod traffic;
pub mod tsc;
pub mod workdir;

pub use error::LabError;
