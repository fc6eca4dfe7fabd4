//! Each encapsulation, over each version of IP, with each inner one.

use std::net::Ipv6Addr;

use ringlay_encap::segment::{Segmenter, complete_checksum};
use ringlay_encap::template::Inner;
use ringlay_encap::{EtherType, GreKey};

use super::super_frames::{bytes, super_frame, tcp, udp_super_frame};
use super::*;
use crate::frame::Gso;
use crate::port::uplink;

const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// Each with what it carries.
pub(super) fn kinds() -> Vec<(TunnelKey, Inner)> {
    let vni = Vni::new(VNI).unwrap();
    let ethernet = Inner::Ethernet {
        dst: PEER_MAC,
        src: OUR_MAC,
    };
    vec![
        (TunnelKey::Vxlan(vni), ethernet),
        (TunnelKey::Geneve(vni), ethernet),
        (TunnelKey::Geneve(vni), Inner::Ip),
        (TunnelKey::Gre(Some(GreKey(VNI))), ethernet),
        (TunnelKey::Gre(Some(GreKey(0))), Inner::Ip),
        (TunnelKey::Gre(None), Inner::Ip),
        (TunnelKey::Gre(None), ethernet),
        (TunnelKey::Ipip, Inner::Ip),
    ]
}

fn remotes() -> [IpAddr; 2] {
    [IpAddr::V4(PEER_VTEP), IpAddr::V6(PEER_V6)]
}

/// Like [`Rig::new`], with a peer at `remote` that is reached by this encapsulation.
pub(super) fn rig(key: TunnelKey, inner: Inner, remote: IpAddr) -> Rig {
    let mut rig = Rig::new();
    let mut network = rig.tables.network(NET).unwrap().clone();
    let endpoint = endpoint(key.encapsulation());
    network.key = key;
    network.port = endpoint.local.port();
    network.vteps = vec![remote];
    rig.tables.insert_underlay(UNDERLAY, endpoint);
    rig.tables.insert_network(NET, network);
    let local = match remote {
        IpAddr::V4(_) => IpAddr::V4(OUR_VTEP),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)),
    };
    let template = Template::builder(local, remote).tunnel(key, inner).unwrap();
    let tunnel = Tunnel {
        network: NET,
        underlay: UNDERLAY,
        local,
        remote: SocketAddr::new(remote, endpoint.local.port()),
        mtu: MTU,
        template: Some(template),
    };
    rig.tables.insert_tunnel(PEER, tunnel);
    rig
}

/// A packet as the peer sends it.
fn encapsulated(key: TunnelKey, inner: Inner, ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut header = vec![0; key.header_len()];
    match inner {
        Inner::Ip => key.emit(ethertype, &mut header),
        _ => {
            key.emit(EtherType::BRIDGED, &mut header);
            header.extend(OUR_MAC.0);
            header.extend(PEER_MAC.0);
            header.extend(ethertype.0.to_be_bytes());
        }
    }
    header.extend(packet);
    header
}

impl Rig {
    /// Takes in what came from `remote`; returns what the port gets.
    fn receive_from(&mut self, remote: IpAddr, data: &[u8]) -> Vec<Frame> {
        let mut frame = self.frame(Ingress::Underlay(UNDERLAY), data);
        frame.meta.remote = SocketAddr::new(remote, 0);
        let (ports, underlays) = self.run([frame]);
        assert!(underlays.is_empty());
        ports
    }
}

fn packets() -> [(EtherType, Vec<u8>, Vec<u8>); 2] {
    [
        (
            EtherType::IPV4,
            udp4("10.42.1.1", "10.42.2.1", 64, b"four"),
            udp4("10.42.2.1", "10.42.1.1", 64, b"four"),
        ),
        (
            EtherType::IPV6,
            udp6("fd42:1::1", "fd42:2::1", 64, b"six"),
            udp6("fd42:2::1", "fd42:1::1", 64, b"six"),
        ),
    ]
}

#[test]
fn packets_cross_each_both_ways() {
    for (key, inner) in kinds() {
        for remote in remotes() {
            let mut rig = rig(key, inner, remote);
            for (ethertype, out, back) in packets() {
                let (ports, underlays) = rig.send_from_port(&out);
                assert!(ports.is_empty());
                let [frame] = &underlays[..] else {
                    panic!("{key} over {remote}: {} datagrams", underlays.len());
                };
                assert_eq!(frame.meta.remote.ip(), remote);
                // What we send is what the peer would, but for the addresses and the time to live.
                let mut sent = encapsulated(key, inner, ethertype, &out);
                let header = sent.len() - out.len();
                if inner != Inner::Ip {
                    sent[header - 14..header - 8].copy_from_slice(&PEER_MAC.0);
                    sent[header - 8..header - 2].copy_from_slice(&OUR_MAC.0);
                }
                assert_eq!(
                    frame.data()[..header],
                    sent[..header],
                    "{key} over {remote}"
                );
                assert_eq!(frame.data()[header + 20..], sent[header + 20..]);
                let ports = rig.receive_from(remote, &encapsulated(key, inner, ethertype, &back));
                assert_eq!(ports.len(), 1, "{key} over {remote}");
                assert_eq!(ports[0].data()[20..], back[20..]);
            }
            assert_eq!(rig.counters.total_drops(), 0);
        }
    }
}

#[test]
fn consecutive_segments_are_merged_in_each() {
    use super::super_frames::{bytes, tcp};
    for (key, inner) in kinds() {
        let mut rig = rig(key, inner, remotes()[0]);
        let frames = [0, 1000, 2000].map(|seq| {
            let packet = tcp(false, 1 + seq, false, &bytes(1000));
            let data = encapsulated(key, inner, EtherType::IPV4, &packet);
            let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &data);
            frame.meta.remote = SocketAddr::new(remotes()[0], 0);
            frame
        });
        let (ports, _) = rig.run(frames);
        assert_eq!(ports.len(), 1, "{key}");
        assert_eq!(ports[0].len(), 40 + 3000, "{key}");
    }
}

#[test]
fn super_frames_are_cut_for_each() {
    use super::super_frames::{bytes, super_frame, tcp};
    for (key, inner) in kinds() {
        let mut rig = rig(key, inner, remotes()[0]);
        let packet = tcp(true, 1, true, &bytes(4000));
        let frame = super_frame(&rig, &packet, 1400);
        let (_, trains) = rig.run([frame]);
        let datagrams: usize = trains.iter().map(Frame::datagrams).sum();
        assert_eq!(datagrams, 3, "{key}");
        let total: usize = trains.iter().map(Frame::len).sum();
        let header = encapsulated(key, inner, EtherType::IPV4, &[]).len();
        assert_eq!(total, 3 * (header + 40) + 4000, "{key}");
    }
}

#[test]
fn strangers_and_unknown_keys_are_named() {
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 99));
    for (key, inner) in kinds() {
        let mut rig = rig(key, inner, remotes()[0]);
        let (ethertype, _, back) = &packets()[0];
        let data = encapsulated(key, inner, *ethertype, back);
        assert!(rig.receive_from(stranger, &data).is_empty());
        rig.assert_only_drop(DropReason::VtepUnknown);
        let other = Vni::new(43).unwrap();
        let (other, reason) = match key {
            TunnelKey::Vxlan(_) => (TunnelKey::Vxlan(other), DropReason::VxlanUnknownVni),
            TunnelKey::Geneve(_) => (TunnelKey::Geneve(other), DropReason::GeneveUnknownVni),
            TunnelKey::Gre(_) => (TunnelKey::Gre(Some(GreKey(43))), DropReason::GreUnknownKey),
            TunnelKey::Ipip | TunnelKey::Plain => continue,
        };
        let data = encapsulated(other, inner, *ethertype, back);
        assert!(rig.receive_from(remotes()[0], &data).is_empty());
        assert_eq!(rig.drops(reason), 1);
    }
}

#[test]
fn without_a_key_the_outer_addresses_tell_the_network() {
    let [one, two] = [2, 3].map(|host| IpAddr::V4(Ipv4Addr::new(192, 168, 77, host)));
    for key in [TunnelKey::Gre(None), TunnelKey::Ipip] {
        let mut rig = rig(key, Inner::Ip, one);
        let mut second = rig.tables.network(NET).unwrap().clone();
        second.vteps = vec![two];
        second.fib = Fib::default();
        let nowhere = rig.tables.insert_next_hop(NextHop::Drop);
        second
            .fib
            .v4
            .insert("10.42.1.0/24".parse().unwrap(), nowhere);
        rig.tables.insert_network(NetworkId(1), second.clone());
        let (ethertype, _, back) = &packets()[0];
        let data = encapsulated(key, Inner::Ip, *ethertype, back);
        assert_eq!(rig.receive_from(one, &data).len(), 1);
        assert!(rig.receive_from(two, &data).is_empty());
        rig.assert_only_drop(DropReason::RouteDrop);
        // Who accepts strangers gets what nobody else does.
        second.accept_unknown_vteps = true;
        rig.tables.insert_network(NetworkId(1), second);
        let three = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 4));
        assert_eq!(rig.receive_from(one, &data).len(), 1);
        assert!(rig.receive_from(three, &data).is_empty());
        assert_eq!(rig.drops(DropReason::RouteDrop), 2);
    }
}

#[test]
fn what_is_wrong_with_a_packet_is_named() {
    let vni = Vni::new(VNI).unwrap();
    let (geneve, gre) = (TunnelKey::Geneve(vni), TunnelKey::Gre(None));
    let packet = packets()[0].2.clone();
    let in_geneve = |change: fn(&mut Vec<u8>)| {
        let mut data = encapsulated(geneve, Inner::Ip, EtherType::IPV4, &packet);
        change(&mut data);
        data
    };
    let in_gre = |change: fn(&mut Vec<u8>)| {
        let mut data = encapsulated(gre, Inner::Ip, EtherType::IPV4, &packet);
        change(&mut data);
        data
    };
    /// A Geneve option of 4 bytes of data, of an unknown kind.
    fn insert_option(data: &mut Vec<u8>, kind: u8) {
        data[0] = 2;
        data.splice(8..8, [0, 1, kind, 1, 0, 0, 0, 0]);
    }
    let cases = [
        (
            geneve,
            in_geneve(|data| insert_option(data, 0x80)),
            DropReason::GeneveCriticalOption,
        ),
        (
            geneve,
            in_geneve(|data| data[1] |= 0x80),
            DropReason::GeneveControl,
        ),
        (
            geneve,
            in_geneve(|data| data[0] = 0x3f),
            DropReason::GeneveMalformed,
        ),
        (
            geneve,
            in_geneve(|data| data[0] = 0x40),
            DropReason::GeneveMalformed,
        ),
        (
            geneve,
            in_geneve(|data| data.truncate(7)),
            DropReason::GeneveMalformed,
        ),
        (
            geneve,
            in_geneve(|data| data[2] = 0x09),
            DropReason::InnerProtocolUnknown,
        ),
        (gre, in_gre(|data| data[0] = 0x40), DropReason::GreMalformed),
        (gre, in_gre(|data| data[1] = 1), DropReason::GreMalformed),
        (
            gre,
            in_gre(|data| data.truncate(3)),
            DropReason::GreMalformed,
        ),
        (
            gre,
            in_gre(|data| data[2] = 0x09),
            DropReason::InnerProtocolUnknown,
        ),
        (
            gre,
            in_gre(|data| {
                data[0] = 0x80;
                data.splice(4..4, [0xde, 0xad, 0, 0]);
            }),
            DropReason::GreBadChecksum,
        ),
        (TunnelKey::Ipip, vec![], DropReason::IpipMalformed),
        (TunnelKey::Ipip, vec![0x15; 40], DropReason::IpipMalformed),
        (TunnelKey::Ipip, vec![0x45; 19], DropReason::IpMalformed),
    ];
    for (key, data, reason) in cases {
        let mut rig = rig(key, Inner::Ip, remotes()[0]);
        assert!(rig.receive_from(remotes()[0], &data).is_empty());
        rig.assert_only_drop(reason);
    }
    // What need not be understood is skipped.
    let mut rig = rig(geneve, Inner::Ip, remotes()[0]);
    let data = in_geneve(|data| insert_option(data, 1));
    assert_eq!(rig.receive_from(remotes()[0], &data).len(), 1);
}

#[test]
fn a_mac_address_that_all_share_is_ours_too() {
    const SHARED: MacAddr = MacAddr([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
    let key = TunnelKey::Geneve(Vni::new(0).unwrap());
    let ethernet = Inner::Ethernet {
        dst: SHARED,
        src: OUR_MAC,
    };
    let mut rig = rig(key, ethernet, remotes()[0]);
    let (ethertype, _, back) = &packets()[0];
    let mut data = encapsulated(key, ethernet, *ethertype, back);
    data[8..14].copy_from_slice(&SHARED.0);
    assert!(rig.receive_from(remotes()[0], &data).is_empty());
    rig.assert_only_drop(DropReason::InnerMacForeign);
    let mut network = rig.tables.network(NET).unwrap().clone();
    network.shared_mac = Some(SHARED);
    rig.tables.insert_network(NET, network);
    assert_eq!(rig.receive_from(remotes()[0], &data).len(), 1);
}

/// The encapsulations right above IP.
fn kinds_over_ip() -> impl Iterator<Item = (TunnelKey, Inner)> {
    let over_ip = |key: &TunnelKey| key.encapsulation().udp_port().is_none();
    kinds().into_iter().filter(move |(key, _)| over_ip(key))
}

#[test]
fn a_super_frame_that_raw_sockets_hand_over_is_one_for_the_port() {
    for (key, inner) in kinds_over_ip() {
        let mut rig = rig(key, inner, IpAddr::V4(PEER_VTEP));
        let packet = tcp(false, 7, true, &bytes(20_000));
        let mut open = packet.clone();
        let view = ringlay_encap::Ipv4Packet::new_unchecked(&packet[..]);
        let pseudo = view.pseudo_header(20_020);
        open[36..38].copy_from_slice(&pseudo.fold().to_be_bytes());
        let data = encapsulated(key, inner, EtherType::IPV4, &open);
        let mut ports = rig.receive_from(IpAddr::V4(PEER_VTEP), &data);
        let offload = ports[0].meta.offload;
        assert_eq!(offload.gso, Gso::TcpV4, "{key:?}");
        assert_eq!((offload.gso_size, offload.header_len), (1240, 40));
        let start = usize::from(offload.csum_start);
        let whole = ports[0].data_mut();
        assert!(complete_checksum(whole, start, offload.csum_offset.into()));
        assert_eq!(whole[20..], packet[20..]);
        assert_eq!(Segmenter::new(whole, offload.gso_size).unwrap().count(), 17);
    }
}

#[test]
fn tcp_leaves_whole_by_an_uplink_and_udp_by_sockets() {
    for (key, inner) in kinds_over_ip() {
        let mut rig = rig(key, inner, IpAddr::V4(PEER_VTEP));
        let template = Template::builder(IpAddr::V4(OUR_VTEP), IpAddr::V4(PEER_VTEP))
            .ethernet(uplink::MAC, uplink::PEER_MAC)
            .tunnel(key, inner)
            .unwrap();
        let outer = template.len();
        let mut tunnel = rig.tables.tunnel(PEER).unwrap().clone();
        tunnel.template = Some(template);
        rig.tables.insert_tunnel(PEER, tunnel);
        let packet = tcp(true, 7, true, &bytes(20_000));
        let datagrams = udp4("10.42.1.1", "10.42.2.1", 64, &bytes(5_000));
        let frames = [
            super_frame(&rig, &packet, 1200),
            rig.frame(Ingress::Port(PORT), &tcp(true, 7, true, b"single")),
            udp_super_frame(&rig, &datagrams, 1000),
            rig.frame(
                Ingress::Port(PORT),
                &udp4("10.42.1.1", "10.42.2.1", 64, b"single"),
            ),
        ];
        let (_, sockets) = rig.run(frames);
        let uplinks = rig.uplinks();
        assert_eq!((uplinks.len(), sockets.len()), (2, 2), "{key:?}");
        let offload = uplinks[0].meta.offload;
        assert_eq!((offload.gso, offload.gso_size), (Gso::TcpV4, 1200));
        assert_eq!(usize::from(offload.csum_start), outer + 20);
        assert_eq!(usize::from(offload.header_len), outer + 40);
        assert_eq!(offload.tunnel, None);
        assert_eq!(uplinks[0].len(), outer + packet.len());
        assert_eq!(uplinks[1].meta.offload, crate::frame::Offload::default());
        assert_eq!(sockets[0].datagrams(), 5);
    }
}
