//! Changes of single routes, in both structures at once. Knows no values, only their numbers.

use crate::Address;
use crate::node::{self, CHILD, Painted, answer, paint};
use crate::position::Position;
use crate::rib::{self, Draft, Entry, NOWHERE};
use crate::space::Space;
use crate::values::Id;
use crate::words::Words;

/// A node of routes and the node of lookup that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) routes: u32,
    pub(crate) lookup: u32,
}

impl Pair {
    /// No node.
    pub(crate) const NONE: Self = Self {
        routes: NOWHERE,
        lookup: 0,
    };

    pub(crate) fn is_none(self) -> bool {
        self.routes == NOWHERE
    }
}

/// Both structures, for changing. What snapshots may read is copied first.
pub(crate) struct Editor<'t> {
    pub(crate) routes: &'t mut Words,
    pub(crate) lookup: &'t mut Words,
    pub(crate) routes_space: &'t mut Space,
    pub(crate) lookup_space: &'t mut Space,
    /// Room to put a node together in.
    pub(crate) scratch: &'t mut Vec<u32>,
}

impl Editor<'_> {
    /// Sets the value of a route in or below a node for the octet number `at`; returns the node
    /// as it is now and the value the route had.
    pub(crate) fn insert<A: Address>(
        &mut self,
        (node, at): (Pair, usize),
        addr: A,
        position: Position,
        id: Id,
    ) -> (Pair, Option<Id>) {
        let Some(present) = rib::Node::new(self.routes, node.routes) else {
            return (self.chain(at, addr, position, id, 0), None);
        };
        if at == position.octet {
            let mut draft = Draft::of(present);
            let old = draft.set_route(position.index, id);
            if old == Some(id) {
                return (node, old);
            }
            return (
                self.rewrite(at, node, draft, rib::range(position.index)),
                old,
            );
        }
        let octet = addr.octet(at);
        if let Some(child) = self.child(node, at, octet) {
            let (new, old) = self.insert((child, at + 1), addr, position, id);
            return (self.relink(at, node, octet, child, new), old);
        }
        let mut draft = Draft::of(present);
        let mut painted = paint(self.lookup, node.lookup, at);
        let slot = &mut painted[usize::from(octet)];
        let child = self.chain(at + 1, addr, position, id, *slot);
        *slot = CHILD | child.lookup;
        draft.insert_child(octet, child.routes);
        (self.replace(at, node, &draft, &painted), None)
    }

    /// Removes a route, which exists, in or below a node for the octet number `at`; returns what
    /// is left of the node, and the value the route had.
    pub(crate) fn remove<A: Address>(
        &mut self,
        (node, at): (Pair, usize),
        addr: A,
        position: Position,
    ) -> (Pair, Id) {
        let present = rib::Node::new(self.routes, node.routes).expect("the route exists");
        if at == position.octet {
            let mut draft = Draft::of(present);
            let id = draft.remove_route(position.index);
            let left = self.shrink(at, node, draft, rib::range(position.index));
            return (left, id.expect("the route exists"));
        }
        let octet = addr.octet(at);
        let child = self.child(node, at, octet).expect("the route exists");
        let (left, id) = self.remove((child, at + 1), addr, position);
        if !left.is_none() {
            return (self.relink(at, node, octet, child, left), id);
        }
        let present = rib::Node::new(self.routes, node.routes).expect("the route exists");
        let mut draft = Draft::of(present);
        draft.remove_child(octet);
        (self.shrink(at, node, draft, (usize::from(octet), 1)), id)
    }

    /// Makes a node of these words' worth.
    pub(crate) fn create(&mut self, at: usize, draft: &Draft, painted: &Painted) -> Pair {
        draft.encode(self.scratch);
        let routes = self.routes_space.put(self.routes, self.scratch);
        node::encode(painted, at, self.scratch);
        let lookup = self.lookup_space.put(self.lookup, self.scratch);
        Pair { routes, lookup }
    }

    /// Makes the nodes for a route below which and above which there is nothing else.
    fn chain<A: Address>(
        &mut self,
        at: usize,
        addr: A,
        position: Position,
        id: Id,
        inherited: Id,
    ) -> Pair {
        let mut painted = [inherited; 256];
        let mut draft = Draft {
            inherited,
            ..Draft::default()
        };
        if at == position.octet {
            let entry = Entry::new(position.index, id);
            let (first, count) = entry.range();
            painted[first..first + count].fill(id);
            draft.routes.push(entry);
        } else {
            let octet = addr.octet(at);
            let child = self.chain(at + 1, addr, position, id, inherited);
            painted[usize::from(octet)] = CHILD | child.lookup;
            draft.children.push((octet, child.routes));
        }
        self.create(at, &draft, &painted)
    }

    fn child(&self, node: Pair, at: usize, octet: u8) -> Option<Pair> {
        let routes = rib::Node::new(self.routes, node.routes)?.child(octet)?;
        let lookup = answer(self.lookup, node.lookup, at, octet) & !CHILD;
        Some(Pair { routes, lookup })
    }

    /// Follows a child that may have moved.
    fn relink(&mut self, at: usize, node: Pair, octet: u8, old: Pair, new: Pair) -> Pair {
        let mut linked = node;
        if new.routes != old.routes
            && let Some(present) = rib::Node::new(self.routes, node.routes)
            && let Some(index) = present.child_word(octet)
        {
            let len = present.len();
            linked.routes =
                self.routes_space
                    .patch(self.routes, (node.routes, len), index, new.routes);
        }
        if new.lookup != old.lookup {
            let index = node::slot_word(self.lookup, node.lookup, at, octet);
            let len = node::len(self.lookup, node.lookup, at);
            linked.lookup =
                self.lookup_space
                    .patch(self.lookup, (node.lookup, len), index, CHILD | new.lookup);
        }
        linked
    }

    /// Puts a draft from which something was taken in the place of a node, if anything is left.
    fn shrink(&mut self, at: usize, node: Pair, draft: Draft, range: (usize, usize)) -> Pair {
        if draft.is_empty() {
            self.give_back(at, node);
            return Pair::NONE;
        }
        self.rewrite(at, node, draft, range)
    }

    /// Puts a changed draft in the place of a node; what it answers changed within `range`.
    fn rewrite(&mut self, at: usize, node: Pair, mut draft: Draft, range: (usize, usize)) -> Pair {
        let mut painted = paint(self.lookup, node.lookup, at);
        self.repaint(at, &mut draft, &mut painted, range);
        self.replace(at, node, &draft, &painted)
    }

    /// Finds the answers within a range anew, and passes them on to children.
    fn repaint(
        &mut self,
        at: usize,
        draft: &mut Draft,
        painted: &mut Painted,
        (first, count): (usize, usize),
    ) {
        let end = first + count;
        let mut ids = [draft.inherited; 256];
        // Shorter prefixes come first, so that longer ones paint over them.
        for entry in &draft.routes {
            let (from, count) = entry.range();
            let to = (from + count).min(end);
            let from = from.max(first);
            if from < to {
                ids[from..to].fill(entry.id());
            }
        }
        for (octet, child) in &mut draft.children {
            let octet = usize::from(*octet);
            if !(first..end).contains(&octet) {
                continue;
            }
            let node = Pair {
                routes: *child,
                lookup: painted[octet] & !CHILD,
            };
            let node = self.reinherit(at + 1, node, ids[octet]);
            *child = node.routes;
            ids[octet] = CHILD | node.lookup;
        }
        painted[first..end].copy_from_slice(&ids[first..end]);
    }

    /// Tells a node what shorter prefixes give it.
    fn reinherit(&mut self, at: usize, node: Pair, inherited: Id) -> Pair {
        let present = rib::Node::new(self.routes, node.routes).expect("children are somewhere");
        if present.inherited() == inherited {
            return node;
        }
        let mut draft = Draft::of(present);
        draft.inherited = inherited;
        self.rewrite(at, node, draft, (0, 256))
    }

    fn replace(&mut self, at: usize, node: Pair, draft: &Draft, painted: &Painted) -> Pair {
        let len = rib::Node::new(self.routes, node.routes).map_or(0, rib::Node::len);
        draft.encode(self.scratch);
        let routes = self
            .routes_space
            .replace(self.routes, (node.routes, len), self.scratch);
        let len = node::len(self.lookup, node.lookup, at);
        node::encode(painted, at, self.scratch);
        let lookup = self
            .lookup_space
            .replace(self.lookup, (node.lookup, len), self.scratch);
        Pair { routes, lookup }
    }

    fn give_back(&mut self, at: usize, node: Pair) {
        let len = rib::Node::new(self.routes, node.routes).map_or(0, rib::Node::len);
        self.routes_space.give_back(node.routes, len);
        let len = node::len(self.lookup, node.lookup, at);
        self.lookup_space.give_back(node.lookup, len);
    }
}
