//! Whether a tunnel may leave the outer UDP checksum zero, and what to do with one that is (RFC
//! 768, RFC 6935, RFC 6936, RFC 7348 section 4.1, RFC 8926 section 4.3.1).
//!
//! Decides only: does not compute or verify a checksum.

use crate::ip::IpVersion;

/// Whether the tunnels of one UDP port do without a checksum over IPv6. RFC 6936 section 5 lets an
/// operator enable that by port, knowing what lies between the ends; off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ZeroOverIpv6 {
    /// A checksum is sent, and demanded (RFC 8200, section 8.1).
    #[default]
    Refused,
    /// Zero is accepted from peers that are known.
    Accepted,
    /// Zero is accepted from peers that are known, and sent.
    Used,
}

/// What a receiver does with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumDecision {
    /// Take it as it is.
    Accept,
    /// Verify the checksum: drop it if that is wrong.
    Verify,
    /// Drop it, silently (RFC 6935, section 5: no ICMP error about it).
    Drop,
}

/// Decides about a datagram that came with `checksum`. Over IPv6 a zero can hide that an address or
/// the port was damaged, and the datagram someone else's: besides being enabled, it takes a
/// source and a destination address between which there is a tunnel, `peer_is_known` (RFC 6936,
/// section 4, and RFC 8926, section 4.3.1). Over IPv4 zero is always accepted (RFC 7348: must be).
#[inline]
pub const fn received(
    version: IpVersion,
    checksum: u16,
    zero: ZeroOverIpv6,
    peer_is_known: bool,
) -> ChecksumDecision {
    if checksum != 0 {
        return ChecksumDecision::Verify;
    }
    match (version, zero) {
        (IpVersion::V4, _) => ChecksumDecision::Accept,
        (IpVersion::V6, ZeroOverIpv6::Accepted | ZeroOverIpv6::Used) if peer_is_known => {
            ChecksumDecision::Accept
        }
        (IpVersion::V6, _) => ChecksumDecision::Drop,
    }
}

/// Whether a tunnel over IP of this version may send zero.
#[inline]
pub const fn may_send(version: IpVersion, zero: ZeroOverIpv6) -> bool {
    match version {
        IpVersion::V4 => true,
        IpVersion::V6 => matches!(zero, ZeroOverIpv6::Used),
    }
}

#[cfg(test)]
mod tests {
    use super::{ChecksumDecision::*, IpVersion::*, ZeroOverIpv6::*, *};

    #[test]
    fn a_checksum_that_is_there_is_verified() {
        for version in [V4, V6] {
            for zero in [Refused, Accepted, Used] {
                for known in [false, true] {
                    assert_eq!(received(version, 0xffff, zero, known), Verify);
                }
            }
        }
    }

    #[test]
    fn zero_over_ipv4_is_always_taken() {
        for zero in [Refused, Accepted, Used] {
            assert_eq!(received(V4, 0, zero, false), Accept);
            assert!(may_send(V4, zero));
        }
    }

    #[test]
    fn zero_over_ipv6_takes_consent_and_acquaintance() {
        for (zero, known, expected) in [
            (Refused, false, Drop),
            (Refused, true, Drop),
            (Accepted, false, Drop),
            (Accepted, true, Accept),
            (Used, false, Drop),
            (Used, true, Accept),
        ] {
            assert_eq!(received(V6, 0, zero, known), expected, "{zero:?} {known}");
        }
        assert_eq!(ZeroOverIpv6::default(), Refused);
        assert_eq!(
            [Refused, Accepted, Used].map(|zero| may_send(V6, zero)),
            [false, false, true]
        );
    }
}
