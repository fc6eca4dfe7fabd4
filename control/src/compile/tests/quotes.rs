//! Which quoted packets a tunnel may have sent, where there are no frames inside.

use ringlay_encap::{GreKey, IpProtocol, Ipv4Repr};

use super::*;
use crate::mtu::icmp::Quote;

const KEY: u32 = 42;

/// A network without frames inside, with routes to two far ends, each also in a group.
fn bench(encap: Encap) -> Bench {
    let mut bench = Bench::new();
    let Object::Network(mut blue) = network("blue", KEY) else {
        unreachable!()
    };
    blue.encap = encap;
    bench.put([
        Object::Network(blue),
        vtep("blue", 1, None),
        vtep("blue", 2, None),
        route("blue", "10.42.1.0/24", to(&[1])),
        route("blue", "10.42.2.0/24", to(&[2])),
        route("blue", "10.42.3.0/24", to(&[1, 2])),
    ]);
    bench
}

fn inner(destination: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    let header = Ipv4Repr {
        src_addr: [10, 42, 9, 1].into(),
        dst_addr: destination.into(),
        protocol: IpProtocol::UDP,
        traffic_class: 0,
        ttl: 64,
        ident: 0,
        dont_fragment: true,
        payload_len: 20,
    };
    header.emit(&mut packet);
    packet
}

/// Whether it is believed that this was sent to the first far end.
fn may_have_sent(bench: &Bench, protocol: IpProtocol, payload: &[u8]) -> bool {
    bench.compiler.may_have_sent(&Quote {
        source: ENVIRONMENT.local,
        destination: address(1),
        len: 1500,
        protocol,
        payload,
    })
}

#[test]
fn the_inner_packet_must_go_there() {
    let bench = bench(Encap::Ipip);
    let believed = |packet: &[u8]| may_have_sent(&bench, IpProtocol::IPIP, packet);
    assert!(believed(&inner([10, 42, 1, 7])));
    assert!(believed(&inner([10, 42, 3, 7])), "a member of a group");
    assert!(!believed(&inner([10, 42, 2, 7])), "to the other far end");
    assert!(!believed(&inner([10, 42, 8, 7])), "no route");
    // A probe.
    assert!(believed(&inner([192, 0, 2, 1])));
    assert!(!believed(&[0; 40]));
    // Some routers quote no more.
    assert!(believed(&inner([10, 42, 2, 7])[..8]));
    let other = inner([10, 42, 1, 7]);
    assert!(!may_have_sent(&bench, IpProtocol::GRE, &other));
    assert!(!may_have_sent(&bench, IpProtocol::UDP, &other));
}

#[test]
fn the_key_must_be_right() {
    let bench = bench(Encap::Gre {
        key: Some(GreKey(KEY)),
        inner: Inner::Ip,
    });
    let packet = |key: u32, destination| {
        let mut packet = vec![0x20, 0, 8, 0];
        packet.extend(key.to_be_bytes());
        packet.extend(inner(destination));
        packet
    };
    let believed = |packet: &[u8]| may_have_sent(&bench, IpProtocol::GRE, packet);
    assert!(believed(&packet(KEY, [10, 42, 1, 7])));
    assert!(!believed(&packet(KEY + 1, [10, 42, 1, 7])));
    assert!(!believed(&packet(KEY, [10, 42, 2, 7])));
    assert!(believed(&packet(KEY, [10, 42, 2, 7])[..8]));
    assert!(!believed(&packet(KEY + 1, [10, 42, 1, 7])[..8]));
}
