//! Tables of 100,000 prefixes shaped like the internet's, against a hash map per prefix length.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ringlay_lpm::{Prefix, Table};

use crate::operations::{ipv4, ipv6};
use crate::oracle::{Family, in_use};
use crate::rng::Rng;

const ROUTES: usize = 100_000;
const LOOKUPS: usize = 100_000;

/// Lengths and their share of the table, in per mille; roughly what the routing table of the
/// internet looks like.
const IPV4_LENGTHS: &[(u8, u64)] = &[
    (24, 590),
    (23, 100),
    (22, 110),
    (21, 50),
    (20, 45),
    (19, 30),
    (18, 15),
    (17, 10),
    (16, 14),
    (15, 3),
    (14, 3),
    (13, 2),
    (12, 2),
    (11, 1),
    (10, 1),
    (9, 1),
    (8, 1),
    (32, 10),
    (28, 7),
    (26, 5),
];
const IPV6_LENGTHS: &[(u8, u64)] = &[
    (48, 470),
    (32, 120),
    (44, 95),
    (40, 90),
    (36, 45),
    (46, 40),
    (47, 30),
    (42, 25),
    (29, 25),
    (38, 15),
    (33, 10),
    (34, 10),
    (45, 10),
    (20, 1),
    (28, 2),
    (64, 7),
    (128, 5),
];

/// A map from (network, length): lookup tries every length, the longest first.
struct Lengths(HashMap<IpNet, u32>);

impl Lengths {
    fn lookup<A: Family>(&self, addr: A) -> Option<u32> {
        let addr: IpAddr = addr.into();
        let nets = (0..=A::BITS)
            .rev()
            .map(|len| IpNet::new(addr, len).unwrap().trunc());
        nets.into_iter().find_map(|net| self.0.get(&net).copied())
    }
}

fn length(rng: &mut Rng, shares: &[(u8, u64)]) -> u8 {
    let mut ticket = rng.below(shares.iter().map(|(_, share)| share).sum());
    for (len, share) in shares {
        match ticket.checked_sub(*share) {
            Some(rest) => ticket = rest,
            None => return *len,
        }
    }
    unreachable!("the ticket is below the sum")
}

/// Bases of allocations, then prefixes within and around them, so that they cluster and nest.
fn routes<A: Family>(
    rng: &mut Rng,
    shares: &[(u8, u64)],
    to_addr: fn(u128) -> A,
) -> Vec<Prefix<A>> {
    let allocations: Vec<u128> = (0..ROUTES / 50).map(|_| rng.wide()).collect();
    let spread = if A::BITS == 32 { 14 } else { 28 };
    (0..ROUTES)
        .map(|_| {
            let base = allocations[rng.below(allocations.len() as u64) as usize];
            let addr = to_addr(base ^ (rng.wide() >> spread));
            Prefix::masking(addr, length(rng, shares)).unwrap()
        })
        .collect()
}

fn agree<A: Family>(table: &Table<A, u32>, lengths: &Lengths, addrs: &[A]) -> usize {
    let mut out = vec![None; addrs.len()];
    table.lookup_batch(addrs, &mut out);
    for (addr, found) in addrs.iter().zip(&out) {
        assert_eq!(*found, lengths.lookup(*addr), "{addr}");
        assert_eq!(table.lookup(*addr), found.as_ref(), "{addr}");
    }
    assert_eq!(table.len(), lengths.0.len());
    out.iter().flatten().count()
}

fn large_table<A: Family>(shares: &[(u8, u64)], to_addr: fn(u128) -> A) {
    let mut rng = Rng::new(0x5eed);
    let prefixes = routes(&mut rng, shares, to_addr);
    let net = |prefix: &Prefix<A>| IpNet::new(prefix.addr().into(), prefix.len()).unwrap();
    let mut table = Table::new();
    let mut lengths = Lengths(HashMap::new());
    for (prefix, value) in prefixes.iter().zip(0..) {
        assert_eq!(
            table.insert(*prefix, value),
            lengths.0.insert(net(prefix), value)
        );
    }
    let addrs: Vec<A> = (0..LOOKUPS)
        .map(|i| match i % 4 {
            0 => to_addr(rng.wide()),
            _ => prefixes[rng.below(ROUTES as u64) as usize].addr(),
        })
        .collect();
    let covered = agree(&table, &lengths, &addrs);
    assert!(
        covered > LOOKUPS / 2,
        "{covered} of {LOOKUPS} lookups meet a route"
    );

    let before = table.clone();
    let answers: Vec<Option<u32>> = addrs
        .iter()
        .map(|addr| before.lookup(*addr).copied())
        .collect();
    for prefix in prefixes.iter().step_by(2) {
        assert_eq!(table.remove(prefix), lengths.0.remove(&net(prefix)));
    }
    agree(&table, &lengths, &addrs);
    for (addr, answer) in addrs.iter().zip(answers) {
        assert_eq!(
            before.lookup(*addr).copied(),
            answer,
            "a snapshot changed its answer"
        );
    }
    let fresh: Table<A, u32> = table
        .iter()
        .map(|(prefix, value)| (prefix, *value))
        .collect();
    // Values beyond the 2^15th take more room in lookup nodes, and which those are is history.
    assert_eq!(in_use(&table).1, in_use(&fresh).1);
    assert!(table.iter().map(|(prefix, _)| prefix).is_sorted());
}

#[test]
fn ipv4_holds_100k_routes() {
    large_table(IPV4_LENGTHS, ipv4);
}

#[test]
fn ipv6_holds_100k_routes() {
    large_table(IPV6_LENGTHS, ipv6);
}
