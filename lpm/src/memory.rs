//! How much memory a table takes, and for what. Frees none.

use crate::compile::formats;
use crate::{Address, Table, node, rib, space};

/// Bytes a table takes, without what its values own elsewhere. What clones share counts in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The nodes that lookups read.
    pub lookup: usize,
    /// The values, by number, and the table itself.
    pub values: usize,
    /// The routes as they were told.
    pub routes: usize,
    /// What only updates need: which memory is free, and how many routes have which value. A
    /// clone that was never changed has none.
    pub writer: usize,
    /// Allocated for nodes and not in use: free, or waiting for snapshots to be dropped.
    pub spare: usize,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.lookup + self.values + self.routes + self.writer + self.spare
    }
}

impl<A: Address, V> Table<A, V> {
    /// What the table takes. Walks the whole table.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory {
            values: size_of::<Self>() + size_of_val(&*self.values),
            writer: self
                .writer
                .as_deref()
                .map_or(0, |writer| writer.heap_size()),
            ..Memory::default()
        };
        self.add_nodes(self.root, 0, &mut memory);
        let allocated = size_of_val(&*self.lookup) + size_of_val(&*self.routes);
        memory.spare = allocated - memory.lookup - memory.routes;
        memory
    }

    fn add_nodes(&self, at: u32, octet: usize, memory: &mut Memory) {
        let Some(routes) = rib::Node::new(&self.routes, at) else {
            return;
        };
        memory.routes += space::size(routes.len());
        if routes.lookup() != 0 {
            let plain = octet < const { formats::<A>() }.plain;
            let (_, len) = node::extent(&self.lookup, routes.lookup(), plain);
            memory.lookup += space::size(len);
        }
        for (_, child) in routes.children() {
            self.add_nodes(child, octet + 1, memory);
        }
    }
}
