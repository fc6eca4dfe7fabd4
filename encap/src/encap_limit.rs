//! The tunnel encapsulation limit of IPv6 (RFC 2473, sections 4.1.1 and 5.1): how many more tunnels
//! a packet may enter, in a destination options header.
//!
//! Reads and writes the option, and decides. Templates do not have one: most tunnels need none, and
//! routers between them punish extension headers (RFC 7872).

use thiserror::Error;

use crate::{
    IpProtocol, Ipv6Packet, ParseError,
    ipv6::{EXTENSIONS_MAX, HEADER_LEN, extension_len, is_extension},
};

/// Length in bytes of the header that [`emit`] writes.
pub const OPTION_HEADER_LEN: usize = 8;

mod option {
    pub(super) const PAD_1: u8 = 0;
    pub(super) const PAD_N: u8 = 1;
    /// Tunnel encapsulation limit: one byte of data.
    pub(super) const LIMIT: u8 = 4;
}

/// A limit, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// How many more tunnels the packet may enter.
    pub limit: u8,
    /// Where the limit is, in bytes from the start of the packet: what an ICMPv6 parameter problem
    /// points at.
    pub at: usize,
}

/// The limit in the IPv6 packet `packet`, if it has one. What stands behind the headers is not
/// looked at.
///
/// # Errors
/// [`ParseError`], if a header before it is truncated or malformed.
pub fn of_packet(packet: &[u8]) -> Result<Option<u8>, ParseError> {
    Ok(find(packet)?.map(|found| found.limit))
}

/// As [`of_packet`], with its place.
///
/// # Errors
/// [`ParseError`], if a header before it is truncated or malformed.
pub fn find(packet: &[u8]) -> Result<Option<Found>, ParseError> {
    let view = Ipv6Packet::new_header_checked(packet)?;
    let mut protocol = view.next_header();
    let mut at = HEADER_LEN;
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(protocol) {
            break;
        }
        let rest = packet.get(at..).ok_or(ParseError::Truncated)?;
        let start = rest.first_chunk().ok_or(ParseError::Truncated)?;
        let len = extension_len(protocol, start);
        let header = rest.get(..len).ok_or(ParseError::Truncated)?;
        if protocol == IpProtocol::DESTINATION_OPTIONS
            && let Some(found) = in_options(&header[2..])?
        {
            let at = at + 2 + found.at;
            return Ok(Some(Found { at, ..found }));
        }
        if protocol == IpProtocol::FRAGMENT && u16::from_be_bytes([header[2], header[3]]) > 7 {
            // What follows is a piece of the middle: no header begins there.
            break;
        }
        protocol = IpProtocol(header[0]);
        at += len;
    }
    Ok(None)
}

/// The limit among the options of a destination options header, and its place among them.
fn in_options(all: &[u8]) -> Result<Option<Found>, ParseError> {
    let mut options = all;
    while let Some((&kind, rest)) = options.split_first() {
        if kind == option::PAD_1 {
            options = rest;
            continue;
        }
        let (&len, rest) = rest.split_first().ok_or(ParseError::Length)?;
        let (data, rest) = rest
            .split_at_checked(usize::from(len))
            .ok_or(ParseError::Length)?;
        if kind == option::LIMIT {
            let &[limit] = data else {
                return Err(ParseError::Malformed);
            };
            let at = all.len() - rest.len() - data.len();
            return Ok(Some(Found { limit, at }));
        }
        options = rest;
    }
    Ok(None)
}

/// Writes a destination options header with `limit`, followed by a header of the kind
/// `next_header`; as Linux writes it (`init_tel_txopt` in `net/ipv6/ip6_tunnel.c`).
///
/// # Panics
/// If `out` is shorter than [`OPTION_HEADER_LEN`].
pub fn emit(next_header: IpProtocol, limit: u8, out: &mut [u8]) {
    let bytes = [
        next_header.0,
        0,
        option::LIMIT,
        1,
        limit,
        option::PAD_N,
        1,
        0,
    ];
    out[..OPTION_HEADER_LEN].copy_from_slice(&bytes);
}

/// A packet has entered as many tunnels as it may: it must be dropped, and its sender told by an
/// ICMPv6 parameter problem (RFC 2473, section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("the packet may not enter another tunnel")]
pub struct LimitReached;

/// The limit for the outer header around a packet with the limit `inner`, at the entry of a tunnel
/// that gives packets without one the limit `configured`.
///
/// # Errors
/// [`LimitReached`]
pub const fn outer(inner: Option<u8>, configured: Option<u8>) -> Result<Option<u8>, LimitReached> {
    match inner {
        Some(0) => Err(LimitReached),
        Some(limit) => Ok(Some(limit - 1)),
        None => Ok(configured),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::Ipv6Repr;

    fn packet(next_header: u8, extensions: &[u8]) -> Vec<u8> {
        let mut bytes = std::vec![0; HEADER_LEN];
        Ipv6Repr {
            src_addr: [0xfd; 16].into(),
            dst_addr: [0xfc; 16].into(),
            next_header: IpProtocol(next_header),
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 1,
            payload_len: extensions.len() as u16,
        }
        .emit(&mut bytes);
        bytes.extend(extensions);
        bytes
    }

    #[test]
    fn finds_what_it_writes() {
        let mut header = [0xff; OPTION_HEADER_LEN];
        emit(IpProtocol::IPIP, 4, &mut header);
        assert_eq!(of_packet(&packet(60, &header)), Ok(Some(4)));
        let at = HEADER_LEN + 4;
        assert_eq!(find(&packet(60, &header)), Ok(Some(Found { limit: 4, at })));
        // As init_tel_txopt in net/ipv6/ip6_tunnel.c.
        assert_eq!(header, [4, 0, 4, 1, 4, 1, 1, 0]);
    }

    #[test]
    fn looks_behind_other_headers_and_options() {
        let hop_by_hop = [43, 0, 5, 2, 0, 0, 1, 0];
        let routing = [60, 0, 0, 0, 0, 0, 0, 0];
        let options = [59, 1, 0, 0, 0x1e, 3, 9, 9, 9, 0, 4, 1, 200, 0, 0, 0];
        let all = [&hop_by_hop[..], &routing, &options].concat();
        assert_eq!(of_packet(&packet(0, &all)), Ok(Some(200)));
        let found = find(&packet(0, &all)).unwrap().unwrap();
        assert_eq!(packet(0, &all)[found.at], 200);
        // Pieces of the middle have no headers.
        let first = [60, 0, 0, 1, 0, 0, 0, 7];
        let later = [60, 0, 0, 9, 0, 0, 0, 7];
        assert_eq!(
            of_packet(&packet(44, &[&first[..], &options].concat())),
            Ok(Some(200))
        );
        assert_eq!(
            of_packet(&packet(44, &[&later[..], &options].concat())),
            Ok(None)
        );
    }

    #[test]
    fn most_packets_have_none() {
        assert_eq!(of_packet(&packet(17, &[0; 8])), Ok(None));
        assert_eq!(of_packet(&packet(60, &[17, 0, 1, 4, 0, 0, 0, 0])), Ok(None));
    }

    #[test]
    fn damage_is_named() {
        let whole = packet(60, &[17, 1, 4, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for len in 0..whole.len() {
            assert_eq!(
                of_packet(&whole[..len]),
                Err(ParseError::Truncated),
                "{len}"
            );
        }
        assert_eq!(of_packet(&whole), Ok(Some(9)));
        let overlong = packet(60, &[17, 0, 1, 5, 0, 0, 0, 0]);
        assert_eq!(of_packet(&overlong), Err(ParseError::Length));
        let two_bytes = packet(60, &[17, 0, 4, 2, 9, 9, 0, 0]);
        assert_eq!(of_packet(&two_bytes), Err(ParseError::Malformed));
    }

    #[test]
    fn each_tunnel_takes_one() {
        assert_eq!(outer(None, None), Ok(None));
        assert_eq!(outer(None, Some(4)), Ok(Some(4)));
        assert_eq!(outer(Some(1), Some(4)), Ok(Some(0)));
        assert_eq!(outer(Some(0), Some(4)), Err(LimitReached));
    }
}
