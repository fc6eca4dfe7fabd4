//! Ethernet ports: frames in and out, who is asked and answered there, and what is dropped.

mod moved;

use etherparse::{Ethernet2Header, Icmpv4Header, Icmpv6Header, Ipv4Header, Ipv6Header};
use ringlay_encap::ipv4::Ipv4Packet;

use super::resolve::{arp, solicitation_from};
use super::super_frames::{bytes, super_frame, tcp};
use super::*;
use crate::frame::{Gso, Offload};
use crate::tables::{Link, Neighbours};

pub(super) const LINK: PortId = PortId(1);
const LINK_MAC: MacAddr = MacAddr([2, 4, 0, 0, 0, 1]);
const HOST_MAC: MacAddr = MacAddr([2, 4, 0, 0, 0, 9]);
const HOST: &str = "10.42.4.9";
const BROADCAST: MacAddr = MacAddr::BROADCAST;
/// What fits a frame of the link.
const LINK_MTU: usize = 1400;

fn link(offloads: bool) -> Link {
    let own = ["10.42.4.1", "fd42:4::1", "fe80::1"];
    Link {
        mac: LINK_MAC,
        addresses: own.map(|it| it.parse().unwrap()).to_vec(),
        proxy: false,
        mtu: LINK_MTU,
        offloads,
        neighbours: known(&[HOST, "fd42:4::9"]),
    }
}

fn known(hosts: &[&str]) -> Neighbours {
    let hosts = hosts.iter().map(|host| (host.parse().unwrap(), HOST_MAC));
    hosts.collect()
}

/// Like [`Rig::new`], with 10.42.4.0/24 and fd42:4::/64 on the link, of which one host each is
/// known, and 10.42.5.0/24 behind a router there.
pub(super) fn rig(offloads: bool) -> Rig {
    let mut rig = Rig::new();
    let tables = &mut rig.tables;
    let on_link = tables.insert_next_hop(NextHop::Link(LINK));
    let own = tables.insert_next_hop(NextHop::Local);
    let router = NextHop::Gateway(LINK, "10.42.4.254".parse().unwrap());
    let router = tables.insert_next_hop(router);
    let mut network = tables.network(NET).unwrap().clone();
    let v4 = &mut network.fib.v4;
    v4.insert("10.42.4.0/24".parse().unwrap(), on_link);
    v4.insert("10.42.4.1/32".parse().unwrap(), own);
    v4.insert("10.42.5.0/24".parse().unwrap(), router);
    let v6 = &mut network.fib.v6;
    v6.insert("fd42:4::/64".parse().unwrap(), on_link);
    v6.insert("fd42:4::1/128".parse().unwrap(), own);
    tables.insert_network(NET, network);
    tables.insert_port(LINK, Port { network: NET });
    tables.insert_link(LINK, link(offloads));
    rig
}

fn ethernet(dst: MacAddr, src: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let ethertype = ethertype.to_be_bytes();
    [&dst.0[..], &src.0[..], &ethertype[..], payload].concat()
}

impl Rig {
    fn send_from_link(&mut self, frame: &[u8]) -> (Vec<Frame>, Vec<Frame>) {
        let frame = self.frame(Ingress::Ethernet(LINK), frame);
        self.run([frame])
    }

    /// An IPv4 or IPv6 packet from the host to the router.
    fn send_packet(&mut self, packet: &[u8]) -> (Vec<Frame>, Vec<Frame>) {
        let ethertype = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        self.send_from_link(&ethernet(LINK_MAC, HOST_MAC, ethertype, packet))
    }
}

/// The payload of a frame that goes from the router to the host.
#[track_caller]
fn to_host(frame: &Frame) -> Vec<u8> {
    let (header, payload) = Ethernet2Header::from_slice(frame.data()).unwrap();
    assert_eq!(
        (header.destination, header.source),
        (HOST_MAC.0, LINK_MAC.0)
    );
    assert_eq!(frame.meta.egress, LINK);
    payload.to_vec()
}

#[test]
fn packets_cross_between_hosts_and_tunnels() {
    for offloads in [true, false] {
        let mut rig = rig(offloads);
        let mut packet = udp4(HOST, "10.42.2.1", 64, b"out");
        // Ethernet pads short frames.
        packet.extend([0; 15]);
        let (_, underlays) = rig.send_packet(&packet);
        let inner = Ipv4Packet::new_checked(&underlays[0].data()[22..]).unwrap();
        assert_eq!((inner.ttl(), inner.total_len()), (63, 31));
        assert_eq!(underlays[0].len(), 22 + 31);

        let back = vxlan_ip4(&udp4("10.42.2.1", HOST, 64, b"back"));
        let (ports, _) = rig.send_from_vtep(PEER_VTEP, &back);
        let packet = to_host(&ports[0]);
        assert!(packet.ends_with(b"back"));
        assert_eq!(ports[0].data()[12..14], [8, 0]);

        let back = udp6("fd42:2::1", "fd42:4::9", 64, b"six");
        let back = vxlan(VNI, OUR_MAC, PEER_MAC, 0x86dd, &back);
        let (ports, _) = rig.send_from_vtep(PEER_VTEP, &back);
        assert!(to_host(&ports[0]).ends_with(b"six"));
        assert_eq!(ports[0].data()[12..14], [0x86, 0xdd]);
    }
}

#[test]
fn hosts_of_one_link_reach_each_other_through_the_router() {
    let mut rig = rig(true);
    let (ports, _) = rig.send_packet(&udp4("10.42.4.7", HOST, 64, b"round"));
    assert!(to_host(&ports[0]).ends_with(b"round"));
}

#[test]
fn what_is_not_for_the_router_is_dropped_by_name() {
    let packet = udp4(HOST, "10.42.2.1", 64, b"x");
    let foreign = MacAddr([2, 4, 0, 0, 0, 7]);
    let tagged = [&[0, 5][..], &[8, 0], &packet].concat();
    for (frame, reason) in [
        (vec![0; 13], DropReason::EtherMalformed),
        (
            ethernet(foreign, HOST_MAC, 0x0800, &packet),
            DropReason::EtherMacForeign,
        ),
        (
            ethernet(LINK_MAC, LINK_MAC, 0x0800, &packet),
            DropReason::EtherMacForeign,
        ),
        (
            ethernet(LINK_MAC, BROADCAST, 0x0800, &packet),
            DropReason::EtherMacForeign,
        ),
        (
            ethernet(LINK_MAC, HOST_MAC, 0x8100, &tagged),
            DropReason::EtherVlan,
        ),
        (
            ethernet(LINK_MAC, HOST_MAC, 0x8100, &[]),
            DropReason::EtherMalformed,
        ),
        (
            ethernet(LINK_MAC, HOST_MAC, 0x88cc, &packet),
            DropReason::EtherProtocolUnknown,
        ),
        (
            ethernet(BROADCAST, HOST_MAC, 0x0800, &packet),
            DropReason::IpNotForwardable,
        ),
        (
            ethernet(LINK_MAC, HOST_MAC, 0x0800, &packet[..19]),
            DropReason::IpMalformed,
        ),
        (
            ethernet(LINK_MAC, HOST_MAC, 0x0806, &packet),
            DropReason::ArpMalformed,
        ),
    ] {
        let mut rig = rig(true);
        let (ports, underlays) = rig.send_from_link(&frame);
        assert!(
            ports.is_empty() && underlays.is_empty(),
            "{}",
            reason.name()
        );
        rig.assert_only_drop(reason);
    }
}

#[test]
fn frames_for_a_port_without_ethernet_are_dropped() {
    let mut rig = Rig::new();
    let frame = ethernet(
        LINK_MAC,
        HOST_MAC,
        0x0800,
        &udp4(HOST, "10.42.2.1", 64, b"x"),
    );
    let frame = rig.frame(Ingress::Ethernet(PORT), &frame);
    rig.run([frame]);
    rig.assert_only_drop(DropReason::PortGone);
}

#[test]
fn arp_requests_are_answered_for_own_addresses_and_as_a_proxy_for_those_elsewhere() {
    for (target, proxy, asker, answered) in [
        ("10.42.4.1", false, HOST, true),
        ("10.42.4.1", false, "0.0.0.0", true),
        ("10.42.4.5", false, HOST, false),
        ("10.42.2.1", false, HOST, false),
        ("10.42.2.1", true, HOST, true),
        ("10.42.1.7", true, HOST, true),
        ("10.42.2.1", true, "0.0.0.0", false),
        ("10.42.4.5", true, HOST, false),
        ("10.42.5.5", true, HOST, false),
        ("10.42.9.1", true, HOST, false),
        ("192.0.2.1", true, HOST, false),
    ] {
        let mut rig = rig(true);
        rig.tables.insert_link(
            LINK,
            Link {
                proxy,
                ..link(true)
            },
        );
        let request = arp(1, (HOST_MAC, asker), target);
        let (ports, _) = rig.send_from_link(&ethernet(BROADCAST, HOST_MAC, 0x0806, &request));
        assert_eq!(
            ports.len(),
            usize::from(answered),
            "{target} {proxy} {asker}"
        );
        let heard = usize::from(answered && asker == HOST);
        assert_eq!(rig.events.try_iter().count(), heard, "{target} {asker}");
        assert_eq!(rig.counters.total_drops(), 0);
        let Some(reply) = ports.first() else { continue };
        let reply = etherparse::ArpPacketSlice::from_slice(&to_host(reply))
            .unwrap()
            .to_packet();
        assert_eq!(reply.operation.0, 2);
        assert_eq!(reply.sender_hw_addr(), LINK_MAC.0);
        let target: Ipv4Addr = target.parse().unwrap();
        assert_eq!(reply.sender_protocol_addr(), target.octets());
    }
}

#[test]
fn what_hosts_say_of_themselves_is_passed_on_if_it_is_of_use() {
    let other = MacAddr([2, 4, 0, 0, 0, 8]);
    let event = |address: &str, mac, answered| Event::HostHeard {
        port: LINK,
        address: address.parse().unwrap(),
        mac,
        answered,
    };
    for (operation, mac, sender, target, expected) in [
        (2, other, "10.42.4.7", "10.42.4.1", Some(true)),
        (1, other, "10.42.4.7", "10.42.4.1", Some(false)),
        // Others among themselves.
        (1, other, "10.42.4.7", "10.42.4.6", None),
        // One who is known moves.
        (1, other, HOST, HOST, Some(false)),
        (1, HOST_MAC, HOST, HOST, None),
        // Our own address, and no station's MAC address.
        (2, other, "10.42.4.1", "10.42.4.9", None),
        (2, BROADCAST, "10.42.4.7", "10.42.4.1", None),
        (2, MacAddr::ZERO, "10.42.4.7", "10.42.4.1", None),
        (2, LINK_MAC, "10.42.4.7", "10.42.4.1", None),
    ] {
        let mut rig = rig(true);
        let packet = arp(operation, (mac, sender), target);
        rig.send_from_link(&ethernet(BROADCAST, other, 0x0806, &packet));
        let expected = expected.map(|answered| event(sender, mac, answered));
        assert_eq!(rig.events.try_iter().next(), expected, "{sender} {mac}");
    }
}

#[test]
fn solicitations_are_answered_and_own_addresses_defended() {
    let mut rig = rig(true);
    for target in ["fd42:4::1", "fe80::1"] {
        let packet = solicitation_from(HOST_MAC, "fd42:4::9", target, 255);
        let (ports, _) = rig.send_from_link(&ethernet(LINK_MAC, HOST_MAC, 0x86dd, &packet));
        let (ip, rest) = Ipv6Header::from_slice(&ports[0].data()[14..]).unwrap();
        let (icmp, body) = Icmpv6Header::from_slice(rest).unwrap();
        let computed = icmp
            .icmp_type
            .calc_checksum(ip.source, ip.destination, body);
        assert_eq!(icmp.checksum, computed.unwrap());
        assert_eq!(icmp.icmp_type.type_u8(), 136);
        assert!(body.ends_with(&LINK_MAC.0));
        to_host(&ports[0]);
    }
    let other = solicitation_from(HOST_MAC, "fd42:4::9", "fd42:4::7", 255);
    let (ports, _) = rig.send_from_link(&ethernet(LINK_MAC, HOST_MAC, 0x86dd, &other));
    assert!(ports.is_empty());
}

#[test]
fn packets_wait_for_a_host_or_the_router_that_leads_to_it() {
    for (destination, asked) in [("10.42.4.5", "10.42.4.5"), ("10.42.5.5", "10.42.4.254")] {
        let mut rig = rig(true);
        for n in 0..3 {
            let (ports, _) = rig.send_from_port(&udp4("10.42.1.1", destination, 64, &[n]));
            assert!(ports.is_empty());
        }
        assert_eq!(rig.counters.held.value(), 3);
        let unresolved = Event::HostUnresolved {
            port: LINK,
            address: asked.parse().unwrap(),
        };
        assert_eq!(rig.events.try_iter().next(), Some(unresolved));
        rig.with_graph(Graph::release_held);
        assert_eq!(rig.counters.held.value(), 3);
        let neighbours = known(&[asked]);
        rig.tables.insert_link(
            LINK,
            Link {
                neighbours,
                ..link(true)
            },
        );
        rig.with_graph(Graph::release_held);
        let (ports, _) = rig.collect();
        let order: Vec<_> = ports.iter().map(|f| *to_host(f).last().unwrap()).collect();
        assert_eq!(order, [0, 1, 2]);
    }
}

#[test]
fn the_sender_is_told_of_a_host_that_does_not_answer() {
    let mut rig = rig(true);
    rig.send_packet(&udp4(HOST, "10.42.4.5", 64, b"x"));
    rig.advance(Duration::from_secs(3));
    rig.with_graph(Graph::expire_held);
    let (ports, _) = rig.collect();
    let packet = to_host(&ports[0]);
    let (ip, rest) = Ipv4Header::from_slice(&packet).unwrap();
    assert_eq!(ip.source, [10, 42, 4, 1], "from the router's own address");
    let (icmp, _) = Icmpv4Header::from_slice(rest).unwrap();
    let host = etherparse::icmpv4::DestUnreachableHeader::Host;
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv4Type::DestinationUnreachable(host)
    );
    rig.assert_only_drop(DropReason::NeighbourUnresolved);
}

#[test]
fn the_router_answers_pings_from_both_sides() {
    let echo4 = |from: [u8; 4]| {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(from, [10, 42, 4, 1], 64)
            .icmpv4_echo_request(7, 1)
            .write(&mut packet, b"odd")
            .unwrap();
        packet
    };
    let mut rig = rig(false);
    let (ports, _) = rig.send_packet(&echo4([10, 42, 4, 9]));
    let (_, underlays) = rig.send_from_vtep(PEER_VTEP, &vxlan_ip4(&echo4([10, 42, 2, 1])));
    for packet in [to_host(&ports[0]), underlays[0].data()[22..].to_vec()] {
        let (ip, rest) = Ipv4Header::from_slice(&packet).unwrap();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert_eq!((ip.source, ip.time_to_live), ([10, 42, 4, 1], 64));
        let (icmp, body) = Icmpv4Header::from_slice(rest).unwrap();
        assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(body));
        assert_eq!(icmp.icmp_type.to_owned(), reply4());
        assert_eq!(body, b"odd");
    }
    let parse = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut packet = Vec::new();
    PacketBuilder::ipv6(parse("fd42:4::9"), parse("fd42:4::1"), 64)
        .icmpv6_echo_request(7, 1)
        .write(&mut packet, b"even")
        .unwrap();
    let (ports, _) = rig.send_packet(&packet);
    let packet = to_host(&ports[0]);
    let (ip, rest) = Ipv6Header::from_slice(&packet).unwrap();
    let (icmp, body) = Icmpv6Header::from_slice(rest).unwrap();
    let computed = icmp
        .icmp_type
        .calc_checksum(ip.source, ip.destination, body);
    assert_eq!(icmp.checksum, computed.unwrap());
    assert_eq!((icmp.icmp_type.type_u8(), body), (129, &b"even"[..]));
}

fn reply4() -> etherparse::Icmpv4Type {
    etherparse::Icmpv4Type::EchoReply(etherparse::IcmpEchoHeader { id: 7, seq: 1 })
}

#[test]
fn the_router_has_no_service() {
    let mut rig = rig(true);
    let (ports, _) = rig.send_packet(&udp4(HOST, "10.42.4.1", 1, b"x"));
    let packet = to_host(&ports[0]);
    let (_, rest) = Ipv4Header::from_slice(&packet).unwrap();
    let (icmp, _) = Icmpv4Header::from_slice(rest).unwrap();
    let port = etherparse::icmpv4::DestUnreachableHeader::Port;
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv4Type::DestinationUnreachable(port)
    );
    rig.assert_only_drop(DropReason::LocalUnserved);
}

/// A TCP super-frame for the host, as the TUN device hands it over.
pub(super) fn super_frame_for_host(rig: &Rig, payload: &[u8], gso_size: u16) -> Frame {
    let mut packet = tcp(true, 1, true, payload);
    let host: Ipv4Addr = HOST.parse().unwrap();
    let mut view = Ipv4Packet::new_unchecked(&mut packet[..]);
    view.set_dst_addr(host);
    view.fill_checksum();
    super_frame(rig, &packet, gso_size)
}

#[test]
fn a_device_that_cuts_is_handed_super_frames_whole() {
    let mut rig = rig(true);
    let payload = bytes(30_000);
    let frame = super_frame_for_host(&rig, &payload, 1300);
    let (ports, _) = rig.run([frame]);
    assert_eq!(ports.len(), 1);
    let offload = ports[0].meta.offload;
    assert_eq!((offload.csum_start, offload.csum_offset), (34, 16));
    assert_eq!((offload.header_len, offload.gso_size), (54, 1300));
    assert!(to_host(&ports[0]).ends_with(&payload));
}

#[test]
fn a_device_that_does_not_cut_is_handed_finished_frames() {
    let mut rig = rig(false);
    let payload = bytes(30_000);
    // Longer segments than the link takes are cut anew.
    let frame = super_frame_for_host(&rig, &payload, 2000);
    let (ports, _) = rig.run([frame]);
    let mut whole: Vec<u8> = Vec::new();
    for frame in &ports {
        assert_eq!(frame.meta.offload, Offload::default());
        let packet = to_host(frame);
        assert!(packet.len() <= LINK_MTU);
        let (ip, rest) = Ipv4Header::from_slice(&packet).unwrap();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let (tcp, body) = etherparse::TcpHeader::from_slice(rest).unwrap();
        let computed = tcp.calc_checksum_ipv4(&ip, body);
        assert_eq!(tcp.checksum, computed.unwrap());
        whole.extend(body);
    }
    assert_eq!(whole, payload);
}

/// A kernel leaves cutting to the underlay's device, and a virtual one leaves it to the receiver.
#[test]
fn what_a_socket_hands_over_uncut_is_cut_for_the_link() {
    for offloads in [true, false] {
        let mut rig = rig(offloads);
        let payload = bytes(20_000);
        let mut packet = tcp(false, 7, true, &payload);
        let mut view = Ipv4Packet::new_unchecked(&mut packet[..]);
        view.set_dst_addr(HOST.parse().unwrap());
        view.fill_checksum();
        let pseudo = view.pseudo_header(20_020);
        packet[36..38].copy_from_slice(&pseudo.fold().to_be_bytes());
        let (ports, _) = rig.send_from_vtep(PEER_VTEP, &vxlan_ip4(&packet));
        if offloads {
            let offload = ports[0].meta.offload;
            assert_eq!((ports.len(), offload.gso), (1, Gso::TcpV4));
            let lengths = (offload.header_len, usize::from(offload.gso_size));
            assert_eq!(lengths, (54, LINK_MTU - 40));
            continue;
        }
        let packets: Vec<_> = ports.iter().map(to_host).collect();
        assert!(packets.iter().all(|packet| packet.len() <= LINK_MTU));
        let whole: Vec<u8> = packets.iter().flat_map(|it| it[40..].to_vec()).collect();
        assert_eq!(whole, payload);
    }
}

#[test]
fn a_packet_between_links_stays_where_it_lies() {
    let mut rig = rig(false);
    let other = PortId(2);
    let next_hop = rig.tables.insert_next_hop(NextHop::Link(other));
    let mut network = rig.tables.network(NET).unwrap().clone();
    let v4 = &mut network.fib.v4;
    v4.insert("10.42.6.0/24".parse().unwrap(), next_hop);
    rig.tables.insert_network(NET, network);
    rig.tables.insert_port(other, Port { network: NET });
    let neighbours = known(&["10.42.6.9"]);
    let table = Link {
        neighbours,
        ..link(false)
    };
    rig.tables.insert_link(other, table);
    let packet = udp4(HOST, "10.42.6.9", 64, b"lies still");
    let frame = ethernet(LINK_MAC, HOST_MAC, 0x0800, &packet);
    let frame = rig.frame(Ingress::Ethernet(LINK), &frame);
    let place = frame.data().as_ptr();
    let (ports, _) = rig.run([frame]);
    assert_eq!(ports[0].data().as_ptr(), place);
    assert_eq!(ports[0].meta.egress, other);
}

#[test]
fn checksums_that_a_host_left_open_are_finished() {
    let mut rig = rig(false);
    let whole = udp4(HOST, "10.42.2.1", 64, b"open");
    let mut open = whole.clone();
    // What a kernel leaves in its place: the sum of the pseudo-header.
    let ip = Ipv4Packet::new_unchecked(&whole[..]);
    let sum = ip.pseudo_header(whole.len() as u16 - 20).fold();
    open[26..28].copy_from_slice(&sum.to_be_bytes());
    let (_, underlays) = rig.send_packet(&open);
    assert_eq!(underlays[0].data()[22 + 20..], whole[20..]);
}

#[test]
fn what_a_device_told_of_its_frames_is_told_of_their_packets() {
    let mut rig = rig(true);
    let whole = udp4(HOST, "10.42.2.1", 64, b"told");
    let mut open = whole.clone();
    let ip = Ipv4Packet::new_unchecked(&whole[..]);
    let sum = ip.pseudo_header(whole.len() as u16 - 20).fold();
    open[26..28].copy_from_slice(&sum.to_be_bytes());
    let told = |csum_start| Offload {
        needs_checksum: true,
        csum_start,
        csum_offset: 6,
        ..Offload::default()
    };
    let mut frame = rig.frame(
        Ingress::Ethernet(LINK),
        &ethernet(LINK_MAC, HOST_MAC, 0x0800, &open),
    );
    frame.meta.offload = told(34);
    let (_, underlays) = rig.run([frame]);
    assert_eq!(underlays[0].data()[22 + 20..], whole[20..]);
    let mut lie = rig.frame(
        Ingress::Ethernet(LINK),
        &ethernet(LINK_MAC, HOST_MAC, 0x0800, &open),
    );
    lie.meta.offload = told(13);
    rig.run([lie]);
    rig.assert_only_drop(DropReason::EtherMalformed);
}

#[test]
fn the_sender_is_told_what_the_link_takes() {
    let mut rig = rig(true);
    let mut packet = udp4("10.42.1.1", HOST, 64, &bytes(LINK_MTU));
    let mut view = Ipv4Packet::new_unchecked(&mut packet[..]);
    view.set_dont_fragment(true);
    view.fill_checksum();
    let (ports, _) = rig.send_from_port(&packet);
    let (_, rest) = Ipv4Header::from_slice(ports[0].data()).unwrap();
    assert_eq!(rest[..2], [3, 4]);
    assert_eq!(rest[6..8], (LINK_MTU as u16).to_be_bytes());
    rig.assert_only_drop(DropReason::TooBig);
}

#[test]
fn what_may_be_cut_reaches_the_host_in_fragments() {
    for offloads in [true, false] {
        let mut rig = rig(offloads);
        let mut packet = udp4("10.42.1.1", HOST, 64, &bytes(3 * LINK_MTU));
        let mut view = Ipv4Packet::new_unchecked(&mut packet[..]);
        view.set_dont_fragment(false);
        view.fill_checksum();
        let (ports, _) = rig.send_from_port(&packet);
        assert_eq!(ports.len(), 4);
        let mut whole = Vec::new();
        for frame in &ports {
            let packet = to_host(frame);
            assert!(packet.len() <= LINK_MTU);
            assert_eq!(frame.meta.offload, Offload::default());
            let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
            assert!(ip.verify_checksum() && ip.is_fragment());
            assert_eq!(ip.fragment_offset(), whole.len());
            whole.extend_from_slice(ip.payload());
        }
        assert_eq!(whole, packet[20..]);
    }
}

#[test]
fn what_this_node_injects_leaves_by_the_link() {
    let mut rig = rig(true);
    let frame = rig.frame(Ingress::Node, b"an ethernet frame");
    rig.with_graph(|graph, context, sink| graph.inject_link(frame, LINK, context, sink));
    let (ports, _) = rig.collect();
    assert_eq!(ports[0].data(), b"an ethernet frame");
    let frame = rig.frame(Ingress::Node, b"an ethernet frame");
    rig.with_graph(|graph, context, sink| graph.inject_link(frame, PORT, context, sink));
    rig.assert_only_drop(DropReason::PortGone);
}
