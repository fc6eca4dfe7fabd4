//! Frames that few senders make, as raw ones on the device of a wire or a station: with VLAN tags, IP
//! options, and in fragments. Programs on devices leave them to the host or lead them on, and none is
//! taken for what it is not.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use ringlay_dataplane::sys::{link, netns::run_in, packet, virtio};
use ringlay_encap::{
    EtherType, IpProtocol, MacAddr,
    eth::{self, EthernetRepr},
    ipv4::{self, Ipv4Packet, Ipv4Repr},
    udp::{self, UdpRepr},
};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    hosts::Hosts,
    link::{STATION, overlay as station, with_guest},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where what is inside is sent, at the receiving end.
const PORT: u16 = 7001;

/// The MAC address of the node on a link or inside a tunnel.
const NODE: MacAddr = MacAddr([2, 0x42, 0, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0x42, 0, 0, 0, 2]);

/// How a packet differs from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oddity {
    None,
    /// A VLAN tag with this number; 0 tells a priority alone.
    Tag(u8),
    /// IP options that mean nothing.
    Options,
    /// Two fragments.
    Fragments,
}

/// An IPv4 packet, or its fragments.
fn packets(
    [src, dst]: [Ipv4Addr; 2],
    protocol: IpProtocol,
    payload: &[u8],
    oddity: Oddity,
) -> Vec<Vec<u8>> {
    let emit = |payload: &[u8], options: &[u8], fragment: u16| {
        let header = Ipv4Repr {
            src_addr: src,
            dst_addr: dst,
            protocol,
            traffic_class: 0,
            ttl: 64,
            ident: 77,
            dont_fragment: false,
            payload_len: (options.len() + payload.len()) as u16,
        };
        let mut packet = vec![0; ipv4::HEADER_LEN];
        header.emit(&mut packet);
        packet[0] += (options.len() / 4) as u8;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet.extend_from_slice(options);
        Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
        packet.extend_from_slice(payload);
        packet
    };
    const NO_OPERATION: [u8; 4] = [1; 4];
    const MORE_FRAGMENTS: u16 = 1 << 13;
    match oddity {
        Oddity::None | Oddity::Tag(_) => vec![emit(payload, &[], 0)],
        Oddity::Options => vec![emit(payload, &NO_OPERATION, 0)],
        Oddity::Fragments => {
            let (first, rest) = payload.split_at(payload.len() / 16 * 8);
            let offset = (first.len() / 8) as u16;
            vec![emit(first, &[], MORE_FRAGMENTS), emit(rest, &[], offset)]
        }
    }
}

fn datagram(to: u16, payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr {
        src_port: 50_000,
        dst_port: to,
        payload_len: payload.len() as u16,
    };
    let mut datagram = vec![0; udp::HEADER_LEN];
    header.emit(&mut datagram);
    datagram.extend_from_slice(payload);
    datagram
}

fn frame(dst: MacAddr, src: MacAddr, oddity: Oddity, packet: &[u8]) -> Vec<u8> {
    let header = EthernetRepr {
        dst,
        src,
        ethertype: EtherType::IPV4,
    };
    let mut frame = vec![0; eth::HEADER_LEN];
    header.emit(&mut frame);
    if let Oddity::Tag(number) = oddity {
        frame.splice(12..12, [0x81, 0, 0, number]);
    }
    frame.extend_from_slice(packet);
    frame
}

/// Sends frames out of a device.
fn inject(netns: &Path, device: &str, frames: &[Vec<u8>]) {
    let open = || packet::sender(link::index(device).unwrap());
    let mut socket = File::from(run_in(netns, open).unwrap().unwrap());
    for frame in frames {
        let bytes = [&[0; virtio::HEADER_LEN][..], frame].concat();
        assert_eq!(socket.write(&bytes).unwrap(), bytes.len());
    }
}

/// Whatever a host's own stack is handed.
fn ear(netns: &Path) -> Socket {
    const ALL: u16 = 3; // ETH_P_ALL
    let protocol = Protocol::from(i32::from(ALL.to_be()));
    let open = || Socket::new(Domain::PACKET, Type::RAW, Some(protocol));
    let socket = run_in(netns, open).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Waits until the host's own stack is handed a frame that ends so.
fn hears(mut ear: &Socket, end: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = [0; 2048];
    loop {
        assert!(Instant::now() < deadline, "the host does not get it");
        let count = ear.read(&mut bytes).unwrap();
        if bytes[..count].ends_with(end) {
            return;
        }
    }
}

fn receiver(netns: &Path, address: &str) -> UdpSocket {
    let socket = run_in(netns, || UdpSocket::bind((address, PORT)));
    let socket = socket.unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[track_caller]
fn assert_receives(socket: &UdpSocket, payload: &[u8], what: &str) {
    let mut bytes = [0; 2048];
    let count = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], payload, "{what}");
}

/// Long enough for two fragments, and different each time.
fn payload(number: usize) -> Vec<u8> {
    (0..200).map(|at| (at * 7 + number * 31) as u8).collect()
}

fn mac(hosts: &Hosts, host: usize, device: &str) -> MacAddr {
    let shown = hosts.ip(host, &format!("-j link show {device}"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown[0]["address"].as_str().unwrap().parse().unwrap()
}

/// How devices hand packets over that have these MTUs: with longer packets a veth refuses programs of
/// its own.
const MTUS: [(&str, u32); 2] = [("native XDP", 1500), ("generic XDP", 3800)];

/// What the endpoints of a tunnel take goes by their sockets, put together by the host.
fn by_a_tunnel(keys: &str, tunnelled: impl Fn(&[u8]) -> (IpProtocol, Vec<u8>)) {
    for (mode, mtu) in MTUS {
        let mut hosts = Hosts::new();
        hosts.set(0, "underlay", "driver = \"af_xdp\"");
        hosts.replace(0, "vni = 42\n", keys);
        (0..2).for_each(|host| drop(hosts.ip(host, &format!("link set eth0 mtu {mtu}"))));
        hosts.start(0);
        assert!(hosts.ringlay(0, "show node").contains(mode));
        let (near, far) = (hosts.netns_path(0), hosts.netns_path(1));
        let (receiver, ear) = (receiver(&near, "10.42.1.1"), ear(&near));
        let macs = [mac(&hosts, 0, "eth0"), mac(&hosts, 1, "eth0")];
        let frames = |payload: &[u8], oddity| -> Vec<Vec<u8>> {
            let inside = ["10.42.2.1", "10.42.1.1"].map(|it| it.parse().unwrap());
            let inside = packets(
                inside,
                IpProtocol::UDP,
                &datagram(PORT, payload),
                Oddity::None,
            );
            let (protocol, payload) = tunnelled(&inside[0]);
            let outside = ["192.168.77.2", "192.168.77.1"].map(|it| it.parse().unwrap());
            let outside = packets(outside, protocol, &payload, oddity).into_iter();
            let frames = outside.map(|packet| frame(macs[0], macs[1], oddity, &packet));
            frames.collect()
        };
        let by_wire = || hosts.underlay(0, "af_xdp")[0];
        for (number, oddity) in [
            Oddity::None,
            Oddity::Options,
            Oddity::Fragments,
            Oddity::Tag(0),
            Oddity::None,
        ]
        .into_iter()
        .enumerate()
        {
            let (before, payload) = (by_wire(), payload(number));
            inject(&far, "eth0", &frames(&payload, oddity));
            assert_receives(&receiver, &payload, &format!("{mode}: {oddity:?}"));
            let led = u64::from(oddity == Oddity::None);
            assert_eq!(by_wire(), before + led, "{mode}: {oddity:?}");
        }
        // For a VLAN that the host has no device of: nobody takes it.
        let (before, tagged) = (by_wire(), payload(9));
        inject(&far, "eth0", &frames(&tagged, Oddity::Tag(5)));
        hears(&ear, &tagged);
        assert_eq!(by_wire(), before, "{mode}");
        inject(&far, "eth0", &frames(&payload(10), Oddity::None));
        assert_receives(&receiver, &payload(10), mode);
    }
}

#[test]
fn odd_datagrams_of_a_tunnel_go_the_way_of_the_host() {
    by_a_tunnel(&format!("vni = 42\nmac = \"{NODE}\"\n"), |inside| {
        let header = [8, 0, 0, 0, 0, 0, 42, 0];
        let inside = frame(NODE, OTHER, Oddity::None, inside);
        let vxlan = [&header[..], &inside].concat();
        (IpProtocol::UDP, datagram(4789, &vxlan))
    });
}

#[test]
fn odd_packets_of_a_tunnel_right_above_ip_go_the_way_of_the_host() {
    by_a_tunnel("encap = \"gre\"\nkey = 7\n", |inside| {
        let header = [0x20, 0, 8, 0, 0, 0, 0, 7];
        (IpProtocol::GRE, [&header[..], inside].concat())
    });
}

/// A router passes options and fragments on. Tagged frames are the host's, which hears and ignores
/// them.
#[test]
fn odd_packets_for_a_station_are_forwarded_and_tagged_ones_are_not() {
    for (mode, mtu) in MTUS {
        let (hosts, guest) = with_guest();
        hosts.ip(0, &format!("link set xp0 mtu {mtu}"));
        guest.ip(&format!("link set eth9 mtu {mtu}"));
        let hosts = station(hosts, &format!("{STATION}\nmac = \"{NODE}\""));
        hosts.wait_for(0, "it is up", || hosts.answers("10.42.2.1"));
        assert!(hosts.ringlay(0, "port show xp0").contains(mode));
        let receiver = receiver(&hosts.netns_path(1), "10.42.2.1");
        let ear = ear(&hosts.netns_path(0));
        let frames = |payload: &[u8], oddity| -> Vec<Vec<u8>> {
            let ends = ["10.42.101.9", "10.42.2.1"].map(|it| it.parse().unwrap());
            let packets = packets(ends, IpProtocol::UDP, &datagram(PORT, payload), oddity);
            let frames = packets.iter().map(|it| frame(NODE, OTHER, oddity, it));
            frames.collect()
        };
        for (number, oddity) in [Oddity::None, Oddity::Options, Oddity::Fragments]
            .into_iter()
            .enumerate()
        {
            let (before, payload) = (by_station(&hosts), payload(number));
            let frames = frames(&payload, oddity);
            inject(&guest.path(), "eth9", &frames);
            assert_receives(&receiver, &payload, &format!("{mode}: {oddity:?}"));
            let led = frames.len() as u64;
            assert_eq!(by_station(&hosts), before + led, "{mode}: {oddity:?}");
        }
        let before = by_station(&hosts);
        for vlan in [0, 5] {
            let tagged = payload(10 + usize::from(vlan));
            inject(&guest.path(), "eth9", &frames(&tagged, Oddity::Tag(vlan)));
            hears(&ear, &tagged);
        }
        assert_eq!(by_station(&hosts), before, "{mode}");
        inject(&guest.path(), "eth9", &frames(&payload(20), Oddity::None));
        assert_receives(&receiver, &payload(20), mode);
    }
}

/// Frames that came by the first host's station.
fn by_station(hosts: &Hosts) -> u64 {
    hosts.port_stats(0, "xp0")["rx_frames"].as_u64().unwrap()
}
