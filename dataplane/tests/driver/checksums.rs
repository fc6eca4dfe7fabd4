//! UDP sockets without checksums.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ringlay_dataplane::driver::DriverKind;
use ringlay_encap::UdpChecksum;

use crate::rig::{Rig, endpoint_with, pattern, private_address, underlay};

crate::scenarios!(
    a_train_arrives_without_checksums,
    over_ipv6_zero_is_sent_and_taken_only_if_asked_for,
);

fn v6_address() -> SocketAddr {
    UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap()
}

fn a_train_arrives_without_checksums(kind: DriverKind) {
    for (from, to) in [
        (private_address(), private_address()),
        (v6_address(), v6_address()),
    ] {
        let mut rig = Rig::new(kind);
        let (out, tx) = rig.attach(underlay(1, endpoint_with(from, UdpChecksum::Off)));
        rig.attach(underlay(2, endpoint_with(to, UdpChecksum::Off)));
        let data = pattern(1, 44 * 1_400 + 333);
        for round in 0..2 {
            let mut train = rig.frame(&data, to);
            train.meta.segment_size = 1_400;
            train.meta.traffic_class = 0xb8;
            rig.driver.send(out, train);
            let mut single = rig.frame(b"single", to);
            single.meta.oversized = round == 1;
            rig.driver.send(out, single);
            rig.driver.flush();
            let frames = rig.collect(46);
            assert!(frames[..45].iter().all(|it| it.meta.traffic_class == 0xb8));
            let mut arrived: Vec<u8> = Vec::new();
            frames.iter().for_each(|it| arrived.extend(it.data()));
            assert_eq!(arrived, [&data[..], b"single"].concat());
        }
        assert_eq!(tx.tx_frames.value(), 2 * 46);
        assert_eq!(rig.counters.total_drops(), 0);
    }
}

fn over_ipv6_zero_is_sent_and_taken_only_if_asked_for(kind: DriverKind) {
    for (policy, is_sent) in [
        (UdpChecksum::On, true),
        (UdpChecksum::Sent, true),
        (UdpChecksum::Off, false),
    ] {
        let mut rig = Rig::new(kind);
        // The kernel discards what comes to an ordinary socket without a checksum.
        let ordinary = UdpSocket::bind("[::1]:0").unwrap();
        ordinary
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let (out, _) = rig.attach(underlay(1, endpoint_with(v6_address(), policy)));
        let frame = rig.frame(b"first", ordinary.local_addr().unwrap());
        rig.driver.send(out, frame);
        rig.driver.flush();
        rig.settle(1);
        let other = UdpSocket::bind("[::1]:0").unwrap();
        let to = ordinary.local_addr().unwrap();
        other.send_to(b"second", to).unwrap();
        let mut bytes = [0; 16];
        let len = ordinary.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..len] == b"first", is_sent, "{policy}");
    }
    for (policy, accepted) in [
        (UdpChecksum::On, false),
        (UdpChecksum::Sent, true),
        (UdpChecksum::Off, true),
    ] {
        let (mut sender, mut rig) = (Rig::new(kind), Rig::new(kind));
        let to = v6_address();
        let sockets = endpoint_with(v6_address(), UdpChecksum::Off);
        let (out, _) = sender.attach(underlay(1, sockets));
        rig.attach(underlay(2, endpoint_with(to, policy)));
        let frame = sender.frame(b"first", to);
        sender.driver.send(out, frame);
        sender.driver.flush();
        sender.settle(1);
        let other = UdpSocket::bind("[::1]:0").unwrap();
        other.send_to(b"second", to).unwrap();
        let frames = rig.next();
        assert_eq!(frames[0].data() == b"first", accepted, "{policy}");
    }
}
