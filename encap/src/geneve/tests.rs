//! Bytes of Geneve headers, written down by hand from the RFC's figures.

use std::vec::Vec;

use super::*;
use crate::{decap::InnerType, ip::IpVersion};

/// OVN's metadata: class 0x0102, type 0x80 (critical), four bytes.
const OVN: OptionKind = OptionKind {
    class: 0x0102,
    kind: 0x80,
};
const OVN_OPTION: [u8; 8] = [0x01, 0x02, 0x80, 0x01, 0, 3, 0, 5];
/// Another, which may be skipped.
const HINT: [u8; 4] = [0xff, 0x00, 0x01, 0x00];

fn datagram(first: u8, flags: u8, options: &[u8], inner: &[u8]) -> Vec<u8> {
    let header = [first, flags, 0x65, 0x58, 0, 0, 42, 0];
    [&header[..], options, inner].concat()
}

#[test]
fn reads_every_field() {
    let options = [&OVN_OPTION[..], &HINT].concat();
    let bytes = datagram(3, 0xc0, &options, b"ab");
    let view = GenevePacket::new_checked(&bytes).unwrap();
    assert_eq!((view.header_len(), view.vni().value()), (20, 42));
    assert_eq!(view.protocol(), EtherType::BRIDGED);
    assert!(view.is_control() && view.has_critical_options());
    assert_eq!(view.payload(), b"ab");
    let found: Vec<_> = view.options().map(Result::unwrap).collect();
    assert_eq!((found[0].kind, found[0].data), (OVN, &[0, 3, 0, 5][..]));
    assert_eq!((found[1].kind.class, found[1].kind.kind), (0xff00, 1));
    assert!(found[0].kind.is_critical() && !found[1].kind.is_critical());
    assert_eq!((found[1].data, found.len()), (&[][..], 2));
}

#[test]
fn emits_what_it_parses() {
    for (flags, options) in [
        (0x00, &[][..]),
        (0x80, &HINT[..]),
        (0x40, &OVN_OPTION[..]),
        (0xc0, &[&HINT[..], &OVN_OPTION, &HINT].concat()),
    ] {
        let bytes = datagram((options.len() / 4) as u8, flags, options, b"");
        let header = GeneveHeader::parse(&bytes).unwrap();
        let mut out = [0xff; 64];
        header.emit(&mut out);
        assert_eq!(out[..header.header_len()], bytes);
    }
}

#[test]
fn options_are_written_one_after_another() {
    let data = [0, 3, 0, 5];
    let written = [
        GeneveOption {
            kind: OVN,
            data: &data,
        },
        GeneveOption {
            kind: OptionKind {
                class: 0xff00,
                kind: 1,
            },
            data: &[],
        },
    ];
    let mut out = [0xff; 12];
    assert_eq!(options::emit(&written, &mut out), 12);
    assert_eq!(out, [&OVN_OPTION[..], &HINT].concat()[..]);
    assert!(GeneveOptions::new(&out).map(Result::unwrap).eq(written));
}

#[test]
fn reserved_bits_are_ignored_on_receipt() {
    let mut bytes = datagram(1, 0x3f, &[0xff, 0x00, 0x01, 0xe0], &[0; 14]);
    bytes[7] = 0xff;
    let found = decap(&bytes, &[]).unwrap();
    assert_eq!((found.offset, found.inner), (12, InnerType::Ethernet));
}

#[test]
fn unknown_options_are_skipped_unless_critical() {
    let decap_with = |flags, options: &[u8], known: &[OptionKind]| {
        let bytes = datagram((options.len() / 4) as u8, flags, options, &[0; 14]);
        decap(&bytes, known).map(|found| found.offset)
    };
    assert_eq!(decap_with(0, &[], &[]), Ok(8));
    assert_eq!(decap_with(0, &HINT, &[]), Ok(12));
    // The C bit alone forbids nothing: it says that there may be something to look for.
    assert_eq!(decap_with(0x40, &HINT, &[]), Ok(12));
    assert_eq!(
        decap_with(0x40, &OVN_OPTION, &[]),
        Err(DecapError::CriticalOption)
    );
    assert_eq!(
        decap_with(0x00, &OVN_OPTION, &[]),
        Err(DecapError::CriticalOption)
    );
    assert_eq!(decap_with(0x40, &OVN_OPTION, &[OVN]), Ok(16));
    let both = [&HINT[..], &OVN_OPTION].concat();
    assert_eq!(decap_with(0x40, &both, &[OVN]), Ok(20));
    assert_eq!(
        decap_with(0x40, &both, &[]),
        Err(DecapError::CriticalOption)
    );
}

#[test]
fn options_must_add_up() {
    for options in [
        &[0xff, 0x00, 0x01, 0x01][..],
        &[0xff, 0x00, 0x01, 0x1f, 0, 0, 0, 0],
        &[0xff, 0x00, 0x01, 0x01, 0, 0, 0, 0, 0x01, 0x02, 0x80, 0x01],
    ] {
        let bytes = datagram((options.len() / 4) as u8, 0, options, &[0; 200]);
        assert_eq!(decap(&bytes, &[]), Err(DecapError::Header), "{options:?}");
        assert_eq!(GeneveHeader::parse(&bytes), Err(ParseError::Length));
    }
}

#[test]
fn control_messages_are_told_apart() {
    let bytes = datagram(0, 0x80, &[], &[0; 14]);
    assert_eq!(decap(&bytes, &[]), Err(DecapError::Control));
}

#[test]
fn other_versions_and_truncation_are_errors() {
    for first in [0x40, 0x80, 0xc0] {
        let bytes = datagram(first, 0, &[], &[0; 14]);
        assert_eq!(decap(&bytes, &[]), Err(DecapError::Header));
        assert_eq!(GeneveHeader::parse(&bytes), Err(ParseError::Version));
    }
    let bytes = datagram(2, 0x40, &OVN_OPTION, &[0; 14]);
    for len in 0..bytes.len() {
        assert_eq!(
            decap(&bytes[..len], &[OVN]),
            Err(DecapError::Truncated),
            "{len}"
        );
    }
    assert!(decap(&bytes, &[OVN]).is_ok());
}

#[test]
fn the_inner_packet_may_be_ip() {
    for (protocol, first, expected) in [
        ([0x08, 0x00], 0x45, Ok(InnerType::Ip(IpVersion::V4))),
        ([0x86, 0xdd], 0x60, Ok(InnerType::Ip(IpVersion::V6))),
        ([0x86, 0xdd], 0x45, Err(DecapError::InnerProtocol)),
        ([0x08, 0x06], 0x45, Err(DecapError::InnerProtocol)),
    ] {
        let mut bytes = datagram(0, 0, &[], &[first; 40]);
        bytes[2..4].copy_from_slice(&protocol);
        assert_eq!(decap(&bytes, &[]).map(|found| found.inner), expected);
    }
}
