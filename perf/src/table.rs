//! Routing tables shaped like the internet's, and addresses within them; the same in each run.
//!
//! Prefix lengths are in about the proportions of the IPv4 default-free zone. Prefixes are spread
//! evenly and nest by chance; which are neighbours, and how deeply they nest, is not copied.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// A table: 0.0.0.0/0 and more specific prefixes, each with the number of its next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    routes: Vec<(u32, u8, u16)>,
}

impl Table {
    /// `count` routes (at least one) to `next_hops` next hops. A table of one is 0.0.0.0/0 alone.
    pub(crate) fn generate(count: u32, next_hops: u16) -> Self {
        let mut random = Lcg(SEED);
        let mut known = HashSet::new();
        let mut routes = vec![(0, 0, 0)];
        while routes.len() < count as usize {
            let length = length(random.below(1000));
            let prefix = unicast(&mut random) & (u32::MAX << (32 - length));
            if known.insert((prefix, length)) {
                let next_hop = random.below(u32::from(next_hops)) as u16;
                routes.push((prefix, length, next_hop));
            }
        }
        Self { routes }
    }

    /// Routes in it.
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    /// As `ringlay route import` reads it; `next_hop` names a next hop.
    pub(crate) fn text(&self, next_hop: impl Fn(u16) -> String) -> String {
        let mut text = String::new();
        for (prefix, length, number) in &self.routes {
            let prefix = Ipv4Addr::from_bits(*prefix);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{prefix}/{length} {}", next_hop(*number));
        }
        text
    }

    /// Addresses that are equally likely anywhere within the more specific prefixes; anywhere at
    /// all if there is none.
    pub(crate) fn addresses(&self, count: u32) -> Vec<Ipv4Addr> {
        let mut random = Lcg(SEED + 1);
        let space = self.space();
        let Some((_, _, size)) = space.last().copied() else {
            let anywhere = |_| Ipv4Addr::from_bits(unicast(&mut random));
            return (0..count).map(anywhere).collect();
        };
        let mut pick = || {
            let at = random.below(size);
            let range = space.partition_point(|(_, _, end)| *end <= at);
            let (first, begin, _) = space[range];
            Ipv4Addr::from_bits(first + (at - begin))
        };
        (0..count).map(|_| pick()).collect()
    }

    /// What the more specific prefixes cover, each address once: ranges as their first address,
    /// and how many addresses there are before and up to the end of each.
    fn space(&self) -> Vec<(u32, u32, u32)> {
        let mut prefixes: Vec<_> = self.routes[1..].to_vec();
        // Of those that begin alike the widest comes first: what follows within it adds nothing.
        prefixes.sort_unstable();
        let (mut space, mut next, mut total) = (Vec::new(), 0, 0);
        for (prefix, length, _) in prefixes {
            if prefix >= next {
                let size = 1 << (32 - length);
                space.push((prefix, total, total + size));
                total += size;
                next = prefix + size;
            }
        }
        space
    }
}

/// An address that a packet may be sent to: none of 0/8, 10/8, 127/8, 169/8, 172/8, 192/8 (where
/// the laboratory and what is private live), multicast and above.
fn unicast(random: &mut Lcg) -> u32 {
    loop {
        let address = random.next();
        let first = (address >> 24) as u8;
        if (1..224).contains(&first) && !KEPT_OUT.contains(&first) {
            return address;
        }
    }
}

/// The prefix length at a place from 0 to 999.
fn length(place: u32) -> u8 {
    let mut sum = 0;
    let found = LENGTHS.iter().find(|(_, share)| {
        sum += share;
        place < sum
    });
    found.map_or(24, |(length, _)| *length)
}

/// Knuth's linear congruential generator (MMIX); the upper halves of its states.
#[derive(Debug)]
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Less than `bound`, all about equally likely.
    fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(bound)) >> 32) as u32
    }
}

const SEED: u64 = 0x0052_696e_676c_6179;
const KEPT_OUT: [u8; 5] = [10, 127, 169, 172, 192];

/// Prefix lengths, and how many of a thousand routes have each.
const LENGTHS: [(u8, u32); 9] = [
    (16, 13),
    (17, 8),
    (18, 13),
    (19, 25),
    (20, 45),
    (21, 52),
    (22, 118),
    (23, 106),
    (24, 620),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_route_is_the_default_route() {
        let table = Table::generate(1, 7);
        assert_eq!(table.text(|n| format!("via {n}")), "0.0.0.0/0 via 0\n");
    }

    #[test]
    fn routes_are_distinct_and_the_same_each_time() {
        let table = Table::generate(20_000, 256);
        assert_eq!(table, Table::generate(20_000, 256));
        let prefixes: HashSet<_> = table.routes.iter().map(|(p, l, _)| (p, l)).collect();
        assert_eq!(prefixes.len(), 20_000);
        let hops: HashSet<_> = table.routes.iter().map(|(_, _, hop)| hop).collect();
        assert_eq!(hops.len(), 256);
        for (prefix, length, _) in &table.routes[1..] {
            assert_eq!(
                prefix.trailing_zeros().max(32 - u32::from(*length)),
                prefix.trailing_zeros()
            );
        }
    }

    #[test]
    fn lengths_are_in_proportion() {
        assert_eq!(LENGTHS.iter().map(|(_, share)| share).sum::<u32>(), 1000);
        assert_eq!(
            (length(0), length(13), length(379), length(380)),
            (16, 17, 23, 24)
        );
        let table = Table::generate(100_000, 1);
        let longest = table.routes.iter().filter(|(_, l, _)| *l == 24).count();
        assert!((61_000..63_000).contains(&longest), "{longest}");
    }

    #[test]
    fn nested_prefixes_are_counted_once() {
        let (wide, inside, apart) = ((1 << 24, 16, 0), (1 << 24, 24, 1), (9 << 24, 24, 2));
        let routes = vec![(0, 0, 0), inside, apart, wide];
        let space = Table { routes }.space();
        assert_eq!(space, [(1 << 24, 0, 65_536), (9 << 24, 65_536, 65_792)]);
    }

    #[test]
    fn addresses_are_within_the_table() {
        let table = Table::generate(1000, 1);
        let covers = |address: u32| {
            let mut routes = table.routes[1..].iter();
            routes.any(|(prefix, length, _)| (address ^ prefix) >> (32 - length) == 0)
        };
        let addresses = table.addresses(1000);
        assert!(addresses.iter().all(|address| covers(address.to_bits())));
        assert_eq!(addresses, table.addresses(1000));
    }

    #[test]
    fn without_specific_prefixes_addresses_are_anywhere_but_ours() {
        for address in Table::generate(1, 1).addresses(10_000) {
            let [first, ..] = address.octets();
            assert!(!KEPT_OUT.contains(&first) && (1..224).contains(&first));
        }
    }
}
