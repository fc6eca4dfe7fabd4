//! The command line of `ringlay-perf`.

use std::process::Command;

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
