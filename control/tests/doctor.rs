//! `ringlay doctor` as root, as nobody, and where io_uring is forbidden. It needs root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;

const NOBODY: u32 = 65534;

fn doctor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlay"));
    command.args(["doctor", "--json"]);
    command
}

fn parse(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn state<'a>(diagnosis: &'a Value, name: &str) -> &'a str {
    let sections = diagnosis["sections"].as_array().unwrap();
    let mut findings = sections
        .iter()
        .flat_map(|section| section["findings"].as_array().unwrap());
    let finding = findings.find(|finding| finding["name"] == name);
    finding.unwrap_or_else(|| panic!("no finding {name}"))["state"]
        .as_str()
        .unwrap()
}

fn driver(diagnosis: &Value) -> (&str, &str) {
    let uses = diagnosis["uses"].as_array().unwrap();
    let used = uses
        .iter()
        .find(|used| used["purpose"] == "driver")
        .unwrap();
    (
        used["choice"].as_str().unwrap(),
        used["reason"].as_str().unwrap(),
    )
}

/// Forbids io_uring to this thread and what it starts, as container runtimes' default profiles do.
fn forbid_io_uring() {
    let calls = [425, 426, 427].map(|call| (call, Vec::new()));
    let filter = SeccompFilter::new(
        calls.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(nix::libc::EPERM.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn as_root_it_looks_at_everything() {
    let output = doctor().output().unwrap();
    assert!(output.status.success());
    let diagnosis = parse(&output);
    assert_eq!(diagnosis["can_run"], true);
    assert_eq!(state(&diagnosis, "device"), "ok");
    assert_eq!(state(&diagnosis, "CAP_NET_ADMIN"), "ok");
    for tunnel in ["VXLAN", "IPIP", "GRE", "Geneve"] {
        assert!(
            ["ok", "missing"].contains(&state(&diagnosis, tunnel)),
            "{tunnel}"
        );
    }
}

#[test]
fn without_io_uring_ringlay_runs_on_epoll() {
    let output = std::thread::spawn(|| {
        forbid_io_uring();
        doctor().output().unwrap()
    });
    let output = output.join().unwrap();
    assert!(output.status.success());
    let diagnosis = parse(&output);
    assert_eq!(state(&diagnosis, "seccomp"), "caution");
    let (choice, reason) = driver(&diagnosis);
    assert_eq!(choice, "epoll");
    assert!(reason.contains("seccomp"), "{reason}");
}

#[test]
fn as_nobody_it_says_what_it_could_not_look_at() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("ringlay");
    fs::copy(env!("CARGO_BIN_EXE_ringlay"), &program).unwrap();
    let mut command = Command::new(&program);
    let output = command
        .args(["doctor", "--json"])
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let diagnosis = parse(&output);
    assert_eq!(diagnosis["can_run"], false);
    assert_eq!(state(&diagnosis, "TUN device"), "blocking");
    assert_eq!(state(&diagnosis, "VXLAN"), "unknown");
    assert_eq!(state(&diagnosis, "CAP_NET_ADMIN"), "missing");
}
