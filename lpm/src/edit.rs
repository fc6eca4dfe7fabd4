//! Changes of single routes. Knows no values, only their numbers; lookup nodes are made in
//! `compile`.

use std::marker::PhantomData;

use crate::Address;
use crate::compile::{Keys, Workbench, formats};
use crate::node::{self, RANGES, Slot};
use crate::position::Position;
use crate::rib::{self, BELOW, Draft, Entry, LOOKUP, NOWHERE};
use crate::space::Space;
use crate::values::Id;
use crate::words::Words;

/// Routes and lookup nodes, for changing. What snapshots may read is copied first.
pub(crate) struct Editor<'t, A> {
    pub(crate) routes: &'t mut Words,
    pub(crate) lookup: &'t mut Words,
    pub(crate) routes_space: &'t mut Space,
    pub(crate) lookup_space: &'t mut Space,
    /// Room to put a node together in.
    pub(crate) scratch: &'t mut Vec<u32>,
    pub(crate) bench: &'t mut Workbench,
    pub(crate) family: PhantomData<A>,
}

/// What a change has made of a node.
pub(crate) struct Changed {
    /// Where it is, or [`NOWHERE`] if nothing is left of it.
    pub(crate) routes: u32,
    /// The value the route had.
    pub(crate) old: Option<Id>,
    /// The octets that the lookup node that answers for it answers anew, if that is not its own.
    stale: Option<Keys>,
}

/// What a parent remembers of a child before it is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Child {
    routes: u32,
    slot: Slot,
    weight: u32,
}

impl<A: Address> Editor<'_, A> {
    /// Sets the value of a route in or below the node for the octet number `at`, or removes it, if
    /// it is there.
    pub(crate) fn change(
        &mut self,
        (routes, at): (u32, usize),
        addr: A,
        position: Position,
        id: Option<Id>,
    ) -> Changed {
        if at == position.octet {
            return self.change_here((routes, at), position, id);
        }
        let octet = addr.octet(at);
        let Some(child) = self.node(routes).child(octet) else {
            return match id {
                Some(id) => self.add_child((routes, at), addr, position, id),
                None => Changed {
                    routes,
                    old: None,
                    stale: None,
                },
            };
        };
        let before = self.child(child);
        let mut changed = self.change((child, at + 1), addr, position, id);
        if changed.routes == NOWHERE {
            changed.routes = self.remove_child((routes, at), octet, (before, changed.stale));
            changed.stale = Some(one(octet));
            return changed;
        }
        let after = self.child(changed.routes);
        (changed.routes, changed.stale) =
            self.follow((routes, at), octet, (before, after), changed.stale);
        changed
    }

    /// Makes the nodes for one route below which and above which there is nothing else, without
    /// lookup nodes.
    pub(crate) fn chain(&mut self, at: usize, addr: A, position: Position, id: Id) -> u32 {
        let mut draft = Draft::default();
        if at == position.octet {
            draft.routes.push(Entry::new(position.index, id));
        } else {
            let child = self.chain(at + 1, addr, position, id);
            draft.children.push((addr.octet(at), child));
            draft.below = self.node(child).weight();
        }
        self.create(&draft)
    }

    /// Writes a new node.
    pub(crate) fn create(&mut self, draft: &Draft) -> u32 {
        draft.encode(self.scratch);
        self.routes_space.put(self.routes, self.scratch)
    }

    /// Tells a node where a child is.
    pub(crate) fn relink(&mut self, routes: u32, octet: u8, child: u32) -> u32 {
        let node = self.node(routes);
        let word = node.child_word(octet).expect("the child is there");
        match node.says(word, child) {
            true => routes,
            false => self.patch(routes, word, child),
        }
    }

    pub(crate) fn patch(&mut self, routes: u32, word: u32, value: u32) -> u32 {
        let len = self.node(routes).len();
        self.routes_space
            .patch(self.routes, (routes, len), word, value)
    }

    fn change_here(
        &mut self,
        (routes, at): (u32, usize),
        position: Position,
        id: Option<Id>,
    ) -> Changed {
        let octets = position.octets();
        let node = self.node(routes);
        let found = node.search(position.index);
        let old = found.ok().map(|word| node.entry(word).id());
        let entry = id.map(|id| Entry::new(position.index, id));
        let mut changed = Changed {
            routes,
            old,
            stale: None,
        };
        if old == id {
            return changed;
        }
        changed.stale = Some(octets);
        changed.routes = match (found, entry) {
            (Ok(word), Some(entry)) => self.patch(routes, word, entry.word()),
            (Ok(_), None) if node.weight() == 1 => self.discard((routes, at)),
            (word, entry) => self.resize(routes, word, entry),
        };
        if changed.routes != NOWHERE && self.node(changed.routes).lookup() != 0 {
            changed.routes = self.refresh((at, changed.routes), octets, None);
        }
        changed
    }

    /// Adds a route to a node, or takes one away.
    fn resize(&mut self, routes: u32, word: Result<u32, u32>, entry: Option<Entry>) -> u32 {
        // Not by a method, for the scratch room is borrowed too.
        let node = rib::Node::new(self.routes, routes).expect("nodes are somewhere");
        let len = node.len();
        match (word, entry) {
            (Err(word), Some(entry)) => node.with_route(word, entry, self.scratch),
            (Ok(word) | Err(word), _) => node.without_route(word, self.scratch),
        }
        self.routes_space
            .replace(self.routes, (routes, len), self.scratch)
    }

    /// Gives back a node of which nothing is left, and its lookup node.
    fn discard(&mut self, (routes, at): (u32, usize)) -> u32 {
        let node = self.node(routes);
        let (len, slot) = (node.len(), node.lookup());
        self.routes_space.give_back(routes, len);
        self.give_back_lookup(at, slot);
        NOWHERE
    }

    fn add_child(
        &mut self,
        (routes, at): (u32, usize),
        addr: A,
        position: Position,
        id: Id,
    ) -> Changed {
        let octet = addr.octet(at);
        let child = self.chain(at + 1, addr, position, id);
        let below = self.node(routes).below() + self.node(child).weight();
        let mut routes = self.exchange(routes, octet, (Some(child), below));
        if self.node(routes).lookup() != 0 {
            // A route that ends one octet further on is all there is behind this one.
            let behind = (position.octet == at + 1).then(|| position.octets());
            routes = self.refresh((at, routes), one(octet), behind);
        }
        Changed {
            routes,
            old: None,
            stale: Some(one(octet)),
        }
    }

    /// Takes away a child of which nothing is left.
    fn remove_child(
        &mut self,
        (routes, at): (u32, usize),
        octet: u8,
        (before, stale): (Child, Option<Keys>),
    ) -> u32 {
        let node = self.node(routes);
        if node.weight() == 1 {
            return self.discard((routes, at));
        }
        let below = node.below() - before.weight;
        let routes = self.exchange(routes, octet, (None, below));
        match self.node(routes).lookup() {
            0 => routes,
            _ => self.refresh((at, routes), one(octet), stale),
        }
    }

    /// Adds a child to a node, or takes the one for an octet away.
    fn exchange(&mut self, routes: u32, octet: u8, (child, below): (Option<u32>, u32)) -> u32 {
        // Not by a method, for the scratch room is borrowed too.
        let node = rib::Node::new(self.routes, routes).expect("nodes are somewhere");
        let len = node.len();
        node.with_child(octet, child, below, self.scratch);
        self.routes_space
            .replace(self.routes, (routes, len), self.scratch)
    }

    /// Follows a child that has changed; returns where the node is, and the octets of which a
    /// lookup node above has to answer anew.
    fn follow(
        &mut self,
        (routes, at): (u32, usize),
        octet: u8,
        (before, after): (Child, Child),
        stale: Option<Keys>,
    ) -> (u32, Option<Keys>) {
        let mut routes = routes;
        if after.routes != before.routes {
            routes = self.relink(routes, octet, after.routes);
        }
        if after.weight != before.weight {
            let below = self.node(routes).below() + after.weight - before.weight;
            routes = self.patch(routes, BELOW, below);
        }
        let own = self.node(routes).lookup();
        if own == 0 {
            // Who answers for this node leads to its children's lookup nodes.
            let stale = (after.slot != before.slot).then_some(one(octet));
            return (routes, stale);
        }
        if self.changes_kind(at, routes) {
            return (self.compile(at, routes), None);
        }
        if own & RANGES != 0 {
            if stale.is_some() {
                routes = self.refresh((at, routes), one(octet), stale);
            }
        } else if after.slot != before.slot {
            let lookup = self.relink_lookup(at, own, octet, after.slot);
            if lookup != own {
                routes = self.patch(routes, LOOKUP, lookup);
            }
        }
        (routes, None)
    }

    /// Tells a lookup node where the next one is.
    fn relink_lookup(&mut self, at: usize, slot: Slot, octet: u8, child: Slot) -> Slot {
        let plain = at < const { formats::<A>() }.plain;
        let (first, len) = node::extent(self.lookup, slot, plain);
        let word = node::child_word(self.lookup, slot, plain, octet);
        let moved = self
            .lookup_space
            .patch(self.lookup, (first, len), word - first, child);
        slot - first + moved
    }

    fn child(&self, routes: u32) -> Child {
        let node = self.node(routes);
        Child {
            routes,
            slot: node.lookup(),
            weight: node.weight(),
        }
    }
}

/// The key of an octet.
fn one(octet: u8) -> Keys {
    (octet.into(), u32::from(octet) + 1)
}
