//! The next hops that routes share, counted. Does not know prefixes.

use std::collections::HashMap;

use ringlay_dataplane::{
    id::{NextHopId, PortId, TunnelId},
    tables::{NextHop, Tables},
};

/// Where a route leads, as the dataplane names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hop {
    Port(PortId),
    Tunnel(TunnelId),
    /// Members are neither groups nor absent.
    Group(Vec<NextHopId>),
    Drop,
}

/// One entry for each distinct next hop, at an index that stays the same while a route uses it.
#[derive(Clone, Debug, Default)]
pub(super) struct NextHops {
    /// With the number of users; none if the entry is free.
    entries: Vec<(Hop, u32)>,
    index: HashMap<Hop, NextHopId>,
    free: Vec<NextHopId>,
}

impl NextHops {
    /// The entry for one or several hops, for one more user.
    pub(super) fn acquire(&mut self, hops: &[Hop]) -> NextHopId {
        if let [single] = hops {
            return self.acquire_one(single.clone());
        }
        let members: Vec<_> = hops
            .iter()
            .map(|hop| self.acquire_one(hop.clone()))
            .collect();
        let group = Hop::Group(members.clone());
        let known = self.index.contains_key(&group);
        let id = self.acquire_one(group);
        if known {
            // The group holds its members already.
            members.into_iter().for_each(|member| self.release(member));
        }
        id
    }

    /// Takes back one user of an entry.
    pub(super) fn release(&mut self, id: NextHopId) {
        let (hop, users) = &mut self.entries[id.index()];
        *users -= 1;
        if *users > 0 {
            return;
        }
        let hop = std::mem::replace(hop, Hop::Drop);
        self.index.remove(&hop);
        self.free.push(id);
        if let Hop::Group(members) = hop {
            members.into_iter().for_each(|member| self.release(member));
        }
    }

    /// Puts all entries into new tables, under the same identifiers.
    pub(super) fn write(&self, tables: &mut Tables) {
        for (hop, _) in &self.entries {
            tables.insert_next_hop(match hop {
                Hop::Port(id) => NextHop::Port(*id),
                Hop::Tunnel(id) => NextHop::Tunnel(*id),
                Hop::Group(members) => NextHop::Group(members.as_slice().into()),
                Hop::Drop => NextHop::Drop,
            });
        }
    }

    /// Whether nobody uses any entry.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn acquire_one(&mut self, hop: Hop) -> NextHopId {
        if let Some(&id) = self.index.get(&hop) {
            self.entries[id.index()].1 += 1;
            return id;
        }
        let entry = (hop.clone(), 1);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.index()] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                let last = u32::try_from(self.entries.len() - 1);
                NextHopId(last.expect("fewer than 2^32 distinct next hops fit into memory"))
            }
        };
        self.index.insert(hop, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(id: u32) -> Hop {
        Hop::Tunnel(TunnelId(id))
    }

    #[test]
    fn equal_hops_share_an_entry_until_the_last_user_goes() {
        let mut hops = NextHops::default();
        let one = hops.acquire(&[tunnel(1)]);
        assert_eq!(hops.acquire(&[tunnel(1)]), one);
        hops.release(one);
        assert_eq!(hops.acquire(&[tunnel(1)]), one);
        hops.release(one);
        hops.release(one);
        assert!(hops.index.is_empty());
        assert_eq!(
            hops.acquire(&[Hop::Drop]),
            one,
            "free entries are used again"
        );
    }

    #[test]
    fn a_group_keeps_its_members() {
        let mut hops = NextHops::default();
        let group = hops.acquire(&[tunnel(1), tunnel(2)]);
        assert_eq!(hops.acquire(&[tunnel(1), tunnel(2)]), group);
        let one = hops.acquire(&[tunnel(1)]);
        hops.release(one);
        hops.release(group);
        assert_eq!(hops.index.len(), 3);
        hops.release(group);
        assert!(hops.index.is_empty());
        assert_eq!(hops.free.len(), 3);
    }
}
