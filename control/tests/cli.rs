//! The `ringlay` command where it needs neither daemon nor privilege.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn ringlay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringlay"))
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A configuration whose underlay every host has.
fn config(folder: &Path, rest: &str) -> String {
    let file = folder.join("ringlay.toml");
    fs::write(
        &file,
        format!("[underlay]\naddress = \"127.0.0.1\"\n{rest}"),
    )
    .unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn check_accepts_a_good_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "[[network]]\nname = \"blue\"\nvni = 42\n");
    let output = ringlay(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let first = format!("{file}: ok, 1 objects, underlay 127.0.0.1\n    driver ");
    assert!(shown.starts_with(&first), "{shown}");
    let underlay = "\n    underlay driver udp (lo is no Ethernet device; af_xdp, which has no \
                    super-frames, is taken by name alone)\n";
    assert!(shown.ends_with(underlay), "{shown}");
}

#[test]
fn check_tells_machines_what_would_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, driver) in [
        ("auto", "udp"),
        ("udp", "udp"),
        ("tunnel-gso", "tunnel-gso"),
    ] {
        let file = config(folder.path(), &format!("driver = \"{setting}\"\n"));
        let output = ringlay(&["check", "--json", "--config", &file]);
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["underlay"], "127.0.0.1");
        assert_eq!(shown["underlay_driver"], driver);
        let reason = shown["underlay_driver_reason"].as_str().unwrap();
        let configured = reason.starts_with("as configured");
        assert_eq!(configured, setting != "auto", "{reason}");
        let device = &shown["tunnel_gso"]["devices"][0];
        assert_eq!(device["name"], "lo");
        assert_eq!(device["segments_tunnels"], false);
    }
}

#[test]
fn check_and_run_refuse_a_bad_file_with_status_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("ringlay.sock");
    let file = config(folder.path(), "[[network]]\nname = \"blue\"\nvnii = 42\n");
    let socket = socket.to_str().unwrap();
    for args in [
        &["check", "--config", &file][..],
        &["run", "--config", &file, "--socket", socket][..],
    ] {
        let output = ringlay(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let expected =
            format!("ringlay: {file}:5: network.vnii: unknown key; did you mean `vni`?\n");
        assert_eq!(text(&output.stderr), expected);
        assert!(output.stdout.is_empty());
    }
    assert!(!Path::new(socket).exists(), "nothing was done");
}

#[test]
fn an_underlay_that_is_not_there_is_an_error_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringlay.toml");
    for (setting, problem) in [
        (
            "address = \"192.0.2.250\"",
            "address: 192.0.2.250 is not an address of this host",
        ),
        ("device = \"nosuch0\"", "device: there is no device nosuch0"),
        ("device = \"lo\"", "device: lo has no global address"),
    ] {
        fs::write(&file, format!("[underlay]\n{setting}\n")).unwrap();
        let output = ringlay(&["check", "--config", file.to_str().unwrap()]);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains(&format!("ringlay.toml:2: underlay.{problem}")),
            "{stderr}"
        );
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn a_missing_file_is_named() {
    let output = ringlay(&["check", "--config", "/nonexistent/ringlay.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nonexistent/ringlay.toml: No such file"));
}

#[test]
fn without_a_daemon_clients_say_so_with_status_1() {
    for args in [
        &["stats"][..],
        &["stages", "show"],
        &["stages", "on"],
        &["route", "list"],
        &["show", "config"],
    ] {
        let output = ringlay(&[&["--socket", "/nonexistent/ringlay.sock"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("no daemon at /nonexistent/ringlay.sock"),
            "{stderr}"
        );
        assert!(stderr.contains("start `ringlay run`"), "{stderr}");
    }
}

#[test]
fn wrong_usage_has_status_2() {
    for args in [
        &["route", "add", "10.0.0.0/8", "--network", "blue"][..],
        &[
            "route",
            "add",
            "10.0.0.0/8",
            "--network",
            "blue",
            "--drop",
            "--port",
            "x",
        ],
        &["frobnicate"],
        &["stats", "--watch", "0"],
        &["stages"],
        &["stages", "show", "--watch", "0"],
    ] {
        assert_eq!(ringlay(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn completions_and_version_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = ringlay(&["completions", shell]);
        assert!(
            output.status.success() && text(&output.stdout).contains("neighbour"),
            "{shell}"
        );
    }
    let version = text(&ringlay(&["--version"]).stdout);
    assert_eq!(version, format!("ringlay {}\n", env!("CARGO_PKG_VERSION")));
}
