//! What the demo needs of the host, checked before anything is made.

use std::fs::OpenOptions;

use nix::unistd::geteuid;
use ringlay_dataplane::sys::netns;

use super::{DemoArgs, keep};
use crate::lab::namespace;
use crate::lab::traffic::iperf3::Iperf3;

/// What is missing, a line each with what to do about it; empty if the demo can run.
pub(super) fn missing(args: &DemoArgs) -> Vec<String> {
    let mut missing = Vec::new();
    if !geteuid().is_root() {
        missing.push("root: it makes network namespaces and devices; run it with sudo".to_owned());
    }
    if args.clean {
        return missing;
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open(TUN) {
        missing.push(format!(
            "{TUN} ({error}): load the module with `modprobe tun`; a container needs \
             `--device {TUN}`"
        ));
    }
    if missing.is_empty()
        && let Err(error) = netns::run_in_new(|| ())
    {
        missing.push(format!(
            "the right to make network namespaces ({error}): a container needs \
             `--cap-add SYS_ADMIN --cap-add NET_ADMIN`"
        ));
    }
    if args.traffic == "iperf3" && Iperf3::find().is_none() {
        missing.push("iperf3: install it, or leave out `--traffic iperf3`".to_owned());
    }
    if args.keep && !namespace::list(keep::KEPT_HOSTS).is_empty() {
        missing.push("room: a kept demo is up; end it with `ringlay demo --clean`".to_owned());
    }
    missing
}

const TUN: &str = "/dev/net/tun";
