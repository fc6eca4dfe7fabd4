//! ICMP errors: when, to whom, with which source, and how many.

use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Ipv4Header, Ipv6Header};
use etherparse::{icmpv4, icmpv6};

use super::*;
use crate::tables::{ROUTER_V4, ROUTER_V6};

/// Parses an ICMPv4 error and checks its checksums: (IP header, type, quoted packet).
fn icmp4(frame: &[u8]) -> (Ipv4Header, Icmpv4Type, Vec<u8>) {
    let (ip, rest) = Ipv4Header::from_slice(frame).unwrap();
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!(usize::from(ip.total_len), frame.len());
    let (icmp, quoted) = Icmpv4Header::from_slice(rest).unwrap();
    assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(quoted));
    (ip, icmp.icmp_type, quoted.to_vec())
}

#[test]
fn an_expired_packet_from_the_port() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.1.1", "10.42.2.1", 1, b"late");
    let (ports, _) = rig.send_from_port(&packet);
    let (ip, kind, quoted) = icmp4(ports[0].data());
    assert_eq!(ip.source, ROUTER_V4.octets());
    assert_eq!(ip.destination, [10, 42, 1, 1]);
    let expected = icmpv4::TimeExceededCode::TtlExceededInTransit;
    assert_eq!(kind, Icmpv4Type::TimeExceeded(expected));
    assert_eq!(quoted, packet);
    rig.assert_only_drop(DropReason::TtlExpired);
}

#[test]
fn an_expired_packet_from_the_tunnel() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.2.1", "10.42.1.1", 1, b"late");
    let (ports, underlays) = rig.send_from_vtep(PEER_VTEP, &vxlan_ip4(&packet));
    assert!(ports.is_empty());
    let (ip, ..) = icmp4(&underlays[0].data()[22..]);
    assert_eq!(ip.source, [10, 42, 1, 1]);
    assert_eq!(ip.destination, [10, 42, 2, 1]);
    assert_eq!(underlays[0].meta.remote.ip(), PEER_VTEP);
}

#[test]
fn no_route() {
    let mut rig = Rig::new();
    let (ports, _) = rig.send_from_port(&udp4("10.42.1.1", "10.99.0.1", 64, b""));
    let (_, kind, _) = icmp4(ports[0].data());
    assert_eq!(
        kind,
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Network)
    );
    let (ports, _) = rig.send_from_port(&udp6("fd42:1::1", "fd99::1", 64, b""));
    let (ip, rest) = Ipv6Header::from_slice(ports[0].data()).unwrap();
    assert_eq!(ip.source, ROUTER_V6.octets());
    let (icmp, quoted) = Icmpv6Header::from_slice(rest).unwrap();
    let checksum = icmp
        .icmp_type
        .calc_checksum(ip.source, ip.destination, quoted)
        .unwrap();
    assert_eq!(icmp.checksum, checksum);
    let expected = icmpv6::DestUnreachableCode::NoRoute;
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv6Type::DestinationUnreachable(expected)
    );
    assert_eq!(rig.drops(DropReason::NoRoute), 2);
}

#[test]
fn back_out_of_the_same_port() {
    let mut rig = Rig::new();
    let (ports, _) = rig.send_from_port(&udp4("10.42.1.1", "10.42.1.77", 64, b""));
    let (_, kind, _) = icmp4(ports[0].data());
    assert_eq!(
        kind,
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Host)
    );
    rig.assert_only_drop(DropReason::Hairpin);
}

#[test]
fn too_big_for_the_tunnel() {
    let mut rig = Rig::new();
    let mut packet = udp4("10.42.1.1", "10.42.2.1", 64, &[0; MTU]);
    assert_eq!(packet[6] & 0x40, 0x40, "etherparse sets DF");
    let (ports, _) = rig.send_from_port(&packet);
    let (_, kind, _) = icmp4(ports[0].data());
    let expected = icmpv4::DestUnreachableHeader::FragmentationNeeded {
        next_hop_mtu: MTU as u16,
    };
    assert_eq!(kind, Icmpv4Type::DestinationUnreachable(expected));
    // Without DF the underlay fragments the outer packet.
    let (mut ip, _) = Ipv4Header::from_slice(&packet).unwrap();
    ip.dont_fragment = false;
    ip.header_checksum = ip.calc_header_checksum();
    packet[..20].copy_from_slice(&ip.to_bytes());
    assert_eq!(rig.send_from_port(&packet).1.len(), 1);
    // IPv6 routers never fragment.
    let (ports, _) = rig.send_from_port(&udp6("fd42:1::1", "fd42:2::1", 64, &[0; MTU]));
    assert_eq!(ports[0].data()[40], 2);
    assert!(ports[0].len() <= 1280);
}

#[test]
fn never_about_icmp_errors_nor_to_the_unroutable() {
    let mut rig = Rig::new();
    let (ports, _) = rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 1, b""));
    let mut error = ports[0].data().to_vec();
    drop(ports);
    // The same error, sent back at us with an expired TTL.
    let (mut ip, _) = Ipv4Header::from_slice(&error).unwrap();
    ip.source = [10, 42, 1, 9];
    ip.destination = [10, 42, 2, 1];
    ip.time_to_live = 1;
    ip.header_checksum = ip.calc_header_checksum();
    error[..20].copy_from_slice(&ip.to_bytes());
    let (ports, underlays) = rig.send_from_port(&error);
    assert!(ports.is_empty() && underlays.is_empty());
    // Nobody routes to 172.16.0.1: the error itself finds no route and ends there.
    let (ports, underlays) = rig.send_from_port(&udp4("172.16.0.1", "10.99.0.1", 64, b""));
    assert!(ports.is_empty() && underlays.is_empty());
    assert_eq!(rig.drops(DropReason::NoRoute), 2);
}

#[test]
fn at_a_limited_rate() {
    let mut rig = Rig::new();
    let packet = udp4("10.42.1.1", "10.99.0.1", 64, b"");
    let sent: usize = (0..200).map(|_| rig.send_from_port(&packet).0.len()).sum();
    assert_eq!(sent, 20);
    assert_eq!(rig.counters.icmp_limited.value(), 180);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.send_from_port(&packet).0.len(), 1);
    assert_eq!(rig.drops(DropReason::NoRoute), 201);
}
