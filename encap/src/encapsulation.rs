//! The encapsulations by name.
//!
//! Does not know their headers: each has a file of its own.

use core::{fmt, str::FromStr};

use thiserror::Error;

use crate::{EtherType, eth, geneve, gre, ipip, vxlan};

/// How packets cross the underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GRE (RFC 2784).
    Gre,
    /// IP in IP (RFC 2003, RFC 2473, RFC 4213).
    Ipip,
    /// None: packets go to a far end on the same link as they are.
    Plain,
}

impl Encapsulation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Vxlan,
        Self::Geneve,
        Self::Gre,
        Self::Ipip,
        Self::Plain,
    ];

    /// The name, as `FromStr` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::Plain => "none",
        }
    }

    /// The assigned UDP destination port; none if it does not go over UDP.
    #[inline]
    pub const fn udp_port(self) -> Option<u16> {
        match self {
            Self::Vxlan => Some(vxlan::UDP_PORT),
            Self::Geneve => Some(geneve::UDP_PORT),
            Self::Gre | Self::Ipip | Self::Plain => None,
        }
    }

    /// Where the inner IP packet begins in `payload`, all that follows the outer UDP or IP header, if
    /// there is one, right behind the tunnel header or behind an untagged Ethernet header. A glance:
    /// whether the headers before it are as they should be is for [`decap`](crate::decap) to say.
    #[inline]
    pub fn inner_ip(self, payload: &[u8]) -> Option<usize> {
        let (offset, protocol) = match self {
            Self::Vxlan => vxlan::glance(payload),
            Self::Geneve => geneve::glance(payload),
            Self::Gre => gre::glance(payload),
            Self::Ipip => ipip::glance(payload),
            Self::Plain => None,
        }?;
        let rest = payload.get(offset..)?;
        let (skipped, protocol) = match protocol {
            EtherType::BRIDGED => {
                let ethernet: &[u8; eth::HEADER_LEN] = rest.first_chunk()?;
                let ethertype = u16::from_be_bytes([ethernet[12], ethernet[13]]);
                (eth::HEADER_LEN, EtherType(ethertype))
            }
            direct => (0, direct),
        };
        let is_ip = matches!(protocol, EtherType::IPV4 | EtherType::IPV6);
        is_ip.then_some(offset + skipped)
    }

    /// Whether it can carry Ethernet frames, as bridged networks need.
    #[inline]
    pub const fn carries_frames(self) -> bool {
        !matches!(self, Self::Ipip | Self::Plain)
    }
}

/// A string names no encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an encapsulation; expected vxlan, geneve, gre, ipip or none")]
pub struct EncapsulationError;

impl FromStr for Encapsulation {
    type Err = EncapsulationError;

    fn from_str(text: &str) -> Result<Self, EncapsulationError> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == text).ok_or(EncapsulationError)
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_inner_packet_is_found_where_decapsulation_finds_it() {
        use std::vec::Vec;

        use crate::{GreKey, TunnelKey, Vni};

        let keys = [
            TunnelKey::Vxlan(Vni::MAX),
            TunnelKey::Geneve(Vni::MAX),
            TunnelKey::Gre(None),
            TunnelKey::Gre(Some(GreKey(7))),
            TunnelKey::Ipip,
        ];
        for key in keys {
            let encapsulation = key.encapsulation();
            let header = |protocol: EtherType| {
                let mut bytes = std::vec![0; key.header_len()];
                key.emit(protocol, &mut bytes);
                bytes
            };
            if encapsulation.carries_frames() {
                for (ethertype, found) in [([8, 0], true), ([0x81, 0], false)] {
                    let mut packet: Vec<u8> = header(EtherType::BRIDGED);
                    packet.extend([0; 12]);
                    packet.extend(ethertype);
                    let expected = found.then_some(packet.len());
                    assert_eq!(encapsulation.inner_ip(&packet), expected, "{key}");
                    packet.pop();
                    assert_eq!(encapsulation.inner_ip(&packet), None, "{key}");
                }
            }
            if encapsulation != Encapsulation::Vxlan {
                let mut packet = header(EtherType::IPV6);
                packet.push(0x60);
                let expected = Some(packet.len() - 1);
                assert_eq!(encapsulation.inner_ip(&packet), expected, "{key}");
            }
        }
        // A sequence number is different each time.
        let numbered = [0x10, 0, 8, 0, 0, 0, 0, 1, 0x45];
        assert_eq!(Encapsulation::Gre.inner_ip(&numbered), None);
    }

    #[test]
    fn names_parse() {
        for one in Encapsulation::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        assert_eq!(
            "vxlan-gpe".parse::<Encapsulation>(),
            Err(EncapsulationError)
        );
    }
}
