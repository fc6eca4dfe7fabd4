//! Reads what routers say about packets that were too big for them: ICMP "fragmentation needed"
//! (RFC 1191) and ICMPv6 "packet too big" (RFC 8201). Whether to believe it is for others to say.

use std::net::{IpAddr, Ipv6Addr};

use ringlay_encap::{
    IpProtocol, Ipv4Packet, Ipv6Packet,
    encap_limit::OPTION_HEADER_LEN,
    icmpv4::{self, Icmpv4Packet},
    icmpv6::{self, Icmpv6Packet},
    ipv6,
};

/// MTUs of links that there are, for routers that do not say theirs (RFC 1191 section 7.1).
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508];

/// A packet was too big for a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig<'a> {
    /// What fits, in bytes of outer IP packet.
    pub mtu: u16,
    /// What is said of the packet.
    pub quote: Quote<'a>,
}

/// The beginning of the packet that was too big.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Where it came from.
    pub source: IpAddr,
    /// Where it was to go.
    pub destination: IpAddr,
    /// How long it was, in bytes with its IP header.
    pub len: u16,
    /// What it carried.
    pub protocol: IpProtocol,
    /// What is left of what it carried.
    pub payload: &'a [u8],
}

impl Quote<'_> {
    /// UDP source and destination port, if it was a UDP packet and both are left.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        let ports = self.payload.first_chunk::<4>();
        let [a, b, c, d] = *ports.filter(|_| self.protocol == IpProtocol::UDP)?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
}

impl<'a> TooBig<'a> {
    /// Understands an IPv4 packet with an ICMP message, if it is about a packet that was too big.
    pub fn parse_v4(packet: &'a [u8]) -> Option<Self> {
        let outer = Ipv4Packet::new_checked(packet).ok()?;
        let message = packet.get(outer.header_len()..outer.total_len())?;
        let view = Icmpv4Packet::new_checked(message).ok()?;
        let mtu = view.next_hop_mtu().filter(|_| view.verify_checksum())?;
        let quoted = message.get(icmpv4::HEADER_LEN..)?;
        let header = Ipv4Packet::new_header_checked(quoted).ok()?;
        // A fragment's length is not that of a packet that we sent.
        let quote = Quote {
            source: header.src_addr().into(),
            destination: header.dst_addr().into(),
            len: u16::try_from(header.total_len()).ok()?,
            protocol: header.protocol(),
            payload: quoted.get(header.header_len()..)?,
        };
        let below = || PLATEAUS.into_iter().find(|plateau| *plateau < quote.len);
        let mtu = if mtu == 0 { below()? } else { mtu };
        Some(Self { mtu, quote })
    }

    /// Understands an ICMPv6 message, if it is about a packet that was too big.
    pub fn parse_v6(message: &'a [u8], source: Ipv6Addr, destination: Ipv6Addr) -> Option<Self> {
        let view = Icmpv6Packet::new_checked(message).ok()?;
        let valid = view.verify_checksum(source, destination);
        let mtu = view.next_hop_mtu().filter(|_| valid)?;
        let quoted = message.get(icmpv6::HEADER_LEN..)?;
        let header = Ipv6Packet::new_header_checked(quoted).ok()?;
        let payload = quoted.get(ipv6::HEADER_LEN..)?;
        // The one header that tunnels may put before their own: an encapsulation limit.
        let (protocol, payload) = match payload.split_at_checked(OPTION_HEADER_LEN) {
            Some((options, rest)) if header.next_header() == IpProtocol::DESTINATION_OPTIONS => {
                (IpProtocol(options[0]), rest)
            }
            _ => (header.next_header(), payload),
        };
        let quote = Quote {
            source: header.src_addr().into(),
            destination: header.dst_addr().into(),
            len: u16::try_from(header.total_len()).ok()?,
            protocol,
            payload,
        };
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        Some(Self { mtu, quote })
    }
}
