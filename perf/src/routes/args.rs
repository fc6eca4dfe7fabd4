//! The command line of `ringlay-perf routes`.

use std::path::PathBuf;

/// Arguments of `ringlay-perf routes`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RoutesArgs {
    /// Sizes of the tables; ratios are to the first. A size named twice shows the noise.
    #[arg(long, default_value = "1,1000000", value_delimiter = ',', value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub(super) routes: Vec<u32>,
    /// Routers behind host b that the routes are spread over: each is a next hop of its own.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) next_hops: u16,
    /// Rounds, alternating between the tables; the figures are their medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) rounds: u16,
    /// Length of each measurement in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) seconds: u64,
    /// Payload of a datagram in bytes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1400))]
    pub(super) payload: u16,
    /// Random destinations, sent to in turn.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(super) destinations: u32,
    /// The node's `dataplane.driver`.
    #[arg(long, default_value = "auto", value_parser = ["auto", "io_uring", "epoll"])]
    pub(super) driver: String,
    /// The node's `underlay.driver`.
    #[arg(long, default_value = "auto", value_parser = ["auto", "udp", "tunnel-gso"])]
    pub(super) underlay: String,
    /// The `ringlay` binary; the one beside this program unless given.
    #[arg(long)]
    pub(super) ringlay: Option<PathBuf>,
    /// Print JSON instead of the table; with a file, write it there and print the table too.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(super) json: Option<Option<PathBuf>>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: RoutesArgs,
    }

    fn parse(arguments: &str) -> Result<RoutesArgs, clap::Error> {
        let words = std::iter::once("routes").chain(arguments.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn by_default_a_million_is_compared_with_one() {
        let args = parse("").unwrap();
        assert_eq!(args.routes, [1, 1_000_000]);
        assert_eq!((args.rounds, args.seconds, args.payload), (5, 2, 64));
        assert!(args.json.is_none());
    }

    #[test]
    fn the_same_size_may_be_named_twice() {
        assert_eq!(parse("--routes 1,1,10").unwrap().routes, [1, 1, 10]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_the_right_ones() {
        for (arguments, hint) in [
            ("--routes 0", "2000000"),
            ("--next-hops 0", "4096"),
            ("--payload 1401", "1400"),
            ("--driver dpdk", "io_uring"),
            ("--rounds 0", "1000"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(hint), "{arguments}: {error}");
        }
    }
}
