//! A small seeded generator, so that every run measures the same. Not for cryptography.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that repeats its numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 128 random bits.
    pub fn wide_bits(&mut self) -> u128 {
        (u128::from(self.bits()) << 64) | u128::from(self.bits())
    }

    /// A random number below `end`, which is not zero. The bias for an `end` that is no power of
    /// two is below `end` in 2^64.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// A random item of a list that is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// An item of `(item, share)`, as often as its share says. The shares are not all zero.
    pub fn weighted<T: Copy>(&mut self, shares: &[(T, u16)]) -> T {
        let mut ticket = self.below(shares.iter().map(|(_, share)| usize::from(*share)).sum());
        for (item, share) in shares {
            match ticket.checked_sub(usize::from(*share)) {
                Some(rest) => ticket = rest,
                None => return *item,
            }
        }
        unreachable!("the ticket is below the sum of the shares")
    }
}
