use std::vec::Vec;

use super::*;
use crate::segment::tests::{bytes, cut, tcp, udp};

/// Three consecutive segments, the second changed by `change` (with checksums made right again).
fn second_changed(change: impl Fn(&mut Vec<u8>)) -> bool {
    let segments = cut(&tcp(false, 1, 0x10, 7, &bytes(3000)), 1000);
    let mut second = segments[1].clone();
    change(&mut second);
    let mut view = Ipv4Packet::new_unchecked(&mut second[..]);
    view.fill_checksum();
    let pseudo = view.pseudo_header((view.total_len() - 20) as u16);
    TcpPacket::new_unchecked(&mut second[20..]).fill_checksum(pseudo);
    let mut merged = Coalescer::begin(&segments[0]).unwrap();
    merged.push(&segments[0], &second)
}

#[test]
fn different_headers_are_not_merged() {
    assert!(second_changed(|_| ()));
    let fields = [
        ("tos", 1),
        ("ident", 5),
        ("flags", 6),
        ("ttl", 8),
        ("source", 15),
        ("destination", 19),
        ("source port", 21),
        ("destination port", 23),
        ("sequence number", 27),
        ("acknowledgement", 31),
        ("reserved bits", 32),
        ("window", 35),
        ("option", 45),
    ];
    for (name, at) in fields {
        assert!(!second_changed(|packet| packet[at] ^= 1), "{name}");
    }
    for flag in [0x01, 0x02, 0x04, 0x20, 0x40, 0x80] {
        assert!(
            !second_changed(|packet| packet[33] ^= flag),
            "flag {flag:#x}"
        );
    }
    assert!(
        second_changed(|packet| packet[33] ^= 0x08),
        "PSH ends a super-frame"
    );
}

#[test]
fn bad_checksums_are_not_merged() {
    let segments = cut(&tcp(false, 1, 0x10, 7, &bytes(3000)), 1000);
    for at in [10, 36, 100, 999] {
        let mut bad = segments[1].clone();
        bad[at] ^= 0x40;
        let mut merged = Coalescer::begin(&segments[0]).unwrap();
        assert!(!merged.push(&segments[0], &bad), "byte {at}");
        let mut bad = segments[0].clone();
        bad[at] ^= 0x40;
        assert!(Coalescer::begin(&bad).is_none(), "byte {at}");
    }
    let mut no_checksum = udp(false, &bytes(100));
    no_checksum[26..28].fill(0);
    assert!(Coalescer::begin(&no_checksum).is_none());
}

#[test]
fn a_push_or_a_short_segment_is_the_last() {
    let segments = cut(&tcp(false, 1, 0x18, 7, &bytes(2500)), 1000);
    let mut merged = Coalescer::begin(&segments[0]).unwrap();
    assert!(merged.push(&segments[0], &segments[1]));
    assert!(merged.push(&segments[0], &segments[2]));
    let next = tcp(false, 1 + 2500, 0x10, 10, &bytes(1000));
    assert!(!merged.push(&segments[0], &next));
    let pushed = tcp(false, 1, 0x18, 7, &bytes(1000));
    let mut merged = Coalescer::begin(&pushed).unwrap();
    assert!(!merged.push(&pushed, &tcp(false, 1001, 0x10, 8, &bytes(1000))));
    let longer = tcp(false, 1001, 0x10, 8, &bytes(1001));
    let mut merged = Coalescer::begin(&segments[0]).unwrap();
    assert!(!merged.push(&segments[0], &longer));
}

#[test]
fn a_super_frame_is_no_longer_than_a_packet_may_be() {
    let segments = cut(&tcp(false, 1, 0x10, 0, &bytes(65_535 - 52)), 1000);
    let mut merged = Coalescer::begin(&segments[0]).unwrap();
    for segment in &segments[1..] {
        assert!(merged.push(&segments[0], segment));
    }
    assert_eq!(merged.header_len() + merged.payload_len(), 65_535);
    let segments = cut(&tcp(false, 1, 0x10, 0, &bytes(65_000)), 1000);
    let mut merged = Coalescer::begin(&segments[0]).unwrap();
    assert!(
        segments[1..]
            .iter()
            .all(|segment| merged.push(&segments[0], segment))
    );
    assert!(!merged.push(&segments[0], &tcp(false, 65_001, 0x10, 65, &bytes(1000))));
}

#[test]
fn pure_acknowledgements_and_fragments_are_not_merged() {
    assert!(Coalescer::begin(&tcp(false, 1, 0x10, 0, &[])).is_none());
    assert!(Coalescer::begin(&tcp(false, 1, 0x11, 0, b"fin")).is_none());
    let mut fragment = udp(false, &bytes(100));
    fragment[6] = 0x20;
    Ipv4Packet::new_unchecked(&mut fragment[..]).fill_checksum();
    assert!(Coalescer::begin(&fragment).is_none());
}

#[test]
fn the_super_frame_describes_itself() {
    for (six, start) in [(false, 20), (true, 40)] {
        let segments = cut(&tcp(six, 1, 0x10, 7, &bytes(2500)), 1000);
        let mut merged = Coalescer::begin(&segments[0]).unwrap();
        assert!(
            segments[1..]
                .iter()
                .all(|segment| merged.push(&segments[0], segment))
        );
        let mut header = segments[0].clone();
        let found = merged.finish(&mut header);
        let expected = SuperFrame {
            version: if six { IpVersion::V6 } else { IpVersion::V4 },
            protocol: Protocol::Tcp,
            header_len: start + 32,
            segment_len: 1000,
            checksum_start: start,
            checksum_offset: 16,
        };
        assert_eq!(found, expected);
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_merged_or_refused(
        first in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
        next in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
    ) {
        if let Some(mut merged) = Coalescer::begin(&first) {
            merged.push(&first, &next);
        }
        let good = udp(false, &bytes(60));
        Coalescer::begin(&good).unwrap().push(&good, &next);
    }
}
