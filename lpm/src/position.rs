//! Where a prefix lives among the nodes: at which octet, and at which index there. Holds no nodes.

use crate::rib::Entry;
use crate::{Address, Prefix};

/// The place of a prefix of at least one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The octet that holds the last bit of the prefix.
    pub(crate) octet: usize,
    /// The index among the prefixes that end in that octet: see [`crate::rib::Entry`].
    pub(crate) index: u32,
}

impl Position {
    /// The place of a prefix; the default route has none.
    pub(crate) fn of<A: Address>(prefix: &Prefix<A>) -> Option<Self> {
        let octet = usize::from(prefix.len().checked_sub(1)? / 8);
        let bits = u32::from(prefix.len()) - octet as u32 * 8;
        let value = u32::from(prefix.addr().octet(octet)) >> (8 - bits);
        Some(Self {
            octet,
            index: 1 << bits | value,
        })
    }

    /// Which values of its octet the prefix covers: from where, up to where.
    pub(crate) fn octets(self) -> (u32, u32) {
        let (first, count) = Entry::new(self.index, 0).range();
        (first, first + count)
    }

    /// The prefix at this place, behind the octets that `path` has in front of it.
    pub(crate) fn prefix<A: Address>(self, path: A) -> Prefix<A> {
        let bits = self.index.ilog2() as u8;
        let octet = (self.index << (8 - bits)) as u8;
        let len = self.octet as u8 * 8 + bits;
        Prefix::from_masked(
            path.masked(self.octet as u8 * 8)
                .with_octet(self.octet, octet),
            len,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn returns<A: Address>(addr: A) {
        for len in 1..=A::BITS {
            let prefix = Prefix::masking(addr, len).unwrap();
            let position = Position::of(&prefix).unwrap();
            assert!((2..512).contains(&position.index), "{prefix} {position:?}");
            assert_eq!(position.octet, usize::from(len - 1) / 8);
            assert_eq!(position.prefix(addr), prefix);
        }
        assert_eq!(Position::of(&Prefix::masking(addr, 0).unwrap()), None);
    }

    #[test]
    fn every_length_has_a_position_that_leads_back() {
        returns(Ipv4Addr::from_bits(u32::MAX));
        returns(Ipv4Addr::new(10, 130, 77, 201));
        returns(Ipv6Addr::from_bits(u128::MAX));
        returns(Ipv6Addr::from_bits(
            0x2001_0db8_a5a5_5a5a_c3c3_3c3c_0ff0_f00f,
        ));
    }
}
