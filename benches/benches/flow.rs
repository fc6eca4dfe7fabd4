//! The flow hash, over packets of many flows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlay_benches::addresses::{HOT_FLOWS, hot};
use ringlay_benches::packets::udp_to;
use ringlay_benches::routes::{ipv4_routes, ipv6_routes};
use ringlay_encap::flow::flow_hash;

const LEN: usize = 64;
const SEED: u64 = 0x5eed;

fn bench_hash(criterion: &mut Criterion, name: &str, packets: &[Vec<u8>]) {
    let mut group = criterion.benchmark_group("flow_hash");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for packet in packets {
                black_box(flow_hash(packet, SEED));
            }
        });
    });
    group.finish();
}

fn bench_flow(criterion: &mut Criterion) {
    bench_hash(
        criterion,
        "ipv4",
        &udp_to(&hot(&ipv4_routes(1_000), HOT_FLOWS), LEN),
    );
    bench_hash(
        criterion,
        "ipv6",
        &udp_to(&hot(&ipv6_routes(1_000), HOT_FLOWS), LEN),
    );
}

criterion_group!(benches, bench_flow);
criterion_main!(benches);
