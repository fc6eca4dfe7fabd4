//! Outer packets that come in fragments are taken whole: by sockets, where a redirection or a wire
//! leaves fragments to the host.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ringlay_encap::{EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, TunnelKey, Vni};
use socket2::{Domain, Protocol, Socket, Type};

use crate::discover::snmp;
use crate::support::pair::ip;
use crate::support::random::Random;
use crate::topology::{Encap, Topology, Version, inner};

const INNER_PORT: u16 = 7777;
const SIZES: [usize; 5] = [10, 1_300, 1_400, 3_000, 9_000];

/// What is inside the tunnel: a UDP packet from the first host to the second.
fn packet(payload: &[u8]) -> Vec<u8> {
    let [IpAddr::V4(src_addr), IpAddr::V4(dst_addr)] = [inner(0)[0], inner(1)[0]] else {
        unreachable!()
    };
    let len = 8 + payload.len() as u16;
    let header = Ipv4Repr {
        src_addr,
        dst_addr,
        protocol: IpProtocol::UDP,
        traffic_class: 0,
        ttl: 64,
        ident: 0,
        dont_fragment: true,
        payload_len: len,
    };
    let mut packet = vec![0; 20];
    header.emit(&mut packet);
    // No checksum.
    packet.extend(
        [INNER_PORT, INNER_PORT, len, 0]
            .map(u16::to_be_bytes)
            .concat(),
    );
    packet.extend(payload);
    packet
}

/// Sends it in a tunnel, by a socket of the first host, whose kernel fragments as needed.
fn send(topology: &Topology, encap: Encap, version: Version, packet: &[u8]) {
    let far = version.host(1);
    let (bytes, protocol, port) = match encap {
        Encap::Vxlan => (in_vxlan(topology, packet), 17, 4789),
        Encap::Gre => ([&[0, 0, 8, 0], packet].concat(), 47, 0),
        Encap::Ipip => (packet.to_vec(), 4, 0),
    };
    let kind = if port == 0 { Type::RAW } else { Type::DGRAM };
    let to = SocketAddr::new(far, port);
    let send = || -> io::Result<usize> {
        let socket = Socket::new(
            Domain::for_address(to),
            kind,
            Some(Protocol::from(protocol)),
        )?;
        socket.bind(&SocketAddr::new(version.host(0), 0).into())?;
        socket.send_to(&bytes, &to.into())
    };
    assert_eq!(topology.hosts[0].run(send).unwrap().unwrap(), bytes.len());
}

fn in_vxlan(topology: &Topology, packet: &[u8]) -> Vec<u8> {
    let shown = topology.ringlay(1, "network show blue --json");
    let network: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let key = TunnelKey::Vxlan(Vni::new(42).unwrap());
    let mut bytes = vec![0; key.header_len() + 14];
    key.emit(EtherType::BRIDGED, &mut bytes[..key.header_len()]);
    let ethernet = EthernetRepr {
        dst: network["mac"].as_str().unwrap().parse().unwrap(),
        src: MacAddr([2, 0, 0, 0, 0, 9]),
        ethertype: EtherType::IPV4,
    };
    ethernet.emit(&mut bytes[key.header_len()..]);
    [bytes, packet.to_vec()].concat()
}

fn arrive_whole(encap: Encap, version: Version, driver: &str) {
    let mut topology = Topology::with(encap, version, 1500);
    // IPv6 has no smaller ones.
    let narrow = if version == Version::V4 { 600 } else { 1280 };
    ip(&topology.hosts[0], &format!("link set eth0 mtu {narrow}"));
    topology.start(1, &format!("driver = \"{driver}\"\nprobe = \"off\""), "");
    let bind = || UdpSocket::bind((inner(1)[0], INNER_PORT));
    let receiver = topology.hosts[1].run(bind).unwrap().unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut random = Random::new(4);
    for size in SIZES {
        let sent = random.bytes(size);
        send(&topology, encap, version, &packet(&sent));
        let mut received = vec![0; 1 << 16];
        let (len, from) = receiver.recv_from(&mut received).unwrap_or_else(|error| {
            panic!("{encap:?} over {version:?} by {driver}, {size} bytes: {error}")
        });
        assert!(received[..len] == sent, "{size} bytes: they changed");
        assert_eq!(from.ip(), inner(0)[0]);
    }
    if version == Version::V4 {
        let fragmented = SIZES.len() as u64 - 1;
        assert_eq!(snmp(&topology.hosts[1], "ReasmOKs"), fragmented);
    }
}

#[test]
fn by_udp_sockets() {
    arrive_whole(Encap::Vxlan, Version::V4, "udp");
    arrive_whole(Encap::Vxlan, Version::V6, "udp");
}

#[test]
fn by_raw_sockets() {
    for (encap, version) in crate::discover::above_ip() {
        arrive_whole(encap, version, "udp");
    }
}

#[test]
fn beside_uplinks() {
    arrive_whole(Encap::Vxlan, Version::V4, "tunnel-gso");
    arrive_whole(Encap::Vxlan, Version::V6, "tunnel-gso");
    arrive_whole(Encap::Gre, Version::V4, "tunnel-gso");
    arrive_whole(Encap::Ipip, Version::V6, "tunnel-gso");
}

#[test]
fn beside_wires() {
    arrive_whole(Encap::Vxlan, Version::V4, "af_xdp");
    arrive_whole(Encap::Vxlan, Version::V6, "af_xdp");
}
