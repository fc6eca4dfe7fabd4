//! The command line of `ringlay-perf cni`.

use std::path::PathBuf;

/// Arguments of `ringlay-perf cni`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CniArgs {
    /// Containers that are attached one after the other, by each plugin in each round.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) containers: u16,
    /// Rounds, alternating between the plugins.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) rounds: u16,
    /// Containers that Ringlay then attaches at once; 0 leaves that out.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(0..=4000))]
    pub(super) at_once: u16,
    /// Plugins that run at the same time then.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) parallel: u16,
    /// Where `bridge`, `ptp` and `host-local` are.
    #[arg(long, default_value = "/usr/lib/cni", value_name = "DIR")]
    pub(super) plugins: PathBuf,
    /// The `ringlay` binary; the one beside this program unless given. `ringlay-cni` is beside it.
    #[arg(long)]
    pub(super) ringlay: Option<PathBuf>,
    /// Print JSON instead of the table; with a file, write it there and print the table too.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(super) json: Option<Option<PathBuf>>,
}
