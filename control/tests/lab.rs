//! The laboratory's pieces with real namespaces, devices and traffic. They need root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path as FilePath;
use std::process::Command;
use std::time::Duration;

use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::leg::{Bench, Leg, LegKind, Plan};
use ringlay_control::lab::namespace::{self, Namespace};
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::process::Process;
use ringlay_control::lab::topology::{Topology, UNDERLAY_DEVICE, UnderlayConfig};
use ringlay_control::lab::traffic::{Direction, Path, ping, request_response, tcp_bulk, udp_flood};
use ringlay_control::lab::workdir::Workdir;
use ringlay_control::lab::{LabError, link};

/// A prefix that no other test or process uses.
fn prefix(test: &str) -> String {
    format!("rltest-{test}-{}", std::process::id())
}

fn underlay_path(topology: &Topology) -> Path {
    Path {
        from: topology.a.namespace.clone(),
        to: topology.b.namespace.clone(),
        destination: topology.b.underlay,
    }
}

#[test]
fn a_namespace_is_apart_named_and_removed() {
    let name = prefix("ns");
    let cleanup = Cleanup::new();
    let namespace = Namespace::create(&cleanup, &name).unwrap();
    assert_eq!(namespace::list(&name), std::slice::from_ref(&name));
    let links = namespace.run(link::list).unwrap().unwrap();
    let loopback = links.iter().find(|link| link.name == "lo").unwrap();
    assert!(loopback.up);
    assert!(links.iter().all(|link| link.name != UNDERLAY_DEVICE));
    assert!(matches!(
        Namespace::create(&cleanup, &name),
        Err(LabError::Io { .. })
    ));
    drop(namespace);
    assert!(namespace::list(&name).is_empty());
}

#[test]
fn a_panic_removes_namespaces_processes_and_files() {
    let name = prefix("panic");
    let inner = name.clone();
    let panicked = std::panic::catch_unwind(move || {
        let cleanup = Cleanup::new();
        let directory = Workdir::create(&cleanup, &inner).unwrap();
        let namespace = Namespace::create(&cleanup, &inner).unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        let log = directory.path().join("sleep.log");
        let process = Process::start(&cleanup, &namespace, sleep, &log).unwrap();
        assert_eq!(
            namespace::processes(&inner),
            [i32::try_from(process.pid()).unwrap()]
        );
        std::panic::panic_any(process.pid());
    });
    let pid = *panicked.unwrap_err().downcast::<u32>().unwrap();
    assert!(namespace::list(&name).is_empty());
    assert!(!FilePath::new("/run").join(&name).exists());
    assert!(!FilePath::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn closing_from_elsewhere_removes_what_is_in_use() {
    let name = prefix("close");
    let cleanup = Cleanup::new();
    let topology = Topology::create(&cleanup, &name, UnderlayConfig::default()).unwrap();
    assert_eq!(namespace::list(&name).len(), 2);
    cleanup.close();
    assert!(namespace::list(&name).is_empty());
    drop(topology);
    let refused = Namespace::create(&cleanup, &name);
    assert!(matches!(refused, Err(LabError::Interrupted)));
}

#[test]
fn traffic_crosses_the_underlay_unchanged() {
    let cleanup = Cleanup::new();
    let underlay = UnderlayConfig {
        mtu: 1500,
        offloads: true,
    };
    let topology = Topology::create(&cleanup, &prefix("traffic"), underlay).unwrap();
    let path = underlay_path(&topology);
    let replies = ping::run(&path, 3).unwrap();
    assert_eq!(
        replies
            .iter()
            .map(|reply| (reply.sequence, reply.ttl))
            .collect::<Vec<_>>(),
        [(1, 64), (2, 64), (3, 64)]
    );
    tcp_bulk::verify(&path, 3_000_001).unwrap();
    let short = Duration::from_millis(200);
    let bulk = tcp_bulk::run(&path, short, 3).unwrap();
    assert!(bulk.bytes > 0 && bulk.bits_per_second > 0.0);
    let trips = request_response::run(&path, short).unwrap();
    assert!(trips.count > 0 && trips.p50 > 0.0 && trips.p50 <= trips.p99);
}

#[test]
fn paced_udp_keeps_its_rate_and_loses_nothing() {
    let cleanup = Cleanup::new();
    let underlay = UnderlayConfig {
        mtu: 9000,
        offloads: true,
    };
    let topology = Topology::create(&cleanup, &prefix("udp"), underlay).unwrap();
    let path = underlay_path(&topology);
    let flood = udp_flood::run(&path, Duration::from_millis(300), 8000, Some(2000)).unwrap();
    assert_eq!(flood.received, flood.sent);
    assert!(flood.sent > 0 && flood.sent <= 700, "{flood:?}");
}

#[test]
fn offloads_can_be_turned_off() {
    use ringlay_dataplane::sys::ethtool::features;
    let cleanup = Cleanup::new();
    let is_on = |offloads: bool| {
        let underlay = UnderlayConfig {
            mtu: 1500,
            offloads,
        };
        let name = prefix(if offloads { "off-on" } else { "off-off" });
        let topology = Topology::create(&cleanup, &name, underlay).unwrap();
        let features = topology
            .b
            .namespace
            .run(|| features(UNDERLAY_DEVICE))
            .unwrap()
            .unwrap();
        let wanted = [
            "tx-tcp-segmentation",
            "tx-udp-segmentation",
            "tx-checksum-ip-generic",
        ];
        let states: Vec<_> = features
            .iter()
            .filter(|feature| wanted.contains(&feature.name.as_str()))
            .map(|feature| feature.active)
            .collect();
        assert_eq!(states.len(), wanted.len());
        states
    };
    assert_eq!(is_on(true), [true; 3]);
    assert_eq!(is_on(false), [false; 3]);
}

#[test]
fn the_kernels_vxlan_carries_traffic_where_there_is_one() {
    let name = prefix("vxlan");
    let cleanup = Cleanup::new();
    let directory = Workdir::create(&cleanup, &name).unwrap();
    let topology = Topology::create(&cleanup, &name, UnderlayConfig::default()).unwrap();
    let bench = Bench {
        cleanup: &cleanup,
        topology: &topology,
        directory: directory.path().into(),
        ringlay: "/nonexistent".into(),
        placement: Placement::Auto,
    };
    match Leg::start(&bench, LegKind::KernelVxlan) {
        Ok(leg) => leg.verify(Direction::AToB, 1_000_000).unwrap(),
        Err(error) => {
            assert!(matches!(error, LabError::Unsupported { .. }), "{error}");
            assert!(!kernel_lists("vxlan"), "the kernel has VXLAN after all");
        }
    }
}

/// With a kernel peer, so that both ways are measured of one node; without offloads, so that every
/// segment is a packet on the underlay.
#[test]
fn a_node_and_the_kernel_are_measured_both_ways() {
    let name = prefix("mixed");
    let cleanup = Cleanup::new();
    let directory = Workdir::create(&cleanup, &name).unwrap();
    let underlay = UnderlayConfig {
        mtu: 1500,
        offloads: false,
    };
    let topology = Topology::create(&cleanup, &name, underlay).unwrap();
    let bench = Bench {
        cleanup: &cleanup,
        topology: &topology,
        directory: directory.path().into(),
        ringlay: env!("CARGO_BIN_EXE_ringlay").into(),
        placement: Placement::Auto,
    };
    let leg = match Leg::start(&bench, "auto/udp+kernel".parse().unwrap()) {
        Err(LabError::Unsupported { reason }) => {
            assert!(!kernel_lists("vxlan"), "{reason}");
            return;
        }
        leg => leg.unwrap(),
    };
    assert_eq!(leg.nodes().len(), 1);
    let mode = leg.mode().unwrap().unwrap();
    assert!(mode.contains("udp (as configured)"), "{mode}");
    for direction in [Direction::AToB, Direction::BToA] {
        leg.verify(direction, 300_000).unwrap();
        measure_tcp(&bench, &leg, direction);
    }
    let plan = short_plan();
    let back = leg.udp(&bench, &plan, Direction::BToA, 1400).unwrap();
    assert!(back.traffic.received > 0 && back.traffic.received <= back.traffic.sent);
    let trips = leg.round_trips(&bench, &plan).unwrap();
    assert!(trips.traffic.count > 0);
}

fn measure_tcp(bench: &Bench<'_>, leg: &Leg, direction: Direction) {
    let before = packets_sent(bench.topology);
    let outcome = leg.tcp(bench, &short_plan(), direction, 4).unwrap();
    let packets = packets_sent(bench.topology) - before;
    assert!(outcome.traffic.bytes > 0, "{direction}");
    assert!(outcome.cpu.cores() > 0.0);
    assert!(outcome.tally.syscalls > Some(0));
    let segments = outcome.tally.tcp_segments;
    let few = packets / 10;
    assert!(
        segments.abs_diff(packets) <= few,
        "{direction}: {segments} segments, {packets} packets"
    );
}

fn short_plan() -> Plan {
    Plan {
        duration: Duration::from_millis(200),
        iperf3: None,
    }
}

/// Packets that both hosts sent on the underlay.
fn packets_sent(topology: &Topology) -> u64 {
    let hosts = [&topology.a, &topology.b];
    let counts = hosts.map(|host| {
        let read = || fs::read_to_string("/proc/thread-self/net/dev");
        let table = host.namespace.run(read).unwrap().unwrap();
        let lines = table.lines().map(str::trim_start);
        let mut ours =
            lines.filter_map(|line| line.strip_prefix(UNDERLAY_DEVICE)?.strip_prefix(':'));
        let counters = ours.next().unwrap();
        // Eight columns of what was received, then bytes and packets sent.
        let column = counters.split_ascii_whitespace().nth(9).unwrap();
        column.parse::<u64>().unwrap()
    });
    counts.iter().sum()
}

/// Whether the kernel's own symbol list mentions a driver.
fn kernel_lists(driver: &str) -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols
        .lines()
        .any(|line| line.ends_with(&format!(" {driver}_init_net")))
}
