//! Datagrams through the underlay's sockets.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};

use ringlay_dataplane::driver::DriverKind;
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::frame::Ingress;
use ringlay_dataplane::id::UnderlayId;
use ringlay_encap::Encapsulation;

use crate::rig::{Rig, bind, endpoint, pattern, private_address, sizes, underlay};

/// The largest UDP payload over IPv4.
const LARGEST: usize = 65_507;

crate::scenarios!(
    every_size_arrives_intact_with_its_sender,
    ipv6_works_like_ipv4,
    flows_stay_in_order,
    a_flow_keeps_its_source_port,
    a_train_stays_whole,
    the_traffic_class_crosses_with_its_datagrams,
    the_time_to_live_is_told_where_it_is_asked_for,
    an_empty_datagram_is_a_frame,
    a_refused_datagram_does_not_disturb_its_neighbours,
    a_batch_takes_few_system_calls,
);

/// Sends from one endpoint to another of the same driver.
fn exchange(kind: DriverKind, from: SocketAddr, to: SocketAddr) {
    let mut rig = Rig::new(kind);
    let (out, tx) = rig.attach(underlay(1, endpoint(from, 1, false)));
    let (_, rx) = rig.attach(underlay(2, endpoint(to, 1, false)));
    let (mut frames, mut bytes) = (0, 0);
    let lengths: Vec<_> = sizes(LARGEST).collect();
    for (chunk, lengths) in lengths.chunks(20).enumerate() {
        let sent: Vec<_> = lengths
            .iter()
            .map(|&len| pattern((chunk * len) as u64, len))
            .collect();
        for data in &sent {
            let frame = rig.frame(data, to);
            rig.driver.send(out, frame);
            (frames, bytes) = (frames + 1, bytes + data.len() as u64);
        }
        rig.driver.flush();
        for (frame, data) in rig.collect(sent.len()).iter().zip(&sent) {
            assert_eq!(frame.data(), data);
            assert_eq!(frame.meta.ingress, Ingress::Underlay(UnderlayId(2)));
            assert_eq!(frame.meta.remote.ip(), from.ip());
            assert_eq!(frame.meta.segment_size, 0);
            assert!(frame.headroom() >= 128);
        }
    }
    assert_eq!((tx.tx_frames.value(), tx.tx_bytes.value()), (frames, bytes));
    assert_eq!((rx.rx_frames.value(), rx.rx_bytes.value()), (frames, bytes));
    assert_eq!(
        (rig.counters.sent.value(), rig.counters.received.value()),
        (frames, frames)
    );
    assert_eq!(rig.counters.total_drops(), 0);
}

fn every_size_arrives_intact_with_its_sender(kind: DriverKind) {
    exchange(kind, private_address(), private_address());
}

fn ipv6_works_like_ipv4(kind: DriverKind) {
    let address = || UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap();
    exchange(kind, address(), address());
}

fn flows_stay_in_order(kind: DriverKind) {
    const FLOWS: u32 = 8;
    const FRAMES: u32 = 20_000;
    let mut rig = Rig::new(kind);
    let to = private_address();
    let (out, _) = rig.attach(underlay(1, endpoint(private_address(), 3, false)));
    rig.attach(underlay(2, endpoint(to, 1, false)));
    let mut next = HashMap::new();
    let mut arrived = 0;
    for number in 0..FRAMES {
        // Now and then a large frame, which takes the kernel longer.
        let mut data = vec![0; if number % 31 == 0 { 9_000 } else { 64 }];
        let flow = number.wrapping_mul(2_654_435_761) >> 16 & (FLOWS - 1);
        data[..4].copy_from_slice(&flow.to_be_bytes());
        data[4..8].copy_from_slice(&number.to_be_bytes());
        let mut frame = rig.frame(&data, to);
        frame.meta.flow_hash = flow;
        rig.driver.send(out, frame);
        if number % 150 == 149 || number + 1 == FRAMES {
            rig.driver.flush();
            while arrived <= number {
                for frame in rig.next() {
                    let word =
                        |at| u32::from_be_bytes(frame.data()[at..at + 4].try_into().unwrap());
                    let last = next.insert(word(0), word(4));
                    assert!(
                        last.is_none_or(|last| last < word(4)),
                        "flow {} reordered",
                        word(0)
                    );
                    arrived += 1;
                }
            }
        }
    }
    assert_eq!(next.len(), FLOWS as usize);
    assert_eq!(rig.counters.total_drops(), 0);
}

fn a_flow_keeps_its_source_port(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    let (out, _) = rig.attach(underlay(1, endpoint(private_address(), 4, false)));
    rig.attach(underlay(2, endpoint(to, 1, false)));
    let mut ports = HashMap::new();
    for flow in (0..8u32).chain(0..8) {
        let mut frame = rig.frame(&flow.to_be_bytes(), to);
        frame.meta.flow_hash = flow;
        rig.driver.send(out, frame);
    }
    rig.driver.flush();
    for frame in rig.collect(16) {
        let port = frame.meta.remote.port();
        assert!(port >= 49_152);
        assert_eq!(*ports.entry(frame.data()[3]).or_insert(port), port);
    }
    let distinct: std::collections::HashSet<_> = ports.values().collect();
    assert_eq!((ports.len(), distinct.len()), (8, 4));
}

fn a_train_stays_whole(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    let (out, _) = rig.attach(underlay(1, endpoint(private_address(), 1, false)));
    rig.attach(underlay(2, endpoint(to, 1, true)));
    let data = pattern(1, 44 * 1_400 + 333);
    let mut train = rig.frame(&data, to);
    train.meta.segment_size = 1_400;
    let single = rig.frame(b"single", to);
    rig.driver.send(out, train);
    rig.driver.send(out, single);
    rig.driver.flush();
    let frames = rig.collect(2);
    assert_eq!(frames[0].data(), data);
    assert_eq!(frames[0].meta.segment_size, 1_400);
    assert!(frames[0].headroom() >= 128);
    assert_eq!(
        (frames[1].data(), frames[1].meta.segment_size),
        (&b"single"[..], 0)
    );
}

fn the_traffic_class_crosses_with_its_datagrams(kind: DriverKind) {
    let v6 = || UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap();
    let v4 = private_address;
    for (from, to) in [(v4(), v4()), (v6(), v6())] {
        let mut rig = Rig::new(kind);
        let (out, _) = rig.attach(underlay(1, endpoint(from, 1, false)));
        rig.attach(underlay(2, endpoint(to, 1, true)));
        let classes = [0, 1, 0, 3, 0xba, 0xff, 2];
        for (number, class) in classes.into_iter().enumerate() {
            let mut frame = rig.frame(&pattern(number as u64, 4_321), to);
            frame.meta.segment_size = if number % 2 == 0 { 1_400 } else { 0 };
            frame.meta.traffic_class = class;
            rig.driver.send(out, frame);
        }
        rig.driver.flush();
        let frames = rig.collect(classes.len());
        for (number, (frame, class)) in frames.iter().zip(classes).enumerate() {
            assert_eq!(frame.meta.traffic_class, class);
            assert_eq!(frame.meta.segment_size > 0, number % 2 == 0);
            assert_eq!(frame.data(), pattern(number as u64, 4_321));
        }
    }
}

fn the_time_to_live_is_told_where_it_is_asked_for(kind: DriverKind) {
    let v6 = || UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap();
    let v4 = private_address;
    for (from, to) in [(v4(), v4()), (v6(), v6())] {
        let mut rig = Rig::new(kind);
        let (out, _) = rig.attach(underlay(1, endpoint(from, 1, false)));
        let mut sockets = bind(to, Encapsulation::Vxlan, |_| ());
        rig.attach(underlay(2, sockets.queues.remove(0)));
        for asked in [false, true, false] {
            sockets.receivers.report_ttl(asked).unwrap();
            for (number, ttl) in [1, 9, 255].into_iter().enumerate() {
                let mut train = rig.frame(&pattern(1, 4_321), to);
                train.meta.segment_size = if number % 2 == 0 { 1_400 } else { 0 };
                train.meta.ttl = ttl;
                train.meta.traffic_class = 0xb9;
                rig.driver.send(out, train);
                rig.driver.flush();
                let meta = rig.collect(1)[0].meta;
                assert_eq!(meta.ttl, if asked { ttl } else { 0 });
                assert_eq!(meta.traffic_class, 0xb9);
                assert_eq!(meta.segment_size > 0, number % 2 == 0);
            }
        }
    }
}

fn an_empty_datagram_is_a_frame(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    rig.attach(underlay(2, endpoint(to, 1, false)));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&[], to).unwrap();
    socket.send_to(b"x", to).unwrap();
    let frames = rig.collect(2);
    assert!(frames[0].is_empty());
    assert_eq!(frames[0].meta.remote, socket.local_addr().unwrap());
    assert_eq!(frames[1].data(), b"x");
}

fn a_refused_datagram_does_not_disturb_its_neighbours(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    let (out, tx) = rig.attach(underlay(1, endpoint(private_address(), 1, false)));
    rig.attach(underlay(2, endpoint(to, 1, false)));
    let refused = [
        rig.frame(&[1; LARGEST + 1], to),
        rig.frame(b"no port", SocketAddr::new(to.ip(), 0)),
        rig.frame(b"no route", "[::1]:9".parse().unwrap()),
    ];
    for (number, bad) in refused.into_iter().enumerate() {
        let good = rig.frame(&[number as u8], to);
        rig.driver.send(out, good);
        rig.driver.send(out, bad);
    }
    // Nobody listens: the ICMP error must not spoil what follows.
    let nobody = rig.frame(b"nobody", SocketAddr::new(to.ip(), 9));
    rig.driver.send(out, nobody);
    rig.driver.flush();
    let last = rig.frame(&[3], to);
    rig.driver.send(out, last);
    rig.driver.flush();
    let data: Vec<_> = rig
        .collect(4)
        .iter()
        .map(|frame| frame.data().to_vec())
        .collect();
    assert_eq!(data, [[0], [1], [2], [3]]);
    assert_eq!(rig.drops(DropReason::UnderlayTxError), 3);
    assert_eq!(rig.counters.total_drops(), 3);
    assert_eq!((tx.tx_frames.value(), rig.counters.sent.value()), (5, 5));
}

fn a_batch_takes_few_system_calls(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    let (out, _) = rig.attach(underlay(1, endpoint(private_address(), 1, false)));
    rig.attach(underlay(2, endpoint(to, 1, false)));
    let before = rig.counters.syscalls.value();
    for _ in 0..100 {
        for _ in 0..64 {
            let frame = rig.frame(&[1; 100], to);
            rig.driver.send(out, frame);
        }
        rig.driver.flush();
        rig.collect(64);
    }
    let calls = rig.counters.syscalls.value() - before;
    assert!(
        calls <= 100 * 4,
        "{calls} system calls for 100 batches each way"
    );
}
