//! Tunnels in tunnels, and loops.

use ringlay_encap::template::Inner;

use super::*;

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

#[test]
fn the_limit_that_a_packet_carries_is_kept_over_ipv6() {
    for (limit, passes) in [(0, false), (1, true)] {
        let mut rig = Rig::new();
        let ends = [1, 2].map(|host| IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, host]));
        let key = rig.tables.network(NET).unwrap().key;
        let ethernet = Inner::Ethernet {
            dst: PEER_MAC,
            src: OUR_MAC,
        };
        let template = Template::builder(ends[0], ends[1]).tunnel(key, ethernet);
        let tunnel = Tunnel {
            local: ends[0],
            remote: SocketAddr::new(ends[1], 4789),
            template: Some(template.unwrap()),
            ..tunnel(PEER_VTEP, None)
        };
        rig.tables.insert_tunnel(PEER, tunnel);
        let mut packet = udp6("fd42:1::1", "fd42:2::1", 64, b"x");
        let mut options = [0; 8];
        ringlay_encap::encap_limit::emit(ringlay_encap::IpProtocol::UDP, limit, &mut options);
        packet.splice(40..40, options);
        packet[6] = 60;
        let payload = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&payload.to_be_bytes());
        let (_, underlays) = rig.send_from_port(&packet);
        assert_eq!(underlays.len(), usize::from(passes), "limit {limit}");
        assert_eq!(rig.drops(DropReason::EncapLimit), u64::from(!passes));
    }
}
