//! The command line of `ringlay-perf`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

const NOBODY: u32 = 65534;

#[test]
fn a_missing_ringlay_binary_is_named_with_a_remedy() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlay-perf"))
        .args(["compare", "--ringlay", "/nonexistent/ringlay"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("/nonexistent/ringlay"), "{stderr}");
    assert!(stderr.contains("--ringlay"), "{stderr}");
}

/// With a `ringlay` that ends at once: what needs none is measured all the same. It needs root.
#[test]
fn a_leg_that_fails_takes_no_other_with_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlay-perf"))
        .args(["compare", "--ringlay", "/bin/true", "--legs", "kernel,loop"])
        .args(["--what", "rr", "--mtu", "1500", "--offloads", "on"])
        .args(["--rounds", "2", "--json"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    let section = &comparison["sections"][0];
    let [kernel, ours] = [0, 1].map(|leg| &section["legs"][leg]);
    assert!(kernel["failed"].is_null(), "{stderr}");
    let failed = ours["failed"].as_str().unwrap();
    assert!(failed.contains("true ended"), "{failed}");
    let results = &section["measures"][0]["results"];
    assert_eq!(results[1]["samples"], serde_json::json!([]));
    if kernel["absent"].is_null() {
        assert_eq!(results[0]["samples"].as_array().unwrap().len(), 2);
        assert!(results[0]["medians"]["p50_us"].as_f64() > Some(0.0));
    }
}

#[test]
fn without_root_nothing_is_tried() {
    let directory = env::temp_dir().join(format!("ringlay-perf-test-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let program = directory.join("ringlay-perf");
    fs::copy(env!("CARGO_BIN_EXE_ringlay-perf"), &program).unwrap();
    let output = Command::new(&program)
        .args(["compare", "--ringlay", "/bin/true", "--legs", "kernel"])
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    fs::remove_dir_all(&directory).unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("Permission denied"), "{stderr}");
}

#[test]
fn wrong_conditions_are_refused() {
    for arguments in [
        ["--offloads", "maybe"],
        ["--mtu", "1500,20"],
        ["--legs", "dpdk"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ringlay-perf"))
            .arg("compare")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

/// With a `ringlay` that ends at once. It needs root.
#[test]
fn routes_tells_that_the_node_ended() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlay-perf"))
        .args(["routes", "--ringlay", "/bin/true", "--routes", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("true ended"), "{stderr}");
}
