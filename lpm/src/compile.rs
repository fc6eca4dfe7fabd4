//! Lookup nodes from routes. Changes of routes are the business of `edit` and `build`.

use std::mem;

use crate::Address;
use crate::edit::Editor;
use crate::node::{self, CHILD, Kind, RANGES, Run, Slot, node_of};
use crate::rib::{self, Entry, INHERITED, LOOKUP, NOWHERE};
use crate::runs::Runs;
use crate::values::Id;
use crate::words;

/// Routes and children, within two octets, that make a ranges node at most: so it has less than
/// 2^7 boundaries. More make a bitmap node, with nodes of their own below.
const FEW: u32 = 63;

/// The octets of the addresses for which there is a node of each format.
pub(crate) struct Formats {
    /// So many octets have plain nodes.
    pub(crate) plain: usize,
    /// From this octet on there may be ranges nodes.
    pub(crate) ranges: usize,
}

/// Keys of a node: where they begin, and where they end. A ranges node's key is two octets, that of
/// any other one.
pub(crate) type Keys = (u32, u32);

/// What answers for some keys.
#[derive(Debug)]
struct Item {
    /// Orders items by where they start, then the outer before the inner.
    order: u64,
    end: u32,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Route(Id),
    /// The child for an octet, or its child for another.
    Child(u8, Option<u8>),
}

impl Item {
    /// What answers for `count` keys from `first` on, as far as they are among `keys`.
    fn new((first, count): (u32, u32), keys: Keys, what: What) -> Option<Self> {
        let (start, end) = (first.max(keys.0), (first + count).min(keys.1));
        let inner = matches!(what, What::Child(..));
        let inside = u64::from((1 << 16) - count) << 1 | u64::from(inner);
        let order = u64::from(start) << 32 | inside;
        (start < end).then_some(Self { order, end, what })
    }

    fn start(&self) -> u32 {
        (self.order >> 32) as u32
    }
}

/// Room to put a lookup node together in, kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Workbench {
    items: Vec<Item>,
    /// What is open in a sweep: where it ends, and its answer.
    open: Vec<(u32, Slot)>,
    /// Octets of children.
    octets: Vec<u8>,
    /// What a node said, what some of its keys are to say, and what it says then.
    old: Vec<Run>,
    new: Runs,
    all: Runs,
}

impl Workbench {
    /// Bytes of the rooms.
    pub(crate) fn heap_size(&self) -> usize {
        self.items.capacity() * size_of::<Item>()
            + self.open.capacity() * size_of::<(u32, Slot)>()
            + self.octets.capacity()
            + (self.old.capacity() + self.new.capacity() + self.all.capacity()) * size_of::<Run>()
    }
}

/// The formats of an address family.
///
/// An IPv4 /24 ends with the first octet that is not plain, where most octets differ; an IPv6 /48
/// two octets behind the last dense one.
pub(crate) const fn formats<A: Address>() -> Formats {
    match A::OCTETS {
        4 => Formats {
            plain: 2,
            ranges: 3,
        },
        _ => Formats {
            plain: 3,
            ranges: 4,
        },
    }
}

impl<A: Address> Editor<'_, A> {
    /// The format that the node for the octet number `at` has.
    fn kind(&self, at: usize, routes: u32) -> Kind {
        let (formats, node) = (const { formats::<A>() }, self.node(routes));
        if at < formats.plain {
            Kind::Plain
        } else if at >= formats.ranges && node.routes_len() + node.below() <= FEW {
            Kind::Ranges
        } else {
            Kind::Bitmap
        }
    }

    /// Whether the node's lookup node is of a format that it has outgrown.
    pub(crate) fn changes_kind(&self, at: usize, routes: u32) -> bool {
        let ranges = self.node(routes).lookup() & RANGES != 0;
        ranges != (self.kind(at, routes) == Kind::Ranges)
    }

    /// Makes the lookup node of the node for the octet number `at`, in the place of the one it has,
    /// and those below it that have to change; returns where the node is then.
    pub(crate) fn compile(&mut self, at: usize, routes: u32) -> u32 {
        let kind = self.kind(at, routes);
        let mut bench = mem::take(self.bench);
        let routes = self.sweep(kind, (at, routes), (0, kind.keys()), &mut bench);
        let old = self.node(routes).lookup();
        let extent = (old != 0).then(|| node::extent(self.lookup, old, kind == Kind::Plain));
        let slot = self.write(kind, &bench.new, extent);
        *self.bench = bench;
        self.point(routes, slot)
    }

    /// Does what [`Self::compile`] does if the node has a lookup node, and of what that answers
    /// nothing has changed but for some octets, or some of the octets behind one.
    pub(crate) fn refresh(
        &mut self,
        (at, routes): (usize, u32),
        octets: Keys,
        behind: Option<Keys>,
    ) -> u32 {
        if self.changes_kind(at, routes) {
            return self.compile(at, routes);
        }
        let (kind, slot) = (self.kind(at, routes), self.node(routes).lookup());
        let keys = match (kind, behind) {
            (Kind::Ranges, Some((first, end))) => (octets.0 << 8 | first, (octets.0 << 8) + end),
            (Kind::Ranges, None) => (octets.0 << 8, octets.1 << 8),
            _ => octets,
        };
        let mut bench = mem::take(self.bench);
        let routes = self.sweep(kind, (at, routes), keys, &mut bench);
        let slot = if kind == Kind::Plain {
            self.overwrite(slot, &bench.new, keys.1)
        } else {
            self.rewrite(kind, slot, keys, &mut bench)
        };
        *self.bench = bench;
        self.point(routes, slot)
    }

    /// Makes sure that a node has a lookup node, and that this knows what the node inherits;
    /// returns where the node is then, and what leads to its lookup node.
    pub(crate) fn settle(&mut self, at: usize, routes: u32, inherited: Id) -> (u32, Slot) {
        let node = self.node(routes);
        let slot = node.lookup();
        if slot != 0 && node.inherited() == inherited {
            return (routes, slot);
        }
        let routes = self.patch(routes, INHERITED, inherited);
        let routes = self.compile(at, routes);
        (routes, self.node(routes).lookup())
    }

    pub(crate) fn give_back_lookup(&mut self, at: usize, slot: Slot) {
        if slot != 0 {
            let plain = at < const { formats::<A>() }.plain;
            let (first, len) = node::extent(self.lookup, slot, plain);
            self.lookup_space.give_back(first, len);
        }
    }

    /// The node at `routes`, which is one.
    pub(crate) fn node(&self, routes: u32) -> rib::Node<'_> {
        debug_assert_ne!(routes, NOWHERE);
        rib::Node::new(self.routes, routes).expect("nodes are somewhere")
    }

    /// Tells a node where its lookup node is.
    fn point(&mut self, routes: u32, slot: Slot) -> u32 {
        match self.node(routes).lookup() == slot {
            true => routes,
            false => self.patch(routes, LOOKUP, slot),
        }
    }

    /// Writes a lookup node, in the place of the one that is at `old`.
    fn write(&mut self, kind: Kind, runs: &Runs, old: Option<(u32, u32)>) -> Slot {
        let before = node::encode(kind, runs, self.scratch);
        let first = match old {
            None => self.lookup_space.put(self.lookup, self.scratch),
            Some(extent) => self.lookup_space.replace(self.lookup, extent, self.scratch),
        };
        let flags = match kind {
            Kind::Ranges => CHILD | RANGES,
            _ => CHILD,
        };
        flags | (first + before)
    }

    /// Writes some words of a plain node, up to `end`.
    fn overwrite(&mut self, slot: Slot, runs: &Runs, end: u32) -> Slot {
        let extent = node::extent(self.lookup, slot, true);
        let at = self.lookup_space.own(self.lookup, extent);
        for (run, end) in runs.with_ends(end) {
            for octet in run.start..end {
                words::store(self.lookup, at + octet, run.slot);
            }
        }
        CHILD | at
    }

    /// Writes a bitmap or ranges node of which some keys have new answers.
    fn rewrite(&mut self, kind: Kind, slot: Slot, keys: Keys, bench: &mut Workbench) -> Slot {
        if let (Kind::Bitmap, [run]) = (kind, &bench.new[..])
            && let Some(len) = node::with_answer(self.lookup, slot, keys, run.slot, self.scratch)
        {
            let extent = (node_of(slot), len);
            return CHILD | self.lookup_space.replace(self.lookup, extent, self.scratch);
        }
        let extent = node::decode(self.lookup, slot, &mut bench.old);
        bench.all.splice(&bench.old, &bench.new, keys, kind.keys());
        if *bench.all == bench.old[..] {
            return slot;
        }
        self.write(kind, &bench.all, Some(extent))
    }

    /// Finds the answers for some keys of the node for the octet number `at`; returns where the
    /// node is then.
    fn sweep(
        &mut self,
        kind: Kind,
        (at, mut routes): (usize, u32),
        keys: Keys,
        bench: &mut Workbench,
    ) -> u32 {
        if keys.1 - keys.0 == 1 {
            return self.one_key(kind, (at, routes), keys.0, &mut bench.new);
        }
        if kind == Kind::Ranges {
            routes = self.two_octets((at, routes), keys, bench);
        } else {
            one_octet(self.node(routes), keys, &mut bench.items);
        }
        bench.items.sort_unstable_by_key(|item| item.order);
        let inherited = self.node(routes).inherited();
        let (open, runs) = (&mut bench.open, &mut bench.new);
        open.clear();
        open.push((u32::MAX, inherited));
        runs.clear();
        runs.push(keys.0, inherited);
        for item in &bench.items {
            close(open, runs, item.start());
            let (_, outer) = open[open.len() - 1];
            let slot = match item.what {
                What::Route(id) => id,
                What::Child(octet, behind) => {
                    let slot;
                    (routes, slot) = self.settle_child((at, routes), (octet, behind), outer);
                    slot
                }
            };
            runs.push(item.start(), slot);
            open.push((item.end, slot));
        }
        close(open, runs, keys.1 - 1);
        routes
    }

    /// Finds the answer for a key as [`Self::sweep`] does.
    fn one_key(
        &mut self,
        kind: Kind,
        (at, mut routes): (usize, u32),
        key: u32,
        runs: &mut Runs,
    ) -> u32 {
        let (octet, behind) = match kind {
            Kind::Ranges => ((key >> 8) as u8, Some(key as u8)),
            _ => (key as u8, None),
        };
        let node = self.node(routes);
        let child = node.child(octet);
        let longest = node.longest(octet).map(Entry::id);
        let mut slot = longest.unwrap_or_else(|| node.inherited());
        let mut leads_on = child.is_some();
        if let (Some(behind), Some(child)) = (behind, child) {
            let child = self.node(child);
            slot = child.longest(behind).map_or(slot, Entry::id);
            leads_on = child.child(behind).is_some();
        }
        if leads_on {
            (routes, slot) = self.settle_child((at, routes), (octet, behind), slot);
        }
        runs.clear();
        runs.push(key, slot);
        routes
    }

    /// What answers for keys of two octets: the children have no lookup nodes of their own then.
    fn two_octets(
        &mut self,
        (at, mut routes): (usize, u32),
        keys: Keys,
        bench: &mut Workbench,
    ) -> u32 {
        let Workbench { items, octets, .. } = bench;
        items.clear();
        octets.clear();
        let node = self.node(routes);
        items.extend(node.routes().filter_map(|entry| {
            let (first, count) = entry.range();
            Item::new((first << 8, count << 8), keys, What::Route(entry.id()))
        }));
        let children = node.children_within((keys.0 >> 8, ((keys.1 - 1) >> 8) + 1));
        octets.extend(children.map(|(octet, _)| octet));
        for &octet in &*octets {
            routes = self.absorb((at, routes), octet);
            let node = self.child_node(routes, octet);
            let base = u32::from(octet) << 8;
            items.extend(node.routes().filter_map(|entry| {
                let (first, count) = entry.range();
                Item::new((base + first, count), keys, What::Route(entry.id()))
            }));
            items.extend(node.children().filter_map(|(behind, _)| {
                let what = What::Child(octet, Some(behind));
                Item::new((base + u32::from(behind), 1), keys, what)
            }));
        }
        routes
    }

    /// Takes a child's lookup node away: its parent's answers for it now. Returns where the parent
    /// is then.
    fn absorb(&mut self, (at, routes): (usize, u32), octet: u8) -> u32 {
        let child = self.child_of(routes, octet);
        let slot = self.node(child).lookup();
        if slot == 0 {
            return routes;
        }
        self.give_back_lookup(at + 1, slot);
        let moved = self.patch(child, LOOKUP, 0);
        self.relink(routes, octet, moved)
    }

    /// Settles a child, or a child's child, that inherits `id`; returns where the node is then, and
    /// the slot.
    fn settle_child(
        &mut self,
        (at, routes): (usize, u32),
        (octet, behind): (u8, Option<u8>),
        id: Id,
    ) -> (u32, Slot) {
        let child = self.child_of(routes, octet);
        let (moved, slot) = match behind {
            None => self.settle(at + 1, child, id),
            Some(octet) => {
                let (moved, slot) = self.settle(at + 2, self.child_of(child, octet), id);
                (self.relink(child, octet, moved), slot)
            }
        };
        (self.relink(routes, octet, moved), slot)
    }

    fn child_of(&self, routes: u32, octet: u8) -> u32 {
        let child = self.node(routes).child(octet);
        child.expect("the child is there")
    }

    fn child_node(&self, routes: u32, octet: u8) -> rib::Node<'_> {
        self.node(self.child_of(routes, octet))
    }
}

/// What answers for keys of one octet.
fn one_octet(node: rib::Node<'_>, keys: Keys, items: &mut Vec<Item>) {
    items.clear();
    items.extend(
        node.routes_within(keys)
            .filter_map(|entry| Item::new(entry.range(), keys, What::Route(entry.id()))),
    );
    items.extend(
        node.children_within(keys)
            .filter_map(|(octet, _)| Item::new((octet.into(), 1), keys, What::Child(octet, None))),
    );
}

/// Closes what ends at `start` or before.
fn close(open: &mut Vec<(u32, Slot)>, runs: &mut Runs, start: u32) {
    while let [.., (_, outer), (end, _)] = open[..]
        && end <= start
    {
        open.pop();
        runs.push(end, outer);
    }
}
