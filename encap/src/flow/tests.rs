//! What must hash alike does, what need not spreads evenly.

use std::{collections::HashSet, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{Ipv4Repr, Ipv6Repr};

fn v4(src: u32, dst: u32, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    Ipv4Repr {
        src_addr: src.into(),
        dst_addr: dst.into(),
        protocol: IpProtocol(protocol),
        traffic_class: 0,
        ttl: 64,
        ident: 0,
        dont_fragment: true,
        payload_len: payload.len() as u16,
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn v6(src: u128, dst: u128, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    Ipv6Repr {
        src_addr: src.into(),
        dst_addr: dst.into(),
        next_header: IpProtocol(next_header),
        traffic_class: 0,
        flow_label: 0,
        hop_limit: 64,
        payload_len: payload.len() as u16,
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn ports(src: u16, dst: u16) -> [u8; 8] {
    let ([a, b], [c, d]) = (src.to_be_bytes(), dst.to_be_bytes());
    [a, b, c, d, 0, 8, 0, 0]
}

/// A 64-bucket chi-squared test: with 63 degrees of freedom, 130 is far beyond p = 1e-6.
fn assert_even(name: &str, values: impl Iterator<Item = u32>) {
    let mut buckets = [0u32; 64];
    let mut count = 0.0;
    for value in values {
        buckets[value as usize] += 1;
        count += 1.0;
    }
    let expected = count / 64.0;
    let chi: f64 = buckets
        .iter()
        .map(|n| (f64::from(*n) - expected).powi(2) / expected)
        .sum();
    assert!(chi < 130.0, "{name}: chi squared {chi}");
}

/// The name of a kind of traffic, and its packet number `i`.
type Traffic = (&'static str, fn(u16) -> Vec<u8>);

/// The sequential values that real networks have, which weak hashes clump.
const TRAFFIC: [Traffic; 8] = [
    ("v4 source ports", |i| {
        v4(0x0a2a_0101, 0x0a2a_0201, 6, &ports(32_768 + i, 80))
    }),
    ("v4 destination ports", |i| {
        v4(0x0a2a_0101, 0x0a2a_0201, 17, &ports(5000, i))
    }),
    ("v4 sources", |i| {
        v4(0x0a2a_0000 + u32::from(i), 0x0a2a_0201, 6, &ports(5000, 80))
    }),
    ("v4 destinations, icmp", |i| {
        v4(0x0a2a_0101, 0x0a2b_0000 + u32::from(i), 1, &[0; 8])
    }),
    ("v4 /24 steps", |i| {
        v4(
            0x0a00_0001 + (u32::from(i) << 8),
            0x0a2a_0201,
            6,
            &ports(50, 80),
        )
    }),
    ("v6 source ports", |i| {
        v6(1 << 120, 2 << 120, 6, &ports(32_768 + i, 80))
    }),
    ("v6 sources", |i| {
        v6((0xfd << 120) + u128::from(i), 2 << 120, 6, &ports(5000, 80))
    }),
    ("v6 /64 steps", |i| {
        v6(
            1,
            (0xfd << 120) + (u128::from(i) << 64),
            6,
            &ports(5000, 80),
        )
    }),
];

#[test]
fn sequential_flows_spread_evenly() {
    for (name, packet) in TRAFFIC {
        let hashes: Vec<u32> = (0..16_384).map(|i| flow_hash(&packet(i), 0x5eed)).collect();
        assert_even(
            name,
            hashes
                .iter()
                .map(|hash| u32::from(source_port(*hash) - 49152) / 256),
        );
        assert_even(name, hashes.iter().map(|hash| hash % 64));
        let distinct: HashSet<_> = hashes.iter().map(|hash| source_port(*hash)).collect();
        // 16384 balls into 16384 bins fill 1 - 1/e of them: 10357.
        assert!(
            (9_900..10_800).contains(&distinct.len()),
            "{name}: {} ports",
            distinct.len()
        );
        let hashes: HashSet<_> = hashes.into_iter().collect();
        assert!(hashes.len() > 16_370, "{name}: {} hashes", hashes.len());
    }
}

#[test]
fn flipping_any_bit_of_the_tuple_flips_half_the_hash() {
    let packet = v4(0x0a2a_0101, 0x0a2a_0201, 6, &ports(5000, 80));
    let before = flow_hash(&packet, 7);
    let mut total = 0;
    for bit in 0..12 * 8 {
        let mut flipped = packet.clone();
        flipped[12 + bit / 8] ^= 1 << (bit % 8);
        let changed = (flow_hash(&flipped, 7) ^ before).count_ones();
        assert!(changed >= 4, "bit {bit} changes {changed} bits only");
        total += changed;
    }
    assert!((14 * 96..18 * 96).contains(&total), "{total}");
}

#[test]
fn source_ports_are_dynamic_ports() {
    assert_eq!(source_port(0), 49152);
    assert_eq!(source_port(u32::MAX), 65535);
}

#[test]
fn the_seed_matters() {
    let packet = v4(1, 2, 6, &ports(3, 4));
    assert_ne!(flow_hash(&packet, 0), flow_hash(&packet, 1));
}

#[test]
fn all_fragments_hash_alike() {
    let mut fragments = Vec::new();
    for flags in [0x2000u16, 0x2010, 0x0020] {
        let mut bytes = v4(1, 2, 17, &ports(flags, 4));
        bytes[6..8].copy_from_slice(&flags.to_be_bytes());
        fragments.push(flow_hash(&bytes, 9));
    }
    assert!(fragments.iter().all(|hash| *hash == fragments[0]));

    // The first fragment shows UDP behind the options, the others do not.
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |offset: [u8; 2], payload: &[u8]| {
        let header = [60, 0, offset[0], offset[1], 0, 0, 0, 1];
        flow_hash(&v6(1, 2, 44, &[&header, payload].concat()), 9)
    };
    let first = fragment([0, 1], &[options, ports(1, 2)].concat());
    assert_eq!(first, fragment([0, 0x11], &[0xa5; 16]));
    assert_eq!(first, fragment([0, 0x20], &[0x5a; 3]));
}

#[test]
fn extension_headers_do_not_hide_ports() {
    let hop_by_hop = [17, 0, 1, 4, 0, 0, 0, 0];
    let [a, b] =
        [1, 2].map(|port| flow_hash(&v6(1, 2, 0, &[hop_by_hop, ports(port, 9)].concat()), 0));
    assert_ne!(a, b);
    assert_eq!(a, flow_hash(&v6(1, 2, 17, &ports(1, 9)), 0));
}

#[test]
fn frames_hash_by_what_they_carry() {
    let packet = v4(1, 2, 6, &ports(3, 4));
    let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], &packet[..]].concat();
    assert_eq!(flow_hash_frame(&frame, 5), flow_hash(&packet, 5));
    let mut arp = frame;
    arp[13] = 6;
    let other = [&arp[..11], &[3], &arp[12..]].concat();
    assert_ne!(flow_hash_frame(&arp, 5), flow_hash_frame(&other, 5));
    assert_eq!(flow_hash_frame(&arp[..13], 5), flow_hash_frame(&[], 5));
}

proptest! {
    #[test]
    fn segments_of_a_flow_hash_alike(
        src: u32,
        dst: u32,
        sport: u16,
        dport: u16,
        seed: u64,
        tcp: bool,
        ttl: u8,
        ident: u16,
        class: u8,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let protocol = if tcp { 6 } else { 17 };
        let mut segment = v4(
            src,
            dst,
            protocol,
            &[&ports(sport, dport)[..4], &payload].concat(),
        );
        let first = flow_hash(&v4(src, dst, protocol, &ports(sport, dport)), seed);
        segment[1] = class;
        segment[4..6].copy_from_slice(&ident.to_be_bytes());
        segment[8] = ttl;
        prop_assert_eq!(flow_hash(&segment, seed), first);
        prop_assert!(SOURCE_PORTS.contains(&source_port(first)));
    }

    #[test]
    fn any_bytes_have_a_hash(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        first: u8,
        seed: u64,
    ) {
        let mut bytes = bytes;
        flow_hash_frame(&bytes, seed);
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        flow_hash(&bytes, seed);
    }
}
