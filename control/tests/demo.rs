//! `ringlay demo` from end to end. It needs root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringlay_control::lab::namespace;
use serde_json::Value;

const NOBODY: u32 = 65534;

fn demo(seconds: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlay"));
    command
        .arg("demo")
        .args(["--seconds", seconds, "--rounds", "1"])
        .args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn name(pid: u32) -> String {
    format!("ringlay-demo-{pid}")
}

fn assert_nothing_left(pid: u32) {
    let name = name(pid);
    assert!(namespace::list(&format!("{name}-")).is_empty());
    assert!(!Path::new("/run").join(&name).exists());
}

/// Inode numbers of the demo's namespaces.
fn namespaces(pid: u32) -> Vec<u64> {
    namespace::list(&format!("{}-", name(pid)))
        .iter()
        .map(|host| fs::metadata(format!("/run/netns/{host}")).unwrap().ino())
        .collect()
}

fn processes_in(namespaces: &[u64]) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lives_there = |path: &Path| {
        fs::metadata(path.join("ns/net")).is_ok_and(|ns| namespaces.contains(&ns.ino()))
    };
    entries
        .filter(|entry| lives_there(&entry.path()))
        .map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_measures_every_overlay_and_leaves_nothing() {
    let child = demo("1", &["--json", "--traffic", "built-in"])
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_nothing_left(pid);

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let legs = report["legs"].as_array().unwrap();
    assert_eq!(legs.len(), 3);
    for leg in legs {
        if leg["name"] == "kernel VXLAN" && leg["absent"].is_string() {
            continue;
        }
        assert!(leg["absent"].is_null(), "{leg}");
        for figure in [
            "tcp_gbit_per_second",
            "tcp_cores",
            "udp_packets_per_second",
            "round_trip_p50_us",
            "round_trip_p99_us",
        ] {
            assert!(
                leg["medians"][figure].as_f64().unwrap() > 0.0,
                "{figure}: {leg}"
            );
        }
        let ping = leg["ping"].as_array().unwrap();
        assert_eq!(ping.len(), 3, "{leg}");
        assert!(
            ping.iter().all(|reply| reply["ttl"].as_u64() > Some(60)),
            "{leg}"
        );
    }
    let ringlay = &legs[0];
    assert_eq!(ringlay["is_ringlay"], true);
    assert!(!ringlay["mode"].as_str().unwrap().is_empty());
    let ratios = report["ratios"].as_array().unwrap();
    assert!(ratios.iter().any(|ratio| ratio["to"] == "one-packet loop"));
    assert!(report["machine"]["kernel"].is_string());
    assert_eq!(report["conditions"]["traffic"], "built-in");
}

/// Starts a demo that would take long and reads its progress up to a line with `sign`.
fn start_and_wait_for(sign: &str) -> Child {
    let mut child = demo("600", &["--traffic", "built-in"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.find(|line| line.as_ref().unwrap().contains(sign));
    assert!(found.is_some(), "the demo ended before `{sign}`");
    // The demo has to be able to go on writing.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn signals_at_any_time_leave_nothing() {
    let cases = [
        ("two hosts", Signal::SIGINT, 130),
        ("reply from", Signal::SIGTERM, 143),
        ("one-packet loop: reply", Signal::SIGINT, 130),
    ];
    for (sign, signal, status) in cases {
        let mut child = start_and_wait_for(sign);
        let pid = child.id();
        let namespaces = namespaces(pid);
        assert_eq!(namespaces.len(), 2);
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{sign}");
        assert_nothing_left(pid);
        assert_eq!(processes_in(&namespaces), Vec::<String>::new(), "{sign}");
    }
}

#[test]
fn without_root_it_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("ringlay");
    fs::copy(env!("CARGO_BIN_EXE_ringlay"), &program).unwrap();
    let output = Command::new(&program)
        .arg("demo")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("root"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}
