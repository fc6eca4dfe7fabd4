//! A bounded fuzz run with a fixed seed: long operation lists in a narrow part of the address
//! space, where prefixes collide, nodes fill up and paths are split and joined again.

use ringlay_lpm::Prefix;

use crate::operations::{Operation, World, ipv4, ipv6};
use crate::oracle::Family;
use crate::rng::Rng;

/// How the addresses of one run are spread: the bits that vary.
const MASKS: [u128; 4] = [
    u128::MAX,
    0x0000_0fff << 96,
    0x8080_8081_0000_0000_8000_0000_0000_0001,
    (0xff << 120) | (0x7f << 96) | 0x7f,
];

const ROUNDS: usize = 60;
const OPERATIONS: usize = 250;

fn draw<A: Family>(rng: &mut Rng, mask: u128, to_addr: fn(u128) -> A) -> Operation<A> {
    let addr = to_addr(rng.wide() & mask);
    let len = rng.below(u64::from(A::BITS) + 1) as u8;
    let prefix = Prefix::masking(addr, len).unwrap();
    match rng.below(100) {
        0..45 => Operation::Insert(prefix, rng.below(300) as u32),
        45..50 => Operation::Remove(prefix),
        50..65 => Operation::RemoveNth(rng.next() as usize),
        65..70 => Operation::Exact(prefix),
        70..90 => Operation::Lookup(addr),
        90..93 => Operation::LookupBatch((0..33).map(|_| to_addr(rng.wide() & mask)).collect()),
        93..95 => Operation::Iterate,
        95..97 => Operation::Snapshot,
        97..99 => Operation::Swap(rng.next() as usize),
        _ if rng.below(4) == 0 => Operation::Clear,
        _ => Operation::Iterate,
    }
}

fn run<A: Family>(seed: u64, to_addr: fn(u128) -> A) {
    let mut rng = Rng::new(seed);
    for round in 0..ROUNDS {
        let mut world = World::new();
        for _ in 0..OPERATIONS {
            world.apply(draw(&mut rng, MASKS[round % MASKS.len()], to_addr));
        }
        world.finish();
    }
}

#[test]
fn ipv4_survives_long_operation_lists() {
    run(0x7269_6e67_6c61_7934, ipv4);
}

#[test]
fn ipv6_survives_long_operation_lists() {
    run(0x7269_6e67_6c61_7936, ipv6);
}
