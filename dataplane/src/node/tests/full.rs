//! An output whose room is taken by what was cut: what comes after is dropped under a name.

use super::super::CUT_OUTPUT;
use super::link::{self, LINK};
use super::super_frames::bytes;
use super::*;

#[test]
fn an_error_finds_no_room_behind_packets_that_were_cut() {
    const SUPER_FRAMES: usize = 40;
    const PACKETS: usize = 60_000_usize.div_ceil(1300);
    let mut rig = link::rig(false);
    let payload = bytes(60_000);
    let mut frames: Vec<_> = (0..SUPER_FRAMES)
        .map(|_| link::super_frame_for_host(&rig, &payload, 1300))
        .collect();
    // Its sender is to be told, and that leaves by a port as well.
    let nowhere = udp4("10.42.1.1", "10.99.0.1", 64, b"x");
    frames.push(rig.frame(Ingress::Port(PORT), &nowhere));
    let (ports, _) = rig.run(frames);
    assert_eq!(ports.len(), CUT_OUTPUT);
    assert!(ports.iter().all(|frame| frame.meta.egress == LINK));
    assert_eq!(rig.drops(DropReason::NoRoute), 1);
    let over = SUPER_FRAMES * PACKETS + 1 - CUT_OUTPUT;
    assert_eq!(rig.drops(DropReason::PortTxFull), over as u64);
}
