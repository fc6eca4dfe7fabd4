//! Address resolution over the tunnel, and packets that wait for it.

use etherparse::{ArpPacket, Icmpv4Header, Icmpv6Header, Ipv4Header, Ipv6Header};

use super::*;

/// An ARP packet for IPv4 over Ethernet.
pub(super) fn arp(operation: u8, sender: (MacAddr, &str), target: &str) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend(sender.0.0);
    packet.extend(ip(sender.1));
    packet.extend([0; 6]);
    packet.extend(ip(target));
    packet
}

const BROADCAST: MacAddr = MacAddr([0xff; 6]);

#[test]
fn arp_requests_are_answered_for_what_the_ports_lead_to() {
    for (target, answered) in [
        ("10.42.1.1", true),
        ("10.42.1.200", true),
        ("10.42.2.5", false),
    ] {
        let mut rig = Rig::new();
        let request = arp(1, (PEER_MAC, "10.42.2.1"), target);
        let (_, underlays) =
            rig.send_from_vtep(PEER_VTEP, &vxlan(VNI, BROADCAST, PEER_MAC, 0x806, &request));
        assert_eq!(underlays.len(), usize::from(answered), "{target}");
        assert_eq!(rig.counters.consumed.value(), 1);
        let Some(reply) = underlays.first() else {
            continue;
        };
        assert_eq!(reply.meta.remote, "192.168.77.2:4789".parse().unwrap());
        assert_eq!(reply.data()[8..14], PEER_MAC.0);
        let arp = etherparse::ArpPacketSlice::from_slice(&reply.data()[22..]).unwrap();
        let arp: ArpPacket = arp.to_packet();
        assert_eq!(arp.operation.0, 2);
        assert_eq!(arp.sender_hw_addr(), OUR_MAC.0);
        assert_eq!(
            arp.sender_protocol_addr(),
            target.parse::<Ipv4Addr>().unwrap().octets()
        );
        assert_eq!(arp.target_hw_addr(), PEER_MAC.0);
    }
}

#[test]
fn what_arp_tells_is_passed_on_unless_it_claims_what_is_ours() {
    let mut rig = Rig::new();
    let request = arp(1, (PEER_MAC, "10.42.2.1"), "10.42.1.1");
    rig.send_from_vtep(PEER_VTEP, &vxlan(VNI, BROADCAST, PEER_MAC, 0x806, &request));
    let heard = Event::NeighbourHeard {
        network: NET,
        vtep: IpAddr::V4(PEER_VTEP),
        address: "10.42.2.1".parse().unwrap(),
        mac: PEER_MAC,
        answered: false,
    };
    assert_eq!(rig.events.try_iter().collect::<Vec<_>>(), [heard]);
    let forged = arp(2, (PEER_MAC, "10.42.1.1"), "10.42.1.1");
    rig.send_from_vtep(PEER_VTEP, &vxlan(VNI, OUR_MAC, PEER_MAC, 0x806, &forged));
    assert!(rig.events.is_empty());
}

/// A neighbour solicitation with a source link-layer address, checksummed by etherparse.
fn solicitation(source: &str, target: &str, hop_limit: u8) -> Vec<u8> {
    solicitation_from(PEER_MAC, source, target, hop_limit)
}

pub(super) fn solicitation_from(
    mac: MacAddr,
    source: &str,
    target: &str,
    hop_limit: u8,
) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut body = octets(target).to_vec();
    body.extend([1, 1]);
    body.extend(mac.0);
    let mut packet = Vec::new();
    PacketBuilder::ipv6(octets(source), octets(target), hop_limit)
        .icmpv6_raw(135, 0, [0; 4])
        .write(&mut packet, &body)
        .unwrap();
    packet
}

#[test]
fn neighbour_solicitations_are_answered() {
    let mut rig = Rig::new();
    let packet = solicitation("fd42:2::1", "fd42:1::1", 255);
    let datagram = vxlan(VNI, OUR_MAC, PEER_MAC, 0x86dd, &packet);
    let (_, underlays) = rig.send_from_vtep(PEER_VTEP, &datagram);
    let reply = &underlays[0];
    assert_eq!(reply.data()[8..14], PEER_MAC.0);
    let (ip, rest) = Ipv6Header::from_slice(&reply.data()[22..]).unwrap();
    assert_eq!(ip.hop_limit, 255);
    let (icmp, body) = Icmpv6Header::from_slice(rest).unwrap();
    let checksum = icmp
        .icmp_type
        .calc_checksum(ip.source, ip.destination, body)
        .unwrap();
    assert_eq!(icmp.checksum, checksum);
    assert_eq!(icmp.icmp_type.type_u8(), 136);
    assert!(body.ends_with(&OUR_MAC.0));
    let events: Vec<_> = rig.events.try_iter().collect();
    assert!(matches!(
        events[..],
        [Event::NeighbourHeard { mac: PEER_MAC, .. }]
    ));
}

#[test]
fn forwarded_neighbour_messages_are_refused() {
    let mut rig = Rig::new();
    let packet = solicitation("fd42:2::1", "fd42:1::1", 254);
    rig.send_from_vtep(PEER_VTEP, &vxlan(VNI, OUR_MAC, PEER_MAC, 0x86dd, &packet));
    rig.assert_only_drop(DropReason::NdiscMalformed);
}

#[test]
fn packets_wait_for_the_address_and_leave_in_order() {
    let mut rig = Rig::new();
    for n in 0..3u8 {
        let (_, underlays) = rig.send_from_port(&udp4("10.42.1.1", "10.42.3.1", 64, &[n]));
        assert!(underlays.is_empty());
    }
    assert_eq!(rig.counters.held.value(), 3);
    let asked = Event::Unresolved {
        tunnel: STRANGER,
        destination: "10.42.3.1".parse().unwrap(),
    };
    assert_eq!(rig.events.try_iter().next(), Some(asked));
    rig.with_graph(Graph::release_held);
    assert_eq!(rig.counters.held.value(), 3);
    rig.tables
        .insert_tunnel(STRANGER, tunnel(STRANGER_VTEP, Some(PEER_MAC)));
    rig.with_graph(Graph::release_held);
    let (_, underlays) = rig.collect();
    let order: Vec<_> = underlays
        .iter()
        .map(|f| *f.data().last().unwrap())
        .collect();
    assert_eq!(order, [0, 1, 2]);
    assert_eq!(rig.counters.held.value(), 0);
}

#[test]
fn packets_wait_no_longer_than_three_seconds() {
    let mut rig = Rig::new();
    rig.send_from_port(&udp4("10.42.1.1", "10.42.3.1", 64, b"x"));
    assert_eq!(
        rig.graph.held_until(),
        Some(rig.now + Duration::from_secs(3))
    );
    rig.advance(Duration::from_secs(2));
    rig.with_graph(Graph::expire_held);
    assert_eq!(rig.counters.held.value(), 1);
    rig.advance(Duration::from_secs(1));
    rig.with_graph(Graph::expire_held);
    let (ports, _) = rig.collect();
    let (_, rest) = Ipv4Header::from_slice(ports[0].data()).unwrap();
    let (icmp, _) = Icmpv4Header::from_slice(rest).unwrap();
    let host = etherparse::icmpv4::DestUnreachableHeader::Host;
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv4Type::DestinationUnreachable(host)
    );
    rig.assert_only_drop(DropReason::NeighbourUnresolved);
}

#[test]
fn no_more_packets_wait_than_a_batch() {
    let mut rig = Rig::new();
    for _ in 0..70 {
        rig.send_from_port(&udp4("10.42.1.1", "10.42.3.1", 64, b"x"));
    }
    assert_eq!(rig.counters.held.value(), 64);
    assert_eq!(rig.drops(DropReason::HoldFull), 6);
}

#[test]
fn what_this_node_injects_reaches_the_vtep() {
    let mut rig = Rig::new();
    let frame = rig.frame(Ingress::Node, b"an ethernet frame");
    rig.with_graph(|graph, context, sink| graph.inject(frame, STRANGER, context, sink));
    let (_, underlays) = rig.collect();
    assert_eq!(underlays[0].meta.remote.ip(), STRANGER_VTEP);
    assert_eq!(underlays[0].data()[..8], vxlan_ip4(&[])[..8]);
    assert!(underlays[0].data().ends_with(b"an ethernet frame"));
    let frame = rig.frame(Ingress::Node, b"an ethernet frame");
    rig.with_graph(|graph, context, sink| graph.inject(frame, TunnelId(99), context, sink));
    rig.assert_only_drop(DropReason::TunnelGone);
}
