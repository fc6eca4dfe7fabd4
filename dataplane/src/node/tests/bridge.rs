//! Bridged networks: where frames go, what is told of their sources, and that they stay as they are.

use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::Inner;
use ringlay_encap::{EtherType, Ipv4Packet};

use super::super_frames::{bytes, tcp};
use super::*;
use crate::frame::{Gso, Offload};
use crate::tables::{Bridge, Fdb, FdbEntry, Place};

const BLUE: NetworkId = NetworkId(3);
const BLUE_VNI: u32 = 77;
/// Two ports of the network, and two tunnels.
const HERE: PortId = PortId(5);
const BESIDE: PortId = PortId(6);
const FAR: TunnelId = TunnelId(5);
const OTHER: TunnelId = TunnelId(6);
const FAR_VTEP: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 5);
const OTHER_VTEP: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 6);

/// Stations: at each port, and behind each tunnel.
const A: MacAddr = MacAddr([2, 8, 0, 0, 0, 0xa]);
const B: MacAddr = MacAddr([2, 8, 0, 0, 0, 0xb]);
const C: MacAddr = MacAddr([2, 8, 0, 0, 0, 0xc]);
const D: MacAddr = MacAddr([2, 8, 0, 0, 0, 0xd]);
const NOBODY: MacAddr = MacAddr([2, 8, 0, 0, 0, 0xff]);

fn key() -> TunnelKey {
    TunnelKey::Vxlan(Vni::new(BLUE_VNI).unwrap())
}

fn bridged_rig(key: TunnelKey) -> Rig {
    let mut rig = Rig::new();
    let tables = &mut rig.tables;
    tables.insert_underlay(UNDERLAY, endpoint(key.encapsulation()));
    let network = Network {
        key,
        vteps: vec![FAR_VTEP.into(), OTHER_VTEP.into()],
        addresses: Vec::new(),
        fib: Fib::default(),
        ..tables.network(NET).unwrap().clone()
    };
    tables.insert_network(BLUE, network);
    for port in [HERE, BESIDE] {
        tables.insert_port(port, Port { network: BLUE });
    }
    for (id, remote) in [(FAR, FAR_VTEP), (OTHER, OTHER_VTEP)] {
        let builder = Template::builder(OUR_VTEP.into(), remote.into());
        let tunnel = Tunnel {
            network: BLUE,
            template: Some(builder.tunnel(key, Inner::Frames).unwrap()),
            ..tunnel(remote, None)
        };
        tables.insert_tunnel(id, tunnel);
    }
    let stations = [
        (A, Place::Port(HERE), false),
        (B, Place::Port(BESIDE), true),
        (C, Place::Tunnel(FAR), false),
        (D, Place::Tunnel(OTHER), false),
    ];
    let entry = |(mac, place, fixed)| FdbEntry::new(mac, place, fixed);
    let bridge = Bridge {
        ports: vec![HERE, BESIDE],
        tunnels: vec![(FAR_VTEP.into(), FAR), (OTHER_VTEP.into(), OTHER)],
        learns: true,
        fdb: stations.map(entry).into_iter().collect(),
    };
    tables.insert_bridge(BLUE, bridge);
    rig
}

fn rig() -> Rig {
    bridged_rig(key())
}

fn ethernet(dst: MacAddr, src: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let ethertype = ethertype.to_be_bytes();
    [&dst.0[..], &src.0[..], &ethertype[..], payload].concat()
}

/// What is no IP packet.
fn frame(dst: MacAddr, src: MacAddr) -> Vec<u8> {
    ethernet(dst, src, 0x9000, b"neither an IP packet nor ARP")
}

fn around(frame: &[u8]) -> Vec<u8> {
    encapsulated(key(), frame)
}

fn encapsulated(key: TunnelKey, frame: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; key.header_len()];
    key.emit(EtherType::BRIDGED, &mut datagram);
    datagram.extend(frame);
    datagram
}

/// Where a frame left, by port or outer destination, with its bytes inside.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Port(PortId, Vec<u8>),
    Tunnel(IpAddr, Vec<u8>),
}

fn left((ports, underlays): (Vec<Frame>, Vec<Frame>)) -> Vec<Left> {
    let by_port = |frame: &Frame| Left::Port(frame.meta.egress, frame.data().to_vec());
    let by_tunnel = |frame: &Frame| {
        assert_eq!(frame.data()[..8], around(&[])[..]);
        Left::Tunnel(frame.meta.remote.ip(), frame.data()[8..].to_vec())
    };
    let mut left: Vec<_> = ports.iter().map(by_port).collect();
    left.extend(underlays.iter().map(by_tunnel));
    left
}

impl Rig {
    fn send_from_bridged(&mut self, port: PortId, data: &[u8]) -> Vec<Left> {
        let frame = self.frame(Ingress::Ethernet(port), data);
        left(self.run([frame]))
    }

    fn send_from_far(&mut self, vtep: Ipv4Addr, data: &[u8]) -> Vec<Left> {
        left(self.send_from_vtep(vtep, &around(data)))
    }

    fn seen(&self) -> Vec<(MacAddr, Place)> {
        let seen = self.events.try_iter().map(|event| match event {
            Event::StationSeen {
                network: BLUE,
                mac,
                place,
            } => (mac, place),
            other => panic!("{other:?}"),
        });
        seen.collect()
    }
}

#[test]
fn frames_go_where_their_destination_is() {
    let mut rig = rig();
    for (dst, expected) in [
        (B, Left::Port(BESIDE, frame(B, A))),
        (C, Left::Tunnel(FAR_VTEP.into(), frame(C, A))),
        (D, Left::Tunnel(OTHER_VTEP.into(), frame(D, A))),
    ] {
        assert_eq!(rig.send_from_bridged(HERE, &frame(dst, A)), [expected]);
    }
    let arrived = rig.send_from_far(FAR_VTEP, &frame(A, C));
    assert_eq!(arrived, [Left::Port(HERE, frame(A, C))]);
    assert!(rig.seen().is_empty(), "all of it was known");
}

#[test]
fn what_nobody_is_known_to_be_goes_everywhere_else() {
    for dst in [NOBODY, MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        let mut rig = rig();
        let expected = [
            Left::Port(BESIDE, frame(dst, A)),
            Left::Tunnel(FAR_VTEP.into(), frame(dst, A)),
            Left::Tunnel(OTHER_VTEP.into(), frame(dst, A)),
        ];
        assert_eq!(rig.send_from_bridged(HERE, &frame(dst, A)), expected);
        assert_eq!(rig.counters.flooded.value(), 2);
        // Never from a tunnel to another: all far ends have got it already.
        let expected = [HERE, BESIDE].map(|port| Left::Port(port, frame(dst, C)));
        assert_eq!(rig.send_from_far(FAR_VTEP, &frame(dst, C)), expected);
    }
}

#[test]
fn nothing_goes_back_to_where_it_came_from() {
    for (from_port, dst, reason) in [
        (true, A, DropReason::FdbHairpin),
        (false, C, DropReason::FdbHairpin),
        (false, D, DropReason::FdbSplitHorizon),
    ] {
        let mut rig = rig();
        let left = match from_port {
            true => rig.send_from_bridged(HERE, &frame(dst, A)),
            false => rig.send_from_far(FAR_VTEP, &frame(dst, C)),
        };
        assert_eq!(left, []);
        rig.assert_only_drop(reason);
    }
    let mut rig = rig();
    rig.tables.insert_bridge(
        BLUE,
        Bridge {
            ports: vec![HERE],
            learns: true,
            ..Bridge::default()
        },
    );
    assert_eq!(rig.send_from_bridged(HERE, &frame(NOBODY, A)), []);
    rig.assert_only_drop(DropReason::FloodNowhere);
}

#[test]
fn news_of_stations_is_told_once_in_a_while() {
    let mut rig = rig();
    let new = MacAddr([2, 8, 0, 0, 1, 1]);
    for _ in 0..3 {
        rig.send_from_bridged(HERE, &frame(B, new));
    }
    assert_eq!(rig.seen(), [(new, Place::Port(HERE))]);
    // It moved behind a tunnel, and one that was behind a tunnel moved here.
    rig.send_from_far(OTHER_VTEP, &frame(B, new));
    rig.send_from_bridged(BESIDE, &frame(A, C));
    let expected = [(new, Place::Tunnel(OTHER)), (C, Place::Port(BESIDE))];
    assert_eq!(rig.seen(), expected);
    rig.advance(Duration::from_millis(100));
    rig.send_from_bridged(HERE, &frame(B, new));
    assert_eq!(rig.seen(), [(new, Place::Port(HERE))]);
    // Static entries stay where they are, and nothing is learned where nothing is to be.
    rig.send_from_bridged(HERE, &frame(A, B));
    assert_eq!(rig.seen(), []);
    let still = Bridge {
        learns: false,
        ..rig.tables.bridge(BLUE).unwrap().clone()
    };
    rig.tables.insert_bridge(BLUE, still);
    rig.send_from_bridged(HERE, &frame(B, NOBODY));
    assert_eq!(rig.seen(), []);
}

#[test]
fn who_sends_is_marked_as_used() {
    let mut rig = rig();
    rig.send_from_bridged(HERE, &frame(C, A));
    let fdb = &rig.tables.bridge(BLUE).unwrap().fdb;
    let used = |fdb: &Fdb, mac| fdb.entry(mac).unwrap().take_used();
    assert!(used(fdb, A) && !used(fdb, A));
    assert!(!used(fdb, C), "who is sent to may be gone");
}

#[test]
fn strangers_are_refused_or_taught_nothing() {
    let stranger = Ipv4Addr::new(192, 168, 77, 99);
    let mut refusing = rig();
    assert_eq!(refusing.send_from_far(stranger, &frame(A, NOBODY)), []);
    refusing.assert_only_drop(DropReason::VtepUnknown);
    let mut rig = rig();
    let open = Network {
        accept_unknown_vteps: true,
        ..rig.tables.network(BLUE).unwrap().clone()
    };
    rig.tables.insert_network(BLUE, open);
    let arrived = rig.send_from_far(stranger, &frame(A, NOBODY));
    assert_eq!(arrived, [Left::Port(HERE, frame(A, NOBODY))]);
    assert_eq!(rig.seen(), []);
}

#[test]
fn what_no_bridge_forwards_is_dropped_by_name() {
    let of_link = |last| MacAddr([1, 0x80, 0xc2, 0, 0, last]);
    for (data, reason) in [
        (vec![2; 13], DropReason::EtherMalformed),
        (frame(B, MacAddr::BROADCAST), DropReason::EtherMacForeign),
        (frame(B, MacAddr::ZERO), DropReason::EtherMacForeign),
        (frame(of_link(0x0e), A), DropReason::EtherLinkLocal),
    ] {
        let mut rig = rig();
        assert_eq!(rig.send_from_bridged(HERE, &data), []);
        rig.assert_only_drop(reason);
    }
    let mut short = rig();
    assert_eq!(short.send_from_far(FAR_VTEP, &[2; 13]), []);
    short.assert_only_drop(DropReason::VxlanMalformed);
    let mut rig = rig();
    let bpdu = frame(of_link(0), A);
    assert_eq!(rig.send_from_bridged(HERE, &bpdu).len(), 3);
}

#[test]
fn frames_stay_as_they_are() {
    let mut packet = udp4("10.1.0.1", "10.1.0.2", 1, b"at the end of its life");
    packet.extend([0; 20]); // padding
    let tagged = [&[0, 5, 8, 0][..], &packet].concat();
    let broken = &packet[..25];
    for data in [
        ethernet(C, A, 0x0800, &packet),
        ethernet(C, A, 0x8100, &tagged),
        ethernet(C, A, 0x0800, broken),
        ethernet(C, A, 0x0806, &[1; 28]),
        ethernet(C, A, 0x0800, &[]),
    ] {
        let mut rig = rig();
        let expected = Left::Tunnel(FAR_VTEP.into(), data.clone());
        assert_eq!(rig.send_from_bridged(HERE, &data), [expected]);
        let back = ethernet(A, C, 0, &data[14..]);
        let back = [&back[..12], &data[12..]].concat();
        let arrived = rig.send_from_far(FAR_VTEP, &back);
        assert_eq!(arrived, [Left::Port(HERE, back)]);
    }
}

#[test]
fn each_encapsulation_with_ethernet_inside_carries_them() {
    let vni = Vni::new(BLUE_VNI).unwrap();
    for key in [TunnelKey::Geneve(vni), TunnelKey::Gre(None)] {
        let mut rig = bridged_rig(key);
        let out = rig.frame(Ingress::Ethernet(HERE), &frame(C, A));
        let (_, underlays) = rig.run([out]);
        assert_eq!(
            underlays[0].data(),
            encapsulated(key, &frame(C, A)),
            "{key}"
        );
        let (ports, _) = rig.send_from_vtep(FAR_VTEP, &encapsulated(key, &frame(A, C)));
        assert_eq!(ports[0].data(), frame(A, C), "{key}");
        // IP packets without Ethernet are of another kind of network.
        let mut bare = vec![0; key.header_len()];
        key.emit(EtherType::IPV4, &mut bare);
        bare.extend(udp4("10.1.0.1", "10.1.0.2", 9, b"bare"));
        rig.send_from_vtep(FAR_VTEP, &bare);
        rig.assert_only_drop(DropReason::InnerProtocolUnknown);
    }
}

/// A super-frame of TCP from a port's device, with the Ethernet header `header`.
fn super_frame(rig: &Rig, header: &[u8], packet: &[u8], gso_size: u16) -> Frame {
    let data = [header, packet].concat();
    let mut frame = rig.frame(Ingress::Ethernet(HERE), &data);
    let link = header.len() as u16;
    frame.meta.offload = Offload {
        needs_checksum: true,
        gso: Gso::TcpV4,
        header_len: link + 40,
        gso_size,
        csum_start: link + 20,
        csum_offset: 16,
        ..Offload::default()
    };
    frame
}

/// The frames in trains, without their tunnel headers.
fn inner_frames(trains: &[Frame]) -> Vec<Vec<u8>> {
    let datagrams = trains
        .iter()
        .flat_map(|train| match train.meta.segment_size {
            0 => train.data().chunks(train.len()),
            size => train.data().chunks(size.into()),
        });
    let inner = datagrams.map(|datagram| {
        assert_eq!(datagram[..8], around(&[])[..]);
        datagram[8..].to_vec()
    });
    inner.collect()
}

fn cut(header: &[u8], packet: &[u8], gso_size: u16) -> Vec<Vec<u8>> {
    let segmenter = Segmenter::new(packet, gso_size).unwrap();
    let one = |index| {
        let mut segment = vec![0; segmenter.header_len()];
        let payload = segmenter.write_header(index, &mut segment);
        [header, &segment, &packet[payload]].concat()
    };
    (0..segmenter.count()).map(one).collect()
}

#[test]
fn super_frames_are_cut_for_tunnels_behind_their_ethernet_header() {
    let plain = ethernet(C, A, 0x0800, &[]);
    let tagged = ethernet(C, A, 0x8100, &[0, 5, 8, 0]);
    for (header, asked, cut_to) in [
        (&plain, 1400, 1400),
        (&tagged, 1400, 1400),
        // What does not fit the tunnel is cut smaller; tags count.
        (&plain, 1448, 1410),
        (&tagged, 1448, 1406),
    ] {
        let mut rig = rig();
        let packet = tcp(true, 1, true, &bytes(64_000));
        let frame = super_frame(&rig, header, &packet, asked);
        let (_, trains) = rig.run([frame]);
        assert_eq!(inner_frames(&trains), cut(header, &packet, cut_to));
        assert!(trains.len() <= 3 && trains.iter().all(|it| !it.meta.oversized));
    }
}

#[test]
fn super_frames_pass_whole_between_ports_and_are_merged_from_tunnels() {
    let mut rig = rig();
    let header = ethernet(B, A, 0x0800, &[]);
    let packet = tcp(true, 1, true, &bytes(20_000));
    let frame = super_frame(&rig, &header, &packet, 1400);
    let offload = frame.meta.offload;
    let (ports, _) = rig.run([frame]);
    assert_eq!(ports[0].data(), [header, packet.clone()].concat());
    assert_eq!(ports[0].meta.offload, offload);

    let header = ethernet(A, C, 0x0800, &[]);
    let datagrams = cut(&header, &packet, 1400);
    let count = datagrams.len() as u64;
    let frames: Vec<_> = datagrams
        .iter()
        .map(|datagram| {
            let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &around(datagram));
            frame.meta.remote = SocketAddr::new(FAR_VTEP.into(), 55_555);
            frame
        })
        .collect();
    let (ports, _) = rig.run(frames);
    assert_eq!(ports.len(), 1);
    assert_eq!(rig.counters.coalesced.value(), count - 1);
    assert_eq!(ports[0].meta.offload, offload);
    assert_eq!(cut(&header, &ports[0].data()[14..], 1400), datagrams);
}

#[test]
fn flooded_super_frames_reach_ports_whole_and_tunnels_in_trains() {
    let mut rig = rig();
    let header = ethernet(NOBODY, A, 0x0800, &[]);
    let packet = tcp(true, 1, true, &bytes(5000));
    let frame = super_frame(&rig, &header, &packet, 1400);
    let (ports, trains) = rig.run([frame]);
    assert_eq!(ports[0].data(), [&header[..], &packet].concat());
    let each = cut(&header, &packet, 1400);
    assert_eq!(inner_frames(&trains), [each.clone(), each].concat());
}

#[test]
fn checksums_left_to_the_device_are_finished_for_tunnels_only() {
    let packet = tcp(true, 1, true, b"short");
    let pseudo = Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(25);
    let mut partial = packet.clone();
    partial[36..38].copy_from_slice(&pseudo.fold().to_be_bytes());
    let mut rig = rig();
    for (dst, expected) in [(C, &packet), (B, &partial)] {
        let header = ethernet(dst, A, 0x0800, &[]);
        let mut frame = super_frame(&rig, &header, &partial, 0);
        frame.meta.offload.gso = Gso::None;
        let (ports, underlays) = rig.run([frame]);
        let (frame, outer) = match dst {
            C => (&underlays[0], 8),
            _ => (&ports[0], 0),
        };
        assert_eq!(frame.data()[outer + 14..], expected[..]);
        assert_eq!(frame.meta.offload.needs_checksum, outer == 0);
    }
    // A kernel at the far end left it open: the port's device is told so.
    let data = ethernet(A, C, 0x0800, &partial);
    let (ports, _) = rig.send_from_vtep(FAR_VTEP, &around(&data));
    let offload = ports[0].meta.offload;
    assert!(offload.needs_checksum);
    assert_eq!((offload.csum_start, offload.csum_offset), (34, 16));
}

#[test]
fn frames_too_long_for_the_tunnel_are_fragmented_outside() {
    let mut rig = rig();
    for (len, oversized) in [(MTU, false), (MTU + 1, true)] {
        let data = ethernet(C, A, 0x9000, &vec![7; len]);
        let frame = rig.frame(Ingress::Ethernet(HERE), &data);
        let (_, underlays) = rig.run([frame]);
        assert_eq!(underlays[0].meta.oversized, oversized);
    }
}

#[test]
fn a_flood_leaves_memory_for_others() {
    let mut rig = rig();
    let taken: Vec<_> = (0..120).map(|_| rig.pool.allocate().unwrap()).collect();
    let frames: Vec<_> = (0..BATCH)
        .map(|_| rig.frame(Ingress::Ethernet(HERE), &frame(NOBODY, A)))
        .collect();
    let (ports, underlays) = rig.run(frames);
    // Nobody lost the last copy; of the others, as many as there was memory for.
    assert!(underlays.len() >= BATCH && ports.len() < BATCH);
    let lost = rig.drops(DropReason::PoolExhausted) as usize;
    assert_eq!(lost, 3 * BATCH - ports.len() - underlays.len());
    assert!(lost > 0 && rig.pool.available() > 0);
    drop(taken);
}

const BATCH: usize = BATCH_SIZE;

#[test]
fn congestion_marks_come_out_of_the_tunnel() {
    let mut packet = udp4("10.1.0.1", "10.1.0.2", 9, b"marked");
    packet[1] = 0b10;
    Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    let mut rig = rig();
    for (inner, arrives) in [(packet, true), (udp4("1.0.0.1", "1.0.0.2", 9, b""), false)] {
        let data = ethernet(A, C, 0x0800, &inner);
        let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &around(&data));
        frame.meta.remote = SocketAddr::new(FAR_VTEP.into(), 55_555);
        frame.meta.traffic_class = 0b11;
        let (ports, _) = rig.run([frame]);
        let marks = ports.iter().map(|frame| frame.data()[15] & 0b11);
        assert!(marks.eq(arrives.then_some(0b11)));
    }
    rig.assert_only_drop(DropReason::EcnCongestion);
}

#[test]
fn uplinks_and_wires_take_frames_too() {
    for wire in [false, true] {
        let mut rig = rig();
        let builder = Template::builder(OUR_VTEP.into(), FAR_VTEP.into());
        let template = builder.ethernet(A, B).tunnel(key(), Inner::Frames).unwrap();
        let outer = template.len();
        let tunnel = Tunnel {
            template: Some(template),
            ..rig.tables.tunnel(FAR).unwrap().clone()
        };
        rig.tables.insert_tunnel(FAR, tunnel);
        if wire {
            rig.tables.insert_wire(UNDERLAY, 1500);
        }
        let data = frame(C, A);
        let single = rig.frame(Ingress::Ethernet(HERE), &data);
        let header = ethernet(C, A, 0x0800, &[]);
        let packet = tcp(true, 1, true, &bytes(5000));
        let large = super_frame(&rig, &header, &packet, 1400);
        rig.run([single, large]);
        let sent = rig.uplinks();
        assert_eq!(sent[0].data()[outer..], data);
        if wire {
            let inner: Vec<_> = sent[1..].iter().map(|it| &it.data()[outer..]).collect();
            assert_eq!(inner, cut(&header, &packet, 1400));
            for frame in &sent {
                let udp = ringlay_encap::UdpPacket::new_checked(&frame.data()[34..]).unwrap();
                let ip = Ipv4Packet::new_checked(&frame.data()[14..]).unwrap();
                let pseudo = ip.pseudo_header(udp.length());
                assert!(udp.checksum() != 0 && udp.verify_checksum(pseudo));
            }
            continue;
        }
        let offload = sent[1].meta.offload;
        assert_eq!(sent[1].data()[outer..], [header, packet].concat());
        let tunnel = offload.tunnel.unwrap();
        assert_eq!(usize::from(tunnel.inner), outer + 14);
        assert_eq!(usize::from(offload.csum_start), outer + 34);
        assert_eq!(usize::from(offload.header_len), outer + 54);
    }
}
