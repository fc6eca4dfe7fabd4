//! The loops of lookup: one address, or many side by side. Knows no values, only their numbers.
//!
//! They are written once for any machine, and compiled twice for x86-64: with and without the
//! instructions that count bits, which the processor is asked for at run time. Batches have a third
//! form, in `kernel/avx512.rs`.

#![allow(unsafe_code, reason = "run-time detection of processor features")]

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::sync::atomic::AtomicU32;

use crate::Address;
use crate::compile::formats;
use crate::node::{CHILD, RANGES, Slot, bitmap, node_of, plain, ranges};
use crate::values::Id;

/// How many addresses go down side by side.
const LANES: usize = 16;

/// The number of the value of the longest prefix that covers `addr`. `top` is a plain node.
#[inline]
pub(crate) fn lookup<A: Address>(words: &[AtomicU32], top: u32, addr: A) -> Id {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        return avx512::lookup(words, top, addr);
    } else if is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions, as was found out right here.
        return unsafe { lookup_bmi(words, top, addr) };
    }
    descend(words, CHILD | top, 0, addr)
}

/// Looks up each address: `out[i]` becomes `values[id]` for the number that belongs to `addrs[i]`.
/// `top` is a plain node.
#[inline]
pub(crate) fn lookup_batch<A: Address, V: Copy>(
    words: &[AtomicU32],
    top: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        return avx512::lookup_batch(words, top, values, addrs, out);
    } else if is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions, as was found out right here.
        return unsafe { lookup_batch_bmi(words, top, values, addrs, out) };
    }
    lookup_batch_with(words, top, values, addrs, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1,bmi2")]
fn lookup_bmi<A: Address>(words: &[AtomicU32], top: u32, addr: A) -> Id {
    descend(words, CHILD | top, 0, addr)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1,bmi2")]
fn lookup_batch_bmi<A: Address, V: Copy>(
    words: &[AtomicU32],
    top: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    lookup_batch_with(words, top, values, addrs, out);
}

/// Follows a slot for the octet number `at` to the number of a value.
#[inline(always)]
fn descend<A: Address>(words: &[AtomicU32], mut slot: Slot, mut at: usize, addr: A) -> Id {
    let formats = const { formats::<A>() };
    while slot & CHILD != 0 {
        let node = node_of(slot);
        if slot & RANGES != 0 {
            slot = ranges(words, node, two_octets(addr, at));
            at += 2;
        } else {
            let step = if at < formats.plain { plain } else { bitmap };
            slot = step(words, node, addr.octet(at));
            at += 1;
        }
    }
    slot
}

/// Two octets of an address; zero follows the last.
#[inline(always)]
fn two_octets<A: Address>(addr: A, at: usize) -> u16 {
    let second = if at + 1 < A::OCTETS {
        addr.octet(at + 1)
    } else {
        0
    };
    u16::from_be_bytes([addr.octet(at), second])
}

#[inline(always)]
fn lookup_batch_with<A: Address, V: Copy>(
    words: &[AtomicU32],
    top: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    let formats = const { formats::<A>() };
    let (chunks, rest) = addrs.as_chunks::<LANES>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
    for (addrs, out) in chunks.iter().zip(out_chunks) {
        let mut slots = [CHILD | top; LANES];
        for at in 0..formats.plain {
            for (slot, addr) in slots.iter_mut().zip(addrs) {
                if *slot & CHILD != 0 {
                    *slot = plain(words, node_of(*slot), addr.octet(at));
                }
            }
        }
        for ((slot, addr), out) in slots.into_iter().zip(addrs).zip(out) {
            *out = values[descend(words, slot, formats.plain, *addr) as usize];
        }
    }
    for (addr, out) in rest.iter().zip(out_rest) {
        *out = values[descend(words, CHILD | top, 0, *addr) as usize];
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::{Prefix, Table};

    /// A small seeded generator (xorshift).
    fn random(state: &mut u64) -> u128 {
        let mut next = || {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            u128::from(*state)
        };
        next() << 64 | next()
    }

    /// Dense and sparse nodes of every format, and more values than 15 bits number.
    fn table<A: Address>(to_addr: fn(u128) -> A) -> (Table<A, u32>, Vec<A>) {
        const MASKS: [u128; 3] = [u128::MAX, 0x0f0f_ffff << 96, 0x0303_00ff_ffff << 80];
        let mut state = 0x1234_5678_9abc_def0;
        let mut draw = |at: usize| to_addr(random(&mut state) & MASKS[at % MASKS.len()]);
        let routes = (0..90_000).map(|at| {
            let len = (at * 7 % usize::from(A::BITS) + 1) as u8;
            (Prefix::masking(draw(at), len).unwrap(), at as u32)
        });
        let table = routes.collect();
        (table, (0..50_000).map(draw).collect())
    }

    fn agree<A: Address>(to_addr: fn(u128) -> A) {
        let (table, addrs) = table(to_addr);
        let (words, top, values) = (&*table.lookup, table.top, &*table.values);
        let expected: Vec<_> = addrs
            .iter()
            .map(|a| table.lookup_prefix(*a).map(|(_, v)| *v))
            .collect();
        let mut out = vec![None; addrs.len()];
        lookup_batch_with(words, top, values, &addrs, &mut out);
        assert!(out == expected, "portable batch");
        for (addr, expected) in addrs.iter().zip(&expected) {
            let id = descend(words, CHILD | top, 0, *addr);
            assert_eq!(values[id as usize], *expected, "portable {addr}");
            let id = lookup(words, top, *addr);
            assert_eq!(values[id as usize], *expected, "{addr}");
        }
        // Whole groups of vectors, single vectors and what is left, in every mixture.
        for len in (0..200).chain([addrs.len()]) {
            out.fill(Some(u32::MAX));
            lookup_batch(words, top, values, &addrs[..len], &mut out[..len]);
            assert!(out[..len] == expected[..len], "batch of {len}");
        }
    }

    #[test]
    fn all_forms_answer_alike() {
        agree(|bits| Ipv4Addr::from_bits((bits >> 96) as u32));
        agree(Ipv6Addr::from_bits);
    }
}
