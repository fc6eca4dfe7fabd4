//! Tunnels in tunnels, and loops.

use ringlay_encap::template::Inner;

use super::super_frames::{bytes, super_frame, tcp};
use super::*;
use crate::port::uplink;

const OTHER: NetworkId = NetworkId(1);

/// A tunnel packet as this node's own underlay sends it, of the network with this VNI.
fn own(vni: u32, inner: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(OUR_VTEP.octets(), [10, 42, 2, 7], 64)
        .udp(50_000, 4789)
        .write(&mut packet, &vxlan(vni, PEER_MAC, OUR_MAC, 0x0800, inner))
        .unwrap();
    packet
}

fn inner() -> Vec<u8> {
    udp4("10.42.1.1", "10.42.2.1", 64, b"x")
}

/// With a second network on the endpoint.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let mut other = rig.tables.network(NET).unwrap().clone();
    other.key = TunnelKey::Vxlan(Vni::new(43).unwrap());
    rig.tables.insert_network(OTHER, other);
    rig
}

#[test]
fn a_networks_own_tunnel_packets_do_not_enter_it_again() {
    let mut rig = rig();
    assert!(rig.send_from_port(&own(VNI, &inner())).1.is_empty());
    rig.assert_only_drop(DropReason::TunnelLoop);
    // Not by way of another network either.
    let mut rig = self::rig();
    let around = own(43, &own(VNI, &inner()));
    assert!(rig.send_from_port(&around).1.is_empty());
    rig.assert_only_drop(DropReason::TunnelLoop);
}

#[test]
fn another_networks_tunnel_packets_may_cross() {
    let mut rig = rig();
    assert_eq!(rig.send_from_port(&own(43, &inner())).1.len(), 1);
    // What this node sends besides tunnel packets may, too.
    let plain = udp4(&OUR_VTEP.to_string(), "10.42.2.1", 64, b"x");
    assert_eq!(rig.send_from_port(&plain).1.len(), 1);
    let mut stranger = own(VNI, &inner());
    stranger[12..16].copy_from_slice(&[10, 42, 1, 1]);
    ringlay_encap::ipv4::Ipv4Packet::new_unchecked(&mut stranger[..20]).fill_checksum();
    assert_eq!(rig.send_from_port(&stranger).1.len(), 1);
    assert_eq!(rig.counters.total_drops(), 0);
}

#[test]
fn there_is_an_end_to_nesting() {
    let mut rig = rig();
    let mut packet = inner();
    for depth in 1..=4 {
        packet = own(43, &packet);
        let sent = rig.send_from_port(&packet).1.len();
        assert_eq!(sent, usize::from(depth < 4), "depth {depth}");
    }
    rig.assert_only_drop(DropReason::TunnelTooDeep);
}

/// With the peer behind a tunnel over IPv6 that tells this limit by itself.
fn over_ipv6(key: TunnelKey, inner: Inner, limit: Option<u8>, by_uplink: bool) -> Rig {
    let mut rig = Rig::new();
    let mut network = rig.tables.network(NET).unwrap().clone();
    let endpoint = endpoint(key.encapsulation());
    (network.key, network.port) = (key, endpoint.local.port());
    network.encap_limit = limit;
    rig.tables.insert_underlay(UNDERLAY, endpoint);
    rig.tables.insert_network(NET, network);
    let ends = [1, 2].map(|host| IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, host]));
    let mut builder = Template::builder(ends[0], ends[1]);
    if by_uplink {
        builder = builder.ethernet(uplink::MAC, uplink::PEER_MAC);
    }
    let tunnel = Tunnel {
        local: ends[0],
        remote: SocketAddr::new(ends[1], endpoint.local.port()),
        template: Some(builder.tunnel(key, inner).unwrap()),
        ..tunnel(PEER_VTEP, None)
    };
    rig.tables.insert_tunnel(PEER, tunnel);
    rig
}

/// A packet of so many bytes with this limit.
fn limited(limit: u8, len: usize) -> Vec<u8> {
    let payload = vec![7; len - 40 - 8 - 8];
    let mut packet = udp6("fd42:1::1", "fd42:2::1", 64, &payload);
    let mut options = [0; 8];
    ringlay_encap::encap_limit::emit(ringlay_encap::IpProtocol::UDP, limit, &mut options);
    packet.splice(40..40, options);
    packet[6] = 60;
    let payload = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&payload.to_be_bytes());
    packet
}

fn kinds() -> [(TunnelKey, Inner); 3] {
    let ethernet = Inner::Ethernet {
        dst: PEER_MAC,
        src: OUR_MAC,
    };
    [
        (TunnelKey::Vxlan(Vni::new(VNI).unwrap()), ethernet),
        (TunnelKey::Gre(None), Inner::Ip),
        (TunnelKey::Ipip, Inner::Ip),
    ]
}

#[test]
fn at_the_limit_the_sender_is_told() {
    for (key, inner) in kinds() {
        let mut rig = over_ipv6(key, inner, None, false);
        let packet = limited(0, 100);
        let (ports, underlays) = rig.send_from_port(&packet);
        assert!(underlays.is_empty());
        rig.assert_only_drop(DropReason::EncapLimit);
        let error = ports[0].data();
        let icmp = etherparse::Icmpv6Slice::from_slice(&error[40..]).unwrap();
        let (source, destination) = (&error[8..24], &error[24..40]);
        assert!(
            icmp.is_checksum_valid(source.try_into().unwrap(), destination.try_into().unwrap())
        );
        assert_eq!(error[24..40], packet[8..24]);
        // Parameter problem: an erroneous header field, the limit.
        assert_eq!(error[40..42], [4, 0]);
        assert_eq!(error[44..48], 44_u32.to_be_bytes());
        assert_eq!(error[48 + 44], 0);
    }
}

#[test]
fn below_it_the_next_one_is_told_where_there_is_a_place_for_it() {
    for (key, inner) in kinds() {
        let udp = matches!(key, TunnelKey::Vxlan(_));
        let configured = [None, Some(9)].into_iter().take(if udp { 1 } else { 2 });
        for (limit, by_uplink) in configured.flat_map(|it| [(it, false), (it, true)]) {
            let mut rig = over_ipv6(key, inner, limit, by_uplink);
            let told = if udp { None } else { Some(4) };
            let (_, underlays) = rig.send_from_port(&limited(5, 100));
            if udp && by_uplink {
                assert!(underlays.is_empty());
                rig.counters.sent.add(1);
            } else {
                assert_eq!(underlays[0].meta.encap_limit, told, "{key}");
            }
            rig.sink.uplinks.clear();
            // Packets that say nothing.
            let plain = udp6("fd42:1::1", "fd42:2::1", 64, b"x");
            let (_, underlays) = rig.send_from_port(&plain);
            let sockets = !(udp && by_uplink);
            if sockets {
                assert_eq!(underlays[0].meta.encap_limit, limit, "{key}");
            } else {
                rig.counters.sent.add(1);
            }
            rig.sink.uplinks.clear();
        }
    }
}

#[test]
fn what_has_no_room_for_it_is_fragmented() {
    for (configured, len, oversized) in [
        (None, MTU - 8, false),
        (None, MTU, true),
        // There the MTU is less by as much.
        (Some(4), MTU, false),
    ] {
        let mut rig = over_ipv6(TunnelKey::Ipip, Inner::Ip, configured, false);
        let (_, underlays) = rig.send_from_port(&limited(5, len));
        assert_eq!(underlays[0].meta.oversized, oversized, "{len}");
    }
}

#[test]
fn without_encapsulation_no_tunnel_is_entered() {
    for limit in [None, Some(9)] {
        let mut rig = over_ipv6(TunnelKey::Plain, Inner::Ip, limit, false);
        let packet = limited(0, 100);
        let (ports, underlays) = rig.send_from_port(&packet);
        assert!(ports.is_empty());
        assert_eq!(underlays[0].data()[8..], packet[8..]);
        assert_eq!(underlays[0].meta.encap_limit, None);
    }
}

#[test]
fn super_frames_with_a_limit_leave_by_sockets() {
    let mut rig = over_ipv6(TunnelKey::Ipip, Inner::Ip, Some(4), true);
    let frame = super_frame(&rig, &tcp(true, 1, true, &bytes(14_000)), 1400);
    let (_, trains) = rig.run([frame]);
    assert_eq!(trains.iter().map(Frame::datagrams).sum::<usize>(), 10);
    assert!(trains.iter().all(|it| it.meta.encap_limit == Some(4)));
}
