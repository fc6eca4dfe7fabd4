//! The command line of `ringlay-perf gateway`.

use std::path::PathBuf;
use std::time::Duration;

use super::direction::Direction;
use super::frame::SHORTEST;
use super::hosts::ACCESS_MTU;
use super::leg::LegKind;

/// Arguments of `ringlay-perf gateway`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GatewayArgs {
    /// What forwards: testpmd (DPDK, frames as they are), Ringlay as ACCESS/UNDERLAY, the kernel's
    /// VXLAN device behind a bridge or behind a route.
    #[arg(long, default_value = DEFAULT_LEGS, value_delimiter = ',', value_name = "LEG")]
    pub(super) legs: Vec<LegKind>,
    /// Ways through the gateway.
    #[arg(
        long,
        default_value = "encap,decap,both",
        value_delimiter = ',',
        value_enum
    )]
    pub(super) directions: Vec<Direction>,
    /// Lengths of the plain frames in bytes, with their Ethernet headers, without checksums.
    #[arg(long, default_value = "64,128,512,1500", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(SHORTEST as i64..=ACCESS_MTU as i64))]
    pub(super) frames: Vec<u16>,
    /// Rounds, alternating between the legs; the tables have their medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) rounds: u16,
    /// Length of each measurement in milliseconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub(super) milliseconds: u64,
    /// Frames whose loss-free rate is searched for.
    #[arg(
        long,
        default_value = "64",
        value_delimiter = ',',
        value_name = "FRAMES"
    )]
    pub(super) search: Vec<u16>,
    /// In how many of the rounds it is searched for.
    #[arg(long, default_value_t = 1)]
    pub(super) searches: u16,
    /// Part of the frames that may be lost in a trial that counts as loss-free.
    #[arg(long, default_value_t = 0.001, value_parser = part)]
    pub(super) tolerance: f64,
    /// Routes into the tunnel, in Ringlay's legs; plain frames go to addresses all over them.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub(super) routes: u32,
    /// Routers that the routes lead to.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) next_hops: u16,
    /// Far hosts, in turn.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(super) destinations: u32,
    /// Ringlay's `dataplane.poll`.
    #[arg(long, default_value = "adaptive", value_parser = ["adaptive", "busy", "interrupt"])]
    pub(super) poll: String,
    /// Where the kernel's legs forward: on the gateway's CPU, or on the sender's, within its system
    /// calls.
    #[arg(long, default_value = "gateway", value_parser = ["gateway", "sender"])]
    pub(super) kernel_cpu: String,
    /// The `ringlay` binary; the one beside this program unless given.
    #[arg(long)]
    pub(super) ringlay: Option<PathBuf>,
    /// Print JSON instead of tables; with a file, write it there and print the tables too.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(super) json: Option<Option<PathBuf>>,
}

impl GatewayArgs {
    /// The legs, once each, after the one without a gateway.
    pub(super) fn legs(&self) -> Vec<LegKind> {
        let mut legs = vec![LegKind::Wire];
        for leg in &self.legs {
            if !legs.contains(leg) {
                legs.push(*leg);
            }
        }
        legs
    }

    /// How long a measurement takes.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..1.0).contains(&part) {
        true => Ok(part),
        false => Err("a part is from 0 to less than 1".into()),
    }
}

/// Each as often as the others, the ceiling first.
const DEFAULT_LEGS: &str = "testpmd,af_xdp/af_xdp,tap/udp,tun/udp,bridge,routed";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: GatewayArgs,
    }

    fn parse(arguments: &str) -> Result<GatewayArgs, clap::Error> {
        let words = std::iter::once("gateway").chain(arguments.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn by_default_everything_is_measured() {
        let args = parse("").unwrap();
        assert_eq!(args.legs().len(), 7);
        assert_eq!(args.legs()[0], LegKind::Wire);
        assert_eq!(args.directions.len(), 3);
        assert_eq!(args.frames, [64, 128, 512, 1500]);
        assert_eq!(args.routes, 1_000_000);
        assert!(args.json.is_none());
    }

    #[test]
    fn legs_named_twice_are_measured_once() {
        let args = parse("--legs bridge,routed,bridge --directions both").unwrap();
        assert_eq!(
            args.legs(),
            [LegKind::Wire, LegKind::Bridge, LegKind::Routed]
        );
        assert_eq!(args.directions, [Direction::Both]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_the_right_ones() {
        for (arguments, hint) in [
            ("--legs vpp", "testpmd"),
            ("--directions up", "decap"),
            ("--frames 57", "58"),
            ("--frames 1501", "1500"),
            ("--tolerance 1", "less than 1"),
            ("--milliseconds 1", "10"),
            ("--poll never", "adaptive"),
            ("--rounds 0", "1000"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(hint), "{arguments}: {error}");
        }
    }
}
