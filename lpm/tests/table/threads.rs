//! One writer publishes snapshots while readers look up in theirs.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::thread;

use ringlay_lpm::{Ipv4Table, Prefix, Table};

use crate::operations::{ipv4, ipv6};
use crate::oracle::{Family, Oracle};
use crate::rng::Rng;

const ROUTES: u8 = 200;
const GENERATIONS: u32 = 300;

fn route(i: u8) -> Prefix<Ipv4Addr> {
    Prefix::masking(Ipv4Addr::new(10, i, i.wrapping_mul(7), 0), 16 + i % 9).unwrap()
}

#[test]
fn a_table_is_shared_if_its_value_is() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Ipv4Table<u32>>();
    shared::<ringlay_lpm::Ipv6Table<Arc<str>>>();
}

/// Every route of a snapshot has the value of its generation; a reader that saw a table half
/// updated would find two.
#[test]
fn readers_see_whole_generations_in_order() {
    let first: Ipv4Table<u32> = (0..ROUTES).map(|i| (route(i), 0)).collect();
    let published = Mutex::new(first.clone());
    let reader = || {
        let mut seen = 0;
        while seen < GENERATIONS {
            let snapshot = published.lock().unwrap().clone();
            let generation = *snapshot.lookup(route(0).addr()).unwrap();
            assert!(generation >= seen);
            for i in 0..ROUTES {
                assert_eq!(snapshot.lookup(route(i).addr()), Some(&generation));
            }
            seen = generation;
        }
    };
    thread::scope(|scope| {
        scope.spawn(reader);
        scope.spawn(reader);
        let mut table = first;
        for generation in 1..=GENERATIONS {
            table.extend((0..ROUTES).map(|i| (route(i), generation)));
            *published.lock().unwrap() = table.clone();
        }
    });
}

/// A snapshot, and what the oracle of its time answers for each probe.
type Published<A> = (Table<A, u32>, Arc<Vec<Option<u32>>>);

const UPDATES: usize = 4_000;
const PROBES: usize = 150;

/// The bits in which routes and probes differ.
const MASK: u128 = (0x07 << 120) | (0x0f << 112) | (0x1f << 104) | (0x3f << 97) | (0xff << 80);

/// The writer changes routes at random, so that memory is used again and again; readers look up in
/// the latest snapshot and in one that they keep for a while.
fn churn<A: Family>(to_addr: fn(u128) -> A) {
    let mut rng = Rng::new(0xc4a7);
    let mut draw = move || {
        (
            to_addr(rng.wide() & MASK),
            rng.below(u64::from(A::BITS) + 1) as u8,
            rng.below(70_000) as u32,
        )
    };
    let probes: Vec<A> = (0..PROBES).map(|_| draw().0).collect();
    let (mut table, mut oracle) = (Table::new(), Oracle::new());
    let answers = |oracle: &Oracle<A>| -> Arc<Vec<Option<u32>>> {
        let answer = |probe: &A| oracle.lookup(*probe).map(|(_, value)| value);
        Arc::new(probes.iter().map(answer).collect())
    };
    let published: Mutex<Option<Published<A>>> =
        Mutex::new(Some((table.clone(), answers(&oracle))));
    let latest = || published.lock().unwrap().clone();
    let reader = |keep: usize| {
        let (mut held, mut out) = (latest(), vec![None; PROBES]);
        for round in 0.. {
            let Some(now) = latest() else { return round };
            for (table, expected) in held.iter().chain([&now]) {
                table.lookup_batch(&probes, &mut out);
                assert_eq!(out, **expected);
                let single = probes.iter().map(|probe| table.lookup(*probe).copied());
                assert!(single.eq(expected.iter().copied()));
            }
            if round % keep == 0 {
                held = Some(now);
            }
        }
        unreachable!("rounds are without end")
    };
    thread::scope(|scope| {
        let readers = [1, 7, 50].map(|keep| scope.spawn(move || reader(keep)));
        for update in 0..UPDATES {
            let (addr, len, value) = draw();
            let prefix = Prefix::masking(addr, len).unwrap();
            if oracle.sorted().len() > 250 {
                let gone = oracle.nth(value as usize).unwrap();
                assert_eq!(table.remove(&gone), oracle.remove(&gone));
            }
            assert_eq!(table.insert(prefix, value), oracle.insert(prefix, value));
            if update % 3 == 0 {
                *published.lock().unwrap() = Some((table.clone(), answers(&oracle)));
            }
        }
        *published.lock().unwrap() = None;
        let rounds: usize = readers.map(|reader| reader.join().unwrap()).iter().sum();
        assert!(rounds > 0);
    });
    oracle.check(&table, &probes);
}

#[test]
fn ipv4_lookups_during_churn_are_right() {
    churn(ipv4);
}

#[test]
fn ipv6_lookups_during_churn_are_right() {
    churn(ipv6);
}
