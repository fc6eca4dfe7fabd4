//! IPv4 packets that are too long for a tunnel are cut inside it, where the network says so.

use std::collections::BTreeMap;

use etherparse::Ipv4HeaderSlice;
use proptest::prelude::*;
use ringlay_encap::Ipv4Packet;
use ringlay_encap::segment::{Segmenter, complete_checksum};
use ringlay_encap::template::Inner;

use super::encapsulations;
use super::super_frames::udp_super_frame;
use super::*;
use crate::frame::{Gso, Offload};
use crate::mempool::CAPACITY;
use crate::port::uplink;

fn asking(mut rig: Rig) -> Rig {
    let mut network = rig.tables.network(NET).unwrap().clone();
    network.fragment = true;
    rig.tables.insert_network(NET, network);
    rig
}

/// With a tunnel of this MTU.
fn rig(mtu: usize) -> Rig {
    let mut rig = asking(Rig::new());
    let tunnel = tunnel(PEER_VTEP, Some(PEER_MAC));
    rig.tables.insert_tunnel(PEER, Tunnel { mtu, ..tunnel });
    rig
}

/// A UDP packet that may be fragmented.
fn long(len: usize) -> Vec<u8> {
    let payload: Vec<_> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
    may_be_cut(udp4("10.42.1.1", "10.42.2.1", 64, &payload))
}

/// Clears DF and sets an identification.
fn may_be_cut(mut packet: Vec<u8>) -> Vec<u8> {
    let mut view = Ipv4Packet::new_checked(&mut packet[..]).unwrap();
    view.set_dont_fragment(false);
    view.set_ident(0xbeef);
    packet
}

/// The inner packets of datagrams, behind headers of `outer` bytes.
fn inner(frames: &[Frame], outer: usize) -> Vec<Vec<u8>> {
    let datagrams = frames.iter().flat_map(|frame| {
        let size = match usize::from(frame.meta.segment_size) {
            0 => frame.len(),
            size => size,
        };
        frame.data().chunks(size)
    });
    datagrams.map(|it| it[outer..].to_vec()).collect()
}

/// Puts the fragments of packets together that differ in their identification; returns the packets'
/// IP payloads.
fn reassembled(fragments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut packets: BTreeMap<u16, (Vec<u8>, bool)> = BTreeMap::new();
    for fragment in fragments {
        let header = Ipv4HeaderSlice::from_slice(fragment).unwrap().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), fragment.len());
        let (payload, complete) = packets.entry(header.identification).or_default();
        assert!(!*complete);
        assert_eq!(
            usize::from(header.fragment_offset.byte_offset()),
            payload.len()
        );
        payload.extend(&fragment[header.header_len()..]);
        *complete = !header.more_fragments;
    }
    assert!(packets.values().all(|(_, complete)| *complete));
    packets.into_values().map(|(payload, _)| payload).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_comes_together_is_what_was_sent(len in 0_usize..=65_507, mtu in 576_usize..9000) {
        let mut rig = rig(mtu);
        let packet = long(len);
        let (_, sent) = rig.send_from_port(&packet);
        let fragments = inner(&sent, 22);
        prop_assert!(fragments.iter().all(|fragment| fragment.len() <= mtu));
        prop_assert_eq!(&reassembled(&fragments), &[packet[20..].to_vec()]);
        let cut = u64::from(packet.len() > mtu);
        prop_assert_eq!(rig.counters.fragmented.value(), cut);
        prop_assert!(sent.iter().all(|it| it.meta.remote.ip() == PEER_VTEP && !it.meta.oversized));
        prop_assert!(sent.len() <= 3, "in trains");
    }
}

#[test]
fn each_encapsulation_and_uplink_takes_fragments_by_its_sockets() {
    let remote = IpAddr::V4(PEER_VTEP);
    for (key, carried) in encapsulations::kinds() {
        for uplink in [false, true] {
            let mut rig = asking(encapsulations::rig(key, carried, remote));
            if uplink {
                let tunnel = rig.tables.tunnel(PEER).unwrap().clone();
                let template = Template::builder(OUR_VTEP.into(), remote)
                    .ethernet(uplink::MAC, uplink::PEER_MAC)
                    .tunnel(key, carried)
                    .unwrap();
                let template = Some(template);
                rig.tables
                    .insert_tunnel(PEER, Tunnel { template, ..tunnel });
            }
            let packet = long(5_000);
            let (_, sent) = rig.send_from_port(&packet);
            assert!(rig.sink.uplinks.is_empty());
            let ethernet = if carried == Inner::Ip { 0 } else { 14 };
            let fragments = inner(&sent, key.header_len() + ethernet);
            assert_eq!(reassembled(&fragments), [packet[20..].to_vec()]);
        }
    }
}

#[test]
fn only_networks_that_ask_for_it_cut_and_only_what_may_be() {
    let whole = |mut rig: Rig, packet: &[u8]| {
        let (_, sent) = rig.send_from_port(packet);
        assert_eq!(inner(&sent, 22)[0][20..], packet[20..]);
        assert!(sent[0].meta.oversized);
    };
    whole(Rig::new(), &long(3_000));
    let mut rig = rig(MTU);
    let mut refused = long(3_000);
    Ipv4Packet::new_unchecked(&mut refused[..]).set_dont_fragment(true);
    rig.send_from_port(&refused);
    rig.send_from_port(&udp6("fd42:1::1", "fd42:2::1", 64, &[1; 3_000]));
    assert_eq!(rig.drops(DropReason::TooBig), 2);
    assert_eq!(rig.counters.fragmented.value(), 0);
}

#[test]
fn the_datagrams_of_a_super_frame_are_cut_one_by_one() {
    let mut rig = rig(1_000);
    let packet = may_be_cut(long(9_500));
    let mut frame = rig.frame(Ingress::Port(PORT), &packet);
    frame.meta.offload = Offload {
        needs_checksum: true,
        gso: Gso::UdpL4,
        gso_size: 3_000,
        csum_start: 20,
        csum_offset: 6,
        ..Offload::default()
    };
    let (_, sent) = rig.run([frame]);
    let segmenter = Segmenter::new(&packet, 3_000).unwrap();
    let datagrams: Vec<_> = (0..segmenter.count())
        .map(|index| {
            let mut datagram = vec![0; segmenter.header_len()];
            let payload = segmenter.write_header(index, &mut datagram);
            datagram.extend(&packet[payload]);
            datagram[20..].to_vec()
        })
        .collect();
    assert_eq!(datagrams.len(), 4);
    assert_eq!(reassembled(&inner(&sent, 22)), datagrams);
    // The last one fits.
    assert_eq!(rig.counters.fragmented.value(), 3);
}

#[test]
fn super_frames_that_fit_and_those_of_tcp_are_not_cut() {
    let mut rig = rig(MTU);
    let frame = udp_super_frame(&rig, &long(10_000), 1_000);
    rig.run([frame]);
    assert_eq!(rig.counters.fragmented.value(), 0);
}

#[test]
fn a_checksum_left_to_the_device_is_finished_first() {
    let mut rig = rig(MTU);
    let expected = long(4_000);
    let mut open = expected.clone();
    let view = Ipv4Packet::new_unchecked(&expected[..]);
    let pseudo_header = view.pseudo_header(4_008).fold();
    open[26..28].copy_from_slice(&pseudo_header.to_be_bytes());
    let mut finished = open.clone();
    assert!(complete_checksum(&mut finished, 20, 6));
    let mut frame = rig.frame(Ingress::Port(PORT), &open);
    frame.meta.offload = Offload {
        needs_checksum: true,
        csum_start: 20,
        csum_offset: 6,
        ..Offload::default()
    };
    let (_, sent) = rig.run([frame]);
    assert_eq!(reassembled(&inner(&sent, 22)), [finished[20..].to_vec()]);
}

#[test]
fn all_fragments_leave_or_none() {
    let mut rig = rig(1_000);
    // Three trains.
    let packet = long(65_000);
    for left in 0..4 {
        let hoarded: Vec<_> = std::iter::repeat_with(|| rig.pool.allocate())
            .take(255 - left)
            .map(Option::unwrap)
            .collect();
        let (_, sent) = rig.send_from_port(&packet);
        drop(hoarded);
        match sent.len() {
            0 => assert!(left < 3),
            _ => assert_eq!(reassembled(&inner(&sent, 22)), [packet[20..].to_vec()]),
        }
    }
    assert!((1..4).contains(&rig.drops(DropReason::PoolExhausted)));
    assert!(rig.counters.fragmented.value() >= 1);
}

#[test]
fn what_is_damaged_is_dropped() {
    // A fragment that ends behind the longest packet there is.
    let mut rig = rig(MTU);
    let mut packet = long(3_000);
    packet[6..8].copy_from_slice(&(65_000_u16 / 8).to_be_bytes());
    Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    rig.send_from_port(&packet);
    rig.assert_only_drop(DropReason::IpMalformed);
    assert!(packet.len() < CAPACITY);
}
