//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! Does not keep neighbours, nor judge whether to answer.

use core::net::Ipv4Addr;

use crate::{
    EtherType, MacAddr, ParseError,
    bytes::{array, ipv4_at, put, put_u16, u16_at},
};

/// Length in bytes of an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

mod field {
    pub(super) const HARDWARE: usize = 0;
    pub(super) const PROTOCOL: usize = 2;
    pub(super) const LENGTHS: usize = 4;
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_MAC: usize = 8;
    pub(super) const SENDER_IP: usize = 14;
    pub(super) const TARGET_MAC: usize = 18;
    pub(super) const TARGET_IP: usize = 24;
}

const HARDWARE_ETHERNET: u16 = 1;
/// Address lengths: 6 bytes of MAC, 4 of IP.
const LENGTHS: [u8; 2] = [6, 4];

/// What an ARP packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ArpOperation {
    /// Who has the target's IP address?
    Request = 1,
    /// The sender's IP address is at the sender's MAC address.
    Reply = 2,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArpRepr {
    /// What it is for.
    pub operation: ArpOperation,
    /// MAC address of the sender.
    pub sender_mac: MacAddr,
    /// IP address of the sender; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// MAC address of the target; meaningless in a request.
    pub target_mac: MacAddr,
    /// IP address of the target.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// A request for the MAC address of `target_ip`.
    #[inline]
    pub const fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        let target_mac = MacAddr::ZERO;
        Self {
            operation: ArpOperation::Request,
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        }
    }

    /// The reply that `mac` has the address this request asks for.
    #[inline]
    pub const fn reply(&self, mac: MacAddr) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Reads the packet that `payload` (of an Ethernet frame, maybe padded) begins with.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]; [`ParseError::Version`] if it is not for IPv4 over Ethernet;
    /// [`ParseError::Malformed`] if it is neither request nor reply.
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let data = payload.get(..PACKET_LEN).ok_or(ParseError::Truncated)?;
        if u16_at(data, field::HARDWARE) != HARDWARE_ETHERNET
            || u16_at(data, field::PROTOCOL) != EtherType::IPV4.0
            || array(data, field::LENGTHS) != LENGTHS
        {
            return Err(ParseError::Version);
        }
        let operation = match u16_at(data, field::OPERATION) {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return Err(ParseError::Malformed),
        };
        Ok(Self {
            operation,
            sender_mac: MacAddr(array(data, field::SENDER_MAC)),
            sender_ip: ipv4_at(data, field::SENDER_IP),
            target_mac: MacAddr(array(data, field::TARGET_MAC)),
            target_ip: ipv4_at(data, field::TARGET_IP),
        })
    }

    /// Writes the [`PACKET_LEN`] bytes of the packet.
    ///
    /// # Panics
    /// If `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        put_u16(out, field::HARDWARE, HARDWARE_ETHERNET);
        put_u16(out, field::PROTOCOL, EtherType::IPV4.0);
        put(out, field::LENGTHS, LENGTHS);
        put_u16(out, field::OPERATION, self.operation as u16);
        put(out, field::SENDER_MAC, self.sender_mac.0);
        put(out, field::SENDER_IP, self.sender_ip.octets());
        put(out, field::TARGET_MAC, self.target_mac.0);
        put(out, field::TARGET_IP, self.target_ip.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `10.42.0.1` asks for `10.42.0.2`.
    const REQUEST: [u8; 28] = [
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x0a,
        0x2a, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x2a, 0x00, 0x02,
    ];
    const ASKER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0a]);
    const ASKED: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0b]);

    #[test]
    fn parses_and_emits() {
        let [a, b] = [1, 2].map(|host| Ipv4Addr::new(10, 42, 0, host));
        let repr = ArpRepr::parse(&REQUEST).unwrap();
        assert_eq!(repr, ArpRepr::request(ASKER, a, b));
        let mut out = [0xff; PACKET_LEN];
        repr.emit(&mut out);
        assert_eq!(out, REQUEST);
    }

    #[test]
    fn replies_turn_the_request_round() {
        let request = ArpRepr::parse(&REQUEST).unwrap();
        let reply = request.reply(ASKED);
        assert_eq!(reply.operation, ArpOperation::Reply);
        assert_eq!(
            (reply.sender_mac, reply.sender_ip),
            (ASKED, request.target_ip)
        );
        assert_eq!(
            (reply.target_mac, reply.target_ip),
            (ASKER, request.sender_ip)
        );
        let mut out = [0; PACKET_LEN];
        reply.emit(&mut out);
        assert_eq!(ArpRepr::parse(&out), Ok(reply));
    }

    #[test]
    fn other_kinds_are_refused() {
        for (at, byte, error) in [
            (1, 6, ParseError::Version),
            (2, 0x86, ParseError::Version),
            (4, 8, ParseError::Version),
            (5, 16, ParseError::Version),
            (7, 0, ParseError::Malformed),
            (7, 3, ParseError::Malformed),
            (6, 1, ParseError::Malformed),
        ] {
            let mut damaged = REQUEST;
            damaged[at] = byte;
            assert_eq!(ArpRepr::parse(&damaged), Err(error), "byte {at}");
        }
        for len in 0..PACKET_LEN {
            assert_eq!(ArpRepr::parse(&REQUEST[..len]), Err(ParseError::Truncated));
        }
    }
}
