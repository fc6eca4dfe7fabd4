//! Lookup of many addresses at once. The single lookup is in `table.rs`.

use crate::{Address, Table};

impl<A: Address, V: Copy> Table<A, V> {
    /// Looks up each address: `out[i]` becomes the value of the longest prefix that covers
    /// `addrs[i]`. Allocates nothing.
    ///
    /// Values are copied out, so that `out` does not borrow the table: a worker keeps one scratch
    /// array for all its batches and snapshots, and a value is a plain index anyway.
    ///
    /// # Panics
    ///
    /// If `addrs` and `out` differ in length.
    pub fn lookup_batch(&self, addrs: &[A], out: &mut [Option<V>]) {
        assert_eq!(addrs.len(), out.len(), "one result for each address");
        for (addr, out) in addrs.iter().zip(out) {
            *out = self.lookup(*addr).copied();
        }
    }
}
