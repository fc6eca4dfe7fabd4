//! Once warm, a driver allocates nothing.

use std::net::SocketAddr;
use std::time::Duration;

use ringlay_dataplane::batch::Batch;
use ringlay_dataplane::driver::{DriverKind, QueueId};
use ringlay_dataplane::port::tun::TunOffloads;
use ringlay_dataplane::sys::netns;
use ringlay_encap::{Encapsulation, UdpChecksum};

use crate::counting::allocations;
use crate::rig::{
    Rig, endpoint, endpoint_with, port, private_address, raw_endpoint, tun_device, underlay,
};

crate::scenarios!(moving_frames_allocates_nothing);

/// Does a round of work until all is warm, and then over and over, which may allocate nothing. Returns
/// how much came of the latter in sum.
pub(crate) fn without_allocations(mut round: impl FnMut() -> usize) -> usize {
    for _ in 0..10 {
        round();
    }
    let before = allocations();
    let sum = (0..100).map(|_| round()).sum();
    assert_eq!(allocations() - before, 0);
    // The count is of this very work.
    drop(std::hint::black_box(Box::new(0)));
    assert!(allocations() > before, "allocations are counted");
    sum
}

/// Fails if anything is allocated while frames with `data` leave by a queue and come by others.
pub(crate) fn assert_moves_without(rig: &mut Rig, out: QueueId, data: &[u8]) {
    let nowhere = SocketAddr::from(([0; 4], 0));
    let mut batch = Batch::new();
    let arrived = without_allocations(|| {
        for _ in 0..48 {
            let frame = rig.frame(data, nowhere);
            rig.driver.send(out, frame);
        }
        rig.driver.flush();
        rig.driver.wait(Some(Duration::from_secs(1))).unwrap();
        rig.driver.receive(&mut batch);
        batch.drain().filter(|frame| frame.data() == data).count()
    });
    assert!(arrived > 2_000, "{arrived} frames arrived");
}

/// Sends batches to an endpoint of the same driver, and to a TUN device.
fn round(rig: &mut Rig, batch: &mut Batch, queues: [QueueId; 4], to: SocketAddr) -> usize {
    // An IPv4 packet from nowhere, which the kernel drops.
    const PACKET: [u8; 20] = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    for number in 0..48 {
        let mut frame = rig.frame(&[number; 1_000], to);
        frame.meta.flow_hash = u32::from(number);
        rig.driver.send(queues[0], frame);
        let packet = rig.frame(&PACKET, to);
        rig.driver.send(queues[1], packet);
    }
    let mut train = rig.frame(&[1; 9_990], SocketAddr::new(to.ip(), 0));
    train.meta.segment_size = 999;
    train.meta.traffic_class = 1;
    rig.driver.send(queues[2], train);
    let mut train = rig.frame(&[1; 1_000], to);
    train.meta.segment_size = 500;
    rig.driver.send(queues[3], train);
    rig.driver.flush();
    rig.driver.wait(None).unwrap();
    rig.driver.receive(batch);
    batch.drain().filter(|frame| frame.len() >= 999).count()
}

fn moving_frames_allocates_nothing(kind: DriverKind) {
    let mut device = netns::run_in_new(|| tun_device(1, 1_500, TunOffloads::NONE))
        .expect("these tests need root");
    let mut rig = Rig::new(kind);
    let to = private_address();
    let (out, _) = rig.attach(underlay(1, endpoint(private_address(), 4, false)));
    let (tun, tun_counters) = rig.attach(port(1, &mut device));
    rig.attach(underlay(2, endpoint(to, 1, false)));
    let raw = |local| underlay(3, raw_endpoint(local, Encapsulation::Gre, 1).remove(0));
    let (raw_out, _) = rig.attach(raw(private_address()));
    let bare = endpoint_with(private_address(), UdpChecksum::Off);
    let (bare_out, bare_counters) = rig.attach(underlay(4, bare));
    let (_, raw_counters) = rig.attach(raw(to));
    let mut batch = Batch::new();
    let outs = [out, tun, raw_out, bare_out];
    let arrived = without_allocations(|| round(&mut rig, &mut batch, outs, to));
    assert!(arrived > 4_000, "{arrived} frames arrived");
    assert!(raw_counters.rx_frames.value() > 500);
    assert_eq!(bare_counters.tx_frames.value(), 110 * 2);
    assert_eq!(tun_counters.tx_frames.value(), 110 * 48);
}
