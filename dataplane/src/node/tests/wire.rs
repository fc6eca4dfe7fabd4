//! The wire: whole frames out, and frames that lack no more than checksums in.

use ringlay_encap::checksum;
use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::template::Inner;

use super::encapsulations::{self, kinds};
use super::super_frames::{bytes, super_frame, tcp};
use super::*;

/// Bytes from the outer Ethernet header to VXLAN, and to the inner IP header.
const OUTER: usize = 14 + 20 + 8;
const INNER: usize = OUTER + 8 + 14;
/// The largest outer IP packet.
const LIMIT: usize = 1500;
const HERE: MacAddr = MacAddr([2, 9, 0, 0, 0, 1]);
const NEXT: MacAddr = MacAddr([2, 9, 0, 0, 0, 2]);

/// Like [`Rig::new`], but the peer is reached by the wire.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.tables.insert_wire(UNDERLAY, LIMIT);
    rig.reach_peer(|it| it.ethernet(NEXT, HERE));
    rig
}

/// Whether a frame is complete, as far as an outer header can tell; and the inner packet.
fn inner(frame: &Frame) -> Vec<u8> {
    let data = frame.data();
    assert_eq!(data[..12], [NEXT.0, HERE.0].concat());
    assert_eq!(frame.meta.offload, Default::default());
    assert_eq!(
        (frame.meta.segment_size, frame.meta.underlay),
        (0, UNDERLAY)
    );
    let ip = Ipv4Packet::new_checked(&data[14..]).unwrap();
    assert!(ip.verify_checksum());
    assert_eq!(ip.total_len() + 14, data.len());
    assert!(ip.total_len() <= LIMIT);
    assert_eq!((ip.src_addr(), ip.dst_addr()), (OUR_VTEP, PEER_VTEP));
    let udp = etherparse::UdpHeaderSlice::from_slice(&data[34..]).unwrap();
    assert!(udp.source_port() >= 49_152 && udp.destination_port() == 4789);
    let header = udp.to_header();
    let computed =
        header.calc_checksum_ipv4_raw(OUR_VTEP.octets(), PEER_VTEP.octets(), &data[OUTER..]);
    assert_eq!(udp.checksum(), computed.unwrap());
    data[INNER..].to_vec()
}

#[test]
fn a_packet_leaves_complete() {
    let mut rig = rig();
    let packet = udp4("10.42.1.1", "10.42.2.1", 64, b"hello");
    rig.send_from_port(&packet);
    let frames = rig.uplinks();
    assert_eq!(frames.len(), 1);
    assert_eq!(inner(&frames[0])[20..], packet[20..]);
}

#[test]
fn an_unfinished_checksum_is_finished_first() {
    let mut rig = rig();
    let right = udp4("10.42.1.1", "10.42.2.1", 64, b"hello");
    let mut frame = rig.frame(Ingress::Port(PORT), &right);
    let pseudo = Ipv4Packet::new_unchecked(&right[..]).pseudo_header(13);
    frame.data_mut()[26..28].copy_from_slice(&pseudo.fold().to_be_bytes());
    frame.meta.offload.needs_checksum = true;
    frame.meta.offload.csum_start = 20;
    frame.meta.offload.csum_offset = 6;
    rig.run([frame]);
    assert_eq!(inner(&rig.uplinks()[0])[20..], right[20..]);
}

#[test]
fn each_packet_of_a_super_frame_leaves_complete() {
    let mut rig = rig();
    let packet = tcp(true, 1, true, &bytes(60_000));
    let frame = super_frame(&rig, &packet, 1400);
    rig.run([frame]);
    let frames = rig.uplinks();
    assert_eq!(frames.len(), 60_000_usize.div_ceil(1400));
    let mut payload = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let packet = inner(frame);
        let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
        let sum = checksum::sum(ip.payload()) + ip.pseudo_header(ip.payload().len() as u16);
        assert!(ip.verify_checksum() && sum.is_valid());
        let ident = u16::from_be_bytes([frame.data()[18], frame.data()[19]]);
        assert_eq!(usize::from(ident), number, "fragments can be told apart");
        payload.extend_from_slice(&packet[40..]);
    }
    assert_eq!(payload, packet[40..]);
}

#[test]
fn what_the_wire_does_not_take_leaves_by_the_sockets() {
    let mut rig = rig();
    rig.tables.insert_wire(UNDERLAY, 1000);
    let (_, sockets) = rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 64, &bytes(1200)));
    assert_eq!(sockets.len(), 1);
    let packet = tcp(true, 1, true, &bytes(14_000));
    let frame = super_frame(&rig, &packet, 1400);
    let (_, trains) = rig.run([frame]);
    assert_eq!(trains.iter().map(Frame::datagrams).sum::<usize>(), 10);
    assert!(rig.uplinks().is_empty());
}

#[test]
fn a_pool_that_is_used_up_costs_packets_and_no_more() {
    let mut rig = rig();
    let packet = tcp(true, 1, true, &bytes(60_000));
    let frames: Vec<_> = (0..6).map(|_| super_frame(&rig, &packet, 1400)).collect();
    rig.run(frames);
    let left = rig.uplinks().len() as u64;
    assert_eq!(rig.drops(DropReason::PoolExhausted) + left, 6 * 43);
    assert!(left >= 200);
}

#[test]
fn a_whole_frame_becomes_what_a_socket_sends() {
    let mut rig = rig();
    rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 64, b"hello"));
    let frame = rig.uplinks().pop().unwrap();
    assert_eq!(usize::from(frame.meta.outer), OUTER);
    assert_eq!(frame.meta.remote, "192.168.77.2:4789".parse().unwrap());
}

/// What a kernel's VXLAN device sends around `packet` through a pair of virtual devices.
fn from_kernel(packet: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(NEXT.0, HERE.0)
        .ipv4(PEER_VTEP.octets(), OUR_VTEP.octets(), 64)
        .udp(50_000, 4789)
        .write(&mut frame, &vxlan_ip4(packet))
        .unwrap();
    frame
}

fn receive(rig: &mut Rig, data: &[u8]) -> Vec<Frame> {
    let frame = rig.frame(Ingress::Wire, data);
    rig.run([frame]).0
}

#[test]
fn checksums_that_a_kernel_left_open_are_not_wrong() {
    let mut rig = rig();
    let right = tcp(false, 1, true, b"hello");
    // The outer one: the pseudo-header's sum stands in its place.
    let mut frame = from_kernel(&right);
    let ip = Ipv4Packet::new_unchecked(&frame[14..]);
    let pseudo = ip.pseudo_header(ip.payload().len() as u16).fold();
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let ports = receive(&mut rig, &frame);
    assert_eq!(ports[0].data()[20..], right[20..]);
    assert!(!ports[0].meta.offload.needs_checksum);
    // The inner one; then the outer one is right as soon as it is finished.
    let mut frame = from_kernel(&right);
    let pseudo = Ipv4Packet::new_unchecked(&right[..])
        .pseudo_header(25)
        .fold();
    frame[INNER + 36..INNER + 38].copy_from_slice(&pseudo.to_be_bytes());
    let ports = receive(&mut rig, &frame);
    assert!(ports[0].meta.offload.needs_checksum, "left to the port");
    let offload = ports[0].meta.offload;
    assert_eq!((offload.csum_start, offload.csum_offset), (20, 16));
    // The same with a damaged byte in front.
    frame[INNER - 3] ^= 1;
    assert!(receive(&mut rig, &frame).is_empty());
    rig.assert_only_drop(DropReason::UnderlayBadChecksum);
}

/// Like [`encapsulations::rig`], but all encapsulations' packets come and go by one wire.
fn rig_of(key: TunnelKey, inner: Inner, remote: IpAddr) -> (Rig, Template) {
    let mut rig = encapsulations::rig(key, inner, remote);
    let before = rig.tables.tunnel(PEER).unwrap().clone();
    let others = Encapsulation::ALL.into_iter().zip(1..);
    for (encapsulation, id) in others.map(|(it, id)| (it, UnderlayId(id))) {
        let id = if encapsulation == key.encapsulation() {
            UNDERLAY
        } else {
            id
        };
        let mut endpoint = endpoint(encapsulation);
        endpoint.local.set_ip(before.local);
        rig.tables.insert_underlay(id, endpoint);
        rig.tables.insert_wire(id, LIMIT);
    }
    let builder = Template::builder(before.local, remote).ethernet(NEXT, HERE);
    let template = builder.tunnel(key, inner).unwrap();
    let tunnel = Tunnel {
        template: Some(template.clone()),
        ..before
    };
    rig.tables.insert_tunnel(PEER, tunnel);
    (rig, template)
}

/// What would come back if the peer sent the inner packet back: no checksum minds.
fn returned(sent: &[u8], template: &Template, inner: Inner) -> Vec<u8> {
    let mut frame = sent.to_vec();
    let mut exchange = |at: usize, len: usize| {
        let (left, right) = frame[at..at + 2 * len].split_at_mut(len);
        left.swap_with_slice(right);
    };
    let addresses = |version| match version {
        IpVersion::V4 => (12, 4),
        IpVersion::V6 => (8, 16),
    };
    exchange(0, 6);
    let (at, len) = addresses(template.version());
    exchange(14 + at, len);
    if inner != Inner::Ip {
        exchange(template.len() - 14, 6);
    }
    let (at, len) = addresses(IpVersion::of(&sent[template.len()..]).unwrap());
    exchange(template.len() + at, len);
    frame
}

#[test]
fn each_encapsulation_comes_and_goes_by_the_same_wire() {
    let remotes = [PEER_VTEP.into(), "fd77::2".parse().unwrap()];
    for ((key, inner), remote) in kinds()
        .into_iter()
        .flat_map(|it| remotes.map(|to| (it, to)))
    {
        let (mut rig, template) = rig_of(key, inner, remote);
        for packet in [
            udp4("10.42.1.1", "10.42.2.1", 64, b"four"),
            udp6("fd42:1::1", "fd42:2::1", 64, b"six"),
        ] {
            let (_, sockets) = rig.send_from_port(&packet);
            assert!(sockets.is_empty());
            let uplinks = rig.uplinks();
            let [frame] = &uplinks[..] else {
                panic!("{key} over {remote}")
            };
            assert_eq!(frame.data().len(), template.len() + packet.len());
            assert_eq!(usize::from(frame.meta.outer), template.tunnel_offset());
            let back = returned(frame.data(), &template, inner);
            let ports = receive(&mut rig, &back);
            assert_eq!(ports.len(), 1, "{key} over {remote}");
            let len = packet.len();
            assert_eq!(ports[0].data()[len - 3..], packet[len - 3..]);
            // For an endpoint that is there no more.
            let mut foreign = back;
            foreign[if remote.is_ipv4() { 33 } else { 53 }] ^= 1;
            if remote.is_ipv4() {
                let mut ip = Ipv4Packet::new_unchecked(&mut foreign[14..]);
                ip.fill_checksum();
            }
            let before = rig.drops(DropReason::TunnelGone);
            assert!(receive(&mut rig, &foreign).is_empty());
            assert_eq!(rig.drops(DropReason::TunnelGone), before + 1);
        }
    }
}

/// The program that leads packets to the wire and the tables do not change at the same time.
#[test]
fn a_protocol_that_no_endpoint_has_was_or_will_be_that_of_one() {
    let mut rig = rig();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(NEXT.0, HERE.0)
        .ipv4(PEER_VTEP.octets(), OUR_VTEP.octets(), 64)
        .tcp(1, 4789, 3, 4)
        .write(&mut frame, &[])
        .unwrap();
    assert!(receive(&mut rig, &frame).is_empty());
    rig.assert_only_drop(DropReason::TunnelGone);
    frame.truncate(33);
    assert!(receive(&mut rig, &frame).is_empty());
    assert_eq!(rig.drops(DropReason::UplinkForeign), 1, "no packet");
}
