//! Internet checksums: sums by length, beside a word-by-word loop; copying while summing, beside
//! copying alone; and the updates of RFC 1624.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlay_benches::packets::noise;
use ringlay_encap::checksum;

const LENGTHS: [usize; 6] = [20, 64, 256, 1_450, 8_950, 65_000];

/// RFC 1071 as it reads: what there is to win.
fn by_words(data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|word| match *word {
        [a, b] => u32::from(u16::from_be_bytes([a, b])),
        [a, ..] => u32::from(u16::from_be_bytes([a, 0])),
        [] => 0,
    });
    let sum = words.sum::<u32>();
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + sum) as u16
}

fn bench_sum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum/sum");
    for len in LENGTHS {
        let data = noise(len);
        assert_eq!(checksum::sum(&data).fold(), by_words(&data));
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::new("sum", len), &data, |bencher, data| {
            bencher.iter(|| checksum::sum(black_box(data)));
        });
        group.bench_with_input(BenchmarkId::new("words", len), &data, |bencher, data| {
            bencher.iter(|| by_words(black_box(data)));
        });
    }
    group.finish();
}

fn bench_copy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum/copy");
    for len in LENGTHS {
        let from = noise(len);
        let mut to = vec![0; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("copy_and_sum", len), |bencher| {
            bencher.iter(|| checksum::copy_and_sum(black_box(&mut to), black_box(&from)));
        });
        group.bench_function(BenchmarkId::new("copy", len), |bencher| {
            bencher.iter(|| black_box(&mut to[..]).copy_from_slice(black_box(&from)));
        });
    }
    group.finish();
}

fn bench_update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum/update");
    group.bench_function("u16", |bencher| {
        let words = (0xbeefu16, 0x4006u16, 0x3f06u16);
        bencher.iter(|| {
            let (checksum, old, new) = black_box(words);
            checksum::update_u16(checksum, old, new)
        });
    });
    group.bench_function("address", |bencher| {
        let (old, new) = ([10u8, 42, 1, 1], [192u8, 0, 2, 1]);
        bencher.iter(|| checksum::update(black_box(0xbeef), black_box(&old), black_box(&new)));
    });
    group.finish();
}

criterion_group!(benches, bench_sum, bench_copy, bench_update);
criterion_main!(benches);
