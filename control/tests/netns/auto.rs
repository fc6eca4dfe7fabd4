//! Which underlay driver a node chooses by itself on a host, and that traffic flows by it.

use std::os::fd::{AsFd, OwnedFd};

use ringlay_dataplane::{
    port::redirect,
    sys::{
        bpf::{self, Instruction, ProgramKind},
        link,
        netns::run_in,
    },
};

use super::{bulk::talk, hosts::Hosts, overlay};

/// What is said of another driver whichever was chosen.
const NO_WIRE: &str = "af_xdp, which has no super-frames, is taken by name alone";

const WHOLE: (&str, &str) = (
    "tunnel-gso",
    "eth0 segments UDP tunnels (tx-udp_tnl-csum-segmentation)",
);

/// That a host's node says that it chose this driver for this reason, wherever it says so.
fn assert_chose(hosts: &Hosts, host: usize, (driver, reason): (&str, &str)) {
    let reason = match reason {
        "as configured" => reason,
        _ => &format!("{reason}; {NO_WIRE}"),
    };
    let (shown, why) = hosts.underlay_driver(host);
    assert_eq!((shown.as_str(), why.as_str()), (driver, reason));
    let line = format!("underlay driver {driver} ({reason})");
    let text = hosts.ringlay(host, "show node");
    assert!(text.contains(&line), "{text}");
    let log = hosts.log(host);
    assert!(log.contains(reason), "{log}");
    let uplink = hosts.ip(host, "link show").contains("rluplink");
    assert_eq!(uplink, driver == "tunnel-gso");
}

/// How many classifiers there are on a host's underlay device.
fn classifiers(hosts: &Hosts, host: usize) -> u32 {
    let count = || redirect::predecessors(link::index("eth0").unwrap()).unwrap();
    run_in(&hosts.netns_path(host), count).unwrap()
}

fn nft(hosts: &Hosts, host: usize, rules: &str) {
    let mut command = hosts.command(host, "nft");
    let output = command.arg(rules).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{rules}: {stderr}");
}

#[test]
fn a_device_that_segments_tunnels_gets_super_frames_whole() {
    let hosts = overlay();
    for host in 0..2 {
        assert_chose(&hosts, host, WHOLE);
    }
    talk(&hosts);
}

#[test]
fn a_device_that_does_not_gets_what_is_cut_already() {
    let mut hosts = Hosts::new();
    let off = "ethtool -K eth0 tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off";
    assert!(hosts.exec(0, off).status.success(), "ethtool is installed");
    hosts.start(0);
    hosts.start(1);
    let reason = "eth0 does not segment UDP tunnels (tx-udp_tnl-csum-segmentation is off), so \
                  the kernel would cut instead";
    assert_chose(&hosts, 0, ("udp", reason));
    assert_chose(&hosts, 1, WHOLE);
    talk(&hosts);
}

#[test]
fn the_configuration_overrides_the_choice() {
    let mut hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"udp\"");
    hosts.set(1, "underlay", "driver = \"tunnel-gso\"");
    let off = "ethtool -K eth0 tx off tso off gso off";
    assert!(hosts.exec(1, off).status.success(), "ethtool is installed");
    hosts.start(0);
    hosts.start(1);
    assert_chose(&hosts, 0, ("udp", "as configured"));
    let (driver, reason) = hosts.underlay_driver(1);
    assert_eq!(driver, "tunnel-gso");
    let but = "as configured, although eth0 does not segment UDP tunnels";
    assert!(reason.starts_with(but), "{reason}");
    talk(&hosts);
}

#[test]
fn nothing_of_an_uplink_outlives_a_killed_node() {
    let mut hosts = overlay();
    assert!(hosts.pings("10.42.2.1"));
    assert_eq!(classifiers(&hosts, 0), 1);
    hosts.signal(0, "KILL");
    assert_eq!(hosts.wait(0), None);
    let gone = || {
        let links = hosts.ip(0, "link show");
        !links.contains("rl0") && !links.contains("rluplink") && classifiers(&hosts, 0) == 0
    };
    hosts.wait_for(0, "the uplink and what leads to it are gone", gone);
    hosts.start(0);
    assert_chose(&hosts, 0, WHOLE);
    hosts.wait_for(0, "pings are answered again", || hosts.answers("10.42.2.1"));
    assert_eq!(classifiers(&hosts, 0), 1);
}

/// Packets of an uplink are forwarded ones.
#[test]
fn a_firewall_that_drops_what_is_forwarded_is_heeded() {
    let mut hosts = Hosts::new();
    let rules = "add table inet f; \
                 add chain inet f forward { type filter hook forward priority 0; policy drop; }";
    nft(&hosts, 0, rules);
    hosts.start(0);
    hosts.start(1);
    let reason = "nftables chain inet f forward has policy drop, and packets of tunnel-gso are \
                  forwarded ones: they might not get through";
    assert_chose(&hosts, 0, ("udp", reason));
    talk(&hosts);
}

/// The kernel allows 64 classifiers on a device, so that there is no room for the redirection,
/// which nobody can know before it is tried.
#[test]
fn what_fails_after_all_is_done_by_udp() {
    let mut hosts = Hosts::new();
    let held = run_in(&hosts.netns_path(0), || crowd("eth0")).unwrap();
    hosts.start(0);
    hosts.start(1);
    let (driver, reason) = hosts.underlay_driver(0);
    assert_eq!(driver, "udp");
    let failed = "tunnel-gso was chosen, but failed: cannot redirect packets for 192.168.77.1:4789";
    assert!(reason.starts_with(failed), "{reason}");
    assert!(hosts.log(0).contains("starting again on udp"));
    assert!(!hosts.ip(0, "link show").contains("rluplink"));
    talk(&hosts);
    drop(held);
}

/// As many classifiers as fit, which let everything pass.
fn crowd(device: &str) -> Vec<OwnedFd> {
    const NEXT: Instruction = Instruction {
        opcode: 0xb7, // r0 = TCX_NEXT
        registers: 0,
        offset: 0,
        immediate: -1,
    };
    const EXIT: Instruction = Instruction {
        opcode: 0x95,
        immediate: 0,
        ..NEXT
    };
    let index = link::index(device).unwrap();
    let attach = |_| {
        // The kernel takes each program once.
        let program = bpf::load(ProgramKind::Classifier, &[NEXT, EXIT]).unwrap();
        bpf::attach_ingress(program.as_fd(), index).ok()
    };
    let held: Vec<_> = (0..1000).map_while(attach).collect();
    assert!((2..1000).contains(&held.len()), "{} fit", held.len());
    held
}

/// The address of a node may be one of the host, reached through whichever device.
#[test]
fn the_routes_to_the_far_ends_tell_the_device() {
    let mut hosts = Hosts::new();
    for (host, near, far) in [(0, 1, 2), (1, 2, 1)] {
        hosts.ip(host, &format!("address add 10.99.0.{near}/32 dev lo"));
        hosts.ip(
            host,
            &format!("route add 10.99.0.{far}/32 via 192.168.77.{far} dev eth0"),
        );
        let config = std::fs::read_to_string(hosts.config(host)).unwrap();
        let config = config.replace("\"192.168.77.", "\"10.99.0.");
        std::fs::write(hosts.config(host), config).unwrap();
        hosts.start(host);
        assert_chose(&hosts, host, WHOLE);
        let networks = hosts.ringlay(host, "network list");
        assert!(networks.contains("1450"), "{networks}");
    }
    talk(&hosts);
}
