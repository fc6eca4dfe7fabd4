//! Lookups for valgrind to count the instructions and cache misses of. Measures nothing itself:
//! `scripts/lpm-counts` runs it.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use ringlay_benches::addresses::announced;

use super::contender::{BURST, Contender, Family};

/// Lookups that are counted, after as many that fill the caches.
const LOOKUPS: usize = 1 << 16;

/// Looks addresses up in the structure with this number; says which it is, or nothing if there is
/// none.
pub(crate) fn run(family: &str, number: usize) {
    match family {
        "ipv4" => lookups::<Ipv4Addr>(number),
        "ipv6" => lookups::<Ipv6Addr>(number),
        other => panic!("{other} is neither ipv4 nor ipv6"),
    }
}

fn lookups<A: Family>(number: usize) {
    let routes = A::routes(A::ROUTES);
    let addresses = announced(&routes, 2 * LOOKUPS);
    let contenders = A::contenders(&routes);
    let Some(contender) = contenders.get(number) else {
        return;
    };
    let (before, counted) = addresses.split_at(LOOKUPS);
    bursts(contender.as_ref(), before);
    counted_lookups(contender.as_ref(), counted);
    println!("{LOOKUPS} {} {}", A::NAME, contender.name());
}

/// What valgrind looks for by its name.
#[inline(never)]
fn counted_lookups<A>(contender: &dyn Contender<A>, addresses: &[A]) {
    bursts(contender, addresses);
}

#[inline(never)]
fn bursts<A>(contender: &dyn Contender<A>, addresses: &[A]) {
    let mut answers = [None; BURST];
    for burst in addresses.as_chunks().0 {
        contender.burst(burst, &mut answers);
        black_box(&answers);
    }
}
