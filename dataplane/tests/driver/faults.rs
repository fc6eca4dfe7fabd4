//! What the kernel may do to a driver: refuse, cut off, run out.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use ringlay_dataplane::driver::{DriverConfig, DriverKind, Queue};
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::id::{PortId, UnderlayId};
use ringlay_dataplane::port::tun::VNET_HEADER_LEN;

use crate::rig::{Rig, endpoint, private_address, underlay};

crate::scenarios!(
    a_truncated_datagram_is_dropped_alone,
    a_truncated_packet_is_dropped_alone,
    an_unknown_kind_of_segmentation_is_dropped_alone,
    a_full_queue_drops_the_newest_and_keeps_the_order,
    an_empty_pool_delays_and_loses_nothing,
    received_frames_take_a_bounded_share_of_the_pool,
    one_busy_queue_does_not_starve_another,
);

/// A queue that the test has the other end of, in place of a TUN device.
fn packet_queue() -> (Queue, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (
        Queue::Tun {
            port: PortId(1),
            fd: OwnedFd::from(ours),
        },
        theirs,
    )
}

fn with_header(data: &[u8]) -> Vec<u8> {
    [&[0; VNET_HEADER_LEN], data].concat()
}

fn a_truncated_datagram_is_dropped_alone(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    // No UDP datagram is larger than a frame.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (id, receiver) = (UnderlayId(1), OwnedFd::from(ours));
    rig.attach(Queue::Underlay {
        id,
        receiver,
        senders: Vec::new(),
        trains: true,
    });
    for data in [&b"before"[..], &[1; 80_000], b"after"] {
        theirs.send(data).unwrap();
    }
    let frames = rig.collect(2);
    assert_eq!(
        (frames[0].data(), frames[1].data()),
        (&b"before"[..], &b"after"[..])
    );
    assert_eq!(rig.drops(DropReason::RxTruncated), 1);
    assert_eq!(rig.counters.received.value(), 3);
}

fn a_truncated_packet_is_dropped_alone(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let (queue, theirs) = packet_queue();
    rig.attach(queue);
    let short = [0; VNET_HEADER_LEN - 1];
    for data in [
        &with_header(b"before")[..],
        &[0; 80_000],
        &short,
        &with_header(b"after"),
    ] {
        theirs.send(data).unwrap();
    }
    let frames = rig.collect(2);
    assert_eq!(
        (frames[0].data(), frames[1].data()),
        (&b"before"[..], &b"after"[..])
    );
    assert_eq!(rig.drops(DropReason::RxTruncated), 2);
    assert_eq!(rig.counters.received.value(), 4);
}

fn an_unknown_kind_of_segmentation_is_dropped_alone(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let (queue, theirs) = packet_queue();
    rig.attach(queue);
    let mut odd = with_header(b"odd");
    odd[1] = 3; // VIRTIO_NET_HDR_GSO_UDP: fragmentation
    theirs.send(&odd).unwrap();
    theirs.send(&with_header(b"plain")).unwrap();
    assert_eq!(rig.collect(1)[0].data(), b"plain");
    assert_eq!(rig.drops(DropReason::RxTruncated), 1);
}

fn a_full_queue_drops_the_newest_and_keeps_the_order(kind: DriverKind) {
    const COUNT: u64 = 2_000;
    let mut rig = Rig::new(kind);
    let (queue, theirs) = packet_queue();
    let (id, counters) = rig.attach(queue);
    for number in 0..COUNT {
        let frame = rig.pool.copy_of(&number.to_be_bytes()).unwrap();
        rig.driver.send(id, frame);
        if number % 50 == 0 {
            rig.driver.flush();
        }
    }
    rig.driver.flush();
    rig.settle(COUNT);
    let sent = counters.tx_frames.value();
    assert!(sent > 0 && sent < COUNT);
    assert_eq!(rig.drops(DropReason::PortTxFull), COUNT - sent);
    theirs.set_nonblocking(true).unwrap();
    let mut packet = [0; 64];
    for number in 0..sent {
        let len = theirs.recv(&mut packet).unwrap();
        assert_eq!(packet[VNET_HEADER_LEN..len], number.to_be_bytes());
    }
    assert!(
        theirs.recv(&mut packet).is_err(),
        "more arrived than was counted"
    );
}

fn an_empty_pool_delays_and_loses_nothing(kind: DriverKind) {
    const FRAMES: u32 = 24;
    const COUNT: u8 = 200;
    let config = DriverConfig {
        receive_buffers: 8,
        ..DriverConfig::default()
    };
    let mut rig = Rig::with(kind, FRAMES, config);
    let to = private_address();
    rig.attach(underlay(1, endpoint(to, 1, false)));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..COUNT {
        socket.send_to(&[number], to).unwrap();
    }
    let mut next = 0;
    while next < COUNT {
        // Hold on to everything until there is nothing left to receive into.
        let left = usize::from(COUNT - next);
        let held = rig.collect(left.min(FRAMES as usize));
        if left > held.len() {
            for _ in 0..3 {
                // More is there, and nobody will wake us when memory is.
                rig.driver.wait(None).unwrap();
                assert!(rig.poll().is_empty());
            }
        }
        for frame in held {
            assert_eq!(frame.data(), [next]);
            next += 1;
        }
    }
    assert_eq!(rig.counters.received.value(), u64::from(COUNT));
    assert_eq!(rig.counters.total_drops(), 0);
    drop(rig.driver);
    assert_eq!(rig.pool.available(), FRAMES as usize);
}

fn received_frames_take_a_bounded_share_of_the_pool(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let addresses = [private_address(), private_address()];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut sent, mut arrived) = (0, 0);
    for (id, to) in addresses.into_iter().enumerate() {
        rig.attach(underlay(id as u16, endpoint(to, 1, false)));
        for _ in 0..500 {
            socket.send_to(b"frame", to).unwrap();
            sent += 1;
        }
    }
    let share = 2 * usize::from(DriverConfig::default().receive_buffers);
    while arrived < sent {
        arrived += rig.next().len();
        assert!(rig.pool.available() >= crate::rig::FRAMES as usize - share);
    }
}

fn one_busy_queue_does_not_starve_another(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let (busy, quiet) = (private_address(), private_address());
    rig.attach(underlay(1, endpoint(busy, 1, false)));
    rig.attach(underlay(2, endpoint(quiet, 1, false)));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let flood = || (0..200).for_each(|_| assert!(socket.send_to(b"busy", busy).is_ok()));
    flood();
    rig.next();
    for _ in 0..20 {
        flood();
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(b"quiet", quiet)
            .unwrap();
        let mut batches = 0;
        while !rig.next().iter().any(|frame| frame.data() == b"quiet") {
            batches += 1;
            flood();
            assert!(
                batches < 8,
                "a frame waits for {batches} batches of another queue"
            );
        }
    }
}
