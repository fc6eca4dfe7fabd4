//! Encapsulation and decapsulation of single packets: parsing, and stamping a header template in
//! front of a packet, by tunnel, underlay and what becomes of the outer checksum.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlay_benches::packets::{LENGTHS, udp};
use ringlay_encap::checksum::{self, sum_of_valid_packet};
use ringlay_encap::{
    EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, MacAddr, OuterChecksum, Stamp, Template, Vni,
    VxlanPacket,
};

const INNER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 2, 1));
const INNER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd42, 0, 0, 2, 0, 0, 0, 1));
const UNDERLAY_V4: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
];
const UNDERLAY_V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];
const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];

fn vxlan([src, dst]: [IpAddr; 2]) -> Template {
    let vni = Vni::new(42).expect("42 is a VNI");
    let template = Template::builder(src, dst).vxlan(vni, MACS[1], MACS[0]);
    template.expect("both ends have one version")
}

fn ipip([src, dst]: [IpAddr; 2]) -> Template {
    Template::builder(src, dst)
        .ipip()
        .expect("both ends have one version")
}

fn bench_stamp(criterion: &mut Criterion) {
    let packet = udp(INNER_V4, 4000, 1_450);
    let inner = sum_of_valid_packet(&packet).expect("the packet has a checksum");
    let templates = [
        ("vxlan over ipv4", vxlan(UNDERLAY_V4)),
        ("vxlan over ipv6", vxlan(UNDERLAY_V6)),
        ("ipip over ipv4", ipip(UNDERLAY_V4)),
    ];
    let checksums = [
        ("zero", OuterChecksum::Zero),
        ("full", OuterChecksum::Inner(inner)),
        ("partial", OuterChecksum::Partial),
    ];
    let mut group = criterion.benchmark_group("encap/stamp");
    for (tunnel, template) in &templates {
        let mut out = vec![0; template.len()];
        for (name, checksum) in checksums {
            let stamp = Stamp {
                checksum,
                ..Stamp::new(EtherType::IPV4, packet.len())
            };
            group.bench_function(BenchmarkId::new(*tunnel, name), |bencher| {
                bencher.iter(|| template.stamp(black_box(&mut out), black_box(&stamp)));
            });
        }
    }
    group.finish();
}

/// The sum of an inner packet, known from its own checksum, beside adding it up.
fn bench_inner_sum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encap/inner_sum");
    for len in LENGTHS {
        let packet = udp(INNER_V4, 4000, len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("known", len), |bencher| {
            bencher.iter(|| sum_of_valid_packet(black_box(&packet)));
        });
        group.bench_function(BenchmarkId::new("added up", len), |bencher| {
            bencher.iter(|| checksum::sum(black_box(&packet)));
        });
    }
    group.finish();
}

fn bench_parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encap/parse");
    let packet = udp(INNER_V4, 4000, 64);
    group.bench_function("ipv4", |bencher| {
        bencher.iter(|| Ipv4Packet::new_checked(black_box(&packet[..])).map(|p| p.dst_addr()));
    });
    let packet = udp(INNER_V6, 4000, 64);
    group.bench_function("ipv6", |bencher| {
        bencher.iter(|| Ipv6Packet::new_checked(black_box(&packet[..])).map(|p| p.dst_addr()));
    });
    let datagram = tunnelled(&packet);
    assert!(decap(&datagram).is_some());
    group.bench_function("vxlan to inner ipv6", |bencher| {
        bencher.iter(|| decap(black_box(&datagram)));
    });
    group.finish();
}

/// A VXLAN datagram: the UDP payload that carries an IPv6 packet.
fn tunnelled(packet: &[u8]) -> Vec<u8> {
    let template = vxlan(UNDERLAY_V4);
    let mut datagram = vec![0; template.tunnel_len()];
    template.write_tunnel(EtherType::IPV6, &mut datagram);
    datagram.extend_from_slice(packet);
    datagram
}

fn decap(datagram: &[u8]) -> Option<(Vni, Ipv6Addr)> {
    let vxlan = VxlanPacket::new_checked(datagram).ok()?;
    let frame = EthernetFrame::new_checked(vxlan.payload()).ok()?;
    let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    Some((vxlan.vni(), packet.dst_addr()))
}

criterion_group!(benches, bench_stamp, bench_inner_sum, bench_parse);
criterion_main!(benches);
