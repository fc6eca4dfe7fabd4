//! Tests of the medians and the rendering.

use super::*;
use crate::lab::cpu::CpuTime;

fn cpu(cores: f64) -> CpuUse {
    let machine = CpuTime {
        user: cores / 4.0,
        system: cores / 4.0,
        irq: 0.0,
        softirq: cores / 2.0,
    };
    CpuUse {
        seconds: 1.0,
        machine,
        processes: cores / 4.0,
    }
}

fn sample(gigabits: f64) -> Sample {
    Sample {
        tcp: TcpBulk {
            bytes: 1,
            bits_per_second: gigabits * 1e9,
        },
        tcp_cpu: cpu(1.5),
        udp: UdpFlood {
            sent: 400_000,
            received: 300_000,
            packets_per_second: 300_000.0,
        },
        udp_cpu: cpu(2.0),
        round_trips: RoundTrips {
            count: 1000,
            p50: 60.0,
            p99: 99.5,
        },
        round_trips_cpu: cpu(0.5),
        drops: Drops::default(),
    }
}

fn leg(kind: &LegKind, gigabits: &[f64]) -> LegReport {
    let mut leg = LegReport::new(kind);
    gigabits
        .iter()
        .copied()
        .map(sample)
        .for_each(|sample| leg.add(sample));
    leg
}

fn report() -> Report {
    let machine = Machine {
        kernel: "6.18.0".into(),
        cores: 2,
        date: "2026-11-21 12:00 UTC".into(),
        background_cores: 0.02,
        is_debug_build: false,
    };
    let conditions = Conditions {
        mtu: 1500,
        offloads: true,
        streams: 1,
        payload: 64,
        rounds: 3,
        seconds: 1,
        traffic: "built-in".into(),
        workers: "auto".into(),
    };
    let mut ringlay = leg(&LegKind::ringlay("auto"), &[4.0, 1.0, 3.0]);
    ringlay.mode = Some("io_uring, since the kernel has it".into());
    ringlay.drops.count("unknown_vtep".into(), 12);
    let mut kernel = leg(&LegKind::KernelVxlan, &[]);
    kernel.absent = Some("this kernel has no VXLAN device".into());
    let legs = vec![ringlay, kernel, leg(&LegKind::OnePacketLoop, &[1.5, 1.5])];
    Report::new(machine, conditions, legs)
}

#[test]
fn renders_the_table() {
    let expected = "\
two hosts as network namespaces of one machine, joined by veth: no NIC is involved
2026-11-21 12:00 UTC · kernel 6.18.0 · 2 cores · underlay MTU 1500 · offloads on · TCP streams: 1
traffic: built-in · medians of 3 alternating rounds of 1 s · CPU is of the whole machine, softirq included
Ringlay's workers: auto

                    TCP    CPU  UDP 64 B  lost    CPU  per CPU  round trip            CPU
                 Gbit/s  cores      kpps     %  cores     kpps      p50 us  p99 us  cores
Ringlay            3.00   1.50     300.0  25.0   2.00    150.0        60.0    99.5   0.50
kernel VXLAN          -      -         -     -      -        -           -       -      -
one-packet loop    1.50   1.50     300.0  25.0   2.00    150.0        60.0    99.5   0.50
kernel VXLAN: not measured: this kernel has no VXLAN device

ratio                       TCP  UDP kpps  UDP per CPU   p50   p99
Ringlay / one-packet loop  2.00      1.00         1.00  1.00  1.00

Ringlay: io_uring, since the kernel has it
Ringlay: packets dropped: unknown_vtep 12
one-packet loop: packets dropped: none
";
    assert_eq!(report().to_string(), expected);
}

#[test]
fn what_spoils_the_figures_is_said() {
    let mut report = report();
    assert!(!report.to_string().contains("caution"));
    report.machine.background_cores = 0.84;
    report.machine.is_debug_build = true;
    let text = report.to_string();
    assert!(
        text.contains("caution: other programs kept 0.8 cores busy"),
        "{text}"
    );
    assert!(text.contains("caution: this is a debug build"), "{text}");
}

#[test]
fn json_has_the_figures_and_the_ratios() {
    let value = serde_json::to_value(report()).unwrap();
    assert_eq!(value["legs"][0]["medians"]["tcp_gbit_per_second"], 3.0);
    assert_eq!(value["legs"][0]["drops"]["unknown_vtep"], 12);
    assert_eq!(
        value["legs"][1]["absent"],
        "this kernel has no VXLAN device"
    );
    assert_eq!(value["ratios"][0]["tcp"], 2.0);
    assert_eq!(value["conditions"]["mtu"], 1500);
}
