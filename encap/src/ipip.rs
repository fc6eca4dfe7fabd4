//! IP in IP, all four pairs: 4in4 (RFC 2003), 6in4 (RFC 4213), 4in6 and 6in6 (RFC 2473).
//!
//! There is no header of its own: the outer protocol number says what is inside, so that one
//! template serves both inner versions. Nothing tells several networks of two nodes apart.

use crate::{
    EtherType, IpProtocol, ParseError, Template, TemplateBuilder,
    decap::{Decap, DecapError, TunnelKey},
    ip::IpVersion,
    template::{Carrier, Inner, TemplateError, TunnelHeader},
};

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

/// Recognises `packet`, which was announced as an IP packet of the given version.
///
/// # Errors
/// [`DecapError`]
#[inline]
pub fn decap(version: IpVersion, packet: &[u8]) -> Result<Decap, DecapError> {
    Decap::new(TunnelKey::Ipip, packet, 0, version.ethertype())
}

/// The header that is none.
pub(crate) struct NoHeader;

/// Where the inner packet begins, and what it is, as far as that can be told at a glance.
#[inline]
pub(crate) fn glance(packet: &[u8]) -> Option<(usize, EtherType)> {
    let version = IpVersion::of(packet).ok()?;
    Some((0, version.ethertype()))
}

impl TunnelHeader for NoHeader {
    fn carrier(&self) -> Carrier {
        Carrier::InnerIp
    }

    fn len(&self) -> usize {
        0
    }

    fn protocol_offset(&self) -> Option<usize> {
        None
    }

    fn emit(&self, _protocol: EtherType, _out: &mut [u8]) {}
}

impl TemplateBuilder {
    /// A template for IP packets of either version, directly in IP.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn ipip(&self) -> Result<Template, TemplateError> {
        self.build(&NoHeader, Inner::Ip)
    }
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
