//! The command line of `ringlay-perf compare`, and what it selects.

use std::path::PathBuf;
use std::time::Duration;

use ringlay_control::lab::leg::{LegKind, Plan};
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::topology::UnderlayConfig;
use ringlay_control::lab::traffic::Direction;
use ringlay_control::lab::traffic::iperf3::Iperf3;

use super::measure::Measure;

/// Arguments of `ringlay-perf compare`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CompareArgs {
    /// Rounds, alternating between the legs; the tables have their medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) rounds: u16,
    /// Length of each bulk measurement in seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) seconds: u64,
    /// MTUs of the underlay.
    #[arg(long, default_value = "1500,9000", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1280..=9000))]
    pub(super) mtu: Vec<u32>,
    /// Offloads of the underlay device: like a capable NIC, a simple one, or both in turn.
    #[arg(long, default_value = "both", value_delimiter = ',',
          value_parser = ["on", "off", "both"])]
    pub(super) offloads: Vec<String>,
    /// What joins the hosts: kernel (VXLAN), loop (one read and one send a packet), or Ringlay as
    /// DRIVER/UNDERLAY or DRIVER/UNDERLAY/ENCAP; with +kernel behind it, host b has kernel VXLAN.
    #[arg(long, default_value = DEFAULT_LEGS, value_delimiter = ',', value_name = "LEG")]
    pub(super) legs: Vec<LegKind>,
    /// What to measure: TCP in bulk, UDP, TCP request and response.
    #[arg(long, default_value = "tcp,udp,rr", value_delimiter = ',',
          value_parser = ["tcp", "udp", "rr"])]
    pub(super) what: Vec<String>,
    /// TCP connections at once.
    #[arg(long, default_value = "1,4", value_delimiter = ',',
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) streams: Vec<u8>,
    /// Ways of TCP: out is from host a to host b, in is back.
    #[arg(long, default_value = "out,in", value_delimiter = ',', value_parser = ["out", "in"])]
    pub(super) directions: Vec<String>,
    /// Payloads of a UDP datagram in bytes.
    #[arg(long, default_value = "64,1400", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=8000))]
    pub(super) payload: Vec<u16>,
    /// Ways of UDP.
    #[arg(long, default_value = "out", value_delimiter = ',', value_parser = ["out", "in"])]
    pub(super) udp_directions: Vec<String>,
    /// CPUs of Ringlay's workers: half of them on each host, as if the hosts were two machines, or
    /// all of them on both.
    #[arg(long, default_value = "split", value_parser = ["auto", "split"])]
    pub(super) workers: String,
    /// What sends TCP and UDP: iperf3 where it is installed, or the built-in traffic.
    #[arg(long, default_value = "auto", value_parser = ["auto", "built-in"])]
    pub(super) traffic: String,
    /// The `ringlay` binary; the one beside this program unless given.
    #[arg(long)]
    pub(super) ringlay: Option<PathBuf>,
    /// Print JSON instead of tables; with a file, write it there and print the tables too.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(super) json: Option<Option<PathBuf>>,
}

impl CompareArgs {
    /// Every state of the underlay, once each.
    pub(super) fn underlays(&self) -> Vec<UnderlayConfig> {
        let states = self.offloads.iter().flat_map(|state| match state.as_str() {
            "on" => vec![true],
            "off" => vec![false],
            _ => vec![true, false],
        });
        let states = distinct(states);
        distinct(self.mtu.iter().copied())
            .into_iter()
            .flat_map(|mtu| {
                let underlay = move |offloads| UnderlayConfig { mtu, offloads };
                states.iter().copied().map(underlay)
            })
            .collect()
    }

    /// The legs, once each.
    pub(super) fn legs(&self) -> Vec<LegKind> {
        distinct(self.legs.iter().cloned())
    }

    /// Everything to measure on a leg, once each.
    pub(super) fn measures(&self) -> Vec<Measure> {
        let has = |what: &str| self.what.iter().any(|wanted| wanted == what);
        let tcp = self.streams.iter().flat_map(|streams| {
            let streams = usize::from(*streams);
            let way = move |direction| Measure::Tcp { direction, streams };
            ways(&self.directions).map(way)
        });
        let udp = self.payload.iter().flat_map(|payload| {
            let payload = usize::from(*payload);
            let way = move |direction| Measure::Udp { direction, payload };
            ways(&self.udp_directions).map(way)
        });
        let chosen = tcp
            .filter(|_| has("tcp"))
            .chain(udp.filter(|_| has("udp")))
            .chain(has("rr").then_some(Measure::RoundTrips));
        distinct(chosen)
    }

    /// How to send.
    pub(super) fn plan(&self) -> Plan {
        let built_in = self.traffic == "built-in";
        Plan {
            duration: Duration::from_secs(self.seconds),
            iperf3: if built_in { None } else { Iperf3::find() },
        }
    }

    /// Where Ringlay's workers run.
    pub(super) fn placement(&self) -> Placement {
        if self.workers == "split" {
            Placement::split()
        } else {
            Placement::Auto
        }
    }
}

fn ways(names: &[String]) -> impl Iterator<Item = Direction> {
    names.iter().map(|name| match name.as_str() {
        "in" => Direction::BToA,
        _ => Direction::AToB,
    })
}

/// The items in their order, without repetitions.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// Every pair of drivers, a kernel peer for each underlay driver, and what they are compared with.
const DEFAULT_LEGS: &str = "kernel,io_uring/udp,epoll/udp,io_uring/tunnel-gso,epoll/tunnel-gso,\
    auto/udp+kernel,auto/tunnel-gso+kernel,loop";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn parse(arguments: &str) -> Result<CompareArgs, clap::Error> {
        let words = std::iter::once("compare").chain(arguments.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn by_default_everything_is_compared() {
        let args = parse("").unwrap();
        assert_eq!(args.underlays().len(), 4);
        assert_eq!(args.legs().len(), 8);
        assert_eq!(args.measures().len(), 4 + 2 + 1);
        assert_eq!(args.placement(), Placement::split());
        assert_eq!(
            parse("--workers auto").unwrap().placement(),
            Placement::Auto
        );
        assert!(args.json.is_none());
    }

    #[test]
    fn lists_select() {
        let args = parse(
            "--mtu 9000 --offloads off --legs loop,epoll/udp+kernel --what rr,tcp --streams 4 \
             --directions in",
        )
        .unwrap();
        let underlay = UnderlayConfig {
            mtu: 9000,
            offloads: false,
        };
        assert_eq!(args.underlays(), [underlay]);
        let names: Vec<_> = args.legs().iter().map(LegKind::to_string).collect();
        assert_eq!(names, ["loop", "epoll/udp+kernel"]);
        let tcp = Measure::Tcp {
            direction: Direction::BToA,
            streams: 4,
        };
        assert_eq!(args.measures(), [tcp, Measure::RoundTrips]);
    }

    #[test]
    fn what_is_named_twice_is_measured_once() {
        let args = parse("--offloads on,both --mtu 1500,1500 --legs loop,loop --what rr").unwrap();
        assert_eq!(args.underlays().len(), 2);
        assert_eq!(args.legs().len(), 1);
        assert_eq!(args.measures(), [Measure::RoundTrips]);
    }

    #[test]
    fn json_goes_to_a_file_or_to_standard_output() {
        assert_eq!(parse("--json").unwrap().json, Some(None));
        let named = parse("--json=out.json --rounds 2").unwrap();
        assert_eq!(named.json, Some(Some("out.json".into())));
    }

    #[test]
    fn wrong_arguments_are_refused_with_the_right_ones() {
        for (arguments, hint) in [
            ("--offloads maybe", "both"),
            ("--mtu 1500,20", "1280"),
            ("--legs dpdk", "DRIVER/UNDERLAY"),
            ("--legs io_uring/dpdk", "tunnel-gso"),
            ("--what sctp", "rr"),
            ("--streams 0", "64"),
            ("--payload 9001", "8000"),
            ("--directions up", "out"),
            ("--workers three", "split"),
            ("--rounds 0", "1000"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(hint), "{arguments}: {error}");
        }
    }
}
