//! IEEE 802 MAC addresses.
//!
//! Does not know which addresses are in use: learning and resolving is the dataplane's work.

use core::{fmt, net::Ipv6Addr, str::FromStr};

use thiserror::Error;

/// A 48-bit MAC address, in the order of transmission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`, which no station has.
    pub const ZERO: Self = Self([0; 6]);

    /// The bytes in the order of transmission.
    #[inline]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether this is the broadcast address.
    #[inline]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether the group bit is set; so it is for the broadcast address.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// Whether one station may have this address: neither a group nor zero.
    #[inline]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }

    /// Whether the locally-administered bit is set.
    #[inline]
    pub const fn is_local(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// A locally administered unicast address derived from `seed`, e.g. a node name and a VNI.
    ///
    /// The same seed always gives the same address, on every machine and in every release. 46 bits
    /// of FNV-1a: nodes with different seeds collide with the probability of a birthday paradox.
    pub const fn derive_local(seed: &[u8]) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut at = 0;
        while at < seed.len() {
            hash = (hash ^ seed[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        // FNV leaves the high bits of short inputs weak: finish as splitmix64 does.
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, c, d, e, f, ..] = (hash ^ (hash >> 31)).to_be_bytes();
        Self([(a & 0xfc) | 0x02, b, c, d, e, f])
    }

    /// The IPv6 link-local address of the interface that has this address (RFC 2464, section 5).
    pub const fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let octets = [
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            a ^ 0x02,
            b,
            c,
            0xff,
            0xfe,
            d,
            e,
            f,
        ];
        Ipv6Addr::from_octets(octets)
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A string is not six pairs of hexadecimal digits, separated by `:` or `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a MAC address; expected six pairs of hex digits such as 02:11:22:33:44:55")]
pub struct MacAddrError;

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut pairs = text.split(separator);
        let mut octets = [0; 6];
        for octet in &mut octets {
            let pair = pairs.next().ok_or(MacAddrError)?;
            // from_str_radix alone would take "+1".
            if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MacAddrError);
            }
            *octet = u8::from_str_radix(pair, 16).map_err(|_| MacAddrError)?;
        }
        match pairs.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(MacAddrError),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use super::*;

    #[test]
    fn prints_and_parses() {
        let mac = MacAddr([0x02, 0x11, 0x22, 0xaa, 0x0b, 0xff]);
        assert_eq!(mac.to_string(), "02:11:22:aa:0b:ff");
        assert_eq!(format!("{mac:?}"), "02:11:22:aa:0b:ff");
        assert_eq!("02:11:22:AA:0b:ff".parse(), Ok(mac));
        assert_eq!("02-11-22-aa-0b-ff".parse(), Ok(mac));
    }

    #[test]
    fn makes_link_local_addresses() {
        // The example of RFC 4291, appendix A, and one with the bit set already.
        let mac = MacAddr([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(mac.link_local().to_string(), "fe80::3656:78ff:fe9a:bcde");
        let mac = MacAddr([0x02, 0, 0, 0, 0, 1]);
        assert_eq!(mac.link_local().to_string(), "fe80::ff:fe00:1");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "02",
            "02:11:22:33:44",
            "02:11:22:33:44:55:66",
            "02:11:22:33:44:5",
            "02:11:22:33:44:5g",
            "02:11:22:33:44:+5",
            "02:11-22:33:44:55",
            "021122334455",
            "02:11:22:33:44:055",
            "é:11:22:33:44:55",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(MacAddrError), "{text:?}");
        }
    }

    #[test]
    fn knows_its_kinds() {
        assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
        assert!(MacAddr([0x33, 0x33, 0, 0, 0, 1]).is_multicast());
        assert!(!MacAddr([0x33, 0x33, 0, 0, 0, 1]).is_broadcast());
        assert!(MacAddr([0x00, 0x11, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddr::ZERO.is_unicast() && !MacAddr::ZERO.is_multicast());
    }

    #[test]
    fn derives_stable_distinct_local_addresses() {
        let one = MacAddr::derive_local(b"node-a/42");
        assert_eq!(one, MacAddr::derive_local(b"node-a/42"));
        let mut seen = std::collections::HashSet::new();
        for seed in 0u32..10_000 {
            let mac = MacAddr::derive_local(&seed.to_be_bytes());
            assert!(mac.is_local() && mac.is_unicast());
            assert!(seen.insert(mac));
        }
        // Pinned: peers hold each other's derived addresses across upgrades.
        assert_eq!(MacAddr::derive_local(b"").to_string(), "f6:2a:15:e9:a9:b5");
    }
}
