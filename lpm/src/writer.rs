//! What a table's writer has beside what readers read, and how an update begins.

use std::hash::Hash;
use std::marker::PhantomData;

use crate::compile::Workbench;
use crate::edit::Editor;
use crate::eras::{Eras, Token};
use crate::node::node_of;
use crate::position::Position;
use crate::rib::NOWHERE;
use crate::space::Space;
use crate::values::{self, Id, Interner, NONE, Values};
use crate::{Address, Prefix, Table};

/// The accounts that only updates need.
#[derive(Debug)]
pub(crate) struct Writer<V> {
    lookup: Space,
    routes: Space,
    eras: Eras,
    interner: Interner<V>,
    scratch: Vec<u32>,
    bench: Workbench,
}

impl<V> Default for Writer<V> {
    fn default() -> Self {
        Self {
            lookup: Space::default(),
            routes: Space::default(),
            eras: Eras::default(),
            interner: Interner::default(),
            scratch: Vec::new(),
            bench: Workbench::default(),
        }
    }
}

impl<V> Writer<V> {
    /// Bytes of the accounts.
    pub(crate) fn heap_size(&self) -> usize {
        size_of::<Self>()
            + self.lookup.heap_size()
            + self.routes.heap_size()
            + self.interner.heap_size()
            + self.scratch.capacity() * size_of::<u32>()
            + self.bench.heap_size()
    }

    /// Tells what snapshots may read from what is the writer's alone, and takes back what the
    /// snapshots that are gone have read.
    fn begin(&mut self, token: &mut Token) {
        if self.eras.advance(token) {
            self.lookup.begin_era();
            self.routes.begin_era();
        }
        while self.eras.retire() {
            self.lookup.end_oldest_era();
            self.routes.end_oldest_era();
        }
    }
}

/// A table in the middle of an update.
pub(crate) struct Update<'t, A, V> {
    /// Where the routes' node for the first octet is.
    root: &'t mut u32,
    /// Where the lookup node for the first octet is.
    top: &'t mut u32,
    editor: Editor<'t, A>,
    values: &'t mut Values<V>,
    interner: &'t mut Interner<V>,
}

impl<A: Address, V: Clone + Eq + Hash> Table<A, V> {
    /// A table of these routes; the last of a prefix counts.
    pub(crate) fn built(routes: impl Iterator<Item = (Prefix<A>, V)>) -> Self {
        let mut table = Self::new();
        let update = table.begin();
        let (values, interner) = (update.values, update.interner);
        let mut editor = update.editor;
        let mut numbered: Vec<(Prefix<A>, Id)> = Vec::with_capacity(routes.size_hint().0);
        let mut default = None;
        for (prefix, value) in routes {
            if prefix == Prefix::DEFAULT {
                default = Some(value);
            } else {
                numbered.push((prefix, interner.acquire(values, value)));
            }
        }
        let len = numbered.len();
        numbered.sort_by_key(|(prefix, _)| *prefix);
        // `dedup_by` keeps the first of equals, and the last counts.
        numbered.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                interner.release(values, earlier.1);
                earlier.1 = later.1;
            }
            same
        });
        debug_assert!(numbered.len() <= len);
        let mut len = numbered.len();
        if let Some(value) = default {
            values::set(values, NONE, Some(value));
            len += 1;
        }
        if !numbered.is_empty() {
            let root = editor.build(0, &numbered);
            let (root, slot) = editor.settle(0, root, NONE);
            (*update.root, *update.top) = (root, node_of(slot));
        }
        table.len = len;
        table
    }

    /// Makes ready for a change. A clone becomes a table of its own first.
    pub(crate) fn begin(&mut self) -> Update<'_, A, V> {
        if self.writer.is_none() && !self.is_empty() {
            let routes = self.iter().map(|(prefix, value)| (prefix, value.clone()));
            *self = Self::built(routes);
        }
        let writer = self.writer.get_or_insert_with(Box::default);
        writer.begin(self.token.get_or_insert_with(Token::new));
        Update {
            root: &mut self.root,
            top: &mut self.top,
            editor: Editor {
                routes: &mut self.routes,
                lookup: &mut self.lookup,
                routes_space: &mut writer.routes,
                lookup_space: &mut writer.lookup,
                scratch: &mut writer.scratch,
                bench: &mut writer.bench,
                family: PhantomData,
            },
            values: &mut self.values,
            interner: &mut writer.interner,
        }
    }
}

impl<A: Address, V: Clone + Eq + Hash> Update<'_, A, V> {
    /// Sets or removes the value of the default route; returns the one it had.
    pub(crate) fn set_default(self, value: Option<V>) -> Option<V> {
        values::set(self.values, NONE, value)
    }

    /// Sets the value of a route; returns the one it had.
    pub(crate) fn insert(mut self, addr: A, position: Position, value: V) -> Option<V> {
        let id = self.interner.acquire(self.values, value);
        if *self.root == NOWHERE {
            let root = self.editor.chain(0, addr, position, id);
            let (root, slot) = self.editor.settle(0, root, NONE);
            (*self.root, *self.top) = (root, node_of(slot));
            return None;
        }
        self.change(addr, position, Some(id))
    }

    /// Removes a route, if it is there, and leaves others; returns the value it had.
    pub(crate) fn remove(mut self, addr: A, position: Position) -> Option<V> {
        match *self.root {
            NOWHERE => None,
            _ => self.change(addr, position, None),
        }
    }

    fn change(&mut self, addr: A, position: Position, id: Option<Id>) -> Option<V> {
        let changed = self.editor.change((*self.root, 0), addr, position, id);
        *self.root = changed.routes;
        *self.top = match changed.routes {
            NOWHERE => 0,
            root => node_of(self.editor.node(root).lookup()),
        };
        let old = changed.old?;
        let value = self.values[old as usize].clone();
        self.interner.release(self.values, old);
        value
    }
}
