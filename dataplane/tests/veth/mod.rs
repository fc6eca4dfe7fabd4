//! A veth pair in a namespace of its own.

use ringlay_dataplane::sys::netns;

use crate::ip::ip;

/// Runs a test in a namespace with the devices `near` and `far`, a veth pair, both up.
pub(crate) fn with_pair(test: impl FnOnce() + Send) {
    let run = || {
        ip("link add near type veth peer name far");
        for device in ["near", "far"] {
            ip(&format!("link set {device} addrgenmode none up"));
        }
        test();
    };
    netns::run_in_new(run).expect("these tests need root");
}
