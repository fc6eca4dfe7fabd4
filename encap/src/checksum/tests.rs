//! The fast sum against the obvious one.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// RFC 1071, word by word, with no regard to speed.
fn slow_sum(data: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in data.chunks(2) {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        sum += u32::from(word);
        if sum > 0xffff {
            sum = (sum & 0xffff) + 1;
        }
    }
    sum as u16
}

/// Sums that stand for the same number: zero has two forms.
fn same(a: u16, b: u16) -> bool {
    a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0)
}

#[test]
fn rfc_1071_example() {
    let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(sum(&data).fold(), 0xddf2);
    assert_eq!(sum(&data).checksum(), 0x220d);
}

#[test]
fn rfc_1624_example() {
    // Section 4: equation 3 gives 0x0000 where equation 4 of RFC 1141 gives 0xffff.
    assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    assert_eq!(update(0xdd2f, &[0x55, 0x55], &[0x32, 0x85]), 0x0000);
}

#[test]
fn only_zeros_sum_to_zero() {
    assert_eq!(sum(&[]).fold(), 0);
    assert_eq!(sum(&[0; 100]).fold(), 0);
    assert_eq!(sum(&[0xff; 100]).fold(), 0xffff);
    assert_eq!(sum(&[0xff; 70_000]).fold(), 0xffff);
}

#[test]
fn no_length_overflows() {
    let ones = std::vec![0xff; 2 * LANE_LIMIT + 33];
    let mut copy = std::vec![0; ones.len()];
    for len in [
        LANE_LIMIT - 1,
        LANE_LIMIT,
        LANE_LIMIT + 1,
        2 * LANE_LIMIT + 33,
    ] {
        assert_eq!(sum(&ones[..len]).fold(), slow_sum(&ones[..len]), "{len}");
        let copied = copy_and_sum(&mut copy[..len], &ones[..len]);
        assert_eq!(copied.fold(), slow_sum(&ones[..len]), "{len}");
    }
}

#[test]
fn every_length_and_alignment() {
    let data: Vec<u8> = (0..400u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for start in 0..32 {
        for end in start..data.len() {
            let part = &data[start..end];
            assert_eq!(sum(part).fold(), slow_sum(part), "{start}..{end}");
            let mut copy = [0; 400];
            let copied = copy_and_sum(&mut copy[..part.len()], part);
            assert_eq!((copied.fold(), &copy[..part.len()]), (slow_sum(part), part));
        }
    }
}

proptest! {
    #[test]
    fn fast_is_slow(data in prop::collection::vec(any::<u8>(), 0..5000), skip in 0usize..64) {
        let data = &data[skip.min(data.len())..];
        prop_assert_eq!(sum(data).fold(), slow_sum(data));
    }

    #[test]
    fn super_frames_of_ones(len in 65_000usize..66_000, at in 0usize..65_000, byte: u8) {
        let mut data = std::vec![0xff; len];
        data[at] = byte;
        prop_assert_eq!(sum(&data).fold(), slow_sum(&data));
    }

    #[test]
    fn parts_combine(data in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
        let (first, second) = data.split_at(at.min(data.len()));
        let combined = combine(sum(first), first.len(), sum(second));
        prop_assert!(same(combined.fold(), slow_sum(&data)));
    }

    #[test]
    fn updates_equal_recomputing(
        mut data in prop::collection::vec(any::<u8>(), 2..100),
        at in any::<prop::sample::Index>(),
        new in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let before = sum(&data).checksum();
        let at = at.index(data.len()) & !1;
        let end = data.len().min(at + new.len());
        let old = data[at..end].to_vec();
        data[at..end].copy_from_slice(&new[..end - at]);
        let updated = update(before, &old, &data[at..end]);
        prop_assert!(same(updated, sum(&data).checksum()), "{updated:04x}");
        if let ([a, b], [c, d]) = (&old[..], &data[at..end]) {
            let [old, new] = [[*a, *b], [*c, *d]].map(u16::from_be_bytes);
            prop_assert_eq!(update_u16(before, old, new), updated);
        }
    }

    #[test]
    fn pseudo_headers_sum_their_bytes(src: u128, dst: u128, protocol: u8, len: u32) {
        let (src4, dst4) = (src as u32, dst as u32);
        let v4 = [
            &src4.to_be_bytes()[..],
            &dst4.to_be_bytes(),
            &[0, protocol],
            &(len as u16).to_be_bytes(),
        ];
        prop_assert_eq!(
            pseudo_header_v4(src4.into(), dst4.into(), IpProtocol(protocol), len as u16).fold(),
            slow_sum(&v4.concat())
        );
        let v6 = [
            &src.to_be_bytes()[..],
            &dst.to_be_bytes(),
            &len.to_be_bytes(),
            &[0, 0, 0, protocol],
        ];
        prop_assert_eq!(
            pseudo_header_v6(src.into(), dst.into(), IpProtocol(protocol), len).fold(),
            slow_sum(&v6.concat())
        );
    }
}
