//! The loops of lookup, compiled for what the processor has. The one file with unsafe code: calls of
//! functions that need instructions which were looked for.

#![allow(unsafe_code, reason = "run-time detection of processor features")]

use std::sync::atomic::AtomicU32;

use crate::Address;
use crate::node::{CHILD, PLAIN_OCTETS, Slot, compressed, plain};
use crate::values::Id;

/// How many addresses go down side by side.
const LANES: usize = 16;

/// The number of the value of the longest prefix that covers `addr`. `root` is a node.
#[inline]
pub(crate) fn lookup<A: Address>(words: &[AtomicU32], root: u32, addr: A) -> Id {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions, as was found out right here.
        return unsafe { lookup_bmi(words, root, addr) };
    }
    lookup_with(words, root, addr)
}

/// Looks up each address: `out[i]` becomes `values[id]` for the number that belongs to `addrs[i]`.
#[inline]
pub(crate) fn lookup_batch<A: Address, V: Copy>(
    words: &[AtomicU32],
    root: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions, as was found out right here.
        return unsafe { lookup_batch_bmi(words, root, values, addrs, out) };
    }
    lookup_batch_with(words, root, values, addrs, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1,bmi2")]
fn lookup_bmi<A: Address>(words: &[AtomicU32], root: u32, addr: A) -> Id {
    lookup_with(words, root, addr)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1,bmi2")]
fn lookup_batch_bmi<A: Address, V: Copy>(
    words: &[AtomicU32],
    root: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    lookup_batch_with(words, root, values, addrs, out);
}

#[inline(always)]
fn lookup_with<A: Address>(words: &[AtomicU32], root: u32, addr: A) -> Id {
    let mut slot = CHILD | root;
    for at in 0..A::OCTETS {
        if slot & CHILD == 0 {
            break;
        }
        let node = slot & !CHILD;
        slot = if at < PLAIN_OCTETS {
            plain(words, node, addr.octet(at))
        } else {
            compressed(words, node, addr.octet(at))
        };
    }
    slot
}

#[inline(always)]
fn lookup_batch_with<A: Address, V: Copy>(
    words: &[AtomicU32],
    root: u32,
    values: &[Option<V>],
    addrs: &[A],
    out: &mut [Option<V>],
) {
    let (chunks, rest) = addrs.as_chunks::<LANES>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
    for (addrs, out) in chunks.iter().zip(out_chunks) {
        let slots = lookup_lanes(words, root, addrs);
        for (out, slot) in out.iter_mut().zip(slots) {
            *out = values[slot as usize];
        }
    }
    for (addr, out) in rest.iter().zip(out_rest) {
        *out = values[lookup_with(words, root, *addr) as usize];
    }
}

/// Goes down with all addresses, octet by octet. An address that has its answer keeps it, and goes
/// through the empty node at zero meanwhile: cheaper than a branch that is mispredicted.
#[inline(always)]
fn lookup_lanes<A: Address>(words: &[AtomicU32], root: u32, addrs: &[A; LANES]) -> [Slot; LANES] {
    let mut slots = [0; LANES];
    for (slot, addr) in slots.iter_mut().zip(addrs) {
        let first = plain(words, root, addr.octet(0));
        let second = plain(words, node_or_zero(first), addr.octet(1));
        *slot = if first & CHILD == 0 { first } else { second };
    }
    for at in PLAIN_OCTETS..A::OCTETS {
        if slots.iter().fold(0, |all, slot| all | slot) & CHILD == 0 {
            break;
        }
        for (slot, addr) in slots.iter_mut().zip(addrs) {
            let next = compressed(words, node_or_zero(*slot), addr.octet(at));
            *slot = if *slot & CHILD == 0 { *slot } else { next };
        }
    }
    slots
}

#[inline(always)]
fn node_or_zero(slot: Slot) -> u32 {
    if slot & CHILD == 0 { 0 } else { slot & !CHILD }
}
