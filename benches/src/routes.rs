//! Routing tables shaped like the internet's: lengths, clustering and nesting, not real prefixes.
//!
//! Lengths follow the tables of [`IPV4_LENGTHS`] and [`IPV6_LENGTHS`]. Prefixes lie in allocations:
//! blocks, drawn first, that hold some dozens of prefixes each, as a network's announcements do.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ringlay_lpm::{Address, Prefix};

use crate::Rng;

/// How many next hops the routes point to: enough that neighbouring routes rarely share one.
pub const NEXT_HOPS: u32 = 500;

/// IPv4 prefix lengths with their shares in per mille. Estimates of the shape of the default-free
/// table, not a count of it, for none is at hand: three in five are a /24, one in five a /22 or /23.
/// Their mean is 22.9; bgp.potaroo.net/as4637 reported 22.2 on 2007-06-07, when there were fewer /24.
pub const IPV4_LENGTHS: &[(u8, u16)] = &[
    (8, 1),
    (10, 1),
    (11, 1),
    (12, 1),
    (13, 2),
    (14, 2),
    (15, 2),
    (16, 13),
    (17, 8),
    (18, 14),
    (19, 25),
    (20, 45),
    (21, 50),
    (22, 110),
    (23, 100),
    (24, 625),
];

/// IPv6 prefix lengths with their shares in per mille. The 46 % of the /48 are reported for 2024
/// (brandergroup.net/2025/03/analysis-of-ipv4-vs-ipv6-in-bgp-routing-tables); the others are
/// estimates. Their mean is 42.3; bgp.potaroo.net/v6/as2.0 reported 42.8 on 2025-03-07.
pub const IPV6_LENGTHS: &[(u8, u16)] = &[
    (20, 1),
    (24, 1),
    (28, 4),
    (29, 25),
    (30, 4),
    (31, 3),
    (32, 130),
    (33, 20),
    (34, 20),
    (35, 10),
    (36, 55),
    (38, 20),
    (39, 10),
    (40, 95),
    (42, 20),
    (44, 75),
    (45, 10),
    (46, 20),
    (47, 17),
    (48, 460),
];

/// A route: a prefix and the index of its next hop.
pub type Route<A> = (Prefix<A>, u32);

/// `count` different IPv4 routes within 1.0.0.0 to 223.255.255.255, in random order.
pub fn ipv4_routes(count: usize) -> Vec<Route<Ipv4Addr>> {
    let mut rng = Rng::new(0x1234);
    let allocation = |rng: &mut Rng| {
        let first = 1 + rng.below(223) as u32;
        Ipv4Addr::from_bits((first << 24) | (rng.bits() as u32 >> 8))
    };
    let allocations: Vec<(Ipv4Addr, u8)> = (0..count / PER_ALLOCATION + 1)
        .map(|_| (allocation(&mut rng), 12 + rng.below(6) as u8))
        .collect();
    draw(
        count,
        &mut rng,
        &allocations,
        IPV4_LENGTHS,
        |rng, base, len| Ipv4Addr::from_bits(base.to_bits() ^ (rng.bits() as u32 >> len)),
    )
}

/// `count` different IPv6 routes within the blocks the registries allocate from, in random order.
pub fn ipv6_routes(count: usize) -> Vec<Route<Ipv6Addr>> {
    const REGISTRIES: [u128; 6] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
    let mut rng = Rng::new(0x123456);
    let allocation = |rng: &mut Rng| {
        let registry = rng.pick(&REGISTRIES) << 112;
        Ipv6Addr::from_bits(registry | (rng.wide_bits() >> 13))
    };
    let allocations: Vec<(Ipv6Addr, u8)> = (0..count / PER_ALLOCATION + 1)
        .map(|_| (allocation(&mut rng), 29 + rng.below(4) as u8))
        .collect();
    draw(
        count,
        &mut rng,
        &allocations,
        IPV6_LENGTHS,
        |rng, base, len| Ipv6Addr::from_bits(base.to_bits() ^ (rng.wide_bits() >> len)),
    )
}

/// Draws until there are `count` different prefixes. `within` gives a random address that shares
/// the first `len` bits with an allocation.
fn draw<A: Address>(
    count: usize,
    rng: &mut Rng,
    allocations: &[(A, u8)],
    lengths: &[(u8, u16)],
    within: impl Fn(&mut Rng, A, u8) -> A,
) -> Vec<Route<A>> {
    let mut seen = HashSet::with_capacity(count);
    let mut routes = Vec::with_capacity(count);
    while routes.len() < count {
        let (base, allocated) = *rng.pick(allocations);
        let addr = within(rng, base, allocated);
        let len = rng.weighted(lengths);
        let prefix = Prefix::masking(addr, len).expect("the tables hold lengths of the family");
        if seen.insert(prefix) {
            routes.push((prefix, rng.bits() as u32 % NEXT_HOPS));
        }
    }
    routes
}

const PER_ALLOCATION: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn share<A: Address>(routes: &[Route<A>], len: u8) -> f64 {
        let matching = routes
            .iter()
            .filter(|(prefix, _)| prefix.len() == len)
            .count();
        matching as f64 / routes.len() as f64
    }

    #[test]
    fn routes_repeat_and_have_the_shape_of_their_table() {
        let routes = ipv4_routes(20_000);
        assert_eq!(routes, ipv4_routes(20_000));
        assert!(
            (0.57..0.68).contains(&share(&routes, 24)),
            "{}",
            share(&routes, 24)
        );
        let routes = ipv6_routes(20_000);
        assert_eq!(routes, ipv6_routes(20_000));
        assert!(
            (0.42..0.55).contains(&share(&routes, 48)),
            "{}",
            share(&routes, 48)
        );
    }

    #[test]
    fn routes_stay_in_unicast_space() {
        for (prefix, next_hop) in ipv4_routes(5_000) {
            assert!((1..=223).contains(&prefix.addr().octets()[0]) || prefix.len() < 8);
            assert!(next_hop < NEXT_HOPS);
        }
        for (prefix, _) in ipv6_routes(5_000) {
            assert_eq!(prefix.addr().octets()[0] >> 5, 1, "{prefix}");
        }
    }

    #[test]
    fn shares_are_per_mille() {
        for table in [IPV4_LENGTHS, IPV6_LENGTHS] {
            assert_eq!(table.iter().map(|(_, share)| share).sum::<u16>(), 1000);
        }
    }
}
