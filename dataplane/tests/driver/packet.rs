//! Frames by packet sockets on one end of a veth pair, whose other end the host has.

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ringlay_dataplane::counters::QueueCounters;
use ringlay_dataplane::driver::{DriverKind, Queue, QueueId};
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::frame::{Frame, Ingress};
use ringlay_dataplane::id::PortId;
use ringlay_dataplane::port::packet::{self, OpenPacketError, PacketConfig};
use ringlay_dataplane::port::station::Station;
use ringlay_dataplane::port::tap;
use ringlay_dataplane::port::tun::{Life, TunConfig, TunOffloads};
use ringlay_dataplane::sys::link;
use ringlay_encap::MacAddr;

use crate::allocations::assert_moves_without;
use crate::ip::ip;
use crate::rig::{FRAMES, Rig, pattern, sizes};
use crate::train::{Train, connected};
use crate::veth::with_pair;

crate::scenarios!(
    every_size_passes_both_ways,
    super_frames_pass_both_ways,
    flows_are_spread_and_stay,
    a_device_that_is_down_is_quiet,
    a_device_that_is_gone_is_no_trouble,
    a_packet_that_cannot_be_told_is_lost_alone,
    moving_frames_allocates_nothing,
);

/// Who we are on the near device.
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 42;

fn config(device: &str, workers: usize) -> PacketConfig {
    PacketConfig {
        device: device.to_owned(),
        index: link::index(device).unwrap(),
        station: Station {
            mac: MAC,
            addresses: vec![HERE.into()],
            proxy: false,
        },
        workers,
    }
}

/// The queues of a device's ports, of which there are as many as workers would be.
struct Served {
    senders: Vec<QueueId>,
    /// By port, those of all of its sockets.
    counters: Vec<Vec<Arc<QueueCounters>>>,
    _membership: OwnedFd,
}

impl Served {
    fn new(rig: &mut Rig, device: &str, workers: usize) -> Self {
        let opened = packet::open(&config(device, workers)).expect("these tests need root");
        let (mut senders, mut counters) = (Vec::new(), Vec::new());
        for (id, sockets) in (0..).zip(opened.queues) {
            let port = PortId(id);
            let attach = |fd| rig.attach(Queue::Packet { port, fd });
            let (queues, those): (Vec<_>, Vec<_>) = sockets.into_iter().map(attach).unzip();
            senders.push(queues[0]);
            counters.push(those);
        }
        Self {
            senders,
            counters,
            _membership: opened.membership,
        }
    }

    fn received(&self, port: usize) -> u64 {
        let counters = self.counters[port].iter();
        counters.map(|it| it.rx_frames.value()).sum()
    }
}

/// A host at the far end.
fn host_socket() -> UdpSocket {
    connected(THERE, HERE)
}

/// Runs a test with the far device as that of a host who knows us.
fn with_host(test: impl FnOnce() + Send) {
    with_pair(|| {
        ip(&format!("address add {THERE}/24 dev far"));
        ip(&format!("neighbour add {HERE} lladdr {MAC} dev far"));
        test();
    });
}

/// Whether it is one of the test's packets and no noise of the kernel's.
fn is_ours(frame: &Frame) -> bool {
    let data = frame.data();
    data.len() >= HEADERS && data[..6] == MAC.0 && data[30..34] == HERE.octets()
}

fn next_packet(rig: &mut Rig) -> Frame {
    rig.next_of(is_ours)
}

/// Turns a packet round; its checksums stay as they are.
fn reflect(frame: &mut Frame) {
    let data = frame.data_mut();
    for (from, len) in [(0, 6), (26, 4), (34, 2)] {
        let (one, other) = data[from..from + 2 * len].split_at_mut(len);
        one.swap_with_slice(other);
    }
}

fn every_size_passes_both_ways(kind: DriverKind) {
    with_host(|| {
        let mut rig = Rig::new(kind);
        for device in ["near", "far"] {
            ip(&format!("link set {device} mtu 65535"));
        }
        let served = Served::new(&mut rig, "near", 1);
        let socket = host_socket();
        let mut buffer = vec![0; 70_000];
        let mut count = 0;
        for (seed, len) in sizes(65_507).enumerate() {
            let data = pattern(seed as u64, len);
            socket.send(&data).unwrap();
            let mut packet = next_packet(&mut rig);
            assert_eq!(&packet.data()[HEADERS..], data);
            assert_eq!(packet.meta.ingress, Ingress::Ethernet(PortId(0)));
            reflect(&mut packet);
            rig.driver.send(served.senders[0], packet);
            rig.driver.flush();
            assert_eq!(socket.recv(&mut buffer).unwrap(), len);
            assert_eq!(buffer[..len], data);
            count += 1;
        }
        assert_eq!(served.received(0), count);
        assert_eq!(served.counters[0][0].tx_frames.value(), count);
        assert_eq!(rig.counters.total_drops(), 0);
    });
}

fn super_frames_pass_both_ways(kind: DriverKind) {
    with_host(|| {
        let mut rig = Rig::new(kind);
        let served = Served::new(&mut rig, "near", 1);
        let socket = host_socket();
        let train = Train::send(&rig, &socket, HERE);
        let mut packet = next_packet(&mut rig);
        train.assert_whole(&packet, HEADERS);
        reflect(&mut packet);
        rig.driver.send(served.senders[0], packet);
        rig.driver.flush();
        train.assert_cut(&socket);
    });
}

fn flows_are_spread_and_stay(kind: DriverKind) {
    with_host(|| {
        let mut rig = Rig::new(kind);
        let served = Served::new(&mut rig, "near", 2);
        let flows: Vec<_> = (0..64).map(|_| host_socket()).collect();
        let mut ports = vec![None; flows.len()];
        for round in 0..4 {
            for (flow, port) in flows.iter().zip(&mut ports) {
                flow.send(&[round; 20]).unwrap();
                let Ingress::Ethernet(id) = next_packet(&mut rig).meta.ingress else {
                    panic!()
                };
                assert_eq!(*port.get_or_insert(id), id, "the flow moved");
            }
        }
        let counts = [served.received(0), served.received(1)];
        assert_eq!(counts[0] + counts[1], 4 * 64, "each by one socket");
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    });
}

fn a_device_that_is_down_is_quiet(kind: DriverKind) {
    with_host(|| {
        let mut rig = Rig::new(kind);
        let served = Served::new(&mut rig, "near", 2);
        // More often than a queue may fail.
        for _ in 0..40 {
            ip("link set near down");
            rig.driver.wait(Some(Duration::from_millis(1))).unwrap();
            rig.poll();
            ip("link set near up");
        }
        ip("link set near down");
        for _ in 0..8 {
            rig.driver.wait(Some(Duration::from_millis(1))).unwrap();
            rig.poll();
        }
        rig.assert_waits();
        let frame = rig.frame(&pattern(1, 100), (HERE, 9).into());
        rig.driver.send(served.senders[0], frame);
        rig.driver.flush();
        rig.settle(1);
        assert_eq!(rig.drops(DropReason::PortTxError), 1);
        ip("link set near up");
        ip(&format!("neighbour replace {HERE} lladdr {MAC} dev far"));
        for _ in 0..16 {
            host_socket().send(b"up again").unwrap();
            next_packet(&mut rig);
        }
    });
}

fn a_device_that_is_gone_is_no_trouble(kind: DriverKind) {
    with_host(|| {
        let mut rig = Rig::new(kind);
        let served = Served::new(&mut rig, "near", 1);
        host_socket().send(b"alive").unwrap();
        next_packet(&mut rig);
        ip("link delete near");
        for number in 0..100 {
            let frame = rig.frame(&pattern(number, 100), (HERE, 9).into());
            rig.driver.send(served.senders[0], frame);
            rig.driver.flush();
        }
        rig.settle(100);
        assert_eq!(rig.drops(DropReason::PortTxError), 100);
        assert!(rig.poll().is_empty());
        drop(rig.driver);
        assert_eq!(rig.pool.available(), FRAMES as usize);
    });
}

/// A super-frame of a kind that sockets have no word for: UDP to be fragmented, which a TAP device of
/// others may hand over.
fn a_packet_that_cannot_be_told_is_lost_alone(kind: DriverKind) {
    with_pair(|| {
        let tap = TunConfig {
            name: "tap0".to_owned(),
            netns: None,
            queues: 1,
            mtu: 1_500,
            offloads: TunOffloads::NONE,
            life: Life::Queues,
        };
        let mut tap = tap::open(&tap).unwrap();
        let mut far = std::fs::File::from(tap.queues.remove(0));
        let mut rig = Rig::new(kind);
        let served = Served::new(&mut rig, "tap0", 1);
        let mut frame = [&MAC.0[..], &[2, 0, 0, 0, 0, 9, 8, 0]].concat();
        frame.extend([0x45, 0, 0x0f, 0xbc, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend(THERE.octets().iter().chain(&HERE.octets()));
        frame.extend([0, 1, 0, 2, 0x0f, 0xa8, 0, 0]);
        frame.extend([7; 4_000]);
        let mut odd = vec![1, 3];
        for word in [42u16, 1_480, 34, 6] {
            odd.extend(word.to_ne_bytes());
        }
        odd.extend(&frame);
        let plain = [&[0; 10], &frame[..1_000]].concat();
        // More in a row than a queue may fail.
        for _ in 0..40 {
            far.write_all(&odd).unwrap();
        }
        far.write_all(&plain).unwrap();
        assert_eq!(next_packet(&mut rig).data(), &frame[..1_000]);
        assert_eq!(rig.drops(DropReason::RxTruncated), 40);
        assert_eq!(served.received(0), 1);
    });
}

fn moving_frames_allocates_nothing(kind: DriverKind) {
    with_host(|| {
        let mut rig = Rig::new(kind);
        let served = Served::new(&mut rig, "near", 2);
        let far = PacketConfig {
            station: Station {
                mac: MacAddr([2, 0, 0, 0, 0, 8]),
                ..config("far", 1).station
            },
            ..config("far", 1)
        };
        let opened = packet::open(&far).unwrap();
        let mut sockets = opened.queues.into_iter().flatten();
        let (out, _) = rig.attach(Queue::Packet {
            port: PortId(9),
            fd: sockets.next().unwrap(),
        });
        let mut data = [&MAC.0[..], &[2, 0, 0, 0, 0, 8, 8, 0, 0x45, 0]].concat();
        data.extend(pattern(1, 1_000));
        assert_moves_without(&mut rig, out, &data);
        assert!(served.received(0) + served.received(1) > 2_000);
    });
}

#[test]
fn the_hosts_own_address_is_refused() {
    with_pair(|| {
        ip(&format!("link set near address {MAC}"));
        let refused = packet::open(&config("near", 1)).unwrap_err();
        assert!(
            matches!(refused, OpenPacketError::HostsAddress { .. }),
            "{refused}"
        );
        assert!(
            refused
                .to_string()
                .starts_with("near has the MAC address 02:00:00:00:00:07")
        );
    });
}
