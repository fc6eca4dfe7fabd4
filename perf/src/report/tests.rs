//! Tests of the ratios, the tables and the JSON.

use ringlay_control::lab::cpu::{CpuTime, CpuUse};
use ringlay_control::lab::leg::{Outcome, Tally};
use ringlay_control::lab::traffic::Direction;
use ringlay_control::lab::traffic::request_response::RoundTrips;
use ringlay_control::lab::traffic::tcp_bulk::TcpBulk;
use ringlay_control::lab::traffic::udp_flood::UdpFlood;

use super::figure::Figure;
use super::*;

const TCP: Measure = Measure::Tcp {
    direction: Direction::AToB,
    streams: 4,
};
const UDP: Measure = Measure::Udp {
    direction: Direction::BToA,
    payload: 64,
};

fn settings() -> Settings {
    Settings {
        machine: Machine {
            kernel: "6.18.0".into(),
            cores: 2,
            date: "2026-11-21 12:00 UTC".into(),
            background_cores: 0.0,
            is_debug_build: false,
        },
        tsc: Some(Tsc {
            hertz: 2.5e9,
            source: "kernel log",
        }),
        rounds: 3,
        seconds: 1,
        traffic: "built-in".into(),
        workers: "auto".into(),
    }
}

fn outcome<T>(traffic: T, syscalls: Option<u64>) -> Outcome<T> {
    let machine = CpuTime {
        user: 0.4,
        system: 0.4,
        irq: 0.0,
        softirq: 0.8,
    };
    let mut tally = Tally {
        tcp_segments: 100_000,
        syscalls,
        ..Tally::default()
    };
    tally.drops.count("kernel_rl0_tx_dropped".into(), 1);
    Outcome {
        traffic,
        cpu: CpuUse {
            seconds: 1.0,
            machine,
            processes: 0.1,
        },
        tally,
    }
}

fn tcp(gigabits: f64, syscalls: Option<u64>) -> Taken {
    let bulk = TcpBulk {
        bytes: (gigabits * 125e6) as u64,
        bits_per_second: gigabits * 1e9,
    };
    Taken::Tcp(outcome(bulk, syscalls))
}

fn udp(received: u64) -> Taken {
    let flood = UdpFlood {
        sent: 400_000,
        received,
        packets_per_second: received as f64,
    };
    Taken::Udp {
        payload: 64,
        outcome: outcome(flood, None),
    }
}

fn round_trips(p50: f64) -> Taken {
    let trips = RoundTrips {
        count: 1000,
        p50,
        p99: p50 * 2.0,
    };
    Taken::RoundTrips(outcome(trips, None))
}

fn section() -> Section {
    let legs: Vec<LegKind> = ["kernel", "io_uring/tunnel-gso+kernel", "epoll/udp", "loop"]
        .map(|name| name.parse().unwrap())
        .into();
    let underlay = UnderlayConfig {
        mtu: 1500,
        offloads: false,
    };
    let mut section = Section::new(underlay, 0.0, &legs, &[TCP, UDP, Measure::RoundTrips]);
    let tsc = settings().tsc;
    let mut add = |leg, measure, round, taken: Taken| {
        let sample = Sample {
            round,
            figures: taken.figures(tsc.as_ref()),
            taken,
        };
        section.add(leg, measure, sample);
    };
    for (round, gigabits) in (0..).zip([4.0, 10.0, 8.0]) {
        add(0, 0, round, tcp(gigabits, None));
        add(1, 0, round, tcp(gigabits * 1.25, Some(350)));
        add(3, 0, round, tcp(gigabits / 10.0, None));
    }
    for (leg, packets) in [(0, 200_000), (1, 300_000), (3, 50_000)] {
        add(leg, 1, 0, udp(packets));
        add(leg, 2, 0, round_trips(1e7 / packets as f64));
    }
    section.legs[1].mode = Some("io_uring (as configured), tunnel-gso (as configured)".into());
    section.legs[2].absent = Some("this host has no epoll".into());
    section.legs[3].failed = Some("the loop ended".into());
    section.conclude();
    section
}

#[test]
fn ratios_are_of_the_medians() {
    let section = section();
    let results = &section.measures[0].results;
    assert_eq!(results[1].medians[&Figure::GbitPerSecond], 10.0);
    assert_eq!(results[1].to_kernel[&Figure::GbitPerSecond], 1.25);
    assert_eq!(results[1].to_loop[&Figure::GbitPerSecond], 12.5);
    assert_eq!(results[0].to_kernel[&Figure::CyclesPerByte], 1.0);
    assert!(results[2].medians.is_empty() && results[2].to_kernel.is_empty());
}

#[test]
fn without_the_kernel_there_are_no_ratios_to_it() {
    let legs = [LegKind::OnePacketLoop];
    let mut section = Section::new(UnderlayConfig::default(), 0.0, &legs, &[TCP]);
    let taken = tcp(1.0, None);
    let sample = Sample {
        round: 0,
        figures: taken.figures(None),
        taken,
    };
    section.add(0, 0, sample);
    section.conclude();
    let result = &section.measures[0].results[0];
    assert!(result.to_kernel.is_empty());
    assert_eq!(result.to_loop[&Figure::GbitPerSecond], 1.0);
}

#[test]
fn renders_the_tables() {
    let expected = "\
== underlay MTU 1500, offloads off ==

TCP, 4 streams, a->b
                            Gbit/s    /K  /loop  cores    /K  /loop  cyc/B     /K  /loop  sys/1k
kernel                        8.00  1.00  10.00   1.60  1.00   1.00   4.00   1.00   0.10       -
io_uring/tunnel-gso+kernel   10.00  1.25  12.50   1.60  1.00   1.00   3.20   0.80   0.08     3.5
epoll/udp                        -     -      -      -     -      -      -      -      -       -
loop                          0.80  0.10   1.00   1.60  1.00   1.00  40.00  10.00   1.00       -

UDP, 64 bytes, b->a
                             kpps    /K  /loop  lost %  cores    /K  /loop  kpps/core    /K  /loop    cyc/B
kernel                      200.0  1.00   4.00    50.0   1.60  1.00   1.00      125.0  1.00   4.00   312.50
io_uring/tunnel-gso+kernel  300.0  1.50   6.00    25.0   1.60  1.00   1.00      187.5  1.50   6.00   208.33
epoll/udp                       -     -      -       -      -     -      -          -     -      -        -
loop                         50.0  0.25   1.00    87.5   1.60  1.00   1.00       31.2  0.25   1.00  1250.00

TCP request and response, 64 bytes
                            p50 us    /K  /loop  p99 us    /K  /loop  cores    /K  /loop
kernel                        50.0  1.00   0.25   100.0  1.00   0.25   1.60  1.00   1.00
io_uring/tunnel-gso+kernel    33.3  0.67   0.17    66.7  0.67   0.17   1.60  1.00   1.00
epoll/udp                        -     -      -       -     -      -      -     -      -
loop                         200.0  4.00   1.00   400.0  4.00   1.00   1.60  1.00   1.00

kernel: packets dropped: kernel_rl0_tx_dropped 5
io_uring/tunnel-gso+kernel: io_uring (as configured), tunnel-gso (as configured)
io_uring/tunnel-gso+kernel: packets dropped: kernel_rl0_tx_dropped 5
epoll/udp: not measured: this host has no epoll
loop: FAILED: the loop ended
loop: packets dropped: kernel_rl0_tx_dropped 5
";
    assert_eq!(section().to_string(), expected);
}

#[test]
fn tables_and_notes_are_not_wide() {
    let text = format!("{}{}{}", settings(), section(), METHOD.join("\n"));
    for line in text.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn what_spoils_the_figures_is_said() {
    let mut settings = settings();
    let mut section = section();
    assert!(!settings.to_string().contains("caution"));
    assert!(!section.to_string().contains("caution"));
    settings.machine.is_debug_build = true;
    section.background_cores = 0.84;
    assert!(
        settings
            .to_string()
            .contains("caution: this is a debug build")
    );
    let text = section.to_string();
    assert!(
        text.contains("caution: other programs kept 0.8 cores busy"),
        "{text}"
    );
    settings.tsc = None;
    assert!(settings.to_string().contains("no cycles"));
}

#[test]
fn a_failure_is_no_absence() {
    let mut comparison = Comparison {
        settings: settings(),
        method: METHOD,
        sections: vec![section()],
    };
    assert!(comparison.has_failed());
    comparison.sections[0].legs[3].failed = None;
    assert!(!comparison.has_failed());
}

#[test]
fn json_has_everything() {
    let comparison = Comparison {
        settings: settings(),
        method: METHOD,
        sections: vec![section()],
    };
    let value = serde_json::to_value(comparison).unwrap();
    assert_eq!(value["settings"]["tsc"]["hertz"], 2.5e9);
    assert_eq!(value["settings"]["workers"], "auto");
    assert_eq!(value["settings"]["machine"]["kernel"], "6.18.0");
    let section = &value["sections"][0];
    assert_eq!(section["mtu"], 1500);
    assert_eq!(section["offloads"], false);
    assert_eq!(section["legs"][1]["drops"]["kernel_rl0_tx_dropped"], 5);
    assert_eq!(section["legs"][2]["absent"], "this host has no epoll");
    assert_eq!(section["legs"][3]["failed"], "the loop ended");
    let tcp = &section["measures"][0];
    assert_eq!(tcp["what"], "tcp");
    assert_eq!(tcp["direction"], "a->b");
    assert_eq!(tcp["streams"], 4);
    let mixed = &tcp["results"][1];
    assert_eq!(mixed["leg"], "io_uring/tunnel-gso+kernel");
    assert_eq!(mixed["medians"]["syscalls_per_thousand_packets"], 3.5);
    assert_eq!(mixed["to_kernel"]["gbit_per_second"], 1.25);
    assert_eq!(mixed["samples"].as_array().unwrap().len(), 3);
    assert_eq!(mixed["samples"][0]["taken"]["tally"]["syscalls"], 350);
    assert_eq!(
        mixed["samples"][0]["taken"]["traffic"]["bits_per_second"],
        5e9
    );
    let udp = &section["measures"][1];
    assert_eq!((&udp["what"], &udp["payload"]), (&"udp".into(), &64.into()));
    assert_eq!(udp["results"][0]["medians"]["loss"], 0.5);
    assert_eq!(section["measures"][2]["what"], "round_trips");
}
