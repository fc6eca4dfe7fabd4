//! `ringlay-cni install` and `check-host`, as a person runs them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the plugin at `program` with the folder's directories.
fn ringlay_cni(program: &str, folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env_clear().args(arguments);
    for (option, name) in [
        ("--bin-dir", "bin"),
        ("--conf-dir", "net.d"),
        ("--socket", "sock"),
    ] {
        command.arg(option).arg(folder.path().join(name));
    }
    command.output().unwrap()
}

const PLUGIN: &str = env!("CARGO_BIN_EXE_ringlay-cni");

#[test]
fn what_is_installed_runs_and_can_be_installed_again() {
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join("bin/ringlay-cni");
    let mut program = PLUGIN;
    for _ in 0..2 {
        let install = ["install", "--network", "blue", "--portmap"];
        let output = ringlay_cni(program, &folder, &install);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        program = installed.to_str().unwrap();
    }
    assert_eq!(
        fs::metadata(&installed).unwrap().permissions().mode() & 0o777,
        0o755
    );
    let files = fs::read_dir(folder.path().join("net.d")).unwrap();
    let files: Vec<_> = files.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(
        files,
        ["10-blue.conflist"],
        "nothing is left of the writing"
    );
    let list = fs::read(folder.path().join("net.d/10-blue.conflist")).unwrap();
    let expected = json!({
        "cniVersion": "1.0.0",
        "name": "blue",
        "plugins": [
            {
                "type": "ringlay-cni",
                "network": "blue",
                "socket": folder.path().join("sock"),
                "capabilities": { "ips": true, "ipRanges": true },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    assert_eq!(serde_json::from_slice::<Value>(&list).unwrap(), expected);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |folder| {
        let output = ringlay_cni(PLUGIN, folder, &["check-host", "--network=blue"]);
        assert_eq!(output.status.code(), Some(1), "there is no daemon");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = check(&folder);
    for what in ["plugin", "configuration", "daemon and network"] {
        assert!(shown.contains(&format!("MISSING  {what}: ")), "{shown}");
    }
    assert!(
        ringlay_cni(PLUGIN, &folder, &["install", "--network", "blue"])
            .status
            .success()
    );
    let shown = check(&folder);
    assert!(
        shown.contains("ok       plugin") && shown.contains("ok       configuration"),
        "{shown}"
    );
    let bin = folder.path().join("bin");
    fs::rename(bin.join("ringlay-cni"), bin.join("portmap")).unwrap();
    symlink("/bin/echo", bin.join("ringlay-cni")).unwrap();
    let shown = check(&folder);
    assert!(shown.contains("is another version (echo "), "{shown}");
    let chained = ["install", "--network", "blue", "--portmap"];
    assert!(ringlay_cni(PLUGIN, &folder, &chained).status.success());
    assert!(check(&folder).contains("ok       configuration"));
    fs::remove_file(bin.join("portmap")).unwrap();
    let shown = check(&folder);
    assert!(shown.contains("conflist needs `portmap`, which"), "{shown}");
    fs::write(
        folder.path().join("net.d/05-other.conf"),
        r#"{"type": "bridge"}"#,
    )
    .unwrap();
    let shown = check(&folder);
    assert!(
        shown.contains("05-other.conf comes before 10-blue.conflist"),
        "{shown}"
    );
}

#[test]
fn a_name_that_cannot_be_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = ringlay_cni(PLUGIN, &folder, &["install", "--name", "a/b"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("`a/b` cannot be the name"), "{stderr}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
