//! Spreads the flows of an equal-cost group over its members. Does not know what members are.
//!
//! Each slot of the group goes to the member that ranks highest there (rendezvous hashing, Thaler
//! and Ravishankar 1998). A member's rank in a slot depends on that member alone, so when one goes
//! only its own slots change hands, when one comes it only takes, and every node and every start
//! of it agrees. Ranks of one member are a permutation of the slots instead of independent draws,
//! which halves the imbalance.

use ringlay_dataplane::{id::NextHopId, tables::Group};

/// A member: its entry, and what it is, for ever.
pub(super) type Member = (u64, NextHopId);

/// The member of each slot. Their order does not matter.
///
/// # Panics
///
/// If there are none.
pub(super) fn spread(members: &[Member]) -> Group {
    let keys: Vec<_> = members.iter().map(|(identity, _)| mix(*identity)).collect();
    let slots = std::array::from_fn(|slot| {
        let ranked = members.iter().zip(&keys);
        let first = ranked.max_by_key(|((identity, _), key)| (rank(**key, slot), *identity));
        first.expect("a group has members").0.1
    });
    Group::new(slots)
}

const BITS: u32 = Group::SLOTS.trailing_zeros();
const MASK: u64 = Group::SLOTS as u64 - 1;

/// The rank of a member in a slot: a permutation of the slots, made of steps that each are one.
fn rank(key: u64, slot: usize) -> u64 {
    let mut rank = slot as u64;
    for round in 0..4 {
        let part = key >> (16 * round);
        rank = rank.wrapping_mul((part & MASK) | 1).wrapping_add(part >> 6) & MASK;
        rank ^= rank >> (BITS / 2);
    }
    rank
}

/// The finisher of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn mix(identity: u64) -> u64 {
    let z = identity.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn slots(members: &BTreeSet<u64>) -> Vec<u64> {
        let members: Vec<_> = members
            .iter()
            .map(|identity| (*identity, NextHopId(*identity as u32)))
            .collect();
        let group = spread(&members);
        let member = |slot: u32| u64::from(group.member(slot).0);
        (0..Group::SLOTS as u32)
            .map(|slot| member(slot << Group::SHIFT))
            .collect()
    }

    fn members(
        count: impl Into<prop::collection::SizeRange>,
    ) -> impl Strategy<Value = BTreeSet<u64>> {
        prop::collection::btree_set(0..u64::from(u32::MAX), count)
    }

    fn shares(members: &BTreeSet<u64>) -> BTreeMap<u64, usize> {
        let mut shares: BTreeMap<_, _> = members.iter().map(|member| (*member, 0)).collect();
        for member in slots(members) {
            *shares.get_mut(&member).expect("only members have slots") += 1;
        }
        shares
    }

    #[test]
    fn a_rank_is_a_permutation_of_the_slots() {
        for identity in 0..1000 {
            let ranks: BTreeSet<_> = (0..Group::SLOTS)
                .map(|slot| rank(mix(identity), slot))
                .collect();
            assert_eq!(ranks.len(), Group::SLOTS);
        }
    }

    #[test]
    fn members_have_fair_shares() {
        // Neighbouring identities, as addresses are.
        for count in [2, 3, 4, 8, 16, 32, 64] {
            let (mut worst, mut squares, fair) = (0.0f64, 0.0, Group::SLOTS as f64 / count as f64);
            for first in 0..100 {
                for share in shares(&(first..first + count).collect()).into_values() {
                    let off = (share as f64 - fair) / fair;
                    worst = worst.max(off.abs());
                    squares += off * off;
                }
            }
            let deviation = (squares / (100 * count) as f64).sqrt();
            // Of independent draws it would be sqrt((count - 1) / 1024).
            let independent = ((count - 1) as f64 / Group::SLOTS as f64).sqrt();
            assert!(
                deviation < 0.9 * independent,
                "{count}: {deviation} {independent}"
            );
            assert!(worst < 5.0 * independent, "{count}: {worst}");
        }
    }

    proptest! {
        #[test]
        fn only_the_slots_of_a_member_that_goes_change_hands(
            members in members(2..20), gone in any::<prop::sample::Index>()
        ) {
            let gone = *gone.get(&members.iter().copied().collect::<Vec<_>>());
            let before = slots(&members);
            let mut left = members.clone();
            left.remove(&gone);
            let after = slots(&left);
            for (before, after) in before.iter().zip(&after) {
                prop_assert_eq!(before == after, *before != gone);
            }
            // And they go to all the others, not to one.
            let heirs: BTreeSet<_> = before.iter().zip(&after)
                .filter(|(before, _)| **before == gone).map(|(_, after)| after).collect();
            prop_assert!(heirs.len() * 2 >= left.len(), "{} of {}", heirs.len(), left.len());
        }

        #[test]
        fn every_member_has_about_its_share(members in members(1..17)) {
            let fair = Group::SLOTS as f64 / members.len() as f64;
            for (member, share) in shares(&members) {
                let off = (share as f64 - fair).abs() / fair;
                prop_assert!(off < 0.6, "{member}: {share} instead of {fair}");
            }
        }
    }
}
