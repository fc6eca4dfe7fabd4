//! Packets that are sent without encapsulation, in a network of their own or beside tunnels.

use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::Inner;

use super::super_frames::{bytes, super_frame, tcp, udp_super_frame};
use super::*;
use crate::frame::Gso;

/// The endpoint that they leave by, in a network whose other packets are in VXLAN.
const DIRECT: UnderlayId = UnderlayId(1);
const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const DEVICE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 8]);

/// Like [`Rig::new`], but packets to the peer are sent as they are.
fn rig(has_uplink: bool) -> Rig {
    let mut rig = Rig::new();
    rig.tables
        .insert_underlay(DIRECT, endpoint(Encapsulation::Plain));
    let mut builder = Template::builder(IpAddr::V4(OUR_VTEP), IpAddr::V4(PEER_VTEP));
    if has_uplink {
        builder = builder.ethernet(ROUTER_MAC, DEVICE_MAC);
    }
    let direct = Tunnel {
        underlay: DIRECT,
        remote: SocketAddr::new(IpAddr::V4(PEER_VTEP), 0),
        template: Some(builder.tunnel(TunnelKey::Plain, Inner::Ip).unwrap()),
        ..tunnel(PEER_VTEP, None)
    };
    rig.tables.insert_tunnel(PEER, direct);
    rig
}

fn leads_to_peer(frame: &Frame) -> bool {
    let peer = SocketAddr::new(IpAddr::V4(PEER_VTEP), 0);
    frame.meta.underlay == DIRECT && frame.meta.remote == peer
}

#[test]
fn a_packet_leaves_as_it_is_but_for_its_time_to_live() {
    for (packet, routed) in [
        (
            udp4("10.42.1.5", "10.42.2.7", 64, b"hello"),
            udp4("10.42.1.5", "10.42.2.7", 63, b"hello"),
        ),
        (
            udp6("fd42:1::5", "fd42:2::7", 64, b"hello"),
            udp6("fd42:1::5", "fd42:2::7", 63, b"hello"),
        ),
    ] {
        let mut rig = rig(false);
        let (ports, underlays) = rig.send_from_port(&packet);
        assert!(ports.is_empty());
        let [frame] = &underlays[..] else { panic!() };
        assert_eq!(frame.data(), routed);
        assert!(leads_to_peer(frame));
    }
}

#[test]
fn super_frames_leave_whole_by_an_uplink() {
    let mut rig = rig(true);
    let packet = tcp(true, 7, true, &bytes(20_000));
    let datagrams = udp4("10.42.1.1", "10.42.2.1", 64, &bytes(5_000));
    let frames = [
        super_frame(&rig, &packet, 1200),
        udp_super_frame(&rig, &datagrams, 1000),
        rig.frame(Ingress::Port(PORT), &tcp(true, 7, true, b"single")),
    ];
    let (_, sockets) = rig.run(frames);
    assert!(sockets.is_empty());
    let uplinks = rig.uplinks();
    assert_eq!(uplinks.len(), 3);
    let kinds = [Gso::TcpV4, Gso::UdpL4, Gso::None];
    for (frame, (kind, inner)) in uplinks
        .iter()
        .zip(kinds.into_iter().zip([&packet, &datagrams]))
    {
        let offload = frame.meta.offload;
        assert!(leads_to_peer(frame) && offload.tunnel.is_none());
        assert_eq!(offload.gso, kind);
        assert_eq!(offload.csum_start, 14 + 20);
        assert_eq!(frame.data()[..6], ROUTER_MAC.0);
        assert_eq!(frame.data()[6..14], [&DEVICE_MAC.0[..], &[8, 0]].concat());
        assert_eq!(frame.data()[14 + 20..], inner[20..]);
    }
    assert_eq!(uplinks[2].meta.offload, crate::frame::Offload::default());
}

#[test]
fn packets_leave_one_by_one_by_a_wire() {
    let mut rig = rig(true);
    rig.tables.insert_wire(DIRECT, 1500);
    let packet = tcp(true, 7, true, &bytes(20_000));
    let frames = [
        super_frame(&rig, &packet, 1200),
        rig.frame(Ingress::Port(PORT), &tcp(true, 7, true, b"single")),
    ];
    let (_, sockets) = rig.run(frames);
    assert!(sockets.is_empty());
    let uplinks = rig.uplinks();
    assert_eq!(uplinks.len(), 17 + 1);
    for frame in &uplinks {
        assert!(leads_to_peer(frame));
        assert_eq!(frame.meta.offload, crate::frame::Offload::default());
        assert_eq!(usize::from(frame.meta.outer), 14);
        assert_eq!(frame.data()[..6], ROUTER_MAC.0);
        assert_eq!(frame.data()[6..14], [&DEVICE_MAC.0[..], &[8, 0]].concat());
        let ip = etherparse::SlicedPacket::from_ip(&frame.data()[14..]).unwrap();
        assert!(ip.transport.is_some() && frame.len() <= 14 + 1240);
    }
}

#[test]
fn sockets_get_packets_one_behind_the_other() {
    let mut rig = rig(false);
    let packet = tcp(true, 7, true, &bytes(20_000));
    let frame = super_frame(&rig, &packet, 1200);
    let (_, trains) = rig.run([frame]);
    assert!(trains.iter().all(leads_to_peer));
    assert_eq!(trains.iter().map(Frame::datagrams).sum::<usize>(), 17);
    let mut routed = packet;
    routed[8] -= 1;
    let segmenter = Segmenter::new(&routed, 1200).unwrap();
    let sizes: usize = (0..17)
        .map(|index| segmenter.header_len() + segmenter.payload(index).len())
        .sum();
    assert_eq!(trains.iter().map(Frame::len).sum::<usize>(), sizes);
    for train in &trains {
        for packet in train.data().chunks(1240) {
            let ip = etherparse::SlicedPacket::from_ip(packet).unwrap();
            assert!(ip.transport.is_some());
        }
    }
}

#[test]
fn nobody_fragments_what_is_too_big_so_its_sender_is_told() {
    let mut rig = rig(false);
    let (ports, underlays) = rig.send_from_port(&udp4("10.42.1.5", "10.42.2.7", 64, &bytes(MTU)));
    assert!(underlays.is_empty());
    let [error] = &ports[..] else { panic!() };
    assert_eq!(error.data()[20..22], [3, 4], "fragmentation needed");
    assert_eq!(error.data()[26..28], (MTU as u16).to_be_bytes());
    rig.assert_only_drop(DropReason::TooBig);
}

#[test]
fn a_far_end_behind_a_router_is_unreachable() {
    let mut rig = rig(false);
    let off_link = rig.tables.insert_next_hop(NextHop::OffLink);
    let mut network = rig.tables.network(NET).unwrap().clone();
    network
        .fib
        .v4
        .insert("10.42.2.0/24".parse().unwrap(), off_link);
    rig.tables.insert_network(NET, network);
    let (ports, underlays) = rig.send_from_port(&udp4("10.42.1.5", "10.42.2.7", 64, b"hello"));
    assert!(underlays.is_empty());
    let [error] = &ports[..] else { panic!() };
    assert_eq!(error.data()[20..22], [3, 1], "host unreachable");
    rig.assert_only_drop(DropReason::OffLink);
}
