//! What a container runtime of others finds on a host: the plugin as `ringlay-cni install` puts it
//! there, and a root file system for its containers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::host::{Host, run};

/// The name of the network, for runtimes that ask by it.
pub(crate) const NETWORK: &str = "mynet";

/// Fills `folder`: plugins in `bin`, configurations in `net.d`, and `rootfs`.
pub(crate) fn install(folder: &Path, host: &Host) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let options = [
        ("--bin-dir", at("bin")),
        ("--conf-dir", at("net.d")),
        ("--network", "blue".to_owned()),
        ("--name", NETWORK.to_owned()),
        ("--socket", host.socket().to_str().unwrap().to_owned()),
    ];
    let mut arguments = vec!["install"];
    for (option, value) in &options {
        arguments.extend([*option, value]);
    }
    run(env!("CARGO_BIN_EXE_ringlay-cni"), &arguments);
    fs::copy("/usr/lib/cni/loopback", at("bin/loopback")).unwrap();
    make_rootfs(&folder.join("rootfs"));
}

/// A root file system with nothing but busybox in it, and something to be fetched.
fn make_rootfs(rootfs: &Path) {
    for folder in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
        fs::create_dir_all(rootfs.join(folder)).unwrap();
    }
    let busybox = run("sh", &["-c", "command -v busybox"]);
    fs::copy(busybox.trim(), rootfs.join("bin/busybox")).unwrap();
    for applet in ["ping", "ip", "wget", "httpd", "nslookup"] {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    fs::write(rootfs.join("etc/hello"), "hello from here\n").unwrap();
}

/// A command in a network namespace, to be completed.
pub(crate) fn inside(netns: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", netns.display()));
    command
}
