//! Changes of single routes. Knows no values, only their numbers; lookup nodes are made in
//! `compile`.

use std::marker::PhantomData;

use crate::Address;
use crate::compile::formats;
use crate::node::{self, Kind, RANGES, Slot};
use crate::position::Position;
use crate::rib::{BELOW, Draft, Entry, LOOKUP, NOWHERE};
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
    pub(crate) family: PhantomData<A>,
}

/// What a change has made of a node.
pub(crate) struct Changed {
    /// Where it is, or [`NOWHERE`] if nothing is left of it.
    pub(crate) routes: u32,
    /// The value the route had.
    pub(crate) old: Option<Id>,
    /// Whether a lookup node that answers for it has to change, if that is not its own.
    stale: bool,
}

/// What a parent remembers of a child before it is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Child {
    routes: u32,
    slot: Slot,
    weight: u32,
}

impl<A: Address> Editor<'_, A> {
    /// Sets the value of a route in or below the node for the octet number `at`, or removes it:
    /// then it exists.
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
            let id = id.expect("a route that is removed exists");
            return self.add_child((routes, at), addr, position, id);
        };
        let before = self.child(child);
        let mut changed = self.change((child, at + 1), addr, position, id);
        if changed.routes == NOWHERE {
            let mut draft = Draft::of(self.node(routes));
            draft.remove_child(octet);
            draft.below -= before.weight;
            changed.routes = self.finish((routes, at), draft);
            changed.stale = true;
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
            draft.insert_child(addr.octet(at), child);
            draft.below = self.node(child).weight();
        }
        self.create(&draft)
    }

    /// Writes a new node.
    pub(crate) fn create(&mut self, draft: &Draft) -> u32 {
        draft.encode(self.scratch);
        self.routes_space.put(self.routes, self.scratch)
    }

    /// Writes a draft in the place of a node.
    pub(crate) fn replace(&mut self, routes: u32, draft: &Draft) -> u32 {
        let len = self.node(routes).len();
        draft.encode(self.scratch);
        self.routes_space
            .replace(self.routes, (routes, len), self.scratch)
    }

    /// Tells a node where a child is.
    pub(crate) fn relink(&mut self, routes: u32, octet: u8, child: u32) -> u32 {
        let word = self.node(routes).child_word(octet);
        self.patch(routes, word.expect("the child is there"), child)
    }

    fn change_here(
        &mut self,
        (routes, at): (u32, usize),
        position: Position,
        id: Option<Id>,
    ) -> Changed {
        let mut draft = Draft::of(self.node(routes));
        let old = match id {
            Some(id) => draft.set_route(position.index, id),
            None => draft.remove_route(position.index),
        };
        if old == id {
            let stale = false;
            return Changed { routes, old, stale };
        }
        let routes = if draft.lookup == 0 || draft.is_empty() {
            self.finish((routes, at), draft)
        } else {
            let range = Entry::new(position.index, 0).range();
            self.recompile(at, &mut draft, range);
            self.replace(routes, &draft)
        };
        let stale = true;
        Changed { routes, old, stale }
    }

    fn add_child(
        &mut self,
        (routes, at): (u32, usize),
        addr: A,
        position: Position,
        id: Id,
    ) -> Changed {
        let child = self.chain(at + 1, addr, position, id);
        let mut draft = Draft::of(self.node(routes));
        draft.insert_child(addr.octet(at), child);
        draft.below += self.node(child).weight();
        Changed {
            routes: self.finish((routes, at), draft),
            old: None,
            stale: true,
        }
    }

    /// Writes a draft in the place of a node, with its lookup node if it has one of its own; or
    /// gives both back if nothing is left.
    fn finish(&mut self, (routes, at): (u32, usize), mut draft: Draft) -> u32 {
        if draft.is_empty() {
            let len = self.node(routes).len();
            self.routes_space.give_back(routes, len);
            self.give_back_lookup(at, draft.lookup);
            return NOWHERE;
        }
        if draft.lookup != 0 {
            self.compile(at, &mut draft);
        }
        self.replace(routes, &draft)
    }

    /// Follows a child that has changed; returns where the node is, and whether a lookup node
    /// above that answers for it has to change.
    fn follow(
        &mut self,
        (routes, at): (u32, usize),
        octet: u8,
        (before, after): (Child, Child),
        stale: bool,
    ) -> (u32, bool) {
        let node = self.node(routes);
        let (own, below) = (node.lookup(), node.below() + after.weight - before.weight);
        let kind = Self::kind(at, node.routes_len(), below);
        let absorbs = own & RANGES != 0;
        if own != 0 && (absorbs != (kind == Kind::Ranges) || absorbs && stale) {
            let mut draft = Draft::of(node);
            draft.below = below;
            let children = draft.children.iter_mut();
            for (_, child) in children.filter(|(other, _)| *other == octet) {
                *child = after.routes;
            }
            return (self.finish((routes, at), draft), true);
        }
        let mut routes = routes;
        if after.routes != before.routes {
            routes = self.relink(routes, octet, after.routes);
        }
        if after.weight != before.weight {
            routes = self.patch(routes, BELOW, below);
        }
        if own == 0 {
            // Who answers for this node leads to its children's lookup nodes.
            return (routes, after.slot != before.slot);
        }
        if !absorbs && after.slot != before.slot {
            let lookup = self.relink_lookup(at, own, octet, after.slot);
            if lookup != own {
                routes = self.patch(routes, LOOKUP, lookup);
            }
        }
        (routes, false)
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

    fn patch(&mut self, routes: u32, word: u32, value: u32) -> u32 {
        let len = self.node(routes).len();
        self.routes_space
            .patch(self.routes, (routes, len), word, value)
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
