//! `ringlay-perf gateway`, for a moment, with every leg that needs no optional package. It needs root,
//! and the `ringlay` binary beside the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const LEGS: [&str; 6] = [
    "af_xdp/af_xdp",
    "tun/af_xdp",
    "tap/udp",
    "tun/udp",
    "bridge",
    "routed",
];

#[test]
fn frames_go_both_ways_through_every_leg() {
    let program = Path::new(env!("CARGO_BIN_EXE_ringlay-perf"));
    let ringlay = program.with_file_name("ringlay");
    assert!(ringlay.exists(), "cargo build -p ringlay-control makes it");
    let output = Command::new(program)
        .args(["gateway", "--legs", &LEGS.join(",")])
        .args(["--frames", "64,1500", "--search", "1500", "--rounds", "1"])
        .args([
            "--milliseconds",
            "20",
            "--tolerance",
            "0.9",
            "--directions",
            "both",
        ])
        .args(["--routes", "1000", "--destinations", "1000", "--json"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = report["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 2);
    for table in tables {
        let results = table["results"].as_array().unwrap();
        let legs: Vec<_> = results.iter().map(|result| &result["leg"]).collect();
        assert_eq!(legs[0], "wire");
        assert_eq!(legs[1..], LEGS);
        for result in results {
            // That all of them forward both ways is seen at their start. How much of a flood gets
            // through in a moment, while other tests run, is not asked.
            let flood = &result["floods"][0];
            assert!(flood["offered"].as_f64() > Some(0.0), "{result}: {stderr}");
            let is_ringlay = result["leg"].as_str().unwrap().contains('/');
            let stages = result["stages"]["stages"].as_array();
            assert_eq!(stages.is_some(), is_ringlay, "{result}: {stderr}");
            for name in ["receive", "tunnel_encap", "vxlan_decap", "flush"] {
                let is_told = |stages: &Vec<Value>| stages.iter().any(|it| it["stage"] == name);
                assert!(stages.is_none_or(is_told), "{name}: {result}");
            }
            let searched = table["frame"] == 1500 && result["leg"] != "wire";
            let found = result["found"].as_array().unwrap();
            assert!(searched || found.is_empty(), "{result}: {stderr}");
        }
        let wire = &results[0]["full"]["rate"];
        assert!(wire.as_f64() > Some(0.0), "{stderr}");
    }
}

/// With a `ringlay` that ends at once: its legs fail, and take no others with them.
#[test]
fn a_leg_that_fails_takes_no_other_with_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlay-perf"))
        .args([
            "gateway",
            "--legs",
            "tun/udp,routed",
            "--ringlay",
            "/bin/true",
        ])
        .args(["--frames", "128", "--directions", "decap", "--rounds", "2"])
        .args(["--milliseconds", "20", "--searches", "0", "--routes", "1"])
        .args(["--destinations", "10", "--json"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = report["legs"][1]["failed"].as_str().unwrap();
    assert!(failed.contains("true ended"), "{failed}");
    let results = &report["tables"][0]["results"];
    assert_eq!(results[1]["floods"], serde_json::json!([]));
    assert_eq!(results[2]["floods"].as_array().unwrap().len(), 2);
}
