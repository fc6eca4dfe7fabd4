//! Packets through TUN devices, in a network namespace of the test's own.

use std::io::Read;
use std::net::UdpSocket;
use std::time::Duration;

use ringlay_dataplane::driver::{DriverKind, QueueId};
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::frame::{Frame, Gso, Ingress};
use ringlay_dataplane::id::PortId;
use ringlay_dataplane::mempool::HEADROOM;
use ringlay_dataplane::port::tun::TunOffloads;
use ringlay_dataplane::sys::{link, netns};
use socket2::{Domain, Socket, Type};

use crate::rig::{FRAMES, HERE, Rig, THERE, pattern, port, sizes, tun_device};
use crate::train::{Train, connected};

/// IPv4 and UDP headers.
const HEADERS: usize = 28;

crate::scenarios!(
    every_size_passes_both_ways,
    super_frames_pass_both_ways,
    two_queues_serve_one_device,
    a_deleted_device_is_quiet_and_refuses_packets,
    a_detached_device_is_gone,
    many_queues_share_the_memory,
);

fn in_namespace(test: impl FnOnce() + Send) {
    netns::run_in_new(test).expect("these tests need root");
}

/// A socket of the host whose datagrams to [`THERE`] leave by the device.
fn host_socket() -> UdpSocket {
    connected(HERE, THERE)
}

/// Whether it is one of the test's packets and no noise of the kernel's.
fn is_ours(frame: &Frame) -> bool {
    let data = frame.data();
    data.len() >= HEADERS && data[0] == 0x45 && data[9] == 17 && data[16..20] == THERE.octets()
}

/// Turns a packet round; its checksums stay valid.
fn reflect(frame: &mut Frame) {
    let data = frame.data_mut();
    let (source, destination) = data[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    let (source, destination) = data[20..24].split_at_mut(2);
    source.swap_with_slice(destination);
}

fn next_packet(rig: &mut Rig) -> Frame {
    rig.next_of(is_ours)
}

fn every_size_passes_both_ways(kind: DriverKind) {
    in_namespace(|| {
        let mut rig = Rig::new(kind);
        let mut device = tun_device(1, 65_535, TunOffloads::NONE);
        let (queue, counters) = rig.attach(port(7, &mut device));
        let socket = host_socket();
        let mut buffer = vec![0; 70_000];
        let (mut count, mut bytes) = (0, 0);
        for (seed, len) in sizes(65_535 - HEADERS).enumerate() {
            let data = pattern(seed as u64, len);
            socket.send(&data).unwrap();
            let mut packet = next_packet(&mut rig);
            assert_eq!(&packet.data()[HEADERS..], data);
            assert_eq!(packet.headroom(), HEADROOM);
            assert_eq!(packet.meta.ingress, Ingress::Port(PortId(7)));
            assert!(
                !packet.meta.offload.needs_checksum,
                "the kernel finishes checksums"
            );
            assert_eq!(packet.meta.offload.gso, Gso::None);
            (count, bytes) = (count + 1, bytes + packet.len() as u64);
            reflect(&mut packet);
            rig.driver.send(queue, packet);
            rig.driver.flush();
            assert_eq!(socket.recv(&mut buffer).unwrap(), len);
            assert_eq!(buffer[..len], data);
        }
        assert_eq!(
            (counters.tx_frames.value(), counters.tx_bytes.value()),
            (count, bytes)
        );
        assert!(counters.rx_frames.value() >= count && counters.rx_bytes.value() >= bytes);
        assert_eq!(rig.counters.total_drops(), 0);
    });
}

fn super_frames_pass_both_ways(kind: DriverKind) {
    in_namespace(|| {
        let mut rig = Rig::new(kind);
        let wanted = TunOffloads::CSUM | TunOffloads::USO4 | TunOffloads::USO6;
        let mut device = tun_device(1, 1_500, wanted);
        assert_eq!(device.offloads, wanted, "refused: {:?}", device.refused);
        let (queue, _) = rig.attach(port(7, &mut device));
        let socket = host_socket();
        let train = Train::send(&rig, &socket, THERE);
        let mut packet = next_packet(&mut rig);
        train.assert_whole(&packet, HEADERS);
        reflect(&mut packet);
        rig.driver.send(queue, packet);
        rig.driver.flush();
        train.assert_cut(&socket);
    });
}

fn two_queues_serve_one_device(kind: DriverKind) {
    in_namespace(|| {
        let mut rig = Rig::new(kind);
        let mut device = tun_device(2, 1_400, TunOffloads::NONE);
        let (first, _) = rig.attach(port(1, &mut device));
        let (second, _) = rig.attach(port(2, &mut device));
        assert_ne!(first, second);
        let mut seen = [false; 2];
        // The kernel spreads flows by their hash.
        for _ in 0..64 {
            let socket = host_socket();
            socket.send(b"flow").unwrap();
            let mut packet = next_packet(&mut rig);
            let Ingress::Port(PortId(id)) = packet.meta.ingress else {
                panic!()
            };
            seen[usize::from(id) - 1] = true;
            reflect(&mut packet);
            rig.driver
                .send(if id == 1 { first } else { second }, packet);
            rig.driver.flush();
            assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 4);
        }
        assert_eq!(seen, [true; 2]);
    });
}

/// Deletes a device of this thread's namespace (`rtnetlink(7)`, RTM_DELLINK). Not
/// by running `ip`: a child holds the descriptors of all tests until it execs.
fn delete(index: u32) {
    const RTM_DELLINK: u16 = 17;
    const NLM_F_REQUEST_ACK: u16 = 5;
    let mut message = 32u32.to_ne_bytes().to_vec();
    message.extend(RTM_DELLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.resize(20, 0);
    message.extend(index.to_ne_bytes());
    message.resize(32, 0);
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, None).unwrap();
    socket.send(&message).unwrap();
    let mut reply = [0; 64];
    assert!((&socket).read(&mut reply).unwrap() >= 20);
    assert_eq!(reply[16..20], [0; 4], "the error number");
}

fn a_deleted_device_is_quiet_and_refuses_packets(kind: DriverKind) {
    in_namespace(|| {
        let mut rig = Rig::new(kind);
        let mut device = tun_device(1, 1_400, TunOffloads::NONE);
        let (queue, _) = rig.attach(port(1, &mut device));
        host_socket().send(b"alive").unwrap();
        next_packet(&mut rig);
        delete(device.index);
        // It may take a few turns to notice; after that, waiting must block.
        for _ in 0..64 {
            rig.driver.wait(Some(Duration::from_millis(1))).unwrap();
            assert!(rig.poll().iter().all(|frame| !is_ours(frame)));
        }
        rig.assert_waits();
        for _ in 0..3 {
            let frame = rig.pool.copy_of(&[0x45; 100]).unwrap();
            rig.driver.send(queue, frame);
        }
        rig.driver.flush();
        rig.settle(rig.counters.sent.value() + 3);
        assert_eq!(rig.drops(DropReason::PortTxError), 3);
        rig.driver.detach(queue);
        drop(rig.driver);
        assert_eq!(rig.pool.available(), FRAMES as usize);
    });
}

fn a_detached_device_is_gone(kind: DriverKind) {
    in_namespace(|| {
        let mut rig = Rig::new(kind);
        let mut device = tun_device(1, 1_400, TunOffloads::NONE);
        let (queue, _) = rig.attach(port(1, &mut device));
        let socket = host_socket();
        for _ in 0..20 {
            socket.send(b"in flight").unwrap();
        }
        rig.driver.detach(queue);
        assert_eq!(
            link::index(&device.name).unwrap_err().raw_os_error(),
            Some(19),
            "ENODEV"
        );
        assert!(rig.poll().is_empty());
        let frame = rig.pool.copy_of(b"late").unwrap();
        rig.driver.send(queue, frame);
        rig.driver.detach(queue);
        rig.driver.detach(QueueId(u16::MAX));
        assert_eq!(
            rig.drops(DropReason::PortGone),
            rig.counters.received.value() + 1
        );
    });
}

fn many_queues_share_the_memory(kind: DriverKind) {
    const QUEUES: usize = 24;
    in_namespace(|| {
        let mut rig = Rig::new(kind);
        let mut device = tun_device(QUEUES, 1_400, TunOffloads::NONE);
        for id in 0..QUEUES {
            rig.attach(port(id as u16, &mut device));
        }
        // Flows are spread over the queues, so that nearly all of them get some.
        let sockets: Vec<_> = (0..8 * QUEUES).map(|_| host_socket()).collect();
        for round in 0..5 {
            for socket in &sockets {
                socket.send(&[round; 100]).unwrap();
            }
            let mut left = sockets.len();
            while left > 0 {
                left -= rig.next().iter().filter(|frame| is_ours(frame)).count();
            }
        }
    });
}
