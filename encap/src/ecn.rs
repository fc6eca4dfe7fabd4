//! Explicit congestion notification across tunnels (RFC 6040).
//!
//! Does not write headers: the IP views and the templates do.

use crate::ParseError;

/// The ECN field of an IP header: the low two bits of the traffic class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not understand ECN.
    #[default]
    NotEct = 0,
    /// ECN-capable, ECT(1).
    Ect1 = 1,
    /// ECN-capable, ECT(0).
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// The low two bits of a traffic class byte.
    #[inline]
    pub const fn from_traffic_class(byte: u8) -> Self {
        match byte & 0b11 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The ECN field of the IP packet that `packet` begins with.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] or [`ParseError::Version`].
    #[inline]
    pub fn of_packet(packet: &[u8]) -> Result<Self, ParseError> {
        match packet {
            [first, second, ..] if first >> 4 == 4 => Ok(Self::from_traffic_class(*second)),
            [first, second, ..] if first >> 4 == 6 => Ok(Self::from_traffic_class(second >> 4)),
            [_, _, ..] => Err(ParseError::Version),
            _ => Err(ParseError::Truncated),
        }
    }

    /// The outer field of a tunnel packet around an inner packet with this field (RFC 6040,
    /// section 4.1, normal mode).
    #[inline]
    pub const fn encapsulated(self) -> Self {
        self
    }

    /// As [`encapsulated`](Self::encapsulated), in the given mode.
    #[inline]
    pub const fn encapsulated_in(self, mode: EcnMode) -> Self {
        match mode {
            EcnMode::Normal => self.encapsulated(),
            EcnMode::Compatibility => Self::NotEct,
        }
    }

    /// Whether no tunnel that follows RFC 6040 makes this pair of inner and outer fields: it is
    /// forwarded, or dropped, all the same, but may be worth counting (section 4.2, the pairs
    /// marked in figure 4).
    #[inline]
    pub const fn is_suspect(self, outer: Self) -> bool {
        match (self, outer) {
            (Self::NotEct, outer) => !matches!(outer, Self::NotEct),
            (Self::Ect1, outer) => matches!(outer, Self::Ect0),
            (Self::Ce, outer) => matches!(outer, Self::Ect1),
            (Self::Ect0, _) => false,
        }
    }

    /// The field to forward the inner packet with, given the outer one (RFC 6040, section 4.2,
    /// figure 4); none if the packet must be dropped.
    #[inline]
    pub const fn decapsulated(self, outer: Self) -> Option<Self> {
        match (self, outer) {
            (Self::NotEct, Self::Ce) => None,
            (Self::NotEct, _) => Some(Self::NotEct),
            (_, Self::Ce) => Some(Self::Ce),
            (Self::Ect0, Self::Ect1) => Some(Self::Ect1),
            (inner, _) => Some(inner),
        }
    }
}

/// How a tunnel begins (RFC 6040, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EcnMode {
    /// The outer field is the inner one.
    #[default]
    Normal,
    /// The outer field is Not-ECT: for far ends that do not propagate congestion marks, which would
    /// be lost there.
    Compatibility,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decapsulation_follows_the_table() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        // Rows: inner. Columns: outer Not-ECT, ECT(0), ECT(1), CE. RFC 6040, figure 4.
        let table = [
            (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
            (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
            (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
            (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
                assert_eq!(
                    inner.decapsulated(outer),
                    expected,
                    "{inner:?} in {outer:?}"
                );
            }
        }
    }

    #[test]
    fn encapsulation_follows_the_table() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        // RFC 6040, figure 3.
        for inner in [NotEct, Ect0, Ect1, Ce] {
            assert_eq!(inner.encapsulated_in(EcnMode::Normal), inner);
            assert_eq!(inner.encapsulated_in(EcnMode::Compatibility), NotEct);
        }
    }

    #[test]
    fn suspect_pairs_are_those_marked_in_the_table() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        let marked = [
            (NotEct, Ect0),
            (NotEct, Ect1),
            (NotEct, Ce),
            (Ect1, Ect0),
            (Ce, Ect1),
        ];
        for inner in [NotEct, Ect0, Ect1, Ce] {
            for outer in [NotEct, Ect0, Ect1, Ce] {
                assert_eq!(inner.is_suspect(outer), marked.contains(&(inner, outer)));
            }
        }
    }

    #[test]
    fn reads_both_versions() {
        assert_eq!(Ecn::of_packet(&[0x45, 0x02]), Ok(Ecn::Ect0));
        assert_eq!(Ecn::of_packet(&[0x60, 0x10]), Ok(Ecn::Ect1));
        assert_eq!(Ecn::of_packet(&[0x60]), Err(ParseError::Truncated));
        assert_eq!(Ecn::of_packet(&[0x00, 0x10]), Err(ParseError::Version));
    }
}
