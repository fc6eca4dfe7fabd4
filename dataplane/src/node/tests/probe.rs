//! Probes through tunnels without inner Ethernet are answered, and answers told.

use std::net::Ipv6Addr;

use ringlay_encap::template::Inner;
use ringlay_encap::{EtherType, GreKey};

use super::encapsulations::rig;
use super::*;
use crate::probe::{self, Kind, Probe};

const TOKEN: u64 = 7;

fn kinds() -> [TunnelKey; 4] {
    [
        TunnelKey::Geneve(Vni::new(VNI).unwrap()),
        TunnelKey::Gre(Some(GreKey(VNI))),
        TunnelKey::Gre(None),
        TunnelKey::Ipip,
    ]
}

/// Our and the peer's tunnel end.
fn ends() -> [[IpAddr; 2]; 2] {
    let v6 = |last| IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last));
    [[OUR_VTEP.into(), PEER_VTEP.into()], [v6(1), v6(2)]]
}

/// Has the peer send a packet in the tunnel.
fn from_peer(rig: &mut Rig, key: TunnelKey, [local, remote]: [IpAddr; 2], packet: &[u8]) {
    let endpoint = endpoint(key.encapsulation());
    let local = SocketAddr::new(local, endpoint.local.port());
    rig.tables
        .insert_underlay(UNDERLAY, Endpoint { local, ..endpoint });
    let mut datagram = vec![0; key.header_len()];
    key.emit(ethertype(packet), &mut datagram);
    datagram.extend(packet);
    let mut frame = rig.frame(Ingress::Underlay(UNDERLAY), &datagram);
    frame.meta.remote = SocketAddr::new(remote, 55_555);
    let (ports, underlays) = rig.run([frame]);
    assert!(ports.is_empty());
    rig.sink.underlays = underlays;
}

fn ethertype(packet: &[u8]) -> EtherType {
    match packet[0] >> 4 {
        4 => EtherType::IPV4,
        _ => EtherType::IPV6,
    }
}

#[test]
fn a_request_is_answered_briefly_by_the_tunnel() {
    for (key, ends) in kinds()
        .into_iter()
        .flat_map(|key| ends().map(|it| (key, it)))
    {
        let [local, remote] = ends;
        let mut rig = rig(key, Inner::Ip, remote);
        let request = probe::request(remote, local, TOKEN, 1500, 1400);
        from_peer(&mut rig, key, ends, &request);
        let [answer] = &rig.sink.underlays[..] else {
            panic!("no answer")
        };
        assert_eq!(answer.meta.remote.ip(), remote);
        let inner = &answer.data()[key.header_len()..];
        assert!(inner.len() < 100);
        let (from, to, probe) = probe::parse_packet(inner).unwrap();
        assert_eq!((from, to), (local, remote));
        let expected = Probe {
            kind: Kind::Answer,
            token: TOKEN,
            number: 1500,
        };
        assert_eq!(probe, expected);
        let mut header = vec![0; key.header_len()];
        key.emit(ethertype(inner), &mut header);
        assert_eq!(answer.data()[..header.len()], header);
        assert!(rig.events.is_empty());
        rig.sink.underlays.clear();
    }
}

#[test]
fn an_answer_is_told_and_goes_no_further() {
    for (key, ends) in kinds()
        .into_iter()
        .flat_map(|key| ends().map(|it| (key, it)))
    {
        let [local, remote] = ends;
        let mut rig = rig(key, Inner::Ip, remote);
        let mut packet = probe::request(local, remote, TOKEN, 1500, 1400);
        let len = probe::answer(&mut packet, remote, local);
        from_peer(&mut rig, key, ends, &packet[..len]);
        assert!(rig.sink.underlays.is_empty());
        let told = Event::ProbeAnswered {
            vtep: remote,
            token: TOKEN,
            number: 1500,
        };
        assert_eq!(rig.events.try_recv(), Ok(told));
    }
}

#[test]
fn what_is_not_between_the_ends_is_routed() {
    let [local, remote] = ends()[0];
    let elsewhere = |text: &str| text.parse().unwrap();
    for (from, to) in [
        (remote, elsewhere("10.42.9.1")),
        (elsewhere("10.42.9.1"), local),
        (local, remote),
    ] {
        let mut rig = rig(TunnelKey::Ipip, Inner::Ip, remote);
        let request = probe::request(from, to, TOKEN, 0, 100);
        from_peer(&mut rig, TunnelKey::Ipip, [local, remote], &request);
        let by_route = rig.drops(DropReason::RouteDrop) + rig.drops(DropReason::NoRoute);
        // The sender of what has no route is told, or would be if there were a route to it.
        assert!(by_route >= 1, "{from} to {to}");
        assert!(rig.sink.underlays.is_empty() && rig.events.is_empty());
    }
}

#[test]
fn requests_of_our_own_are_encapsulated() {
    for (key, [local, remote]) in kinds()
        .into_iter()
        .flat_map(|key| ends().map(|it| (key, it)))
    {
        let mut rig = rig(key, Inner::Ip, remote);
        let request = probe::request(local, remote, TOKEN, 1500, 1400);
        let frame = rig.frame(Ingress::Node, &request);
        rig.with_graph(|graph, context, sink| graph.inject(frame, PEER, context, sink));
        let (_, sent) = rig.collect();
        assert_eq!(sent[0].meta.remote.ip(), remote);
        let (header, inner) = sent[0].data().split_at(key.header_len());
        assert_eq!(inner, request);
        let mut expected = vec![0; key.header_len()];
        key.emit(ethertype(inner), &mut expected);
        assert_eq!(header, expected);
    }
}
