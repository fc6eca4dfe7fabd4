//! What is dropped, each under its own name.

use super::*;

#[test]
fn from_the_port() {
    let good = udp4("10.42.1.1", "10.42.2.1", 64, b"x");
    let corrupt = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        packet
    };
    let cases = [
        (vec![], DropReason::IpMalformed),
        (corrupt(0, 0x55), DropReason::IpMalformed),
        (corrupt(0, 0x44), DropReason::IpMalformed),
        (corrupt(3, 200), DropReason::IpMalformed),
        (corrupt(10, good[10] ^ 1), DropReason::IpBadChecksum),
        (
            udp4("10.42.1.1", "224.0.0.5", 64, b""),
            DropReason::IpNotForwardable,
        ),
        (
            udp4("127.0.0.1", "10.42.2.1", 64, b""),
            DropReason::IpNotForwardable,
        ),
        (
            udp6("fe80::1", "fd42:2::1", 64, b""),
            DropReason::IpNotForwardable,
        ),
        (
            udp6("fd42:1::1", "ff02::2", 64, b""),
            DropReason::IpNotForwardable,
        ),
        (
            udp4("10.42.1.1", "10.42.9.1", 64, b""),
            DropReason::RouteDrop,
        ),
    ];
    for (packet, reason) in cases {
        let mut rig = Rig::new();
        let (ports, underlays) = rig.send_from_port(&packet);
        assert!(
            ports.is_empty() && underlays.is_empty(),
            "{}",
            reason.name()
        );
        rig.assert_only_drop(reason);
    }
}

#[test]
fn from_the_tunnel() {
    let inner = udp4("10.42.2.1", "10.42.1.1", 64, b"x");
    let good = vxlan_ip4(&inner);
    let mut no_flag = good.clone();
    no_flag[0] = 0;
    let broadcast = MacAddr([0xff; 6]);
    let cases = [
        (PEER_VTEP, good[..7].to_vec(), DropReason::VxlanMalformed),
        (PEER_VTEP, good[..20].to_vec(), DropReason::VxlanMalformed),
        (PEER_VTEP, no_flag, DropReason::VxlanBadFlags),
        (
            PEER_VTEP,
            vxlan(43, OUR_MAC, PEER_MAC, 0x800, &inner),
            DropReason::VxlanUnknownVni,
        ),
        (
            [192, 168, 77, 9].into(),
            good.clone(),
            DropReason::VtepUnknown,
        ),
        (
            PEER_VTEP,
            vxlan(VNI, PEER_MAC, PEER_MAC, 0x800, &inner),
            DropReason::InnerMacForeign,
        ),
        (
            PEER_VTEP,
            vxlan(VNI, OUR_MAC, OUR_MAC, 0x800, &inner),
            DropReason::InnerMacForeign,
        ),
        (
            PEER_VTEP,
            vxlan(VNI, broadcast, PEER_MAC, 0x800, &inner),
            DropReason::InnerMacForeign,
        ),
        (
            PEER_VTEP,
            vxlan(VNI, OUR_MAC, PEER_MAC, 0x88cc, &inner),
            DropReason::InnerProtocolUnknown,
        ),
        (
            PEER_VTEP,
            vxlan(VNI, OUR_MAC, PEER_MAC, 0x806, &[0; 27]),
            DropReason::ArpMalformed,
        ),
        (
            PEER_VTEP,
            vxlan(VNI, OUR_MAC, PEER_MAC, 0x800, &inner[..21]),
            DropReason::IpMalformed,
        ),
    ];
    for (vtep, datagram, reason) in cases {
        let mut rig = Rig::new();
        let (ports, underlays) = rig.send_from_vtep(vtep, &datagram);
        assert!(
            ports.is_empty() && underlays.is_empty(),
            "{}",
            reason.name()
        );
        rig.assert_only_drop(reason);
    }
}

#[test]
fn unknown_vteps_are_accepted_on_request() {
    let mut rig = Rig::new();
    let mut network = rig.tables.network(NET).unwrap().clone();
    network.accept_unknown_vteps = true;
    rig.tables.insert_network(NET, network);
    let datagram = vxlan_ip4(&udp4("10.42.2.1", "10.42.1.1", 64, b"x"));
    assert_eq!(
        rig.send_from_vtep([192, 168, 77, 9].into(), &datagram)
            .0
            .len(),
        1
    );
}

#[test]
fn what_the_tables_no_longer_know() {
    let mut rig = Rig::new();
    rig.tables = Tables::default();
    rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 64, b"x"));
    rig.assert_only_drop(DropReason::PortGone);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_accounted_for(
        data in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        underlay in proptest::bool::ANY,
        plausible in proptest::bool::ANY,
    ) {
        let mut rig = Rig::new();
        if underlay {
            let datagram = if plausible { vxlan_ip4(&data) } else { data };
            rig.send_from_vtep(PEER_VTEP, &datagram);
        } else {
            rig.send_from_port(&data);
        }
    }

    #[test]
    fn any_damage_to_a_packet_is_accounted_for(
        at in 0usize..70,
        value in proptest::num::u8::ANY,
        len in 0usize..70,
        ethertype in proptest::sample::select(vec![0x800u16, 0x806, 0x86dd, 0x8100]),
        six in proptest::bool::ANY,
    ) {
        let inner = if six {
            udp6("fd42:2::1", "fd42:1::1", 3, b"payload")
        } else {
            udp4("10.42.2.1", "10.42.1.1", 3, b"payload")
        };
        let mut datagram = vxlan(VNI, OUR_MAC, PEER_MAC, ethertype, &inner);
        let at = at % datagram.len();
        datagram[at] = value;
        datagram.truncate(datagram.len() - len % datagram.len());
        let mut rig = Rig::new();
        rig.send_from_vtep(PEER_VTEP, &datagram);
    }
}
