//! Whether this host's io_uring has all that [`super::Uring`] uses, by trying.

use std::io;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};

use crate::sys::uring::buffers::BufferRing;
use crate::sys::uring::ring::Ring;

/// Opcodes in use. Multishot receive is younger than none of them but multishot
/// read (Linux 6.7), so that its presence follows.
const OPCODES: [(&str, u8); 6] = [
    ("multishot read", opcode::ReadMulti::CODE),
    ("recvmsg", opcode::RecvMsgMulti::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
    ("write", opcode::Write::CODE),
    ("poll", opcode::PollAdd::CODE),
    ("cancel", opcode::AsyncCancel2::CODE),
];

/// Each feature, in the order it is needed, with its result; ends with the first
/// that is missing.
pub fn features() -> Vec<(&'static str, io::Result<()>)> {
    let mut features = Vec::new();
    if let Err((name, error)) = try_all(&mut features) {
        features.push((name, Err(error)));
    }
    features
}

type Missing = (&'static str, io::Error);

fn try_all(found: &mut Vec<(&'static str, io::Result<()>)>) -> Result<(), Missing> {
    let mut have = |name| found.push((name, Ok(())));
    let lacks = |name| move |error| (name, error);
    IoUring::new(2).map_err(lacks("io_uring"))?;
    have("io_uring");
    let mut ring = Ring::new(4, 8).map_err(lacks("deferred task runs"))?;
    have("deferred task runs");
    if !ring.inner().params().is_feature_ext_arg() {
        return Err(lacks("wait with timeout")(
            io::ErrorKind::Unsupported.into(),
        ));
    }
    have("wait with timeout");
    let mut probe = Probe::new();
    ring.inner()
        .submitter()
        .register_probe(&mut probe)
        .map_err(lacks("opcode probe"))?;
    for (name, code) in OPCODES {
        if !probe.is_supported(code) {
            return Err(lacks(name)(io::ErrorKind::Unsupported.into()));
        }
        have(name);
    }
    ring.inner()
        .submitter()
        .register_files_sparse(1)
        .map_err(lacks("registered files"))?;
    have("registered files");
    let buffers = BufferRing::new(&ring, 0, 1, 0).map_err(lacks("provided buffer rings"))?;
    buffers
        .unregister(&ring)
        .map_err(lacks("provided buffer rings"))?;
    have("provided buffer rings");
    round_trip(&mut ring).map_err(lacks("requests"))?;
    have("requests");
    Ok(())
}

/// Lets the kernel do nothing and report it: a filter may allow to make rings and
/// forbid to use them.
fn round_trip(ring: &mut Ring) -> io::Result<()> {
    // SAFETY: the request points to no memory.
    unsafe { ring.push(&opcode::Nop::new().build()) }?;
    ring.submit_and_wait(Some(Duration::from_secs(1)))?;
    ring.pop()
        .map(drop)
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_ends_with_the_first_that_is_missing() {
        let features = features();
        let missing = features.iter().position(|(_, result)| result.is_err());
        assert!(
            missing.is_none_or(|index| index + 1 == features.len()),
            "{features:?}"
        );
        assert_eq!(features[0].0, "io_uring");
    }
}
