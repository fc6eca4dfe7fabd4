//! Two daemons in two network namespaces, with real devices and packets. Needs root and iproute2.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]

mod auto;
mod beside;
mod bulk;
mod encaps;
mod foreign;
mod hosts;
mod link;
mod packet;
#[path = "../support/ping.rs"]
mod ping;
mod plain;
mod poll;
mod raw;
mod stages;
mod uncut;
mod uplink;
mod wire;

use std::{fs, path::PathBuf, process::Stdio};

use self::{
    hosts::Hosts,
    ping::{each_answered, patiently},
};

fn overlay() -> Hosts {
    let mut hosts = Hosts::new();
    hosts.start(0);
    hosts.start(1);
    hosts
}

#[test]
fn pings_cross_the_overlay_in_both_ip_versions() {
    let hosts = overlay();
    assert!(hosts.pings("10.42.2.1"));
    assert!(hosts.pings("fd42:2::1"));
    assert!(hosts.ringlay(0, "vtep list").contains("state reachable"));
}

#[test]
fn the_device_and_its_routes_are_there_and_go_at_sigterm() {
    let mut hosts = overlay();
    assert!(hosts.ip(0, "address show dev rl0").contains("10.42.1.1/24"));
    assert!(hosts.ip(0, "route show").contains("10.42.2.0/24 dev rl0"));
    assert!(hosts.ip(0, "-6 route show").contains("fd42:2::/64 dev rl0"));
    hosts.signal(0, "TERM");
    assert_eq!(hosts.wait(0), Some(0));
    assert!(!hosts.ip(0, "link show").contains("rl0"));
    assert!(!hosts.ip(0, "route show").contains("10.42"));
    assert!(!hosts.socket(0).exists());
}

#[test]
fn other_flows_lose_nothing_while_routes_come_and_go() {
    let hosts = overlay();
    hosts.ip(1, "address add 10.77.0.1/32 dev lo");
    assert!(hosts.pings("10.42.2.1"));
    let flow = hosts
        .command(0, "ping -i 0.002 -c 1000 -w 60 10.42.2.1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    hosts.ringlay(1, "route add 10.77.0.0/16 --network blue --port rl0");
    for _ in 0..15 {
        hosts.ringlay(
            0,
            "route add 10.77.0.0/16 --network blue --vtep 192.168.77.2",
        );
        assert!(hosts.ip(0, "route show").contains("10.77.0.0/16 dev rl0"));
        hosts.ringlay(0, "route delete 10.77.0.0/16 --network blue");
    }
    let output = flow.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(each_answered(&text, 1000), "{text}");
    // The route is of use, too.
    hosts.ringlay(
        0,
        "route add 10.77.0.0/16 --network blue --vtep 192.168.77.2",
    );
    assert!(hosts.pings("10.77.0.1"));
}

#[test]
fn killing_and_starting_a_node_brings_the_overlay_back() {
    let mut hosts = overlay();
    assert!(hosts.pings("10.42.2.1"));
    hosts.signal(1, "KILL");
    assert_eq!(hosts.wait(1), None);
    assert!(hosts.socket(1).exists(), "it had no time to clean up");
    assert!(!hosts.answers("10.42.2.1"));
    hosts.start(1);
    hosts.wait_for(1, "pings are answered again", || hosts.answers("10.42.2.1"));
}

#[test]
fn a_second_daemon_on_the_socket_is_refused() {
    let mut hosts = Hosts::new();
    hosts.start(0);
    let binary = env!("CARGO_BIN_EXE_ringlay");
    let again = hosts.exec(
        0,
        &format!("{binary} run --config {}", hosts.config(0).display()),
    );
    assert_eq!(again.status.code(), Some(1));
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert!(stderr.contains("a daemon listens on"), "{stderr}");
    assert!(
        hosts.ringlay(0, "show node").contains("driver"),
        "the first one lives"
    );
}

#[test]
fn sighup_takes_up_a_good_file_and_leaves_all_as_it_is_at_a_bad_one() {
    let hosts = overlay();
    assert!(hosts.pings("10.42.2.1"));
    let good = fs::read_to_string(hosts.config(0)).unwrap();
    fs::write(
        hosts.config(0),
        good.replace("10.42.2.0/24", "10.42.2.0/25"),
    )
    .unwrap();
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "reloaded", || {
        hosts.log(0).contains("configuration reloaded")
    });
    assert!(hosts.ip(0, "route show").contains("10.42.2.0/25 dev rl0"));
    assert!(hosts.pings("10.42.2.1"));
    fs::write(hosts.config(0), good.replace("vni = 42", "vni = -1")).unwrap();
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "refused", || {
        hosts.log(0).contains("configuration not reloaded")
    });
    assert!(hosts.log(0).contains("network.vni: -1 is no VNI"));
    assert!(hosts.pings("10.42.2.1"));
}

#[test]
fn a_device_that_is_taken_is_refused_and_nothing_stays() {
    let hosts = overlay();
    hosts.ip(0, "tuntap add name busy mode tap");
    let socket = hosts.socket(0);
    let binary = env!("CARGO_BIN_EXE_ringlay");
    let add = format!(
        "{binary} --socket {} port add busy --network blue",
        socket.display()
    );
    let refused = hosts.exec(0, &add);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        stderr.contains("port busy") && stderr.contains("nothing was changed"),
        "{stderr}"
    );
    assert!(!hosts.ringlay(0, "port list").contains("busy"));
    assert!(hosts.pings("10.42.2.1"));
}

#[test]
fn a_port_in_another_namespace_comes_and_goes_there() {
    let hosts = overlay();
    let inner = format!("{}c", hosts.netns(0));
    let netns = Netns::new(&inner);
    let add = format!(
        "port add rlc --network blue --netns /run/netns/{inner} --address 10.42.1.9/32,fd42:1::9/128"
    );
    hosts.ringlay(0, &add);
    let ping = netns.exec(&format!("ping {} 10.42.2.1", patiently(3)));
    assert!(ping, "from the container through the tunnel");
    assert!(netns.exec(&format!("ping {} fd42:2::1", patiently(3))));
    hosts.ringlay(0, "port delete rlc");
    assert!(!netns.exec("ip link show dev rlc"));
}

#[test]
fn frames_from_an_unknown_vtep_are_dropped_by_name() {
    let mut hosts = Hosts::new();
    let config = fs::read_to_string(hosts.config(1)).unwrap();
    let elsewhere = config.replace("address = \"192.168.77.1\"", "address = \"192.168.77.9\"");
    fs::write(
        hosts.config(1),
        elsewhere.replace("vtep = \"192.168.77.1\"", "vtep = \"192.168.77.9\""),
    )
    .unwrap();
    hosts.start(0);
    hosts.start(1);
    assert!(!hosts.answers("10.42.2.1"));
    assert!(hosts.drops(1, "vtep_unknown") > 0);
    hosts.ringlay(1, "vtep add 192.168.77.1 --network blue");
    hosts.ringlay(
        1,
        "route add 10.42.1.1/32 --network blue --vtep 192.168.77.1",
    );
    hosts.wait_for(1, "the VTEP is known", || hosts.answers("10.42.2.1"));
}

#[test]
fn icmp_errors_tell_of_missing_routes_and_expired_packets() {
    let hosts = overlay();
    assert!(hosts.pings("10.42.2.1"));
    hosts.ip(0, "route add 10.200.0.0/16 dev rl0");
    let ping = hosts.exec(0, "ping -c 2 -i 0.2 -W 3 10.200.0.1");
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(text.contains("Unreachable"), "{text}");
    assert!(hosts.drops(0, "ip_no_route") > 0);
    let ping = hosts.exec(0, "ping -c 2 -i 0.2 -W 3 -t 1 10.42.2.1");
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(text.contains("Time to live exceeded"), "{text}");
    assert!(hosts.drops(0, "ip_ttl_expired") > 0);
    let ping = hosts.exec(0, "ping -c 2 -i 0.2 -W 3 -t 1 fd42:2::1");
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(text.contains("Hop limit"), "{text}");
}

#[test]
fn what_the_node_shows_as_configuration_it_would_take() {
    let hosts = overlay();
    hosts.ringlay(0, "route add 10.9.0.0/16 --network blue --drop");
    let shown = hosts.ringlay(0, "show config");
    fs::write(hosts.config(0), &shown).unwrap();
    let binary = env!("CARGO_BIN_EXE_ringlay");
    let check = hosts.exec(
        0,
        &format!("{binary} check --config {}", hosts.config(0).display()),
    );
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "reloaded", || {
        hosts.log(0).contains("configuration reloaded")
    });
    assert_eq!(
        hosts.ringlay(0, "show config"),
        shown.replace("# source: grpc\n", "")
    );
}

/// A namespace that a test makes.
struct Netns(String);

impl Netns {
    fn new(name: &str) -> Self {
        let made = std::process::Command::new("ip")
            .args(["netns", "add", name])
            .status();
        assert!(made.unwrap().success());
        Self(name.to_owned())
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    /// Runs `ip` there, which must succeed.
    fn ip(&self, args: &str) {
        assert!(self.exec(&format!("ip {args}")), "ip {args}");
    }

    /// A command there, to be run.
    fn command(&self, args: &str) -> std::process::Command {
        let mut command = std::process::Command::new("ip");
        command
            .args(["netns", "exec", &self.0])
            .args(args.split_whitespace());
        command
    }

    fn exec(&self, args: &str) -> bool {
        self.command(args).output().unwrap().status.success()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip")
            .args(["netns", "del", &self.0])
            .status();
    }
}
