//! `ringlay-perf`: measures Ringlay side by side with what it is to be compared with.
//!
//! Every figure is a ratio of things measured alternately in one run. The hosts, overlays and
//! traffic are those of `ringlay demo`; this program decides what is varied and how it is told.

#![forbid(unsafe_code)]

mod binary;
mod cni;
mod command;
mod compare;
mod gateway;
mod import;
mod report;
mod routers;
mod routes;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measuring rig of Ringlay.
#[derive(Debug, Parser)]
#[command(name = "ringlay-perf", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kernel VXLAN, Ringlay with each pair of drivers and with a kernel peer, and a loop of one
    /// read and one send a packet.
    Compare(compare::CompareArgs),
    /// How long it takes to attach a container, beside the plugins `bridge` and `ptp`.
    Cni(cni::CniArgs),
    /// Small packets through a VXLAN gateway: Ringlay, the kernel, and DPDK's testpmd as the ceiling.
    Gateway(gateway::GatewayArgs),
    /// What a full routing table costs the packets of a running node, against a table of one route.
    Routes(routes::RoutesArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Compare(args) => compare::run(&args),
        Command::Cni(args) => cni::run(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::Routes(args) => routes::run(&args),
    }
}
