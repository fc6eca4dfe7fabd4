//! One writer publishes snapshots while readers look up in theirs.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::thread;

use ringlay_lpm::{Ipv4Table, Prefix};

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
