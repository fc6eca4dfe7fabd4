//! What is forwarded, where to, and with which bytes.

use etherparse::{Ipv4Header, Ipv6Header, SlicedPacket};

use super::*;
use crate::tables::Group;

#[test]
fn from_port_to_tunnel() {
    let mut rig = Rig::new();
    let (ports, underlays) = rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 64, b"hello"));
    assert!(ports.is_empty());
    let [frame] = &underlays[..] else {
        panic!("one datagram")
    };
    assert_eq!(frame.meta.remote, "192.168.77.2:4789".parse().unwrap());
    assert_eq!(frame.meta.underlay, UNDERLAY);
    let inner = vxlan_ip4(&[]);
    assert_eq!(frame.data()[..8], inner[..8]);
    assert_eq!(frame.data()[8..14], PEER_MAC.0);
    assert_eq!(frame.data()[14..20], OUR_MAC.0);
    assert_eq!(frame.data()[20..22], [0x08, 0x00]);
    let (ip, rest) = Ipv4Header::from_slice(&frame.data()[22..]).unwrap();
    assert_eq!(ip.time_to_live, 63);
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!(&rest[8..], b"hello");
}

#[test]
fn from_tunnel_to_port() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.2.1", "10.42.1.1", 64, b"hello");
    let (ports, underlays) = rig.send_from_vtep(PEER_VTEP, &vxlan_ip4(&packet));
    assert!(underlays.is_empty());
    let [frame] = &ports[..] else {
        panic!("one packet")
    };
    assert_eq!(frame.meta.egress, PORT);
    let sliced = SlicedPacket::from_ip(frame.data()).unwrap();
    assert!(sliced.transport.is_some());
    assert_eq!(frame.len(), packet.len());
    assert_eq!(frame.data()[8], 63);
}

#[test]
fn ipv6_both_ways() {
    let mut rig = Rig::new();
    let (_, underlays) = rig.send_from_port(&udp6("fd42:1::1", "fd42:2::1", 64, b"six"));
    assert_eq!(underlays[0].data()[20..22], [0x86, 0xdd]);
    let (ip, _) = Ipv6Header::from_slice(&underlays[0].data()[22..]).unwrap();
    assert_eq!(ip.hop_limit, 63);
    let back = udp6("fd42:2::1", "fd42:1::1", 64, b"six");
    let (ports, _) = rig.send_from_vtep(PEER_VTEP, &vxlan(VNI, OUR_MAC, PEER_MAC, 0x86dd, &back));
    assert_eq!(ports[0].data()[7], 63);
}

#[test]
fn from_tunnel_to_tunnel() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.7.1", "10.42.2.9", 9, b"through");
    let (_, underlays) = rig.send_from_vtep(STRANGER_VTEP, &vxlan_ip4(&packet));
    assert_eq!(underlays[0].meta.remote.ip(), PEER_VTEP);
}

#[test]
fn ethernet_padding_is_removed_and_vlan_tags_are_skipped() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.2.1", "10.42.1.1", 64, b"x");
    let mut tagged = vec![0, 7, 0x08, 0x00];
    tagged.extend(&packet);
    tagged.extend([0; 17]);
    let datagram = vxlan(VNI, OUR_MAC, PEER_MAC, 0x8100, &tagged);
    let (ports, _) = rig.send_from_vtep(PEER_VTEP, &datagram);
    assert_eq!(ports[0].len(), packet.len());
}

#[test]
fn reserved_bits_are_ignored() {
    let mut rig = Rig::new();
    let mut datagram = vxlan_ip4(&udp4("10.42.2.1", "10.42.1.1", 64, b"x"));
    datagram[0] = 0xff;
    datagram[1] = 0xff;
    datagram[7] = 0xff;
    assert_eq!(rig.send_from_vtep(PEER_VTEP, &datagram).0.len(), 1);
}

#[test]
fn a_group_keeps_a_flow_on_one_member_and_uses_all() {
    let mut rig = Rig::new();
    let peer = rig.tables.insert_next_hop(NextHop::Tunnel(PEER));
    let other = rig.tables.insert_next_hop(NextHop::Tunnel(TunnelId(2)));
    rig.tables
        .insert_tunnel(TunnelId(2), tunnel(STRANGER_VTEP, Some(PEER_MAC)));
    let slots = std::array::from_fn(|slot| [peer, other][slot % 2]);
    let group = rig
        .tables
        .insert_next_hop(NextHop::Group(Group::new(slots)));
    let mut network = rig.tables.network(NET).unwrap().clone();
    network
        .fib
        .v4
        .insert("10.50.0.0/16".parse().unwrap(), group);
    rig.tables.insert_network(NET, network);
    let mut used = std::collections::HashSet::new();
    for host in 0..64 {
        let packet = udp4("10.42.1.1", &format!("10.50.0.{host}"), 64, b"");
        let first = rig.send_from_port(&packet).1[0].meta.remote;
        let again = rig.send_from_port(&packet).1[0].meta.remote;
        assert_eq!(first, again);
        used.insert(first);
    }
    assert_eq!(used.len(), 2);
}

#[test]
fn a_full_batch_keeps_its_order() {
    let mut rig = Rig::new();
    let frames: Vec<_> = (0..64u8)
        .map(|n| {
            rig.frame(
                Ingress::Port(PORT),
                &udp4("10.42.1.1", "10.42.2.1", 64, &[n]),
            )
        })
        .collect();
    let (_, underlays) = rig.run(frames);
    let order: Vec<_> = underlays
        .iter()
        .map(|f| *f.data().last().unwrap())
        .collect();
    assert_eq!(order, (0..64).collect::<Vec<_>>());
}

#[test]
fn a_frame_between_malformed_ones_is_not_disturbed() {
    let mut rig = Rig::new();
    let good = udp4("10.42.1.1", "10.42.2.1", 64, b"good");
    let frames =
        [&[0xff; 40][..], &good, &[], &good[..19]].map(|data| rig.frame(Ingress::Port(PORT), data));
    let (_, underlays) = rig.run(frames);
    assert_eq!(underlays.len(), 1);
    assert!(underlays[0].data().ends_with(b"good"));
    assert_eq!(rig.drops(DropReason::IpMalformed), 3);
}
