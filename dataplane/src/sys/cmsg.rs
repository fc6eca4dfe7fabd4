//! The control messages of underlay sockets: how large the datagrams of a train are, and
//! the traffic class and the time to live of their outer IP headers; received and to be sent alike.
//! Also the encapsulation limit of what is sent.
//!
//! Messages are encoded and parsed as bytes, with every length checked.

use std::mem::offset_of;

use ringlay_encap::IpProtocol;
use ringlay_encap::encap_limit::{self, OPTION_HEADER_LEN};

use crate::frame::{Frame, Meta};

/// Room for the control messages of one datagram: three, with an integer or so much each.
pub const CONTROL_LEN: usize = 3 * SPACE;

/// Storage for the control messages of one datagram.
pub type ControlBytes = [u8; CONTROL_LEN];

/// The kernel's `struct cmsghdr`: `size_t` length, level and type (`linux/socket.h`).
const HEADER_LEN: usize = align(size_of::<libc::cmsghdr>());
const LEVEL: usize = offset_of!(libc::cmsghdr, cmsg_level);
const TYPE: usize = offset_of!(libc::cmsghdr, cmsg_type);

/// Bytes of a message with an integer, an encapsulation limit, or less, in it.
const SPACE: usize = align(HEADER_LEN + OPTION_HEADER_LEN);

const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// What control messages say of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ancillary {
    /// Payload bytes of each datagram of a train (`UDP_GRO`, `UDP_SEGMENT`: `udp(7)`); zero
    /// for a single one.
    pub segment_size: u16,
    /// Traffic class of the IP header (`IP_TOS`: `ip(7)`, `IPV6_TCLASS`: RFC 3542).
    pub traffic_class: u8,
    /// Time to live or hop limit (`IP_TTL`: `ip(7)`, `IPV6_HOPLIMIT`: RFC 3542); zero if not said.
    pub ttl: u8,
}

/// Encodes what the kernel must be told to send `frame`, and returns how many bytes count:
/// none for a single datagram of traffic class zero and the usual time to live.
#[inline]
pub fn encode(frame: &Frame, out: &mut ControlBytes) -> usize {
    let mut len = 0;
    let meta = &frame.meta;
    if meta.segment_size > 0 && usize::from(meta.segment_size) < frame.len() {
        let size = meta.segment_size.to_ne_bytes();
        len += put(libc::SOL_UDP, libc::UDP_SEGMENT, size, &mut out[len..]);
    }
    len + encode_ip_fields(meta, &mut out[len..])
}

/// Like [`encode`], for the packets of a train that are sent one by one, by raw sockets with their
/// encapsulation limit (RFC 2473 section 4.1.1; `IPV6_DSTOPTS`: RFC 3542).
#[inline]
pub fn encode_packet(meta: &Meta, out: &mut ControlBytes) -> usize {
    let len = encode_ip_fields(meta, out);
    let Some(limit) = meta.encap_limit.filter(|_| meta.remote.is_ipv6()) else {
        return len;
    };
    let mut header = [0; OPTION_HEADER_LEN];
    // The kernel knows what follows.
    encap_limit::emit(IpProtocol(0), limit, &mut header);
    let (level, kind) = (libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS);
    len + put(level, kind, header, &mut out[len..])
}

#[inline]
fn encode_ip_fields(meta: &Meta, out: &mut [u8]) -> usize {
    if meta.traffic_class == 0 && meta.ttl == 0 {
        return 0;
    }
    let (level, class, ttl) = if meta.remote.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT)
    };
    let mut len = 0;
    for (kind, value) in [(class, meta.traffic_class), (ttl, meta.ttl)] {
        if value != 0 {
            let value = libc::c_int::from(value).to_ne_bytes();
            len += put(level, kind, value, &mut out[len..]);
        }
    }
    len
}

/// Writes one message and returns how far the next one is away.
#[inline]
fn put<const N: usize>(level: i32, kind: i32, data: [u8; N], out: &mut [u8]) -> usize {
    out[..size_of::<usize>()].copy_from_slice(&(HEADER_LEN + N).to_ne_bytes());
    out[LEVEL..LEVEL + 4].copy_from_slice(&level.to_ne_bytes());
    out[TYPE..TYPE + 4].copy_from_slice(&kind.to_ne_bytes());
    out[HEADER_LEN..HEADER_LEN + N].copy_from_slice(&data);
    align(HEADER_LEN + N)
}

/// Reads received control messages as far as they are whole. What they do not say is zero.
#[inline]
pub fn parse(mut control: &[u8]) -> Ancillary {
    let mut ancillary = Ancillary::default();
    while let Some((level, kind, data, rest)) = first(control) {
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = integer(data).and_then(|size| u16::try_from(size).ok());
                ancillary.segment_size = size.unwrap_or(0);
            }
            // The kernel gives a byte here and an integer there.
            (libc::IPPROTO_IP, libc::IP_TOS) => {
                ancillary.traffic_class = data.first().copied().unwrap_or(0);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => ancillary.traffic_class = byte(data),
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                ancillary.ttl = byte(data);
            }
            _ => {}
        }
        control = rest;
    }
    ancillary
}

/// Level, type and data of the first message, and what follows it.
#[inline]
fn first(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(take(control, 0)?);
    let level = i32::from_ne_bytes(take(control, LEVEL)?);
    let kind = i32::from_ne_bytes(take(control, TYPE)?);
    let data = control.get(HEADER_LEN..len)?;
    let next = len.next_multiple_of(size_of::<usize>());
    Some((level, kind, data, control.get(next..).unwrap_or_default()))
}

#[inline]
fn integer(data: &[u8]) -> Option<i32> {
    take(data, 0).map(i32::from_ne_bytes)
}

/// The integer, if it fits.
#[inline]
fn byte(data: &[u8]) -> u8 {
    let byte = integer(data).and_then(|value| u8::try_from(value).ok());
    byte.unwrap_or(0)
}

#[inline]
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mempool::Mempool;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_LEN + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(align(bytes.len()), 0);
        bytes
    }

    fn gro(size: i32) -> Vec<u8> {
        message(libc::SOL_UDP, libc::UDP_GRO, &size.to_ne_bytes())
    }

    fn size(control: &[u8]) -> u16 {
        parse(control).segment_size
    }

    #[test]
    fn messages_are_found_behind_others() {
        let mut control = message(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[9; 13]);
        let before = control.len();
        control.extend(message(libc::IPPROTO_IP, libc::IP_TOS, &[0xb9]));
        control.extend(gro(1400));
        let whole = Ancillary {
            segment_size: 1400,
            traffic_class: 0xb9,
            ttl: 0,
        };
        assert_eq!(parse(&control), whole);
        assert_eq!(parse(&[]), Ancillary::default());
        for cut in 0..control.len() - 4 {
            let class = if cut > before + HEADER_LEN { 0xb9 } else { 0 };
            let cut_short = Ancillary {
                segment_size: 0,
                traffic_class: class,
                ttl: 0,
            };
            assert_eq!(parse(&control[..cut]), cut_short, "cut to {cut}");
        }
    }

    #[test]
    fn lying_lengths_end_the_search() {
        for len in [
            0,
            1,
            HEADER_LEN - 1,
            HEADER_LEN,
            HEADER_LEN + 3,
            4096,
            usize::MAX,
        ] {
            let mut control = gro(1400);
            control[..8].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(size(&control), 0, "length {len}");
        }
    }

    #[test]
    fn impossible_values_are_ignored() {
        for value in [0, -1, 65_536] {
            assert_eq!(size(&gro(value)), 0);
        }
        for value in [-1, 256] {
            let class = i32::to_ne_bytes(value);
            for kind in [libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT] {
                let control = message(libc::IPPROTO_IPV6, kind, &class);
                assert_eq!(parse(&control), Ancillary::default());
            }
        }
    }

    #[test]
    fn an_encapsulation_limit_is_sent_with_packets_over_ipv6() {
        let mut frame = Mempool::new(1).unwrap().allocate().unwrap();
        frame.meta.encap_limit = Some(7);
        for (remote, ttl, expected) in [
            ("192.0.2.1:0", 0, 0),
            ("[2001:db8::1]:0", 0, 24),
            ("[2001:db8::1]:0", 9, 3 * 24),
        ] {
            frame.meta.remote = remote.parse().unwrap();
            (frame.meta.ttl, frame.meta.traffic_class) = (ttl, ttl);
            let mut bytes = [0; CONTROL_LEN];
            let len = encode_packet(&frame.meta, &mut bytes);
            assert_eq!(len, expected);
            if len > 0 {
                let options = [0, 0, 4, 1, 7, 1, 1, 0];
                let whole = message(libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, &options);
                assert!(bytes[..len].ends_with(&whole));
            }
            assert_eq!(encode(&frame, &mut bytes), expected.saturating_sub(24));
        }
    }

    #[test]
    fn the_time_to_live_is_read() {
        for (level, kind) in [
            (libc::IPPROTO_IP, libc::IP_TTL),
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
        ] {
            let control = message(level, kind, &255i32.to_ne_bytes());
            assert_eq!(parse(&control).ttl, 255);
        }
    }

    #[test]
    fn what_is_encoded_fits_its_storage() {
        let pool = Mempool::new(1).unwrap();
        let mut frame = pool.copy_of(&[0; 3000]).unwrap();
        for (remote, class_message) in [
            (
                "192.0.2.1:4789",
                message(libc::IPPROTO_IP, libc::IP_TOS, &3i32.to_ne_bytes()),
            ),
            (
                "[2001:db8::1]:4789",
                message(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &3i32.to_ne_bytes()),
            ),
        ] {
            frame.meta.remote = remote.parse().unwrap();
            let train = message(libc::SOL_UDP, libc::UDP_SEGMENT, &1400u16.to_ne_bytes());
            for (size, class, expected) in [
                (0, 0, vec![]),
                (3000, 0, vec![]),
                (1400, 0, train.clone()),
                (0, 3, class_message.clone()),
                (1400, 3, [train, class_message].concat()),
            ] {
                (frame.meta.segment_size, frame.meta.traffic_class) = (size, class);
                let mut bytes = [0; CONTROL_LEN];
                let len = encode(&frame, &mut bytes);
                assert_eq!(bytes[..len], expected[..]);
                frame.meta.ttl = 9;
                let len = encode(&frame, &mut bytes);
                let nine = 9i32.to_ne_bytes();
                let ttl = match frame.meta.remote.is_ipv4() {
                    true => message(libc::IPPROTO_IP, libc::IP_TTL, &nine),
                    false => message(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &nine),
                };
                assert_eq!(bytes[..len], [expected, ttl].concat());
                frame.meta.ttl = 0;
            }
        }
    }
}
