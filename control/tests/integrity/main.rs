//! Every byte arrives as it was sent: random data over TCP, in both directions at
//! once, over IPv4 and IPv6, while the underlay loses, repeats and reorders frames
//! and routes change. Needs root and iproute2.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod faulty_link;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::process::Process;

use self::faulty_link::FaultyLink;
use self::support::pair::ip;
use self::support::traffic::{exchange_tcp, wait_for_ping};

const RINGLAY: &str = env!("CARGO_BIN_EXE_ringlay");

/// Bytes sent in each direction.
const BYTES: usize = 12 << 20;

fn config(host: usize, driver: &str, socket: &Path) -> String {
    let (near, far) = (host + 1, 2 - host);
    format!(
        r#"
[node]
socket = "{}"
[dataplane]
driver = "{driver}"
[underlay]
address = "192.168.77.{near}"
[[network]]
name = "blue"
vni = 42
[[port]]
network = "blue"
device = "rl0"
addresses = ["10.42.{near}.1/24", "fd42:{near}::1/64"]
[[vtep]]
network = "blue"
address = "192.168.77.{far}"
[[route]]
network = "blue"
prefix = "10.42.{far}.0/24"
vtep = "192.168.77.{far}"
[[route]]
network = "blue"
prefix = "fd42:{far}::/64"
vtep = "192.168.77.{far}"
"#,
        socket.display()
    )
}

/// Starts a host's node; returns it with its socket.
fn start(
    cleanup: &Cleanup,
    hosts: [&Namespace; 2],
    host: usize,
    driver: &str,
    folder: &Path,
) -> (Process, PathBuf) {
    let file = |suffix: &str| folder.join(format!("{host}.{suffix}"));
    let socket = file("sock");
    fs::write(file("toml"), config(host, driver, &socket)).unwrap();
    let mut command = Command::new(RINGLAY);
    command.arg("run").arg("--config").arg(file("toml"));
    (
        Process::start(cleanup, hosts[host], command, &file("log")).unwrap(),
        socket,
    )
}

/// Adds and deletes a route of the traffic's own network until told to stop;
/// returns how often.
fn change_routes(socket: &Path, stop: &AtomicBool) -> usize {
    let route = |verb: &[&str]| {
        let output = Command::new(RINGLAY)
            .args(["--socket".as_ref(), socket.as_os_str()])
            .arg("route")
            .args(verb)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{verb:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        // More specific than what the traffic goes by, to the same end.
        route(&[
            "add",
            "10.42.2.0/25",
            "--network",
            "blue",
            "--vtep",
            "192.168.77.2",
        ]);
        route(&["delete", "10.42.2.0/25", "--network", "blue"]);
        changes += 2;
        thread::sleep(Duration::from_millis(20));
    }
    changes
}

fn every_byte_arrives(driver: &str) {
    let cleanup = Cleanup::new();
    let id = std::process::id();
    let names = ["a", "b"].map(|host| format!("rli{id}-{driver}-{host}"));
    let near = Namespace::create(&cleanup, &names[0]).unwrap();
    let far = Namespace::create(&cleanup, &names[1]).unwrap();
    let hosts = [&near, &far];
    let link = FaultyLink::between(hosts);
    for (host, number) in hosts.into_iter().zip(1..) {
        ip(
            host,
            &format!("address add 192.168.77.{number}/24 dev eth0"),
        );
        ip(host, "link set eth0 up");
    }
    let folder = tempfile::tempdir().unwrap();
    let (node, socket) = start(&cleanup, hosts, 0, driver, folder.path());
    let (other, _) = start(&cleanup, hosts, 1, driver, folder.path());
    wait_for_ping(&near, "10.42.2.1".parse().unwrap());
    wait_for_ping(&near, "fd42:2::1".parse().unwrap());
    let stop = AtomicBool::new(false);
    let changes = thread::scope(|scope| {
        let changes = scope.spawn(|| change_routes(&socket, &stop));
        for address in ["10.42.2.1", "fd42:2::1"] {
            exchange_tcp(&near, &far, address.parse().unwrap(), BYTES);
        }
        stop.store(true, Ordering::Relaxed);
        changes.join().unwrap()
    });
    node.check_running().unwrap();
    other.check_running().unwrap();
    assert!(changes > 10, "only {changes} route changes");
    // 48 MiB are some 35,000 packets one way, and three faults in a hundred.
    assert!(link.faults() > 500, "only {} faults", link.faults());
}

#[test]
fn over_io_uring() {
    every_byte_arrives("io_uring");
}

#[test]
fn over_epoll() {
    every_byte_arrives("epoll");
}
