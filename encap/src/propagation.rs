//! What crosses from the outer IP header to the inner one where a tunnel ends: congestion marks
//! (RFC 6040) always, DSCP (RFC 2983) and TTL if asked for.
//!
//! The other direction is the templates'. Frames that are not IP have none of these fields.

use thiserror::Error;

use crate::{
    Dscp, DscpPolicy, Ecn, EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, ParseError, TtlPolicy,
    ip::IpVersion,
};

#[cfg(test)]
mod tests;

/// The fields of an IP header that tunnels propagate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpFields {
    /// The traffic class byte (TOS): DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
}

impl IpFields {
    /// Those of the IP packet that `packet` begins with. Only the header needs to be there.
    ///
    /// # Errors
    /// [`ParseError`], if the header is truncated or none.
    #[inline]
    pub fn of_packet(packet: &[u8]) -> Result<Self, ParseError> {
        Ok(match IpVersion::of(packet)? {
            IpVersion::V4 => {
                let view = Ipv4Packet::new_header_checked(packet)?;
                Self {
                    traffic_class: view.traffic_class(),
                    ttl: view.ttl(),
                }
            }
            IpVersion::V6 => {
                let view = Ipv6Packet::new_header_checked(packet)?;
                Self {
                    traffic_class: view.traffic_class(),
                    ttl: view.hop_limit(),
                }
            }
        })
    }

    /// Differentiated services code point.
    #[inline]
    pub const fn dscp(self) -> Dscp {
        Dscp::from_traffic_class(self.traffic_class)
    }

    /// Explicit congestion notification.
    #[inline]
    pub const fn ecn(self) -> Ecn {
        Ecn::from_traffic_class(self.traffic_class)
    }
}

/// A packet was marked "congestion experienced" on its way, but its sender would not understand
/// that: it must be dropped, which the sender understands (RFC 6040, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("congestion in the underlay, and the inner packet knows no ECN")]
pub struct CongestionDrop;

/// What is taken over from the outer header besides congestion marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Propagation {
    /// Whether the outer DSCP replaces the inner one.
    pub dscp: DscpPolicy,
    /// Whether the outer TTL replaces the inner one.
    pub ttl: TtlPolicy,
}

impl Propagation {
    /// The fields to forward an inner packet with.
    ///
    /// # Errors
    /// [`CongestionDrop`]
    #[inline]
    pub fn decapsulated(
        self,
        inner: IpFields,
        outer: IpFields,
    ) -> Result<IpFields, CongestionDrop> {
        let ecn = inner
            .ecn()
            .decapsulated(outer.ecn())
            .ok_or(CongestionDrop)?;
        let dscp = self.dscp.decapsulated(inner.dscp(), outer.dscp());
        Ok(IpFields {
            traffic_class: dscp.value() << 2 | ecn as u8,
            ttl: self.ttl.decapsulated(inner.ttl, outer.ttl),
        })
    }

    /// Writes them into the inner IP packet `packet`, and updates its header checksum. What has no
    /// whole IP header stays as it is: the router behind refuses it.
    ///
    /// # Errors
    /// [`CongestionDrop`]; nothing is written then.
    #[inline]
    pub fn decapsulate(self, packet: &mut [u8], outer: IpFields) -> Result<(), CongestionDrop> {
        let Ok(inner) = IpFields::of_packet(packet) else {
            return Ok(());
        };
        let fields = self.decapsulated(inner, outer)?;
        if fields != inner {
            write(packet, fields);
        }
        Ok(())
    }

    /// As [`decapsulate`](Self::decapsulate), for an inner Ethernet frame: to the IP packet in it,
    /// if there is one.
    ///
    /// # Errors
    /// [`CongestionDrop`]; nothing is written then.
    #[inline]
    pub fn decapsulate_frame(
        self,
        frame: &mut [u8],
        outer: IpFields,
    ) -> Result<(), CongestionDrop> {
        match EthernetFrame::new_checked(frame) {
            Ok(mut view) if matches!(view.ethertype(), EtherType::IPV4 | EtherType::IPV6) => {
                self.decapsulate(view.payload_mut(), outer)
            }
            _ => Ok(()),
        }
    }
}

fn write(packet: &mut [u8], fields: IpFields) {
    if packet[0] >> 4 == 4 {
        let mut view = Ipv4Packet::new_unchecked(packet);
        view.set_traffic_class(fields.traffic_class);
        view.set_ttl(fields.ttl);
    } else {
        let mut view = Ipv6Packet::new_unchecked(packet);
        view.set_traffic_class(fields.traffic_class);
        view.set_hop_limit(fields.ttl);
    }
}
