use ringlay_control::lab::machine::Machine;

use super::super::leg::Ports;
use super::*;

const XDP: LegKind = LegKind::Ringlay(Ports::TunXdp);
const LEGS: [LegKind; 5] = [
    LegKind::Wire,
    LegKind::Testpmd,
    XDP,
    LegKind::Bridge,
    LegKind::Routed,
];

fn settings() -> Settings {
    Settings {
        machine: Machine {
            kernel: "6.18.0".into(),
            cores: 2,
            date: "2026-11-21 12:00 UTC".into(),
            background_cores: 0.0,
            is_debug_build: false,
        },
        traffic_cpu: Some(0),
        gateway_cpu: Some(1),
        kernel_cpu: "gateway".into(),
        poll: "adaptive".into(),
        access_mtu: ACCESS_MTU,
        underlay_mtu: UNDERLAY_MTU,
        routes: 1_000_000,
        next_hops: 256,
        destinations: 1000,
        rounds: 3,
        milliseconds: 300,
        tolerance: 0.001,
    }
}

fn trial(received: f64, cores: f64) -> Trial {
    Trial {
        offered: 1e6,
        received,
        loss: 1.0 - received / 1e6,
        cores,
        worker: (cores > 1.0).then_some([0.25, 0.5]),
    }
}

/// Rates of the legs in their order, in each of three rounds a little different.
fn report(rates: [f64; 5]) -> Report {
    let mut report = Report::new(settings(), &LEGS, &[Direction::Encap], &[1500, 64]);
    for noise in [0.9, 1.0, 1.2] {
        for (leg, rate) in rates.into_iter().enumerate() {
            let cores = if leg == 0 { 1.0 } else { 2.0 };
            let found = (leg == 2).then(|| trial(rate * noise / 2.0, 1.5));
            report.add(
                (Direction::Encap, 64),
                leg,
                trial(rate * noise, cores),
                found,
            );
        }
    }
    report.conclude();
    report
}

fn result(report: &Report, kind: LegKind) -> &LegResult {
    report.tables[1].of(kind).unwrap()
}

#[test]
fn ratios_are_of_the_medians() {
    let report = report([1e6, 5e5, 4.5e5, 2e5, 2.5e5]);
    let ours = result(&report, XDP);
    assert_eq!(ours.full.rate, Some(4.5e5));
    assert_eq!(ours.full.rate_to_testpmd, Some(0.9));
    assert_eq!(ours.full.per_cpu_second, Some(2.25e5));
    assert_eq!(
        ours.full.per_cpu_second_to_kernel,
        Some(1.8),
        "the better of the kernel's legs counts"
    );
    assert_eq!(ours.loss_free.rate, Some(2.25e5));
    assert_eq!(ours.loss_free.rate_to_testpmd, None, "it was not searched");
}

#[test]
fn the_gateways_time_is_without_that_of_the_traffic() {
    let report = report([1e6, 5e5, 4e5, 2e5, 2.5e5]);
    // 2 cores for 400,000 frames, 1 core for 1,000,000.
    let own = result(&report, XDP).full.gateway_ns.unwrap();
    assert!((own - 4000.0).abs() < 1e-6, "{own}");
    let parts = [0, 1].map(|part| {
        let full = result(&report, XDP).full;
        [full.worker_ns, full.worker_kernel_ns][part]
            .unwrap()
            .round()
    });
    assert_eq!(parts, [625.0, 1250.0]);
    let wire = result(&report, LegKind::Wire).full.gateway_ns.unwrap();
    assert!(wire.abs() < 1e-6);
}

#[test]
fn targets_are_those_of_the_shortest_frames() {
    let report = report([1e6, 5e5, 4.5e5, 2e5, 2.5e5]);
    let met: Vec<_> = report.targets.iter().map(Target::is_met).collect();
    assert_eq!(met, [Some(true), None, Some(false), None]);
    assert!(report.targets[0].what.contains("64 bytes"));
    assert!(report.targets[0].what.contains("tun/af_xdp"));
}

#[test]
fn a_leg_that_is_lacking_is_no_failure() {
    let mut report = report([1e6, 5e5, 4e5, 2e5, 2.5e5]);
    report.leave_out(1, &LabError::unsupported("dpdk-testpmd is not installed"));
    assert!(report.is_out(1) && !report.has_failed());
    report.leave_out(2, &LabError::Interrupted);
    assert!(report.has_failed() && !report.is_out(3));
    let text = report.to_string();
    assert!(text.contains("testpmd: not here: dpdk-testpmd is not installed"));
    assert!(text.contains("tun/af_xdp: FAILED: interrupted"));
}

#[test]
fn renders_tables_and_verdicts() {
    let text = report([1e6, 5e5, 4.5e5, 2e5, 2.5e5]).to_string();
    let table = "\
encapsulate, 64 bytes
            full kpps  /testpmd  cores  kpps/core    /K    ns  loss-free kpps  /testpmd  cores  kpps/core  /K    ns
wire             1000      2.00   1.00       1000  8.00     0               -         -      -          -   -     -
testpmd           500      1.00   2.00        250  2.00  3000               -         -      -          -   -     -
tun/af_xdp        450      0.90   2.00        225  1.80  3444             225         -   1.50        150   -  5667
bridge            200      0.40   2.00        100  0.80  9000               -         -      -          -   -     -
";
    assert!(text.contains(table), "{text}");
    let verdict =
        "tun/af_xdp, encapsulate, 64 bytes: rate, full load, to testpmd: 0.90 of 0.80: reached";
    assert!(text.contains(verdict), "{text}");
    assert!(
        text.contains("to the kernel: 1.80 of 2.00: missed"),
        "{text}"
    );
    let long = text.lines().find(|line| line.chars().count() > 130);
    assert_eq!(long, None);
}

#[test]
fn a_busy_machine_is_told_of() {
    let mut report = report([1e6, 5e5, 4.5e5, 2e5, 2.5e5]);
    assert!(!report.to_string().contains("caution"));
    report.tables[1].results[0].full.cores = Some(1.9);
    assert!(report.to_string().contains("caution: 1.9 cores"));
}

#[test]
fn a_leg_that_takes_all_that_is_sent_is_named() {
    let limited = "faster than told: tun/af_xdp";
    assert!(
        report([1e6, 5e5, 9.9e5, 2e5, 1e6])
            .to_string()
            .contains(&format!("{limited}\n"))
    );
    assert!(
        !report([1e6, 5e5, 9e5, 2e5, 1e6])
            .to_string()
            .contains(limited)
    );
}
