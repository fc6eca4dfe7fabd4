//! Super-frames: cut into trains on the way out, merged on the way in.

use ringlay_encap::segment::{Segmenter, complete_checksum};

use super::*;
use crate::frame::{Gso, Offload};

/// A TCP packet of 10.42.1.1 or 10.42.2.1, with valid checksums.
pub(super) fn tcp(outwards: bool, seq: u32, push: bool, payload: &[u8]) -> Vec<u8> {
    let (here, there) = ([10, 42, 1, 1], [10, 42, 2, 1]);
    let (src, dst) = if outwards {
        (here, there)
    } else {
        (there, here)
    };
    let mut packet = Vec::new();
    let mut builder = PacketBuilder::ipv4(src, dst, 64)
        .tcp(1000, 2000, seq, 512)
        .ack(9);
    if push {
        builder = builder.psh();
    }
    builder.write(&mut packet, payload).unwrap();
    packet
}

pub(super) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 13 + i / 256) as u8).collect()
}

/// The packets that a super-frame of the TUN device stands for.
fn cut(packet: &[u8], segment_len: u16) -> Vec<Vec<u8>> {
    let segmenter = Segmenter::new(packet, segment_len).unwrap();
    let one = |index| {
        let mut segment = vec![0; segmenter.header_len()];
        let payload = segmenter.write_header(index, &mut segment);
        segment.extend(&packet[payload]);
        segment
    };
    (0..segmenter.count()).map(one).collect()
}

/// The datagrams of all trains, without their tunnel headers.
fn inner_packets(trains: &[Frame]) -> Vec<Vec<u8>> {
    let datagrams = trains.iter().flat_map(|train| {
        let size = match usize::from(train.meta.segment_size) {
            0 => train.len(),
            size => size,
        };
        train.data().chunks(size)
    });
    datagrams
        .map(|datagram| {
            assert_eq!(datagram[..20], vxlan(VNI, PEER_MAC, OUR_MAC, 0, &[])[..20]);
            datagram[22..].to_vec()
        })
        .collect()
}

/// What the kernel hands over: a partial checksum, and how to cut.
pub(super) fn super_frame(rig: &Rig, packet: &[u8], gso_size: u16) -> Frame {
    let mut frame = rig.frame(Ingress::Port(PORT), packet);
    frame.meta.offload = Offload {
        needs_checksum: true,
        gso: Gso::TcpV4,
        header_len: 40,
        gso_size,
        csum_start: 20,
        csum_offset: 16,
        ..Offload::default()
    };
    frame
}

#[test]
fn a_super_frame_leaves_as_trains_of_packets_that_are_right() {
    let mut rig = Rig::new();
    let packet = tcp(true, 1, true, &bytes(64_000));
    let frame = super_frame(&rig, &packet, 1400);
    let (_, trains) = rig.run([frame]);
    assert_eq!(trains.len(), 2);
    assert!(
        trains
            .iter()
            .all(|train| train.len() <= 65_507 && train.datagrams() <= 64)
    );
    assert!(
        trains
            .iter()
            .all(|train| train.meta.remote.ip() == PEER_VTEP)
    );
    let mut forwarded = packet;
    forwarded[8] -= 1;
    assert_eq!(inner_packets(&trains), cut(&forwarded, 1400));
    assert_eq!(rig.counters.segmented.value(), 45);
}

#[test]
fn a_super_frame_of_one_packet_is_a_packet() {
    let mut rig = Rig::new();
    let packet = tcp(true, 1, true, &bytes(1000));
    let frame = super_frame(&rig, &packet, 1400);
    let mut partial = frame;
    // The sum of the pseudo-header stands where the checksum belongs.
    let pseudo = ringlay_encap::Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(1020);
    partial.data_mut()[36..38].copy_from_slice(&pseudo.fold().to_be_bytes());
    let (_, trains) = rig.run([partial]);
    let mut forwarded = packet;
    forwarded[8] -= 1;
    ringlay_encap::Ipv4Packet::new_unchecked(&mut forwarded[..]).fill_checksum();
    assert_eq!(inner_packets(&trains), [forwarded]);
}

#[test]
fn tcp_segments_too_big_for_the_tunnel_are_cut_smaller() {
    let mut rig = Rig::new();
    let payload = bytes(5000);
    let frame = super_frame(&rig, &tcp(true, 1, true, &payload), 1411);
    let (ports, trains) = rig.run([frame]);
    assert!(ports.is_empty());
    let packets = inner_packets(&trains);
    let lens: Vec<_> = packets.iter().map(Vec::len).collect();
    assert_eq!(lens, [MTU, MTU, MTU, 5000 - 3 * (MTU - 40) + 40]);
    let sent: Vec<_> = packets.iter().flat_map(|packet| &packet[40..]).collect();
    assert!(sent.into_iter().eq(&payload), "the stream is the same");
}

/// A UDP packet as a super-frame of datagrams with `gso_size` bytes each.
pub(super) fn udp_super_frame(rig: &Rig, packet: &[u8], gso_size: u16) -> Frame {
    let mut frame = super_frame(rig, packet, gso_size);
    let offload = &mut frame.meta.offload;
    (offload.gso, offload.header_len, offload.csum_offset) = (Gso::UdpL4, 28, 6);
    frame
}

#[test]
fn datagrams_too_big_for_the_tunnel_are_told() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.1.1", "10.42.2.1", 64, &bytes(5000));
    let frame = udp_super_frame(&rig, &packet, 1423);
    let (ports, trains) = rig.run([frame]);
    assert!(trains.is_empty());
    assert_eq!(ports[0].data()[20..22], [3, 4]);
    rig.assert_only_drop(DropReason::TooBig);
}

/// A train of datagrams from the peer.
fn train(rig: &Rig, packets: &[Vec<u8>]) -> Frame {
    let datagrams: Vec<_> = packets.iter().map(|packet| vxlan_ip4(packet)).collect();
    let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &datagrams.concat());
    frame.meta.remote = SocketAddr::new(IpAddr::V4(PEER_VTEP), 50_000);
    frame.meta.segment_size = datagrams[0].len() as u16;
    frame
}

/// A super-frame for the port as the packet that it stands for, forwarded once.
fn completed(frame: &Frame) -> Vec<u8> {
    let mut packet = frame.data().to_vec();
    let Offload {
        csum_start,
        csum_offset,
        needs_checksum,
        ..
    } = frame.meta.offload;
    assert!(needs_checksum);
    assert!(complete_checksum(
        &mut packet,
        csum_start.into(),
        csum_offset.into()
    ));
    packet
}

fn forwarded(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    ringlay_encap::Ipv4Packet::new_unchecked(&mut packet[..]).decrement_ttl();
    packet
}

#[test]
fn trains_and_datagrams_become_super_frames() {
    for as_train in [true, false] {
        let mut rig = Rig::new();
        let packet = tcp(false, 5, true, &bytes(30_000));
        let segments = cut(&packet, 1400);
        let frames: Vec<_> = if as_train {
            vec![train(&rig, &segments)]
        } else {
            segments
                .iter()
                .map(|segment| train(&rig, std::slice::from_ref(segment)))
                .collect()
        };
        let (ports, _) = rig.run(frames);
        let [frame] = &ports[..] else {
            panic!("{} frames", ports.len())
        };
        assert_eq!(frame.meta.offload.gso, Gso::TcpV4);
        assert_eq!(frame.meta.offload.gso_size, 1400);
        assert_eq!(completed(frame), forwarded(&packet));
        assert_eq!(rig.counters.coalesced.value(), segments.len() as u64 - 1);
    }
}

#[test]
fn flows_are_kept_apart_and_in_order() {
    let mut rig = Rig::new();
    let first = tcp(false, 1, true, &bytes(2800));
    let other = udp4("10.42.2.9", "10.42.1.1", 64, b"another flow");
    let pure_ack = tcp(false, 2801, false, &[]);
    let second = tcp(false, 2801, true, &bytes(1400));
    let a = cut(&first, 1400);
    let frames = [&a[0], &other, &a[1], &pure_ack, &second]
        .map(|packet| train(&rig, std::slice::from_ref(packet)));
    let (ports, _) = rig.run(frames);
    let lens: Vec<_> = ports.iter().map(Frame::len).collect();
    // The acknowledgement pushes out what came before it in its flow.
    assert_eq!(lens, [40 + 2800, 40, other.len(), 40 + 1400]);
}

#[test]
fn a_congestion_mark_stays_with_its_packets() {
    let mut rig = Rig::new();
    // ECN-capable, or the mark would be the end of them.
    let mut packet = tcp(false, 1, true, &bytes(7000));
    packet[1] = 2;
    ringlay_encap::ipv4::Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    let segments = cut(&packet, 1400);
    let frames: Vec<_> = segments
        .iter()
        .zip([2, 2, 3, 3, 2])
        .map(|(segment, class)| {
            let mut frame = train(&rig, std::slice::from_ref(segment));
            frame.meta.traffic_class = class;
            frame
        })
        .collect();
    let (ports, _) = rig.run(frames);
    let lens: Vec<_> = ports.iter().map(Frame::len).collect();
    assert_eq!(lens, [40 + 2800, 40 + 2800, 40 + 1400]);
}

#[test]
fn what_is_corrupt_is_passed_as_it_is() {
    let mut rig = Rig::new();
    let segments = cut(&tcp(false, 1, true, &bytes(4200)), 1400);
    let mut corrupt = segments.clone();
    corrupt[1][100] ^= 1;
    let batch = train(&rig, &corrupt);
    let (ports, _) = rig.run([batch]);
    assert_eq!(ports.len(), 3);
    assert!(
        ports
            .iter()
            .all(|frame| frame.meta.offload == Offload::default())
    );
    assert_eq!(ports[1].data(), forwarded(&corrupt[1]));
}

#[test]
fn a_checksum_that_the_peer_left_open_is_still_open_for_the_port() {
    let mut rig = Rig::new();
    let packet = tcp(false, 1, true, b"data");
    let mut open = packet.clone();
    let pseudo = ringlay_encap::Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(24);
    open[36..38].copy_from_slice(&pseudo.fold().to_be_bytes());
    let frame = train(&rig, &[open]);
    let (ports, _) = rig.run([frame]);
    assert_eq!(completed(&ports[0]), forwarded(&packet));
    assert_eq!(ports[0].meta.offload.gso, Gso::None);
}

#[test]
fn a_train_of_strangers_is_many_packets() {
    let mut rig = Rig::new();
    let packets: Vec<_> = (1..=64)
        .map(|n| udp4(&format!("10.42.2.{n}"), "10.42.1.1", 64, b"x"))
        .collect();
    let batch = [train(&rig, &packets), train(&rig, &packets)];
    let (ports, _) = rig.run(batch);
    assert_eq!(
        ports.len(),
        128,
        "more flows than are merged at once, more than one batch"
    );
}

#[test]
fn a_train_of_garbage_is_dropped_by_name() {
    let mut rig = Rig::new();
    let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &[0xff; 1000]);
    frame.meta.remote = SocketAddr::new(IpAddr::V4(PEER_VTEP), 50_000);
    frame.meta.segment_size = 30;
    rig.run([frame]);
    assert_eq!(rig.counters.total_drops(), 34);
}

#[test]
fn a_merged_train_can_leave_by_another_tunnel() {
    let mut rig = Rig::new();
    let mut packet = tcp(false, 5, true, &bytes(10_000));
    packet[16..20].copy_from_slice(&[10, 42, 2, 77]);
    let mut view = ringlay_encap::Ipv4Packet::new_unchecked(&mut packet[..]);
    view.fill_checksum();
    let segments = cut(&packet, 1400);
    let mut batch = train(&rig, &segments);
    batch.meta.remote = SocketAddr::new(IpAddr::V4(STRANGER_VTEP), 50_000);
    let (_, trains) = rig.run([batch]);
    assert_eq!(inner_packets(&trains), cut(&forwarded(&packet), 1400));
}

/// The same packet as a kernel leaves it to a device: the sum of the pseudo-header is where its
/// checksum, `at` bytes from its beginning, is to be.
fn unfinished(packet: &[u8], at: usize) -> Vec<u8> {
    let view = ringlay_encap::Ipv4Packet::new_unchecked(packet);
    let pseudo = view.pseudo_header((packet.len() - 20) as u16);
    let mut packet = packet.to_vec();
    packet[at..at + 2].copy_from_slice(&pseudo.fold().to_be_bytes());
    packet
}

#[test]
fn a_stream_that_was_left_uncut_is_a_super_frame_for_the_port() {
    let mut rig = Rig::new();
    let packet = tcp(false, 7, true, &bytes(20_000));
    let (ports, _) = rig.send_from_vtep(PEER_VTEP, &vxlan_ip4(&unfinished(&packet, 36)));
    let [frame] = &ports[..] else {
        panic!("{} frames", ports.len())
    };
    let offload = frame.meta.offload;
    assert_eq!((offload.gso, offload.header_len), (Gso::TcpV4, 40));
    assert_eq!(usize::from(offload.gso_size), MTU - 40);
    assert_eq!(completed(frame), forwarded(&packet));
    // What fits is left alone.
    let packet = tcp(false, 7, true, &bytes(MTU - 40));
    let (ports, _) = rig.send_from_vtep(PEER_VTEP, &vxlan_ip4(&unfinished(&packet, 36)));
    assert_eq!(ports[0].meta.offload.gso, Gso::None);
    assert_eq!(completed(&ports[0]), forwarded(&packet));
}

#[test]
fn datagrams_that_were_left_uncut_are_a_super_frame_for_the_port() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.2.1", "10.42.1.1", 64, &bytes(5_000));
    let mut frame = train(&rig, &[unfinished(&packet, 26)]);
    // As UDP_GRO tells of such a one: without any headers.
    frame.meta.segment_size = 1_000;
    let (ports, _) = rig.run([frame]);
    let [frame] = &ports[..] else {
        panic!("{} frames", ports.len())
    };
    let offload = frame.meta.offload;
    assert_eq!((offload.gso, offload.header_len), (Gso::UdpL4, 28));
    assert_eq!(offload.gso_size, 1_000);
    assert_eq!(completed(frame), forwarded(&packet));
}

#[test]
fn a_train_of_unfinished_datagrams_stays_one() {
    let mut rig = Rig::new();
    let packets = [1, 2, 3].map(|byte| {
        let packet = udp4("10.42.2.1", "10.42.1.1", 64, &[byte; 500]);
        unfinished(&packet, 26)
    });
    let frame = train(&rig, &packets);
    let (ports, _) = rig.run([frame]);
    assert_eq!(ports.len(), 3);
    for (frame, byte) in ports.iter().zip([1, 2, 3]) {
        assert_eq!(frame.meta.offload.gso, Gso::None);
        assert_eq!(completed(frame)[28..], [byte; 500]);
    }
}
