//! Which address a container gets. Keeps no list: the attachments themselves say what is taken.
//!
//! The choice begins at a place that the container's identity determines, so that a container that
//! comes back gets its address again if it is free, with nothing to remember; and an address that
//! was given back is not soon given to somebody else.

mod range;

use std::net::IpAddr;

use ipnet::IpNet;

pub use self::range::{AddressRange, RangeError};
use crate::object::Name;

/// The addresses that a node gives its containers on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The network.
    pub network: Name,
    /// Of each IP version that there is here, a container gets one.
    pub ranges: Vec<AddressRange>,
    /// What is within the ranges and not to be given away.
    pub exclude: Vec<AddressRange>,
    /// Prefixes that are one link, where the network is bridged: containers on it reach each other
    /// without a router.
    pub subnets: Vec<IpNet>,
    /// The routers there to everything else, one for each IP version at most.
    pub gateways: Vec<IpAddr>,
    /// Whether containers reach what is outside the network, by the addresses of this host.
    pub masquerade: bool,
}

impl Pool {
    /// The sets that a container gets one address of each, with a name for people.
    pub fn sets(&self) -> Vec<Vec<AddressRange>> {
        let (v4, v6) = self.ranges.iter().partition(|range| range.is_ipv4());
        let sets: [Vec<_>; 2] = [v4, v6];
        sets.into_iter().filter(|set| !set.is_empty()).collect()
    }

    /// An address with the length of the prefix that is on its link: its subnet's, or its own.
    pub fn on_link(&self, address: IpAddr) -> IpNet {
        let subnet = self.subnets.iter().find(|subnet| subnet.contains(&address));
        let length = subnet.map(|subnet| IpNet::new(address, subnet.prefix_len()));
        length
            .and_then(Result::ok)
            .unwrap_or_else(|| IpNet::from(address))
    }

    /// Whether it has an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let within = |ranges: &[AddressRange]| ranges.iter().any(|range| range.contains(address));
        within(&self.ranges) && !within(&self.exclude)
    }
}

/// A free address of `ranges`: the first, going round from where `identity` says.
pub fn choose(
    ranges: &[AddressRange],
    identity: &str,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let total = ranges
        .iter()
        .fold(0_u128, |sum, range| sum.saturating_add(range.len()));
    let start = u128::from(hash(identity)).checked_rem(total)?;
    // Ends as soon as there were more addresses than are taken.
    (start..total)
        .chain(0..start)
        .map(|index| nth(ranges, index))
        .find(|address| !taken(*address))
}

fn nth(ranges: &[AddressRange], mut index: u128) -> IpAddr {
    for range in ranges {
        if index < range.len() {
            return range.nth(index);
        }
        index -= range.len();
    }
    unreachable!("the index is below the sum of the lengths")
}

/// The same on every start (FNV-1a, with its bits mixed).
pub(crate) fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ranges(texts: &[&str]) -> Vec<AddressRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_address_is_given_once_and_then_none() {
        let ranges = ranges(&["10.1.0.0/28", "10.2.0.1-10.2.0.3"]);
        let mut taken = BTreeSet::new();
        for id in 0..17 {
            let address = choose(&ranges, &format!("c{id}"), |it| taken.contains(&it)).unwrap();
            assert!(taken.insert(address), "{address} twice");
        }
        assert_eq!(choose(&ranges, "one more", |it| taken.contains(&it)), None);
        assert_eq!(choose(&[], "c1", |_| false), None);
    }

    #[test]
    fn a_container_that_comes_back_gets_its_address_again() {
        let ranges = ranges(&["10.1.0.0/16"]);
        let first = choose(&ranges, "c1 eth0", |_| false);
        assert_eq!(choose(&ranges, "c1 eth0", |_| false), first);
        assert_ne!(choose(&ranges, "c2 eth0", |_| false), first);
        let second = choose(&ranges, "c1 eth0", |it| Some(it) == first);
        assert!(second.is_some() && second != first);
    }

    #[test]
    fn huge_ranges_are_no_trouble() {
        let ranges = ranges(&["::/0", "fd00::/64"]);
        assert!(choose(&ranges, "c1", |_| false).is_some());
    }

    #[test]
    fn a_pool_gives_one_address_of_each_version() {
        let pool = Pool {
            network: "blue".parse().unwrap(),
            ranges: ranges(&["10.1.0.0/24", "fd00::/64", "10.2.0.0/24"]),
            exclude: ranges(&["10.1.0.1-10.1.0.9"]),
            subnets: vec!["10.1.0.0/16".parse().unwrap()],
            gateways: Vec::new(),
            masquerade: false,
        };
        assert_eq!(
            pool.sets(),
            [
                ranges(&["10.1.0.0/24", "10.2.0.0/24"]),
                ranges(&["fd00::/64"])
            ]
        );
        let on_link = |text: &str| pool.on_link(text.parse().unwrap()).to_string();
        assert_eq!(
            [on_link("10.1.0.9"), on_link("fd00::9")],
            ["10.1.0.9/16", "fd00::9/128"]
        );
        let has = |text: &str| pool.contains(text.parse().unwrap());
        assert_eq!(
            ["10.1.0.9", "10.1.0.10", "10.2.0.1", "fd00::9", "10.3.0.1"].map(has),
            [false, true, true, true, false]
        );
    }
}
