//! Bridged networks: which ports and tunnels frames may leave by, and which of them leads to a MAC
//! address. Does not learn: workers tell the control plane what they see, which makes new tables.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringlay_encap::MacAddr;

use crate::id::{PortId, TunnelId};

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Behind a port of this node.
    Port(PortId),
    /// Behind the far end of a tunnel.
    Tunnel(TunnelId),
}

/// What makes a network a bridged one.
#[derive(Clone, Debug, Default)]
pub struct Bridge {
    /// Its ports, all with Ethernet.
    pub ports: Vec<PortId>,
    /// Its tunnels by the outer addresses of their far ends, sorted.
    pub tunnels: Vec<(IpAddr, TunnelId)>,
    /// Whether the control plane is told where stations are.
    pub learns: bool,
    /// Where stations are.
    pub fdb: Fdb,
}

impl Bridge {
    /// The tunnel whose far end has this outer address.
    #[inline]
    pub fn tunnel(&self, remote: IpAddr) -> Option<TunnelId> {
        let found = self.tunnels.binary_search_by_key(&remote, |&(it, _)| it);
        found.ok().map(|at| self.tunnels[at].1)
    }

    /// All that a frame leaves by whose destination is not known: neither where it came from, nor,
    /// if that is a tunnel, any other tunnel, whose far ends have got it already.
    pub fn flood(&self, ingress: Option<PortId>) -> impl Iterator<Item = Place> + '_ {
        let ports = self.ports.iter().filter(move |&&it| Some(it) != ingress);
        let tunnels = match ingress {
            Some(_) => self.tunnels.as_slice(),
            None => &[],
        };
        let tunnels = tunnels.iter().map(|&(_, tunnel)| Place::Tunnel(tunnel));
        ports.map(|&port| Place::Port(port)).chain(tunnels)
    }
}

/// The forwarding database of one network. A copy costs nothing, and shares the marks of use.
#[derive(Clone, Debug)]
pub struct Fdb {
    /// A hash table with linear probing, at most half full; its length is a power of two.
    slots: Arc<[Option<FdbEntry>]>,
    /// Nobody outside can choose addresses that all fall into one place.
    seed: u64,
    len: usize,
}

/// Where one station is.
#[derive(Debug)]
pub struct FdbEntry {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Where it is.
    pub place: Place,
    /// Whether it stays there whatever is seen.
    pub fixed: bool,
    used: AtomicBool,
}

impl FdbEntry {
    /// An entry that nobody used yet.
    pub fn new(mac: MacAddr, place: Place, fixed: bool) -> Self {
        Self {
            mac,
            place,
            fixed,
            used: AtomicBool::new(false),
        }
    }

    /// Notes that the station sent something. It is written once between two looks of the control
    /// plane, so that workers seldom take the cache line from each other.
    #[inline]
    pub fn mark_used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the station sent something since the last [`take_used`](Self::take_used).
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the station sent something since the last call.
    pub fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

impl Fdb {
    /// Where a station is, if that is known.
    #[inline]
    pub fn entry(&self, mac: MacAddr) -> Option<&FdbEntry> {
        let mask = self.slots.len() - 1;
        let mut at = hash(mac, self.seed) & mask;
        while let Some(entry) = &self.slots[at] {
            if entry.mac == mac {
                return Some(entry);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// How many stations are known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &FdbEntry> {
        self.slots.iter().flatten()
    }
}

impl Default for Fdb {
    fn default() -> Self {
        std::iter::empty().collect()
    }
}

impl FromIterator<FdbEntry> for Fdb {
    /// Of entries for different MAC addresses; of two for one the first counts.
    fn from_iter<T: IntoIterator<Item = FdbEntry>>(entries: T) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let capacity = (2 * entries.len() + 1).next_power_of_two();
        let mut slots: Vec<Option<FdbEntry>> =
            std::iter::repeat_with(|| None).take(capacity).collect();
        let seed = RandomState::new().hash_one(());
        let mut len = 0;
        for entry in entries {
            let mut at = hash(entry.mac, seed) & (capacity - 1);
            while slots[at].as_ref().is_some_and(|it| it.mac != entry.mac) {
                at = (at + 1) & (capacity - 1);
            }
            if slots[at].is_none() {
                slots[at] = Some(entry);
                len += 1;
            }
        }
        Self {
            slots: slots.into(),
            seed,
            len,
        }
    }
}

#[inline]
fn hash(mac: MacAddr, seed: u64) -> usize {
    // An odd multiplier without a pattern, from the digits of pi.
    const KEY: u64 = 0x1319_8a2e_0370_7345;
    let [a, b, c, d, e, f] = mac.0;
    let number = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]) ^ seed;
    let product = u128::from(number) * u128::from(KEY);
    (product as u64 ^ (product >> 64) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: u32) -> MacAddr {
        let [a, b, c, d] = number.to_be_bytes();
        MacAddr([2, 0, a, b, c, d])
    }

    fn fdb(count: u32) -> Fdb {
        let place = |number| Place::Tunnel(TunnelId(number));
        let entry = |number| FdbEntry::new(mac(number), place(number), number % 2 == 0);
        (0..count).map(entry).collect()
    }

    #[test]
    fn stations_are_found_where_they_are() {
        for count in [0, 1, 2, 3, 100, 20_000] {
            let fdb = fdb(count);
            assert_eq!(fdb.len(), count as usize);
            assert_eq!(fdb.iter().count(), count as usize);
            for number in 0..count {
                let entry = fdb.entry(mac(number)).unwrap();
                assert_eq!(entry.place, Place::Tunnel(TunnelId(number)));
                assert_eq!(entry.fixed, number % 2 == 0);
            }
            assert!(fdb.entry(mac(count)).is_none());
            assert!(fdb.entry(MacAddr::BROADCAST).is_none());
        }
    }

    #[test]
    fn the_first_of_two_counts() {
        let first = FdbEntry::new(mac(1), Place::Port(PortId(1)), true);
        let second = FdbEntry::new(mac(1), Place::Port(PortId(2)), false);
        let fdb: Fdb = [first, second].into_iter().collect();
        assert_eq!(fdb.len(), 1);
        assert_eq!(fdb.entry(mac(1)).unwrap().place, Place::Port(PortId(1)));
    }

    #[test]
    fn copies_share_the_marks_of_use() {
        let (fdb, mac) = (fdb(3), mac(1));
        let copy = fdb.clone();
        let entry = fdb.entry(mac).unwrap();
        assert!(!entry.take_used());
        copy.entry(mac).unwrap().mark_used();
        assert!(entry.take_used() && !entry.take_used());
    }

    #[test]
    fn what_is_not_known_goes_everywhere_else() {
        let end = |last: u8| IpAddr::from([192, 0, 2, last]);
        let bridge = Bridge {
            ports: vec![PortId(1), PortId(2)],
            tunnels: vec![(end(1), TunnelId(7)), (end(3), TunnelId(5))],
            ..Bridge::default()
        };
        let from_port: Vec<_> = bridge.flood(Some(PortId(2))).collect();
        let tunnels = [TunnelId(7), TunnelId(5)].map(Place::Tunnel);
        assert_eq!(
            from_port,
            [&[Place::Port(PortId(1))], &tunnels[..]].concat()
        );
        let from_tunnel: Vec<_> = bridge.flood(None).collect();
        assert_eq!(from_tunnel, [1, 2].map(|it| Place::Port(PortId(it))));
        assert_eq!(bridge.tunnel(end(3)), Some(TunnelId(5)));
        assert_eq!(bridge.tunnel(end(2)), None);
    }
}
