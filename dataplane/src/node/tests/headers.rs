//! What crosses between inner and outer IP headers.

use std::num::NonZeroU8;

use ringlay_encap::{Dscp, DscpPolicy, EcnMode, TtlPolicy};

use super::super_frames::{bytes, super_frame, tcp};
use super::*;
use crate::port::uplink;

/// With the traffic class `class`.
fn with_class(mut packet: Vec<u8>, class: u8) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[1] = class;
        ringlay_encap::ipv4::Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    } else {
        packet[0] = 0x60 | class >> 4;
        packet[1] = class << 4;
    }
    packet
}

fn class_of(packet: &[u8]) -> u8 {
    match packet[0] >> 4 {
        4 => packet[1],
        _ => packet[0] << 4 | packet[1] >> 4,
    }
}

/// Changes the network and the template of the tunnel to the peer.
fn set(rig: &mut Rig, dscp: DscpPolicy, ecn: EcnMode, ttl: Option<TtlPolicy>, by_uplink: bool) {
    let mut network = rig.tables.network(NET).unwrap().clone();
    (network.dscp, network.ttl) = (dscp, ttl);
    rig.tables.insert_network(NET, network);
    rig.reach_peer(|builder| {
        let builder = builder
            .dscp_policy(dscp)
            .ecn_mode(ecn)
            .ttl_policy(ttl.unwrap_or_default());
        match by_uplink {
            true => builder.ethernet(uplink::MAC, uplink::PEER_MAC),
            false => builder,
        }
    });
}

#[test]
fn congestion_marks_come_out_by_the_table_of_rfc_6040() {
    const DROP: u8 = 0xff;
    // Rows: inner Not-ECT, ECT(1), ECT(0), CE. Columns: the same, outer. Figure 4.
    let table = [[0, 0, 0, DROP], [1, 1, 1, 3], [2, 1, 2, 3], [3, 3, 3, 3]];
    for (inner, row) in (0u8..).zip(table) {
        for (outer, expected) in (0u8..).zip(row) {
            let packets = [
                (0x0800, udp4("10.42.2.1", "10.42.1.1", 64, b"x")),
                (0x86dd, udp6("fd42:2::1", "fd42:1::1", 64, b"x")),
            ];
            for (ethertype, packet) in packets {
                let mut rig = Rig::new();
                let packet = with_class(packet, 0xb8 | inner);
                let data = vxlan(VNI, OUR_MAC, PEER_MAC, ethertype, &packet);
                let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &data);
                frame.meta.remote = SocketAddr::new(IpAddr::V4(PEER_VTEP), 55_555);
                frame.meta.traffic_class = outer;
                let (ports, _) = rig.run([frame]);
                if expected == DROP {
                    assert!(ports.is_empty());
                    rig.assert_only_drop(DropReason::EcnCongestion);
                } else {
                    let class = class_of(ports[0].data());
                    assert_eq!(class, 0xb8 | expected, "{inner} in {outer}");
                    assert_eq!(rig.counters.total_drops(), 0);
                }
            }
        }
    }
}

#[test]
fn sockets_are_told_the_outer_class_and_time_to_live() {
    let expedited = DscpPolicy::Set(Dscp::EXPEDITED);
    let five = NonZeroU8::new(5).unwrap();
    let cases = [
        (DscpPolicy::default(), EcnMode::Normal, None, 0x02, 0),
        (DscpPolicy::default(), EcnMode::Compatibility, None, 0x00, 0),
        (DscpPolicy::Copy, EcnMode::Normal, None, 0x2a, 0),
        (
            expedited,
            EcnMode::Normal,
            Some(TtlPolicy::Set(five)),
            0xba,
            5,
        ),
        (
            expedited,
            EcnMode::Compatibility,
            Some(TtlPolicy::Copy),
            0xb8,
            63,
        ),
    ];
    for (dscp, ecn, ttl, class, life) in cases {
        let mut rig = Rig::new();
        set(&mut rig, dscp, ecn, ttl, false);
        for packet in [
            udp4("10.42.1.1", "10.42.2.1", 64, b"x"),
            udp6("fd42:1::1", "fd42:2::1", 64, b"x"),
        ] {
            let (_, underlays) = rig.send_from_port(&with_class(packet, 0x2a));
            let meta = underlays[0].meta;
            assert_eq!((meta.traffic_class, meta.ttl), (class, life));
        }
        let packet = with_class(tcp(true, 1, true, &bytes(4000)), 0x2a);
        let frame = super_frame(&rig, &packet, 1400);
        let (_, trains) = rig.run([frame]);
        let told = trains.iter().map(|it| (it.meta.traffic_class, it.meta.ttl));
        assert!(told.into_iter().all(|it| it == (class, life)));
    }
}

/// The time to live of an inner packet with 64 that came in an outer one.
fn life_after(ttl: Option<TtlPolicy>, outer: u8) -> Vec<u8> {
    let packets = [
        (0x0800, udp4("10.42.2.1", "10.42.1.1", 64, b"x")),
        (0x86dd, udp6("fd42:2::1", "fd42:1::1", 64, b"x")),
    ];
    let lives = packets.map(|(ethertype, packet)| {
        let mut rig = Rig::new();
        set(&mut rig, DscpPolicy::default(), EcnMode::Normal, ttl, false);
        let data = vxlan(VNI, OUR_MAC, PEER_MAC, ethertype, &packet);
        let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &data);
        frame.meta.remote = SocketAddr::new(IpAddr::V4(PEER_VTEP), 55_555);
        frame.meta.ttl = outer;
        let (ports, _) = rig.run([frame]);
        if ports.is_empty() {
            rig.assert_only_drop(DropReason::TtlExpired);
            rig.collect();
        }
        let life = |it: &Frame| match it.data()[0] >> 4 {
            4 => {
                let packet = ringlay_encap::ipv4::Ipv4Packet::new_unchecked(it.data());
                assert!(packet.verify_checksum());
                packet.ttl()
            }
            _ => it.data()[7],
        };
        ports.first().map_or(0, life)
    });
    lives.to_vec()
}

#[test]
fn what_the_underlay_left_of_a_copied_time_to_live_is_the_inner_one_again() {
    let copy = Some(TtlPolicy::Copy);
    // This node is a hop too.
    assert_eq!(life_after(copy, 9), [8, 8]);
    assert_eq!(life_after(copy, 64), [63, 63]);
    assert_eq!(life_after(copy, 255), [63, 63], "it never grows");
    assert_eq!(life_after(copy, 0), [63, 63], "it is not known");
    assert_eq!(life_after(copy, 1), [0, 0], "it is over");
    let set = Some(TtlPolicy::Set(NonZeroU8::new(5).unwrap()));
    for policy in [None, set] {
        assert_eq!(life_after(policy, 9), [63, 63]);
    }
}

#[test]
fn uplinks_get_the_same_in_the_header() {
    let mut rig = Rig::new();
    set(
        &mut rig,
        DscpPolicy::Copy,
        EcnMode::Normal,
        Some(TtlPolicy::Copy),
        true,
    );
    let packet = with_class(udp4("10.42.1.1", "10.42.2.1", 9, b"x"), 0xbb);
    rig.send_from_port(&packet);
    let frames = rig.uplinks();
    let outer = &frames[0].data()[14..34];
    // The kernel that routes it on takes one from the time to live.
    assert_eq!((outer[1], outer[8]), (0xbb, 9));
}

#[test]
fn what_the_underlay_made_of_a_copied_dscp_is_the_inner_one_again() {
    let mut rig = Rig::new();
    set(&mut rig, DscpPolicy::Copy, EcnMode::Normal, None, false);
    let packet = with_class(udp4("10.42.2.1", "10.42.1.1", 64, b"x"), 0xb8);
    let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &vxlan_ip4(&packet));
    frame.meta.remote = SocketAddr::new(IpAddr::V4(PEER_VTEP), 55_555);
    frame.meta.traffic_class = 0x28;
    let (ports, _) = rig.run([frame]);
    assert_eq!(class_of(ports[0].data()), 0x28);
}
