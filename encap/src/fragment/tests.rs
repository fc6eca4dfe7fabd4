use std::vec;
use std::vec::Vec;

use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv4Options};
use proptest::prelude::*;

use super::*;

/// A packet with these options, flags and payload.
fn packet(options: &[u8], offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let mut header =
        Ipv4Header::new(len, 64, IpNumber(17), [10, 42, 1, 1], [10, 42, 2, 1]).unwrap();
    header.identification = 0xbeef;
    header.dont_fragment = false;
    header.fragment_offset = ((offset / UNIT) as u16).try_into().unwrap();
    header.more_fragments = more;
    header.options = Ipv4Options::try_from(options).unwrap();
    header.set_payload_len(payload.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mut packet = Vec::new();
    header.write(&mut packet).unwrap();
    packet.extend(payload);
    packet
}

fn fragments(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let cut = Fragmenter::new(packet, mtu).unwrap();
    let one = |index| {
        let mut fragment = vec![0; cut.header_len()];
        cut.write_header(index, &mut fragment);
        fragment.extend(&packet[cut.payload(index)]);
        fragment
    };
    (0..cut.count()).map(one).collect()
}

/// Puts fragments together, as etherparse reads their headers: the payload, where it begins, and
/// whether more follow.
fn reassembled(fragments: &[Vec<u8>]) -> (Vec<u8>, usize, bool) {
    let mut payload = Vec::new();
    let first = Ipv4HeaderSlice::from_slice(&fragments[0])
        .unwrap()
        .to_header();
    let begin = usize::from(first.fragment_offset.byte_offset());
    let mut more = true;
    for fragment in fragments {
        assert!(more, "one was the last");
        let header = Ipv4HeaderSlice::from_slice(fragment).unwrap().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), fragment.len());
        assert_eq!((header.identification, header.time_to_live), (0xbeef, 64));
        assert!(!header.dont_fragment);
        let offset = usize::from(header.fragment_offset.byte_offset());
        assert_eq!(offset, begin + payload.len(), "no gap, in order");
        payload.extend(&fragment[header.header_len()..]);
        more = header.more_fragments;
    }
    (payload, begin, more)
}

proptest! {
    #[test]
    fn reassembly_gives_the_original(
        payload in prop::collection::vec(any::<u8>(), 0..9000),
        mtu in 68_usize..9100,
        words in 0_usize..=10,
        offset in 0_usize..7000,
        more: bool,
    ) {
        let offset = offset * UNIT;
        let packet = packet(&vec![NO_OPERATION; words * 4], offset, more, &payload);
        let fragments = fragments(&packet, mtu);
        prop_assert!(fragments.iter().all(|fragment| fragment.len() <= mtu));
        let alike = fragments.iter().rev().skip(1).all(|it| it.len() == fragments[0].len());
        prop_assert!(alike, "all but the last are of one length");
        // None is needlessly short.
        prop_assert!(fragments.len() == 1 || fragments[0].len() + UNIT > mtu);
        prop_assert!(reassembled(&fragments) == (payload, offset, more));
    }

    #[test]
    fn whatever_the_options_are_only_headers_change(
        options in prop::collection::vec(any::<u8>(), 40),
        words in 0_usize..=10,
    ) {
        let payload = [7; 100];
        let packet = packet(&options[..words * 4], 0, false, &payload);
        let fragments = fragments(&packet, 84);
        prop_assert_eq!(&fragments[0][HEADER_LEN..][..words * 4], &options[..words * 4]);
        prop_assert_eq!(reassembled(&fragments).0, payload);
    }
}

#[test]
fn options_that_are_not_to_be_copied_are_in_the_first_only() {
    // Record route; no operation; loose source route, which is copied; end.
    let route = [7, 7, 4, 0, 0, 0, 0];
    let source_route = [0x83, 7, 4, 10, 42, 3, 1];
    let options = [&route[..], &[1], &source_route, &[0]].concat();
    let fragments = fragments(&packet(&options, 0, false, &[9; 200]), 100);
    assert_eq!(fragments.len(), 4);
    assert_eq!(fragments[0][20..36], options);
    let others = [&[1; 8][..], &source_route, &[0]].concat();
    assert!(
        fragments[1..]
            .iter()
            .all(|fragment| fragment[20..36] == others)
    );
}

#[test]
fn what_fits_is_one_fragment_which_is_the_packet() {
    for len in [0, 80] {
        let packet = packet(&[], 0, false, &vec![1; len]);
        assert_eq!(fragments(&packet, 100), [packet]);
    }
}

#[test]
fn padding_is_left_behind() {
    let packet = packet(&[], 0, false, &[1; 80]);
    let padded = [&packet[..], &[0; 30]].concat();
    assert_eq!(fragments(&padded, 60), fragments(&packet, 60));
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let error = |packet: &[u8], mtu| Fragmenter::new(packet, mtu).unwrap_err();
    let whole = packet(&[], 0, false, &[1; 80]);
    assert_eq!(error(&whole[..99], 60), FragmentError::Malformed);
    assert_eq!(error(&[0x60; 100], 60), FragmentError::Malformed);
    assert_eq!(error(&whole, 27), FragmentError::NoRoom);
    assert_eq!(
        error(&packet(&[1; 40], 0, false, &[1; 80]), 67),
        FragmentError::NoRoom
    );
    // It would end behind 65,535 bytes.
    assert_eq!(
        error(&packet(&[], 65_528, true, &[1; 80]), 60),
        FragmentError::Malformed
    );
    assert!(Fragmenter::new(&packet(&[], 65_528 - 96, true, &[1; 80]), 60).is_ok());
}
