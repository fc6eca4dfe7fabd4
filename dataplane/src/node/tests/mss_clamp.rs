//! The maximum segment size of connections follows the tunnels.

use etherparse::{TcpHeaderSlice, TcpOptionElement};
use ringlay_encap::checksum::{pseudo_header_v4, pseudo_header_v6};
use ringlay_encap::tcp::TcpPacket;
use ringlay_encap::{IpProtocol, Ipv4Packet, Ipv6Packet};

use super::*;
use crate::frame::Offload;

/// What fits the tunnel's MTU.
const FITS_V4: u16 = MTU as u16 - 40;
const FITS_V6: u16 = MTU as u16 - 60;

fn rig() -> Rig {
    let mut rig = Rig::new();
    let mut network = rig.tables.network(NET).unwrap().clone();
    network.mss_clamp = true;
    rig.tables.insert_network(NET, network);
    rig
}

/// The first packet of a connection with these options.
fn syn(v4: bool, outwards: bool, options: &[TcpOptionElement]) -> Vec<u8> {
    let ends: [&str; 2] = if v4 {
        ["10.42.1.1", "10.42.2.1"]
    } else {
        ["fd42:1::1", "fd42:2::1"]
    };
    let [from, to] = if outwards { ends } else { [ends[1], ends[0]] };
    let mut packet = Vec::new();
    let builder = match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => unreachable!(),
    };
    let builder = builder.tcp(1000, 2000, 1, 512).syn();
    builder
        .options(options)
        .unwrap()
        .write(&mut packet, &[])
        .unwrap();
    packet
}

/// The maximum segment size that a packet announces; its checksum must be right.
fn mss(packet: &[u8]) -> Option<u16> {
    let v4 = packet[0] >> 4 == 4;
    let segment = &packet[if v4 { 20 } else { 40 }..];
    let len = segment.len();
    let sum = if v4 {
        let view = Ipv4Packet::new_unchecked(packet);
        pseudo_header_v4(
            view.src_addr(),
            view.dst_addr(),
            IpProtocol::TCP,
            len as u16,
        )
    } else {
        let view = Ipv6Packet::new_unchecked(packet);
        pseudo_header_v6(
            view.src_addr(),
            view.dst_addr(),
            IpProtocol::TCP,
            len as u32,
        )
    };
    assert!(
        TcpPacket::new_checked(segment)
            .unwrap()
            .verify_checksum(sum)
    );
    let header = TcpHeaderSlice::from_slice(segment).unwrap();
    header.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::MaximumSegmentSize(mss)) => Some(mss),
        _ => None,
    })
}

fn to_peer(rig: &mut Rig, packet: &[u8]) -> Vec<u8> {
    let (_, sent) = rig.send_from_port(packet);
    // Behind VXLAN and inner Ethernet.
    sent[0].data()[22..].to_vec()
}

fn from_peer(rig: &mut Rig, packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    let datagram = vxlan(VNI, OUR_MAC, PEER_MAC, ethertype, packet);
    let (ports, _) = rig.send_from_vtep(PEER_VTEP, &datagram);
    ports[0].data().to_vec()
}

#[test]
fn both_directions_and_versions_are_clamped() {
    use TcpOptionElement::{MaximumSegmentSize, Noop, WindowScale};
    let aligned = [MaximumSegmentSize(8960), Noop, WindowScale(7)];
    let odd = [Noop, MaximumSegmentSize(8960), WindowScale(7)];
    for (v4, fits) in [(true, FITS_V4), (false, FITS_V6)] {
        for options in [aligned.clone(), odd.clone()] {
            let mut rig = rig();
            let sent = to_peer(&mut rig, &syn(v4, true, &options));
            assert_eq!(mss(&sent), Some(fits));
            let received = from_peer(&mut rig, &syn(v4, false, &options));
            assert_eq!(mss(&received), Some(fits));
        }
    }
}

#[test]
fn what_fits_or_says_nothing_stays_as_it_is() {
    use TcpOptionElement::{MaximumSegmentSize, WindowScale};
    let mut rig = rig();
    for options in [
        vec![MaximumSegmentSize(FITS_V4)],
        vec![WindowScale(7)],
        vec![],
    ] {
        let packet = syn(true, true, &options);
        let sent = to_peer(&mut rig, &packet);
        assert_eq!(sent[20..], packet[20..]);
    }
}

#[test]
fn only_networks_that_ask_for_it_are_clamped() {
    let packet = syn(true, true, &[TcpOptionElement::MaximumSegmentSize(8960)]);
    let sent = to_peer(&mut Rig::new(), &packet);
    assert_eq!(mss(&sent), Some(8960));
}

#[test]
fn an_unfinished_checksum_is_left_to_be_finished() {
    let mut rig = rig();
    let mut packet = syn(true, true, &[TcpOptionElement::MaximumSegmentSize(8960)]);
    let view = Ipv4Packet::new_unchecked(&packet[..]);
    let len = (packet.len() - 20) as u16;
    let sum = pseudo_header_v4(view.src_addr(), view.dst_addr(), IpProtocol::TCP, len);
    packet[36..38].copy_from_slice(&sum.fold().to_be_bytes());
    let mut frame = rig.frame(Ingress::Port(PORT), &packet);
    frame.meta.offload = Offload {
        needs_checksum: true,
        csum_start: 20,
        csum_offset: 16,
        ..Offload::default()
    };
    let (_, sent) = rig.run([frame]);
    assert_eq!(mss(&sent[0].data()[22..]), Some(FITS_V4));
}

#[test]
fn options_that_lie_are_left_alone() {
    let mut rig = rig();
    let whole = syn(true, true, &[TcpOptionElement::MaximumSegmentSize(8960)]);
    // Kind and length of the option; the length of the header.
    for (at, byte) in [
        (41, 0),
        (41, 1),
        (41, 3),
        (41, 40),
        (40, 3),
        (32, 0x10),
        (32, 0xf0),
    ] {
        let mut packet = whole.clone();
        packet[at] = byte;
        assert_eq!(
            to_peer(&mut rig, &packet)[20..],
            packet[20..],
            "{at}: {byte}"
        );
    }
}
