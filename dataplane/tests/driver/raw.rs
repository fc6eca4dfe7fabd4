//! Packets through the underlay's raw sockets, against plain raw sockets of the test.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use ringlay_dataplane::driver::DriverKind;
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::frame::Ingress;
use ringlay_dataplane::id::UnderlayId;
use ringlay_dataplane::sys::netns;
use ringlay_encap::Encapsulation::{self, Gre, Ipip, Plain};
use socket2::{Domain, Protocol, Socket, Type};

use crate::ip::ip;
use crate::rig::{Rig, bind, pattern, raw_endpoint, sizes};
use crate::veth::with_pair;

crate::scenarios!(
    every_size_arrives_intact_with_its_sender,
    a_train_leaves_packet_by_packet,
    the_traffic_class_crosses_with_its_packets,
    the_time_to_live_is_told_where_it_is_asked_for,
    an_encapsulation_limit_is_told,
    flow_labels_tell_flows_apart,
    each_packet_reaches_one_worker,
    both_protocols_of_ip_in_ip_are_served,
    packets_without_encapsulation_are_led_to_a_neighbour,
    options_and_fragments_are_taken_off,
    a_refused_packet_does_not_disturb_its_neighbours,
    a_batch_takes_few_system_calls,
    nothing_is_answered_while_somebody_listens,
    only_what_is_marked_so_is_fragmented,
);

const GRE: i32 = 47;
const VERSIONS: [[&str; 2]; 2] = [["127.0.0.1", "127.0.0.2"], ["fd77::1", "fd77::2"]];

/// Runs a test where nobody else has raw sockets.
fn alone(test: impl FnOnce() + Send) {
    netns::run_in_new(|| {
        for arguments in [
            "link set lo up",
            "address add fd77::1/128 dev lo nodad",
            "address add fd77::2/128 dev lo nodad",
        ] {
            ip(arguments);
        }
        // The kernel makes the routes that receive for them a moment later.
        while !VERSIONS[1].into_iter().all(is_received) {
            thread::sleep(Duration::from_millis(1));
        }
        test();
    })
    .expect("these tests need root");
}

/// Whether packets to this address are for this host already.
fn is_received(address: &str) -> bool {
    let mut show = Command::new("ip");
    let route = show.args(["route", "get", address]).output().unwrap();
    route.stdout.starts_with(b"local ")
}

fn address(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse::<IpAddr>().unwrap(), 0)
}

/// Attaches the endpoint's sockets of one worker; returns the last queue.
fn attach(
    rig: &mut Rig,
    id: u16,
    local: &str,
    encapsulation: Encapsulation,
) -> ringlay_dataplane::driver::QueueId {
    let queue = raw_endpoint(address(local), encapsulation, 1).remove(0);
    let queues = queue.into_queues(UnderlayId(id)).into_iter();
    queues.map(|queue| rig.attach(queue).0).last().unwrap()
}

fn raw_socket(local: &str, protocol: i32) -> Socket {
    let local = address(local);
    let domain = Domain::for_address(local);
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))).unwrap();
    socket.bind(&local.into()).unwrap();
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn receive(mut socket: &Socket) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let len = std::io::Read::read(&mut socket, &mut bytes).expect("a packet arrives");
    bytes.truncate(len);
    bytes
}

fn every_size_arrives_intact_with_its_sender(kind: DriverKind) {
    for [from, to] in VERSIONS {
        alone(|| {
            let mut rig = Rig::new(kind);
            let out = attach(&mut rig, 1, from, Gre);
            attach(&mut rig, 2, to, Gre);
            let (from, to) = (address(from), address(to));
            let lengths: Vec<_> = sizes(65_515).collect();
            for (chunk, lengths) in lengths.chunks(20).enumerate() {
                let data = |len: &usize| pattern((chunk * len) as u64, *len);
                let sent: Vec<_> = lengths.iter().map(data).collect();
                for data in &sent {
                    let frame = rig.frame(data, to);
                    rig.driver.send(out, frame);
                }
                rig.driver.flush();
                for (frame, data) in rig.collect(sent.len()).iter().zip(&sent) {
                    assert_eq!(frame.data(), data);
                    assert_eq!(frame.meta.ingress, Ingress::Underlay(UnderlayId(2)));
                    assert_eq!(frame.meta.remote, from);
                    assert_eq!(frame.meta.segment_size, 0);
                    assert!(frame.headroom() >= 128);
                }
            }
            assert_eq!(rig.counters.sent.value(), lengths.len() as u64);
            assert_eq!(rig.counters.received.value(), lengths.len() as u64);
            assert_eq!(rig.counters.total_drops(), 0);
        });
    }
}

fn a_train_leaves_packet_by_packet(kind: DriverKind) {
    for [from, to] in VERSIONS {
        alone(|| {
            let mut rig = Rig::new(kind);
            let out = attach(&mut rig, 1, from, Gre);
            attach(&mut rig, 2, to, Gre);
            let trains = [1, 2, 3].map(|seed| pattern(seed, 44 * 1_400 + 333));
            for data in &trains {
                let mut train = rig.frame(data, address(to));
                train.meta.segment_size = 1_400;
                rig.driver.send(out, train);
            }
            rig.driver.flush();
            let frames = rig.collect(3 * 45);
            let arrived: Vec<_> = frames.iter().flat_map(|frame| frame.data()).collect();
            assert!(arrived.into_iter().eq(trains.iter().flatten()));
            assert!(frames.iter().all(|frame| frame.meta.segment_size == 0));
            assert_eq!(rig.counters.sent.value(), 3 * 45);
        });
    }
}

fn the_traffic_class_crosses_with_its_packets(kind: DriverKind) {
    for [from, to] in VERSIONS {
        alone(|| {
            let mut rig = Rig::new(kind);
            let out = attach(&mut rig, 1, from, Gre);
            attach(&mut rig, 2, to, Gre);
            let classes = [0, 1, 0, 3, 0xba, 0xff, 2];
            for class in classes {
                let mut train = rig.frame(&[1; 30], address(to));
                train.meta.traffic_class = class;
                train.meta.segment_size = 10;
                rig.driver.send(out, train);
            }
            rig.driver.flush();
            let frames = rig.collect(3 * classes.len());
            let arrived: Vec<_> = frames.iter().map(|f| f.meta.traffic_class).collect();
            assert_eq!(arrived, classes.map(|class| [class; 3]).concat());
        });
    }
}

fn the_time_to_live_is_told_where_it_is_asked_for(kind: DriverKind) {
    for [from, to] in VERSIONS {
        alone(|| {
            let mut rig = Rig::new(kind);
            let out = attach(&mut rig, 1, from, Gre);
            let mut sockets = bind(address(to), Gre, |_| ());
            let queue = sockets.queues.remove(0);
            rig.attach(queue.into_queues(UnderlayId(2)).remove(0));
            // Over IPv4 the header comes along anyway.
            for asked in [false, true] {
                sockets.receivers.report_ttl(asked).unwrap();
                for ttl in [1, 255] {
                    let mut frame = rig.frame(b"packet", address(to));
                    frame.meta.ttl = ttl;
                    rig.driver.send(out, frame);
                    rig.driver.flush();
                    let told = rig.collect(1)[0].meta.ttl;
                    let expected = asked || from.contains('.');
                    assert_eq!(told, if expected { ttl } else { 0 });
                }
            }
        });
    }
}

fn an_encapsulation_limit_is_told(kind: DriverKind) {
    let [from, to] = VERSIONS[1];
    alone(|| {
        let mut rig = Rig::new(kind);
        let out = attach(&mut rig, 1, from, Gre);
        attach(&mut rig, 2, to, Gre);
        let every = Protocol::from(i32::from(0x86dd_u16.to_be()));
        let wire = Socket::new(Domain::PACKET, Type::RAW, Some(every)).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for limit in [None, Some(0), Some(255)] {
            let mut train = rig.frame(&[0x45; 30], address(to));
            train.meta.segment_size = 20;
            train.meta.encap_limit = limit;
            train.meta.ttl = 9;
            train.meta.traffic_class = 0xb9;
            rig.driver.send(out, train);
            rig.driver.flush();
            assert_eq!(rig.counters.total_drops(), 0);
            for len in [20, 10] {
                let packet = loop {
                    let packet = receive(&wire);
                    if [GRE as u8, 60].contains(&packet[20]) && packet[21] == 9 {
                        break packet;
                    }
                };
                let found = ringlay_encap::encap_limit::of_packet(&packet[14..]);
                assert_eq!(found, Ok(limit));
                assert_eq!(packet.len(), 14 + 40 + limit.map_or(0, |_| 8) + len);
            }
            let frames = rig.collect(2);
            assert_eq!(frames[0].data(), [0x45; 20], "without it");
        }
    });
}

fn flow_labels_tell_flows_apart(kind: DriverKind) {
    let [from, to] = VERSIONS[1];
    alone(|| {
        let mut rig = Rig::new(kind);
        let out = attach(&mut rig, 1, from, Gre);
        // What leaves by the loopback device, with its Ethernet header.
        let every = Protocol::from(i32::from(0x86dd_u16.to_be()));
        let wire = Socket::new(Domain::PACKET, Type::RAW, Some(every)).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for flow_hash in [0x1234_5678, 0xffff_ffff] {
            let mut frame = rig.frame(b"packet", address(to));
            frame.meta.flow_hash = flow_hash;
            frame.meta.traffic_class = 0xb9;
            rig.driver.send(out, frame);
            rig.driver.flush();
            let header = loop {
                let packet = receive(&wire);
                if packet[20] == GRE as u8 {
                    break u32::from_be_bytes(packet[14..18].try_into().unwrap());
                }
            };
            let (class, label) = (header >> 20 & 0xff, header & 0xf_ffff);
            assert_eq!((class, label), (0xb9, flow_hash & 0xf_ffff));
            // The packet is seen on its way out and in.
            receive(&wire);
        }
    });
}

fn each_packet_reaches_one_worker(kind: DriverKind) {
    const WORKERS: usize = 3;
    const FLOWS: u32 = 200;
    for [from, to] in VERSIONS {
        alone(|| {
            let queues = raw_endpoint(address(to), Gre, WORKERS);
            let mut rigs: Vec<_> = queues
                .into_iter()
                .map(|queue| {
                    let mut rig = Rig::new(kind);
                    rig.attach(queue.into_queues(UnderlayId(2)).remove(0));
                    rig
                })
                .collect();
            let peer = raw_socket(from, GRE);
            for number in 0..3 * FLOWS {
                peer.send_to(&gre_packet(number % FLOWS), &address(to).into())
                    .unwrap();
            }
            peer.send_to(b"?", &address(to).into()).unwrap();
            let mut flows = HashMap::new();
            let mut strays = 0;
            for (worker, rig) in rigs.iter_mut().enumerate() {
                let mut share = 0;
                // The packets are there already: loopback delivers before `send` returns.
                rig.driver.wait(Some(Duration::from_millis(1))).unwrap();
                for frame in std::iter::repeat_with(|| rig.poll())
                    .take_while(|frames| !frames.is_empty())
                    .flatten()
                {
                    if frame.data() == b"?" {
                        strays += 1;
                        continue;
                    }
                    share += 1;
                    let known = flows.entry(frame.data().to_vec()).or_insert((worker, 0));
                    assert_eq!(known.0, worker, "a flow is on two workers");
                    known.1 += 1;
                }
                assert!(share > 3 * FLOWS / 6, "{share} of {} packets", 3 * FLOWS);
            }
            assert_eq!((flows.len(), strays), (FLOWS as usize, 1));
            assert!(flows.values().all(|flow| flow.1 == 3));
        });
    }
}

/// GRE around the UDP packet of a flow.
fn gre_packet(flow: u32) -> Vec<u8> {
    let mut packet = vec![0, 0, 8, 0];
    let port = (40_000 + flow) as u16;
    PacketBuilder::ipv4([10, 42, 1, 1], [10, 42, 2, 1], 64)
        .udp(port, 53)
        .write(&mut packet, b"?")
        .unwrap();
    packet
}

fn both_protocols_of_ip_in_ip_are_served(kind: DriverKind) {
    for [from, to] in VERSIONS {
        alone(|| {
            let mut rig = Rig::new(kind);
            let v6 = attach(&mut rig, 1, from, Ipip);
            attach(&mut rig, 2, to, Ipip);
            let peers = [4, 41].map(|protocol| raw_socket(to, protocol));
            for (number, peer) in peers.iter().enumerate() {
                let inner = [0x45 + 0x20 * number as u8; 60];
                peer.send_to(&inner, &address(to).into()).unwrap();
                assert_eq!(rig.collect(1)[0].data(), inner);
                receive(peer);
            }
            let frame = rig.frame(&[0x60; 60], address(to));
            rig.driver.send(v6, frame);
            rig.driver.flush();
            assert!(receive(&peers[1]).ends_with(&[0x60; 60]));
            assert_eq!(rig.collect(1).len(), 1);
        });
    }
}

fn options_and_fragments_are_taken_off(kind: DriverKind) {
    let [from, to] = VERSIONS[0];
    alone(|| {
        let mut rig = Rig::new(kind);
        attach(&mut rig, 2, to, Gre);
        let peer = raw_socket(from, GRE);
        peer.set_header_included_v4(true).unwrap();
        let send = |options: &[u8], fragment: u16, class: u8, payload: &[u8]| {
            let header_len = 20 + options.len();
            let mut packet = vec![0; 20];
            packet[0] = 0x40 + (header_len / 4) as u8;
            packet[1] = class;
            packet[4..6].copy_from_slice(&[7, 7]);
            packet[6..8].copy_from_slice(&fragment.to_be_bytes());
            (packet[8], packet[9]) = (64, GRE as u8);
            packet[12..16].copy_from_slice(&[127, 0, 0, 1]);
            packet[16..20].copy_from_slice(&[127, 0, 0, 2]);
            packet.extend(options);
            packet.extend(payload);
            peer.send_to(&packet, &address(to).into()).unwrap();
        };
        send(&[1, 1, 1, 0], 0, 0xb9, b"behind options");
        let data = pattern(1, 3_000);
        send(&[], 0x2000 | (1_600 / 8), 2, &data[1_600..2_400]);
        send(&[], 0x2000, 2, &data[..1_600]);
        send(&[], 2_400 / 8, 2, &data[2_400..]);
        send(&[], 0, 0, b"");
        let frames = rig.collect(3);
        assert_eq!(frames[0].data(), b"behind options");
        assert_eq!(frames[0].meta.traffic_class, 0xb9);
        assert_eq!(frames[1].data(), data);
        assert_eq!(frames[1].meta.traffic_class, 2);
        assert!(frames[2].is_empty());
    });
}

fn a_refused_packet_does_not_disturb_its_neighbours(kind: DriverKind) {
    let [from, to] = VERSIONS[0];
    alone(|| {
        let mut rig = Rig::new(kind);
        let out = attach(&mut rig, 1, from, Gre);
        attach(&mut rig, 2, to, Gre);
        let refused = [
            rig.frame(&[1; 65_516], address(to)),
            rig.frame(b"no route", address("fd77::2")),
            rig.frame(b"no route", address("192.0.2.1")),
        ];
        for (number, bad) in refused.into_iter().enumerate() {
            let mut train = rig.frame(&[number as u8; 10], address(to));
            train.meta.segment_size = 4;
            rig.driver.send(out, train);
            rig.driver.send(out, bad);
        }
        let last = rig.frame(&[9; 3], address(to));
        rig.driver.send(out, last);
        rig.driver.flush();
        let frames = rig.collect(10);
        let firsts: Vec<_> = frames.iter().map(|frame| frame.data()[0]).collect();
        assert_eq!(firsts, [0, 0, 0, 1, 1, 1, 2, 2, 2, 9]);
        assert_eq!(rig.drops(DropReason::UnderlayTxError), 3);
        assert_eq!(rig.counters.sent.value(), 10);
        assert_eq!(rig.counters.total_drops(), 3);
    });
}

fn a_batch_takes_few_system_calls(kind: DriverKind) {
    let [from, to] = VERSIONS[0];
    alone(|| {
        let mut rig = Rig::new(kind);
        let out = attach(&mut rig, 1, from, Gre);
        attach(&mut rig, 2, to, Gre);
        let before = rig.counters.syscalls.value();
        for _ in 0..100 {
            let mut train = rig.frame(&[1; 60 * 1_000], address(to));
            train.meta.segment_size = 1_000;
            rig.driver.send(out, train);
            rig.driver.flush();
            rig.collect(60);
        }
        let calls = rig.counters.syscalls.value() - before;
        assert!(calls <= 100 * 5, "{calls} system calls for 100 trains");
    });
}

fn nothing_is_answered_while_somebody_listens(kind: DriverKind) {
    const ICMP: i32 = 1;
    let [from, to] = VERSIONS[0];
    alone(|| {
        let icmp = raw_socket(from, ICMP);
        icmp.set_nonblocking(true).unwrap();
        let peer = raw_socket(from, GRE);
        let mut rig = Rig::new(kind);
        let queue = attach(&mut rig, 2, to, Gre);
        peer.send_to(b"anything", &address(to).into()).unwrap();
        assert_eq!(rig.collect(1)[0].data(), b"anything");
        let mut buffer = [std::mem::MaybeUninit::uninit(); 100];
        assert!(icmp.recv(&mut buffer).is_err(), "an ICMP error");
        rig.driver.detach(queue);
        peer.send_to(b"anything", &address(to).into()).unwrap();
        assert!(icmp.recv(&mut buffer).is_ok(), "no ICMP error");
    });
}

fn only_what_is_marked_so_is_fragmented(kind: DriverKind) {
    for [from, to] in VERSIONS {
        alone(|| {
            ip("link set lo mtu 1500");
            let mut sockets = bind(address(from), Gre, |config| config.dont_fragment = true);
            let queue = sockets.queues.remove(0);
            let mut rig = Rig::new(kind);
            let queue = queue.into_queues(UnderlayId(1)).remove(0);
            let (out, _) = rig.attach(queue);
            attach(&mut rig, 2, to, Gre);
            let sizes = [3_000, 1_000, 3_001, 3_002, 1_001];
            for (size, oversized) in sizes.into_iter().zip([true, false, false, true, true]) {
                let mut frame = rig.frame(&pattern(1, size), address(to));
                frame.meta.oversized = oversized;
                rig.driver.send(out, frame);
            }
            rig.driver.flush();
            let arrived: Vec<_> = rig.collect(4).iter().map(|it| it.len()).collect();
            assert_eq!(arrived, [3_000, 1_000, 3_002, 1_001]);
            assert_eq!(rig.drops(DropReason::UnderlayTxError), 1);
        });
    }
}

/// A datagram between addresses that nobody here has.
fn datagram(is_v4: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let written = if is_v4 {
        let builder = PacketBuilder::ipv4([10, 42, 1, 1], [10, 42, 2, 1], 60);
        builder.udp(1, 2).write(&mut packet, payload)
    } else {
        let [src, dst] = ["fd42:1::1", "fd42:2::1"].map(|it| it.parse::<Ipv6Addr>().unwrap());
        let builder = PacketBuilder::ipv6(src.octets(), dst.octets(), 60);
        builder.udp(1, 2).write(&mut packet, payload)
    };
    written.unwrap();
    packet
}

fn packets_without_encapsulation_are_led_to_a_neighbour(kind: DriverKind) {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const ETH_P_ALL: i32 = 0x0300; // in network byte order
    with_pair(|| {
        ip("address add 192.0.2.1/24 dev near");
        ip("address add fd77::1/64 dev near nodad");
        for neighbour in ["192.0.2.2", "fd77::2"] {
            ip(&format!(
                "neighbour add {neighbour} lladdr 02:00:00:00:00:07 dev near nud permanent"
            ));
        }
        for [local, neighbour] in [["192.0.2.1", "192.0.2.2"], ["fd77::1", "fd77::2"]] {
            let mut rig = Rig::new(kind);
            let out = attach(&mut rig, 1, local, Plain);
            let is_v4 = address(local).is_ipv4();
            let ethertype = if is_v4 { [8, 0] } else { [0x86, 0xdd] };
            let link = Socket::new(Domain::PACKET, Type::RAW, Some(ETH_P_ALL.into())).unwrap();
            link.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let sent = [&b"one"[..], b"two", &[3; 1400]].map(|it| datagram(is_v4, it));
            let too_long = datagram(is_v4, &[4; 1500]);
            for data in sent.iter().chain([&too_long]) {
                let frame = rig.frame(data, address(neighbour));
                rig.driver.send(out, frame);
            }
            rig.driver.flush();
            for data in &sent {
                let received = std::iter::repeat_with(|| receive(&link));
                let ours = |frame: &Vec<u8>| frame[..6] == MAC && frame[12..14] == ethertype;
                let frame = received
                    .take(100)
                    .find(ours)
                    .expect("it is led to the neighbour");
                assert_eq!(&frame[14..], data);
                // The same packet, as the other end gets it.
                let again = receive(&link);
                assert_eq!(&again[14..], data);
            }
            assert_eq!(rig.counters.sent.value(), 3);
            assert_eq!(rig.counters.drops(DropReason::UnderlayTxError), 1);
        }
    });
}
