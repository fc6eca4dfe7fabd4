//! Bytes of GRE headers, written down by hand from the RFCs' figures.

use std::vec::Vec;

use super::*;
use crate::decap::InnerType;

/// All optional fields, around two bytes.
const FULL: [u8; 18] = [
    0xb0, 0x00, 0x65, 0x58, 0x89, 0x13, 0, 0, 0, 0, 0, 42, 0, 0, 0, 7, b'a', b'b',
];

#[test]
fn reads_every_field() {
    let view = GrePacket::new_checked(FULL).unwrap();
    assert_eq!(
        (view.header_len(), view.protocol()),
        (16, EtherType::BRIDGED)
    );
    assert_eq!(view.checksum(), Some(0x8913));
    assert_eq!((view.key(), view.sequence()), (Some(GreKey(42)), Some(7)));
    assert_eq!(view.payload(), b"ab");

    let plain = GrePacket::new_checked([0, 0, 0x08, 0x00, 0x45]).unwrap();
    assert_eq!((plain.header_len(), plain.protocol()), (4, EtherType::IPV4));
    assert_eq!(
        (plain.checksum(), plain.key(), plain.sequence()),
        (None, None, None)
    );
    assert!(plain.verify_checksum());
    assert_eq!(plain.payload(), [0x45]);
}

#[test]
fn every_combination_of_fields_round_trips() {
    for bits in 0..8 {
        let header = GreHeader {
            protocol: EtherType::IPV6,
            has_checksum: bits & 1 != 0,
            key: (bits & 2 != 0).then_some(GreKey(0xdead_beef)),
            sequence: (bits & 4 != 0).then_some(0x0102_0304),
        };
        let mut bytes = [0xff; HEADER_MAX + 3];
        header.emit(&mut bytes);
        let len = header.header_len() + 3;
        assert_eq!(len, 7 + 4 * (bits as u32).count_ones() as usize);
        let mut view = GrePacket::new_checked(&mut bytes[..len]).unwrap();
        view.fill_checksum();
        assert!(view.verify_checksum());
        assert_eq!(GreHeader::parse(&bytes[..len]), Ok(header), "{bits}");
        if header.has_checksum {
            bytes[len - 1] ^= 1;
            assert_eq!(GreHeader::parse(&bytes[..len]), Err(ParseError::Checksum));
        }
    }
}

#[test]
fn reserved_bits_are_ignored_or_refused_as_rfc_2784_says() {
    // Section 2.3: bits 1 to 5 must be zero, of which RFC 2890 took 2 and 3; 6 to 12 are ignored.
    for bit in 0..16 {
        let flags: u16 = 0x8000 >> bit;
        let mut bytes = [0; 12];
        put_u16(&mut bytes, 0, flags);
        let parsed = GrePacket::new_checked(&bytes).map(|view| view.header_len());
        let expected = match bit {
            0 | 2 | 3 => Ok(8),
            1 | 4 | 5 => Err(ParseError::Malformed),
            6..=12 => Ok(4),
            _ => Err(ParseError::Version),
        };
        assert_eq!(parsed, expected, "bit {bit}");
    }
    // The bytes behind the checksum are reserved as well.
    let mut bytes = FULL;
    bytes[6] = 0x5a;
    GrePacket::new_checked(&mut bytes[..])
        .unwrap()
        .fill_checksum();
    assert!(GreHeader::parse(&bytes).is_ok());
}

#[test]
fn truncation_is_an_error_at_every_length() {
    for len in 0..HEADER_MAX {
        let parsed = GrePacket::new_checked(&FULL[..len]).map(|_| ());
        assert_eq!(parsed, Err(ParseError::Truncated), "{len}");
    }
}

#[test]
fn decapsulation_says_what_is_inside() {
    let gre = |header: &[u8], inner: &[u8]| -> Vec<u8> { [header, inner].concat() };
    let ip = decap(&gre(&[0, 0, 0x86, 0xdd], &[0x60, 0])).unwrap();
    assert_eq!(
        (ip.key, ip.inner),
        (
            TunnelKey::Gre(None),
            InnerType::Ip(crate::ip::IpVersion::V6)
        )
    );
    assert_eq!(ip.offset, 4);
    let frame = decap(&gre(&[0x20, 0, 0x65, 0x58, 0, 0, 0, 9], &[0; 14])).unwrap();
    assert_eq!(
        (frame.key, frame.inner),
        (TunnelKey::Gre(Some(GreKey(9))), InnerType::Ethernet)
    );
    assert_eq!(frame.offset, 8);
    let lie = gre(&[0, 0, 0x86, 0xdd], &[0x45, 0]);
    assert_eq!(decap(&lie), Err(DecapError::InnerProtocol));
    // A keepalive of Cisco's has protocol 0 in its inner header; MPLS is not ours.
    let mpls = gre(&[0, 0, 0x88, 0x47], &[0; 20]);
    assert_eq!(decap(&mpls), Err(DecapError::InnerProtocol));
    let mut damaged = FULL.to_vec();
    damaged.extend([1; 12]);
    assert_eq!(decap(&damaged[..]), Err(DecapError::Checksum));
    GrePacket::new_checked(&mut damaged[..])
        .unwrap()
        .fill_checksum();
    assert_eq!(decap(&damaged).map(|found| found.offset), Ok(16));
}
