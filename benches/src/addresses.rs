//! Destination addresses to look up, by how they hit a table.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringlay_lpm::Address;

use crate::Rng;
use crate::routes::Route;

/// How many flows the hot set has.
pub const HOT_FLOWS: usize = 1_000;

/// An address family whose addresses can be drawn.
pub trait Draw: Address {
    /// Any address: uniform over the whole space.
    fn draw(rng: &mut Rng) -> Self;

    /// The first `len` bits of `self`, the rest random.
    #[must_use]
    fn host(self, len: u8, rng: &mut Rng) -> Self;
}

impl Draw for Ipv4Addr {
    fn draw(rng: &mut Rng) -> Self {
        Self::from_bits(rng.bits() as u32)
    }

    fn host(self, len: u8, rng: &mut Rng) -> Self {
        let host = (rng.bits() as u32).checked_shr(u32::from(len)).unwrap_or(0);
        Self::from_bits(self.to_bits() | host)
    }
}

impl Draw for Ipv6Addr {
    fn draw(rng: &mut Rng) -> Self {
        Self::from_bits(rng.wide_bits())
    }

    fn host(self, len: u8, rng: &mut Rng) -> Self {
        let host = rng.wide_bits().checked_shr(u32::from(len)).unwrap_or(0);
        Self::from_bits(self.to_bits() | host)
    }
}

/// `count` addresses, uniform over the whole space: in IPv6 almost all meet no route.
pub fn anywhere<A: Draw>(count: usize) -> Vec<A> {
    let mut rng = Rng::new(0xa11);
    (0..count).map(|_| A::draw(&mut rng)).collect()
}

/// `count` addresses, each within a route drawn at random: every one meets a route, mostly a long
/// one.
pub fn announced<A: Draw>(routes: &[Route<A>], count: usize) -> Vec<A> {
    let mut rng = Rng::new(0xbee);
    (0..count)
        .map(|_| {
            let (prefix, _) = rng.pick(routes);
            prefix.addr().host(prefix.len(), &mut rng)
        })
        .collect()
}

/// `count` addresses in random order, out of [`HOT_FLOWS`] announced ones.
pub fn hot<A: Draw>(routes: &[Route<A>], count: usize) -> Vec<A> {
    let flows = announced(routes, HOT_FLOWS);
    let mut rng = Rng::new(0x407);
    (0..count).map(|_| *rng.pick(&flows)).collect()
}

#[cfg(test)]
mod tests {
    use ringlay_lpm::{Ipv4Table, Ipv6Table};

    use super::*;
    use crate::routes::{ipv4_routes, ipv6_routes};

    #[test]
    fn announced_addresses_meet_a_route_and_repeat() {
        let routes = ipv4_routes(1_000);
        let table: Ipv4Table<u32> = routes.iter().copied().collect();
        let addrs = announced(&routes, 1_000);
        assert!(addrs.iter().all(|addr| table.lookup(*addr).is_some()));
        assert_eq!(addrs, announced(&routes, 1_000));

        let routes = ipv6_routes(1_000);
        let table: Ipv6Table<u32> = routes.iter().copied().collect();
        assert!(
            hot(&routes, 1_000)
                .iter()
                .all(|addr| table.lookup(*addr).is_some())
        );
        assert!(
            anywhere(1_000)
                .iter()
                .any(|addr| table.lookup(*addr).is_none())
        );
    }
}
