//! The uplink: outer headers put on and taken off, super-frames left whole.

use ringlay_encap::ip::IpVersion;
use ringlay_encap::segment::complete_checksum;

use super::super_frames::{bytes, super_frame, tcp, udp_super_frame};
use super::*;
use crate::frame::{Gso, Offload};
use crate::port::uplink;

/// Bytes from the outer Ethernet header to VXLAN, and to the inner IP header.
const OUTER: usize = 14 + 20 + 8;
const INNER: usize = OUTER + 8 + 14;

/// Like [`Rig::new`], but the peer is reached by the uplink.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let len = rig.reach_peer(|it| it.ethernet(uplink::MAC, uplink::PEER_MAC));
    assert_eq!(len, INNER);
    rig
}

impl Rig {
    /// Takes in a frame from the uplink; returns what the port gets.
    fn receive(&mut self, data: &[u8], offload: Offload) -> Vec<Frame> {
        let mut frame = self.frame(Ingress::Uplink(UNDERLAY), data);
        frame.meta.offload = offload;
        let (ports, underlays) = self.run([frame]);
        assert!(underlays.is_empty() && self.uplinks().is_empty());
        ports
    }
}

/// A datagram from the peer with its outer headers, made by another implementation.
fn outer(dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8])
        .ipv4(PEER_VTEP.octets(), OUR_VTEP.octets(), 64)
        .udp(50_000, dst_port)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

fn with_tag(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram.splice(20..20, [0x81, 0, 0, 7]);
    datagram
}

/// A TCP super-frame from the peer as the uplink hands it over.
const FROM_PEER: Offload = Offload {
    needs_checksum: true,
    checksum_valid: false,
    ecn: false,
    gso: Gso::TcpV4,
    header_len: INNER as u16 + 40,
    gso_size: 1400,
    csum_start: INNER as u16 + 20,
    csum_offset: 16,
    tunnel: Some(crate::frame::Encapsulation {
        outer: IpVersion::V4,
        transport: 34,
        inner: INNER as u16,
        checksum: true,
    }),
};

#[test]
fn a_super_frame_leaves_whole() {
    let mut rig = rig();
    let packet = tcp(true, 1, true, &bytes(60_000));
    let frame = super_frame(&rig, &packet, 1400);
    let (ports, underlays) = rig.run([frame]);
    assert!(ports.is_empty() && underlays.is_empty());
    let uplinks = rig.uplinks();
    let [frame] = &uplinks[..] else {
        panic!("{} frames", uplinks.len());
    };
    assert_eq!(frame.meta.offload, FROM_PEER);
    assert_eq!(frame.meta.underlay, UNDERLAY);
    assert_eq!(frame.data()[INNER + 20..], packet[20..]);
    let parsed = etherparse::PacketHeaders::from_ethernet_slice(frame.data()).unwrap();
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = parsed.net else {
        panic!("no IPv4 header");
    };
    assert_eq!(ip.destination, PEER_VTEP.octets());
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!(usize::from(ip.total_len), frame.len() - 14);
    let udp = parsed.transport.and_then(|it| it.udp()).unwrap();
    assert_eq!(udp.destination_port, 4789);
    assert!(udp.source_port >= 49_152);
}

#[test]
fn a_packet_leaves_with_nothing_to_do_but_the_outer_checksum() {
    let mut rig = rig();
    let packet = udp4("10.42.1.1", "10.42.2.1", 64, b"hello");
    rig.send_from_port(&packet);
    let mut frame = rig.uplinks().pop().unwrap();
    let Offload {
        needs_checksum,
        gso,
        tunnel,
        csum_start,
        csum_offset,
        ..
    } = frame.meta.offload;
    assert!(needs_checksum && gso == Gso::None && tunnel.is_none());
    let (start, offset) = (usize::from(csum_start), usize::from(csum_offset));
    assert!(complete_checksum(frame.data_mut(), start, offset));
    let udp = etherparse::UdpHeaderSlice::from_slice(&frame.data()[34..]).unwrap();
    let computed = udp
        .to_header()
        .calc_checksum_ipv4_raw(
            OUR_VTEP.octets(),
            PEER_VTEP.octets(),
            &frame.data()[OUTER..],
        )
        .unwrap();
    assert_eq!(udp.checksum(), computed);
}

#[test]
fn outer_packets_are_numbered_by_what_they_become() {
    let mut rig = rig();
    let frames = [4_200, 100].map(|len| {
        let packet = tcp(true, 1, false, &bytes(len));
        super_frame(&rig, &packet, 1400)
    });
    rig.run(frames);
    rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 64, b"hello"));
    let ident = |frame: &Frame| u16::from_be_bytes([frame.data()[18], frame.data()[19]]);
    let idents: Vec<_> = rig.uplinks().iter().map(ident).collect();
    assert_eq!(idents, [0, 3, 4]);
}

#[test]
fn a_super_frame_too_long_for_one_outer_packet_leaves_in_pieces() {
    let mut rig = rig();
    let packet = tcp(true, 1, false, &bytes(65_535 - 40));
    let frame = super_frame(&rig, &packet, 1400);
    let (_, trains) = rig.run([frame]);
    assert!(rig.uplinks().is_empty());
    let datagrams: usize = trains.iter().map(Frame::datagrams).sum();
    assert_eq!(datagrams, (65_535_usize - 40).div_ceil(1400));
}

#[test]
fn what_is_too_big_is_refused_here_too() {
    let mut rig = rig();
    let packet = udp4("10.42.1.1", "10.42.2.1", 64, &bytes(4_000));
    let frame = udp_super_frame(&rig, &packet, 2000);
    let (ports, _) = rig.run([frame]);
    assert_eq!(ports.len(), 1, "the sender is told");
    rig.assert_only_drop(DropReason::TooBig);
}

#[test]
fn a_super_frame_from_the_peer_reaches_the_port_whole() {
    let mut rig = rig();
    let packet = tcp(false, 1, true, &bytes(60_000));
    let ports = rig.receive(&outer(4789, &vxlan_ip4(&packet)), FROM_PEER);
    let [frame] = &ports[..] else {
        panic!("{} frames", ports.len());
    };
    let expected = Offload {
        header_len: 40,
        csum_start: 20,
        tunnel: None,
        ..FROM_PEER
    };
    assert_eq!(frame.meta.offload, expected);
    assert_eq!(frame.data()[20..], packet[20..]);
}

#[test]
fn a_checksum_left_out_is_left_to_the_port() {
    let mut rig = rig();
    let packet = tcp(false, 1, true, b"hello");
    let offload = Offload {
        gso: Gso::None,
        tunnel: None,
        ..FROM_PEER
    };
    let ports = rig.receive(&outer(4789, &vxlan_ip4(&packet)), offload);
    let told = ports[0].meta.offload;
    assert!(told.needs_checksum);
    assert_eq!((told.csum_start, told.csum_offset), (20, 16));
    // The outer one is of no interest any more.
    let offload = Offload {
        csum_start: 34,
        csum_offset: 6,
        ..offload
    };
    let ports = rig.receive(&outer(4789, &vxlan_ip4(&packet)), offload);
    assert_eq!(ports[0].meta.offload, Offload::default());
}

#[test]
fn behind_a_vlan_tag_the_checksum_is_finished_and_a_super_frame_refused() {
    let mut rig = rig();
    let mut packet = tcp(false, 1, true, b"hello");
    let right = packet.clone();
    let pseudo = ringlay_encap::ipv4::Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(25);
    packet[36..38].copy_from_slice(&pseudo.fold().to_be_bytes());
    let mut offload = Offload {
        gso: Gso::None,
        tunnel: None,
        csum_start: FROM_PEER.csum_start + 4,
        ..FROM_PEER
    };
    let tagged = outer(4789, &with_tag(vxlan_ip4(&packet)));
    let ports = rig.receive(&tagged, offload);
    assert_eq!(ports[0].data()[20..], right[20..]);
    assert_eq!(ports[0].meta.offload, Offload::default());
    offload = FROM_PEER;
    offload.tunnel.as_mut().unwrap().inner += 4;
    assert!(rig.receive(&tagged, offload).is_empty());
    rig.assert_only_drop(DropReason::VxlanMalformed);
}

#[test]
fn outer_datagrams_that_were_put_together_are_merged_inside_too() {
    let mut rig = rig();
    let packets: Vec<u8> = (0..3)
        .flat_map(|index| vxlan_ip4(&tcp(false, 1 + index * 1000, false, &bytes(1000))))
        .collect();
    let offload = Offload {
        needs_checksum: true,
        gso: Gso::UdpL4,
        gso_size: (packets.len() / 3) as u16,
        csum_start: 34,
        csum_offset: 6,
        ..Offload::default()
    };
    let ports = rig.receive(&outer(4789, &packets), offload);
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0].len(), 40 + 3000);
    assert_eq!(ports[0].meta.offload.gso, Gso::TcpV4);
    assert_eq!(rig.counters.coalesced.value(), 2);
}

#[test]
fn the_order_of_a_flow_is_kept_around_a_super_frame() {
    let mut rig = rig();
    let single = |seq| outer(4789, &vxlan_ip4(&tcp(false, seq, false, &bytes(1000))));
    let big = outer(4789, &vxlan_ip4(&tcp(false, 1001, false, &bytes(2000))));
    let none = Offload::default();
    let whole = Offload {
        gso_size: 1000,
        ..FROM_PEER
    };
    let frames = [(single(1), none), (big, whole), (single(3001), none)].map(|(data, offload)| {
        let mut frame = rig.frame(Ingress::Uplink(UNDERLAY), &data);
        frame.meta.offload = offload;
        frame
    });
    let (ports, _) = rig.run(frames);
    let seq = |frame: &Frame| frame.data()[24..28].to_vec();
    let seqs: Vec<_> = ports.iter().map(seq).collect();
    assert_eq!(seqs, [1_u32, 1001, 3001].map(|seq| seq.to_be_bytes()));
}

#[test]
fn checksums_are_verified_unless_somebody_did() {
    let mut rig = rig();
    let datagram = vxlan_ip4(&udp4("10.42.2.1", "10.42.1.1", 64, b"hello"));
    let right = outer(4789, &datagram);
    let mut wrong = right.clone();
    wrong[40] ^= 1;
    assert_eq!(rig.receive(&right, Offload::default()).len(), 1);
    assert!(rig.receive(&wrong, Offload::default()).is_empty());
    rig.assert_only_drop(DropReason::UnderlayBadChecksum);
    let mut none = right;
    none[40..42].fill(0);
    assert_eq!(rig.receive(&none, Offload::default()).len(), 1);
    let verified = Offload {
        checksum_valid: true,
        ..Offload::default()
    };
    assert_eq!(rig.receive(&wrong, verified).len(), 1);
}

#[test]
fn what_is_not_for_the_endpoint_goes_no_further() {
    let mut rig = rig();
    let datagram = vxlan_ip4(&udp4("10.42.2.1", "10.42.1.1", 64, b"hello"));
    let right = outer(4789, &datagram);
    let mut foreign = vec![outer(4790, &datagram)];
    for (at, bits) in [
        (30, 1),
        (23, 1),
        (20, 0x20),
        (12, 1),
        (14, 0x80),
        (39, 0x80),
    ] {
        let mut frame = right.clone();
        frame[at] ^= bits;
        let ip = ringlay_encap::ipv4::Ipv4Packet::new_unchecked(&mut frame[14..34]);
        { ip }.fill_checksum();
        foreign.push(frame);
    }
    foreign.extend((0..OUTER).map(|len| right[..len].to_vec()));
    for frame in &foreign {
        assert!(rig.receive(frame, Offload::default()).is_empty());
    }
    let dropped = rig.drops(DropReason::UplinkForeign) + rig.drops(DropReason::UnderlayBadChecksum);
    assert_eq!(dropped, foreign.len() as u64);
}

#[test]
fn lying_offloads_harm_nobody() {
    let mut rig = rig();
    let right = outer(4789, &vxlan_ip4(&tcp(false, 1, true, &bytes(3000))));
    let offloads = [
        Offload {
            csum_start: 0,
            ..FROM_PEER
        },
        Offload {
            csum_start: INNER as u16 - 1,
            ..FROM_PEER
        },
        Offload {
            tunnel: None,
            ..FROM_PEER
        },
        Offload {
            gso: Gso::UdpL4,
            csum_start: u16::MAX,
            tunnel: None,
            ..FROM_PEER
        },
    ];
    for offload in offloads {
        assert!(rig.receive(&right, offload).is_empty());
    }
    assert_eq!(rig.drops(DropReason::VxlanMalformed), offloads.len() as u64);
}
