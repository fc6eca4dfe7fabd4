//! Random operation lists on a table and on the oracle, with snapshots held meanwhile.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use ringlay_lpm::{Prefix, Table};

use crate::oracle::{Family, Oracle};

#[derive(Clone, Debug)]
pub(crate) enum Operation<A: Family> {
    Insert(Prefix<A>, u32),
    Remove(Prefix<A>),
    RemoveNth(usize),
    Exact(Prefix<A>),
    Lookup(A),
    LookupBatch(Vec<A>),
    Iterate,
    Snapshot,
    /// Goes on with a snapshot and keeps the present table as one.
    Swap(usize),
    Clear,
}

/// A table, the oracle of it, and snapshots taken earlier, each with the oracle of its time.
pub(crate) struct World<A: Family> {
    table: Table<A, u32>,
    oracle: Oracle<A>,
    snapshots: Vec<(Table<A, u32>, Oracle<A>)>,
    probes: Vec<A>,
}

impl<A: Family> World<A> {
    pub(crate) fn new() -> Self {
        let (table, oracle) = (Table::new(), Oracle::new());
        Self {
            table,
            oracle,
            snapshots: Vec::new(),
            probes: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, operation: Operation<A>) {
        match operation {
            Operation::Insert(prefix, value) => {
                let old = self.table.insert(prefix, value);
                assert_eq!(old, self.oracle.insert(prefix, value), "insert {prefix}");
            }
            Operation::Remove(prefix) => self.remove(prefix),
            Operation::RemoveNth(n) => {
                if let Some(prefix) = self.oracle.nth(n) {
                    self.remove(prefix);
                }
            }
            Operation::Exact(prefix) => {
                let found = self.table.get(&prefix).copied();
                assert_eq!(found, self.oracle.exact(&prefix), "get {prefix}");
            }
            Operation::Lookup(addr) => self.lookup(addr),
            Operation::LookupBatch(addrs) => self.lookup_batch(&addrs),
            Operation::Iterate => self.oracle.check(&self.table, &[]),
            Operation::Snapshot => self
                .snapshots
                .push((self.table.clone(), self.oracle.clone())),
            Operation::Swap(n) => self.swap(n),
            Operation::Clear => {
                self.table.clear();
                self.oracle.clear();
            }
        }
        assert_eq!(self.table.len(), self.oracle.sorted().len());
    }

    /// Checks the table and every snapshot in full, then empties the table prefix by prefix.
    pub(crate) fn finish(mut self) {
        self.oracle.check(&self.table, &self.probes);
        for (table, oracle) in &self.snapshots {
            oracle.check(table, &self.probes);
        }
        while let Some(prefix) = self.oracle.nth(0) {
            self.remove(prefix);
        }
        assert_eq!(
            self.table.memory().total(),
            Table::<A, u32>::new().memory().total(),
            "nodes are left over"
        );
        for (table, oracle) in &self.snapshots {
            oracle.check(table, &[]);
        }
    }

    fn remove(&mut self, prefix: Prefix<A>) {
        let old = self.table.remove(&prefix);
        assert_eq!(old, self.oracle.remove(&prefix), "remove {prefix}");
        assert_eq!(self.table.get(&prefix), None, "{prefix}");
    }

    fn lookup(&mut self, addr: A) {
        let expected = self.oracle.lookup(addr);
        let found = self
            .table
            .lookup_prefix(addr)
            .map(|(prefix, value)| (prefix, *value));
        assert_eq!(found, expected, "lookup {addr}");
        self.probes.push(addr);
    }

    fn lookup_batch(&mut self, addrs: &[A]) {
        let mut out = vec![Some(u32::MAX); addrs.len()];
        self.table.lookup_batch(addrs, &mut out);
        for (addr, found) in addrs.iter().zip(out) {
            assert_eq!(
                found,
                self.oracle.lookup(*addr).map(|(_, value)| value),
                "batch {addr}"
            );
        }
    }

    fn swap(&mut self, n: usize) {
        if let Some(at) = n.checked_rem(self.snapshots.len()) {
            let (table, oracle) = &mut self.snapshots[at];
            std::mem::swap(table, &mut self.table);
            std::mem::swap(oracle, &mut self.oracle);
        }
    }
}

/// Addresses near each other, so that prefixes nest and lookups meet them: a base with a few bits
/// flipped.
fn near<A: Family>(to_addr: fn(u128) -> A) -> impl Strategy<Value = A> + Clone {
    const BASES: [u128; 4] = [
        0,
        u128::MAX,
        0x0a2a_0100_dead_beef_0000_5555_aaaa_ffff,
        0x2001_0db8 << 96,
    ];
    let flips = vec(0..u32::from(A::BITS), 0..4);
    (0..BASES.len(), flips).prop_map(move |(base, flips)| {
        to_addr(
            flips
                .into_iter()
                .fold(BASES[base], |addr, bit| addr ^ (1 << (127 - bit))),
        )
    })
}

fn operation<A: Family>(to_addr: fn(u128) -> A) -> impl Strategy<Value = Operation<A>> {
    let addr = prop_oneof![6 => near(to_addr), 1 => any::<u128>().prop_map(to_addr)];
    let prefix = (addr.clone(), 0..=A::BITS)
        .prop_map(|(addr, len)| Prefix::masking(addr, len).unwrap())
        .boxed();
    prop_oneof![
        10 => (prefix.clone(), 0..500u32).prop_map(|(p, v)| Operation::Insert(p, v)),
        2 => prefix.clone().prop_map(Operation::Remove),
        4 => any::<usize>().prop_map(Operation::RemoveNth),
        2 => prefix.prop_map(Operation::Exact),
        6 => addr.clone().prop_map(Operation::Lookup),
        1 => vec(addr, 0..40).prop_map(Operation::LookupBatch),
        1 => Just(Operation::Iterate),
        1 => Just(Operation::Snapshot),
        1 => any::<usize>().prop_map(Operation::Swap),
        1 => prop::bool::weighted(0.2).prop_map(|clear| match clear {
            true => Operation::Clear,
            false => Operation::Iterate,
        }),
    ]
}

fn run<A: Family>(operations: Vec<Operation<A>>) {
    let mut world = World::new();
    for operation in operations {
        world.apply(operation);
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn ipv4_answers_as_the_oracle(operations in vec(operation(ipv4), 1..150)) {
        run(operations);
    }

    #[test]
    fn ipv6_answers_as_the_oracle(operations in vec(operation(ipv6), 1..150)) {
        run(operations);
    }
}

pub(crate) fn ipv4(bits: u128) -> Ipv4Addr {
    Ipv4Addr::from_bits((bits >> 96) as u32)
}

pub(crate) fn ipv6(bits: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(bits)
}
