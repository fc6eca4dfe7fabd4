//! The next hops that routes share, counted. Does not know prefixes.

use std::{collections::HashMap, net::IpAddr};

use ringlay_dataplane::{
    id::{NextHopId, PortId, TunnelId},
    tables::{Group, NextHop, Tables},
};

use super::spread::spread;

/// Where a route leads, as the dataplane names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hop {
    Port(PortId),
    Link(PortId),
    Gateway(PortId, IpAddr),
    Local,
    Tunnel(TunnelId),
    /// Members, sorted, are neither groups nor absent.
    Group(Vec<NextHopId>),
    Drop,
}

/// One of the ways that a route leads.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) hop: Hop,
    /// What it is, for ever and on every node: identifiers of the dataplane depend on history.
    pub(super) identity: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    hop: Hop,
    /// None if the entry is free.
    users: u32,
    /// What a group is in the dataplane.
    group: Option<Group>,
}

/// One entry for each distinct next hop, at an index that stays the same while a route uses it.
#[derive(Clone, Debug, Default)]
pub(super) struct NextHops {
    entries: Vec<Entry>,
    index: HashMap<Hop, NextHopId>,
    free: Vec<NextHopId>,
}

impl Way {
    /// The only way of a route, whose identity nothing depends on.
    pub(super) fn only(hop: Hop) -> Vec<Self> {
        vec![Self { hop, identity: 0 }]
    }
}

impl NextHops {
    /// The entry for one or several ways, for so many more users.
    pub(super) fn acquire(&mut self, ways: &[Way], users: u32) -> NextHopId {
        if let [single] = ways {
            return self.acquire_one(single.hop.clone(), users, || None);
        }
        let mut members: Vec<_> = ways
            .iter()
            .map(|way| (way.identity, self.acquire_one(way.hop.clone(), 1, || None)))
            .collect();
        members.sort_unstable_by_key(|(_, id)| *id);
        let ids: Vec<_> = members.iter().map(|(_, id)| *id).collect();
        let group = Hop::Group(ids.clone());
        let known = self.index.contains_key(&group);
        let id = self.acquire_one(group, users, || Some(spread(&members)));
        if known {
            // The group holds its members already.
            ids.into_iter().for_each(|member| self.release(member));
        }
        id
    }

    /// Takes back one user of an entry.
    pub(super) fn release(&mut self, id: NextHopId) {
        let entry = &mut self.entries[id.index()];
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        entry.group = None;
        let hop = std::mem::replace(&mut entry.hop, Hop::Drop);
        self.index.remove(&hop);
        self.free.push(id);
        if let Hop::Group(members) = hop {
            members.into_iter().for_each(|member| self.release(member));
        }
    }

    /// Puts all entries into new tables, under the same identifiers; `leads_to` says where tunnels
    /// lead now.
    pub(super) fn write(&self, tables: &mut Tables, leads_to: impl Fn(TunnelId) -> NextHop) {
        for entry in &self.entries {
            tables.insert_next_hop(match (&entry.hop, &entry.group) {
                (Hop::Port(id), _) => NextHop::Port(*id),
                (Hop::Link(id), _) => NextHop::Link(*id),
                (Hop::Gateway(id, router), _) => NextHop::Gateway(*id, *router),
                (Hop::Local, _) => NextHop::Local,
                (Hop::Tunnel(id), _) => leads_to(*id),
                (Hop::Group(_), Some(group)) => NextHop::Group(group.clone()),
                (Hop::Group(_), None) | (Hop::Drop, _) => NextHop::Drop,
            });
        }
    }

    /// Whether an entry, or a member of it, is a tunnel of which something holds.
    pub(super) fn any_tunnel(&self, id: NextHopId, holds: &impl Fn(TunnelId) -> bool) -> bool {
        match &self.entries[id.index()].hop {
            Hop::Tunnel(tunnel) => holds(*tunnel),
            Hop::Group(members) => members.iter().any(|it| self.any_tunnel(*it, holds)),
            Hop::Port(_) | Hop::Link(_) | Hop::Gateway(..) | Hop::Local | Hop::Drop => false,
        }
    }

    /// Whether nobody uses any entry.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn acquire_one(
        &mut self,
        hop: Hop,
        users: u32,
        group: impl FnOnce() -> Option<Group>,
    ) -> NextHopId {
        if let Some(&id) = self.index.get(&hop) {
            self.entries[id.index()].users += users;
            return id;
        }
        let entry = Entry {
            hop: hop.clone(),
            users,
            group: group(),
        };
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

    fn tunnel(id: u32) -> Way {
        Way {
            hop: Hop::Tunnel(TunnelId(id)),
            identity: id.into(),
        }
    }

    #[test]
    fn equal_hops_share_an_entry_until_the_last_user_goes() {
        let mut hops = NextHops::default();
        let one = hops.acquire(&[tunnel(1)], 1);
        assert_eq!(hops.acquire(&[tunnel(1)], 1), one);
        hops.release(one);
        assert_eq!(hops.acquire(&[tunnel(1)], 1), one);
        hops.release(one);
        hops.release(one);
        assert!(hops.index.is_empty());
        assert_eq!(
            hops.acquire(&Way::only(Hop::Drop), 1),
            one,
            "free entries are used again"
        );
    }

    #[test]
    fn a_group_keeps_its_members() {
        let mut hops = NextHops::default();
        let group = hops.acquire(&[tunnel(1), tunnel(2)], 1);
        assert_eq!(hops.acquire(&[tunnel(2), tunnel(1)], 1), group);
        let one = hops.acquire(&[tunnel(1)], 1);
        hops.release(one);
        hops.release(group);
        assert_eq!(hops.index.len(), 3);
        hops.release(group);
        assert!(hops.index.is_empty());
        assert_eq!(hops.free.len(), 3);
    }

    #[test]
    fn users_are_counted_in_bulk_too() {
        let mut hops = NextHops::default();
        let group = hops.acquire(&[tunnel(1), tunnel(2)], 3);
        for _ in 0..3 {
            assert!(!hops.is_empty());
            hops.release(group);
        }
        assert!(hops.is_empty());
    }
}
