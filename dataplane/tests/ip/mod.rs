//! The `ip` command, in the namespace of the calling thread.

use std::process::Command;

/// Runs `ip` with these arguments, separated by blanks.
#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}
