//! IP in IP (RFC 2003 for IPv4, RFC 2473 and RFC 4213 for the other pairs).
//!
//! There is no header of its own: the outer protocol number says what is inside. Outer headers are
//! made by [`Template`](crate::Template).

use crate::{EtherType, IpProtocol, ParseError, ip::IpVersion};

/// What RFC 2003 adds to an IPv4 packet, in bytes: one more IPv4 header.
pub const OVERHEAD: usize = crate::ipv4::HEADER_LEN;

/// The outer protocol number that announces a packet of the type `ethertype`; none if it is not IP.
#[inline]
pub const fn protocol(ethertype: EtherType) -> Option<IpProtocol> {
    match ethertype {
        EtherType::IPV4 => Some(IpProtocol::IPIP),
        EtherType::IPV6 => Some(IpProtocol::IPV6),
        _ => None,
    }
}

/// Checks that `payload`, which came with the outer protocol number `protocol`, begins with an IP
/// packet of that kind, and says which. The packet itself is not checked.
///
/// # Errors
/// [`ParseError::Truncated`] if empty, [`ParseError::Version`] if it is none, or another.
#[inline]
pub fn parse(protocol: IpProtocol, payload: &[u8]) -> Result<IpVersion, ParseError> {
    let version = IpVersion::of(payload)?;
    if version.protocol() != protocol {
        return Err(ParseError::Version);
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_and_the_packet_must_agree() {
        assert_eq!(parse(IpProtocol::IPIP, &[0x45]), Ok(IpVersion::V4));
        assert_eq!(parse(IpProtocol::IPV6, &[0x60]), Ok(IpVersion::V6));
        assert_eq!(parse(IpProtocol::IPIP, &[0x60]), Err(ParseError::Version));
        assert_eq!(parse(IpProtocol::IPV6, &[0x45]), Err(ParseError::Version));
        assert_eq!(parse(IpProtocol::UDP, &[0x45]), Err(ParseError::Version));
        assert_eq!(parse(IpProtocol::IPIP, &[]), Err(ParseError::Truncated));
    }

    #[test]
    fn only_ip_goes_inside() {
        assert_eq!(protocol(EtherType::IPV4), Some(IpProtocol::IPIP));
        assert_eq!(protocol(EtherType::IPV6), Some(IpProtocol::IPV6));
        assert_eq!(protocol(EtherType::ARP), None);
    }
}
