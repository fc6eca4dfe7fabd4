//! Encapsulation and decapsulation of single packets, by encapsulation and underlay: stamping a
//! header template in front of a packet, recognising what a tunnel packet carries, and both within
//! the packet path without IO.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlay_benches::addresses::announced;
use ringlay_benches::packets::{LENGTHS, udp, udp_to};
use ringlay_benches::routes::ipv4_routes;
use ringlay_encap::checksum::{self, sum_of_valid_packet};
use ringlay_encap::flow::flow_hash;
use ringlay_encap::{
    Announced, EtherType, EthernetFrame, GreKey, InnerType, Ipv4Packet, Ipv6Packet, MacAddr,
    OuterChecksum, Stamp, Template, TemplateBuilder, Vni, template,
};
use ringlay_lpm::Ipv4Table;

const INNER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 2, 1));
const INNER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd42, 0, 0, 2, 0, 0, 0, 1));
const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
const KEY: Option<GreKey> = Some(GreKey(42));
/// Eight bytes of options that may be skipped, as Geneve has them.
const OPTION: [u8; 8] = [0xff, 0x00, 0x01, 0x01, 1, 2, 3, 4];

const BATCH: usize = 64;
const ROUTES: usize = 1_000;
const NEXT_HOPS: usize = 64;
const HEADROOM: usize = template::MAX_LEN;

/// One encapsulation, and how its templates are built.
struct Kind {
    name: &'static str,
    announced: Announced,
    build: fn(TemplateBuilder) -> Template,
}

fn vni() -> Vni {
    Vni::new(42).expect("42 is a VNI")
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "vxlan",
        announced: Announced::Vxlan,
        build: |builder| built(builder.vxlan(vni(), MACS[1], MACS[0])),
    },
    Kind {
        name: "geneve",
        announced: Announced::Geneve,
        build: |builder| built(builder.geneve(vni(), &[], MACS[1], MACS[0])),
    },
    Kind {
        name: "geneve with option",
        announced: Announced::Geneve,
        build: |builder| built(builder.geneve(vni(), &OPTION, MACS[1], MACS[0])),
    },
    Kind {
        name: "geneve without ethernet",
        announced: Announced::Geneve,
        build: |builder| built(builder.geneve_ip(vni(), &[])),
    },
    Kind {
        name: "gre with key",
        announced: Announced::Gre,
        build: |builder| built(builder.gre(KEY)),
    },
    Kind {
        name: "gre with ethernet",
        announced: Announced::Gre,
        build: |builder| built(builder.gre_ethernet(KEY, MACS[1], MACS[0])),
    },
    Kind {
        name: "ipip",
        announced: Announced::Ip(ringlay_encap::ip::IpVersion::V4),
        build: |builder| built(builder.ipip()),
    },
];

fn built<E: std::fmt::Debug>(template: Result<Template, E>) -> Template {
    template.expect("both ends have one version, and options are few")
}

/// Both underlays, with the `index`th far end.
fn underlays(index: u16) -> [(&'static str, TemplateBuilder); 2] {
    let [a, b] = index.to_be_bytes();
    let v4 = [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V4(Ipv4Addr::new(198, 18, a, b)),
    ];
    let v6 = [
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, index)),
    ];
    [("ipv4", v4), ("ipv6", v6)].map(|(name, [src, dst])| (name, Template::builder(src, dst)))
}

fn bench_stamp(criterion: &mut Criterion) {
    let packet = udp(INNER_V4, 4000, 1_450);
    let inner = sum_of_valid_packet(&packet).expect("the packet has a checksum");
    let checksums = [
        ("zero", OuterChecksum::Zero),
        ("full", OuterChecksum::Inner(inner)),
        ("partial", OuterChecksum::Partial),
    ];
    let mut group = criterion.benchmark_group("encap/stamp");
    for kind in &KINDS {
        for (underlay, builder) in underlays(2) {
            let template = (kind.build)(builder);
            let mut out = vec![0; template.len()];
            for (name, checksum) in checksums {
                if template.udp_offset().is_none() && name != "zero" {
                    continue;
                }
                let stamp = Stamp {
                    checksum,
                    ..Stamp::new(EtherType::IPV4, packet.len())
                };
                let tunnel = format!("{} over {underlay}", kind.name);
                group.bench_function(BenchmarkId::new(tunnel, name), |bencher| {
                    bencher.iter(|| template.stamp(black_box(&mut out), black_box(&stamp)));
                });
            }
        }
    }
    group.finish();
}

/// Reading the inner packet's header and stamping outer ones, with a full outer checksum where there
/// is one. No byte of the payload is read: the length should not matter.
fn bench_encap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encap/encap");
    for kind in &KINDS {
        for (underlay, builder) in underlays(2) {
            let template = (kind.build)(builder);
            for len in LENGTHS {
                let mut frame = vec![0; HEADROOM];
                frame.extend(udp(INNER_V4, 4000, len));
                let tunnel = format!("{} over {underlay}", kind.name);
                group.bench_function(BenchmarkId::new(tunnel, len), |bencher| {
                    bencher.iter(|| encapsulate(black_box(&mut frame), &template, 7));
                });
            }
        }
    }
    group.finish();
}

/// From the tunnel header to the inner destination address.
fn bench_decap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encap/decap");
    for kind in &KINDS {
        let [(_, builder), _] = underlays(2);
        let template = (kind.build)(builder);
        for len in LENGTHS {
            let mut payload = vec![0; template.tunnel_len()];
            template.write_tunnel(EtherType::IPV4, &mut payload);
            payload.extend(udp(INNER_V4, 4000, len));
            assert_eq!(
                decap(kind.announced, &payload).map(IpAddr::V4),
                Some(INNER_V4)
            );
            group.bench_function(BenchmarkId::new(kind.name, len), |bencher| {
                bencher.iter(|| decap(kind.announced, black_box(&payload)));
            });
        }
    }
    group.finish();
}

#[inline]
fn decap(announced: Announced, payload: &[u8]) -> Option<Ipv4Addr> {
    let found = announced.decap(payload).ok()?;
    let mut inner = &payload[found.offset..];
    if found.inner == InnerType::Ethernet {
        let offset = EthernetFrame::new_checked(inner).ok()?.payload_offset();
        inner = &inner[offset..];
    }
    Some(Ipv4Packet::new_checked(inner).ok()?.dst_addr())
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
    group.finish();
}

/// Parse, look up, decrement the TTL, hash and encapsulate, a batch at a time, for packets that fill
/// the smallest Ethernet frame: the same path with each encapsulation. The outer UDP checksum is
/// left to the kernel or the NIC, and the others have none: so they compare.
fn bench_path(criterion: &mut Criterion) {
    let table: Ipv4Table<u32> = ipv4_routes(ROUTES).into_iter().collect();
    let dsts = announced(&ipv4_routes(ROUTES), BATCH);
    let packets = udp_to(&dsts, LENGTHS[0]);
    let mut group = criterion.benchmark_group("encap/path");
    group.throughput(Throughput::Elements(BATCH as u64));
    for kind in &KINDS {
        for which in 0..2 {
            let templates: Vec<_> = (0..NEXT_HOPS as u16)
                .map(|index| (kind.build)(underlays(index)[which].1))
                .collect();
            let mut frames: Vec<_> = packets
                .iter()
                .map(|packet| [&[0; HEADROOM][..], packet].concat())
                .collect();
            let name = format!("{} over {}", kind.name, underlays(0)[which].0);
            group.bench_function(name, |bencher| {
                bencher.iter(|| forward(&table, &templates, black_box(&mut frames)));
            });
        }
    }
    group.finish();
}

/// Forwards a batch; returns how many frames found a route. The TTL stops at zero, and costs the
/// same there.
fn forward(table: &Ipv4Table<u32>, templates: &[Template], frames: &mut [Vec<u8>]) -> usize {
    let mut addrs = [Ipv4Addr::UNSPECIFIED; BATCH];
    let mut next_hops = [None; BATCH];
    for (frame, addr) in frames.iter_mut().zip(&mut addrs) {
        if let Ok(mut packet) = Ipv4Packet::new_checked(&mut frame[HEADROOM..]) {
            *addr = packet.dst_addr();
            packet.decrement_ttl();
        }
    }
    table.lookup_batch(&addrs[..frames.len()], &mut next_hops[..frames.len()]);
    let routed = frames.iter_mut().zip(next_hops);
    let routed = routed.filter_map(|(frame, next_hop)| {
        let template = &templates[next_hop? as usize % NEXT_HOPS];
        let (headroom, packet) = frame.split_at_mut(HEADROOM);
        let stamp = Stamp {
            checksum: OuterChecksum::Partial,
            ..Stamp::of_packet(packet)
                .ok()?
                .with_flow(flow_hash(packet, 0))
        };
        let out = &mut headroom[HEADROOM - template.len()..];
        template.stamp(out, &stamp).ok()
    });
    routed.count()
}

fn encapsulate(frame: &mut [u8], template: &Template, hash: u32) -> Option<()> {
    let (headroom, packet) = frame.split_at_mut(HEADROOM);
    let checksum = match template.udp_offset() {
        Some(_) => sum_of_valid_packet(packet).map_or(OuterChecksum::Zero, OuterChecksum::Inner),
        None => OuterChecksum::Zero,
    };
    let stamp = Stamp {
        checksum,
        ..Stamp::of_packet(packet).ok()?.with_flow(hash)
    };
    let out = &mut headroom[HEADROOM - template.len()..];
    template.stamp(out, &stamp).ok()
}

criterion_group!(
    benches,
    bench_stamp,
    bench_encap,
    bench_decap,
    bench_inner_sum,
    bench_parse,
    bench_path
);
criterion_main!(benches);
