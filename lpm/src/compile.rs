//! Lookup nodes from routes. Changes of routes are the business of `edit` and `build`.

use crate::Address;
use crate::edit::Editor;
use crate::node::{self, CHILD, Kind, RANGES, Run, Slot};
use crate::rib::{self, Draft, LOOKUP, NOWHERE};
use crate::values::Id;

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

/// What answers for some octets.
struct Item {
    /// Orders items by where they start, then the outer before the inner.
    key: u64,
    end: u32,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Route(Id),
    /// The node at a place among the children, or below the child at that place for an octet.
    Child(usize, Option<u8>, u32),
}

impl Item {
    fn new(start: u32, len: u32, what: What) -> Self {
        let inner = matches!(what, What::Child(..));
        let inside = u64::from((1 << 16) - len) << 1 | u64::from(inner);
        Self {
            key: u64::from(start) << 32 | inside,
            end: start + len,
            what,
        }
    }

    fn start(&self) -> u32 {
        (self.key >> 32) as u32
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
    /// The format that a node for the octet number `at` has.
    pub(crate) fn kind(at: usize, routes: u32, below: u32) -> Kind {
        let formats = const { formats::<A>() };
        if at < formats.plain {
            Kind::Plain
        } else if at >= formats.ranges && routes + below <= FEW {
            Kind::Ranges
        } else {
            Kind::Bitmap
        }
    }

    /// Makes the lookup node of a draft for the octet number `at`, in the place of the one it has,
    /// and those below it that have to change.
    pub(crate) fn compile(&mut self, at: usize, draft: &mut Draft) {
        let kind = Self::kind(at, draft.routes.len() as u32, draft.below);
        let (items, end) = match kind {
            Kind::Ranges => (self.two_octets(at, draft), 1 << 16),
            _ => (one_octet(draft), 1 << 8),
        };
        let runs = self.sweep(at, draft, items, end);
        self.write(kind, draft, &runs);
    }

    /// Makes the lookup node of a draft for the octet number `at` as [`Self::compile`] does, if
    /// nothing has changed but the routes that end within some octets. Does only what that takes.
    pub(crate) fn recompile(&mut self, at: usize, draft: &mut Draft, (first, count): (u32, u32)) {
        let kind = Self::kind(at, draft.routes.len() as u32, draft.below);
        let end = first + count;
        let inherits = |&(octet, _): &(u8, u32)| (first..end).contains(&octet.into());
        if kind != Kind::Bitmap || draft.lookup & RANGES != 0 || draft.children.iter().any(inherits)
        {
            return self.compile(at, draft);
        }
        let old: Vec<Run> = node::bitmap_runs(self.lookup, draft.lookup).collect();
        let mut runs = Runs(Vec::with_capacity(old.len() + 2 * draft.routes.len() + 2));
        let kept = old.partition_point(|run| run.start < first);
        runs.0.extend_from_slice(&old[..kept]);
        paint(draft, (first, count), &mut runs);
        if end < 256 {
            let next = old.partition_point(|run| run.start <= end);
            runs.push(end, old[next - 1].slot);
            runs.0.extend_from_slice(&old[next..]);
        }
        self.write(kind, draft, &runs.0);
    }

    fn write(&mut self, kind: Kind, draft: &mut Draft, runs: &[Run]) {
        let old = draft.lookup;
        let before = node::encode(kind, runs, self.scratch);
        let first = if old == 0 {
            self.lookup_space.put(self.lookup, self.scratch)
        } else {
            let extent = node::extent(self.lookup, old, kind == Kind::Plain);
            self.lookup_space.replace(self.lookup, extent, self.scratch)
        };
        let flags = if kind == Kind::Ranges {
            CHILD | RANGES
        } else {
            CHILD
        };
        draft.lookup = flags | (first + before);
    }

    /// What answers within two octets: the children have no lookup nodes of their own then.
    fn two_octets(&mut self, at: usize, draft: &mut Draft) -> Vec<Item> {
        let mut items = Vec::with_capacity(draft.routes.len() + draft.below as usize);
        for entry in &draft.routes {
            let (first, count) = entry.range();
            items.push(Item::new(first << 8, count << 8, What::Route(entry.id())));
        }
        for (place, (octet, child)) in draft.children.iter_mut().enumerate() {
            let base = u32::from(*octet) << 8;
            *child = self.absorb(at + 1, *child);
            let node = self.node(*child);
            for entry in node.routes() {
                let (first, count) = entry.range();
                items.push(Item::new(base + first, count, What::Route(entry.id())));
            }
            for (octet, below) in node.children() {
                let what = What::Child(place, Some(octet), below);
                items.push(Item::new(base + u32::from(octet), 1, what));
            }
        }
        items
    }

    /// Takes a node's lookup node away: an ancestor's answers for it now.
    fn absorb(&mut self, at: usize, routes: u32) -> u32 {
        let node = self.node(routes);
        let (slot, len) = (node.lookup(), node.len());
        if slot == 0 {
            return routes;
        }
        self.give_back_lookup(at, slot);
        self.routes_space
            .patch(self.routes, (routes, len), LOOKUP, 0)
    }

    /// Goes through what answers, up to `end`; the innermost counts.
    fn sweep(&mut self, at: usize, draft: &mut Draft, mut items: Vec<Item>, end: u32) -> Vec<Run> {
        items.sort_unstable_by_key(|item| item.key);
        let mut runs = Runs(Vec::with_capacity(2 * items.len() + 1));
        // What is open: where it ends, and its answer.
        let mut open: Vec<(u32, Slot)> = vec![(u32::MAX, draft.inherited)];
        runs.push(0, draft.inherited);
        for item in items {
            close(&mut open, &mut runs, item.start());
            let (_, outer) = open[open.len() - 1];
            let slot = match item.what {
                What::Route(id) => id,
                What::Child(place, octet, child) => {
                    self.settle_child(at, draft, (place, octet, child), outer)
                }
            };
            runs.push(item.start(), slot);
            open.push((item.end, slot));
        }
        close(&mut open, &mut runs, end - 1);
        runs.0
    }

    /// The slot of a child, or of a child's child, that inherits `id`.
    fn settle_child(
        &mut self,
        at: usize,
        draft: &mut Draft,
        (place, octet, child): (usize, Option<u8>, u32),
        id: Id,
    ) -> Slot {
        let Some(octet) = octet else {
            let (routes, slot) = self.settle(at + 1, child, id);
            draft.children[place].1 = routes;
            return slot;
        };
        let (routes, slot) = self.settle(at + 2, child, id);
        if routes != child {
            let parent = &mut draft.children[place].1;
            *parent = self.relink(*parent, octet, routes);
        }
        slot
    }

    /// Makes sure that a node has a lookup node, and that this knows what the node inherits;
    /// returns where the node is then, and what leads to its lookup node.
    pub(crate) fn settle(&mut self, at: usize, routes: u32, inherited: Id) -> (u32, Slot) {
        let node = self.node(routes);
        let slot = node.lookup();
        if slot != 0 && node.inherited() == inherited {
            return (routes, slot);
        }
        let mut draft = Draft::of(node);
        draft.inherited = inherited;
        self.compile(at, &mut draft);
        let routes = self.replace(routes, &draft);
        (routes, draft.lookup)
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
}

/// What answers within one octet.
fn one_octet(draft: &Draft) -> Vec<Item> {
    let routes = draft.routes.iter().map(|entry| {
        let (start, count) = entry.range();
        Item::new(start, count, What::Route(entry.id()))
    });
    let children = draft.children.iter().enumerate();
    let children = children.map(|(place, &(octet, child))| {
        Item::new(octet.into(), 1, What::Child(place, None, child))
    });
    routes.chain(children).collect()
}

/// The answers of a node's own routes within a range of octets.
fn paint(draft: &Draft, (first, count): (u32, u32), runs: &mut Runs) {
    let mut ids = [draft.inherited; 256];
    let end = first + count;
    // Shorter prefixes come first, so that longer ones paint over them.
    for entry in &draft.routes {
        let (from, count) = entry.range();
        let (from, to) = (from.max(first), (from + count).min(end));
        if from < to {
            ids[from as usize..to as usize].fill(entry.id());
        }
    }
    for octet in first..end {
        runs.push(octet, ids[octet as usize]);
    }
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

/// Runs in order, no two neighbours alike.
struct Runs(Vec<Run>);

impl Runs {
    fn push(&mut self, start: u32, slot: Slot) {
        if let Some(last) = self.0.last_mut()
            && last.start == start
        {
            last.slot = slot;
            // It may have become like the one before.
            if let [.., before, last] = &self.0[..]
                && before.slot == last.slot
            {
                self.0.pop();
            }
        } else if self.0.last().is_none_or(|last| last.slot != slot) {
            self.0.push(Run { start, slot });
        }
    }
}
