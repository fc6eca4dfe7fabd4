//! The whole packet path without IO: parse, hash, look up, decrement the TTL and encapsulate, one
//! batch at a time, over tables of several sizes. What a worker does to a packet between two
//! system calls, less its bookkeeping.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlay_benches::addresses::announced;
use ringlay_benches::packets::udp_to;
use ringlay_benches::routes::{NEXT_HOPS, ipv4_routes};
use ringlay_encap::checksum::sum_of_valid_packet;
use ringlay_encap::flow::{flow_hash, source_port};
use ringlay_encap::{EtherType, Ipv4Packet, MacAddr, OuterChecksum, Stamp, Template, Vni};
use ringlay_lpm::Ipv4Table;

const SIZES: [usize; 3] = [10, 1_000, 100_000];
const BATCH: usize = 64;
const BATCHES: usize = 64;
const HEADROOM: usize = ringlay_encap::template::MAX_LEN;

/// One packet with room in front for what encapsulation adds.
type Frame = Vec<u8>;

/// What a worker needs to forward.
struct Path {
    table: Ipv4Table<u32>,
    next_hops: Vec<Template>,
}

impl Path {
    fn new(routes: usize) -> Self {
        let vni = Vni::new(42).expect("42 is a VNI");
        let local = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let template = |next_hop: u32| {
            let [.., a, b] = next_hop.to_be_bytes();
            Template::builder(local, IpAddr::V4(Ipv4Addr::new(198, 18, a, b)))
                .vxlan(
                    vni,
                    MacAddr([2, 0, 0, 0, a, b]),
                    MacAddr([2, 0, 0, 0, 0, 1]),
                )
                .expect("both ends have one version")
        };
        let table = ipv4_routes(routes).into_iter().collect();
        Self {
            table,
            next_hops: (0..NEXT_HOPS).map(template).collect(),
        }
    }

    /// Forwards a batch; returns how many frames found a route.
    fn forward(&self, frames: &mut [Frame]) -> usize {
        let mut addrs = [Ipv4Addr::UNSPECIFIED; BATCH];
        let mut next_hops = [None; BATCH];
        for (frame, addr) in frames.iter_mut().zip(&mut addrs) {
            if let Ok(mut packet) = Ipv4Packet::new_checked(&mut frame[HEADROOM..]) {
                *addr = packet.dst_addr();
                packet.decrement_ttl();
            }
        }
        self.table
            .lookup_batch(&addrs[..frames.len()], &mut next_hops[..frames.len()]);
        let routed = frames
            .iter_mut()
            .zip(next_hops)
            .filter_map(|(frame, next_hop)| {
                let template = &self.next_hops[next_hop? as usize];
                encapsulate(frame, template)
            });
        routed.count()
    }
}

fn encapsulate(frame: &mut Frame, template: &Template) -> Option<()> {
    let (headroom, packet) = frame.split_at_mut(HEADROOM);
    let stamp = Stamp {
        source_port: source_port(flow_hash(packet, 0)),
        checksum: sum_of_valid_packet(packet).map_or(OuterChecksum::Zero, OuterChecksum::Inner),
        ..Stamp::new(EtherType::IPV4, packet.len())
    };
    template
        .stamp(&mut headroom[HEADROOM - template.len()..], &stamp)
        .ok()
}

fn frames(routes: usize, len: usize) -> Vec<Frame> {
    let dsts = announced(&ipv4_routes(routes), BATCH * BATCHES);
    let packets = udp_to(&dsts, len).into_iter();
    packets
        .map(|packet| [vec![0; HEADROOM], packet].concat())
        .collect()
}

fn bench_forward(criterion: &mut Criterion) {
    for len in [46, 1_450] {
        let mut group = criterion.benchmark_group(format!("path/{len} bytes"));
        group.throughput(Throughput::Elements((BATCH * BATCHES) as u64));
        for size in SIZES {
            let path = Path::new(size);
            let frames = frames(size, len);
            assert_eq!(
                path.forward(&mut frames[..BATCH].to_vec()),
                BATCH,
                "all have a route"
            );
            group.bench_function(BenchmarkId::new("routes", size), |bencher| {
                let forward = |frames: &mut Vec<Frame>| {
                    for batch in frames.chunks_mut(BATCH) {
                        black_box(path.forward(batch));
                    }
                };
                // Copied anew each time: the TTL would run out.
                bencher.iter_batched_ref(|| frames.clone(), forward, BatchSize::LargeInput);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench_forward);
criterion_main!(benches);
