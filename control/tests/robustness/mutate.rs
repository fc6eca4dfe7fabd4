//! Makes hostile frames out of real ones, the same ones for the same seed.

use crate::support::random::Random;

/// Longer than any frame of the underlay carries: what a lying peer may send as fragments.
const LENGTH_MAX: usize = 9000;

/// Where the headers are in what a tunnel carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes of tunnel header; an inner Ethernet header follows if IP does not.
    pub(crate) header: usize,
    /// Where the inner IP header begins.
    pub(crate) ip: usize,
}

impl Shape {
    pub(crate) const VXLAN: Self = Self { header: 8, ip: 22 };
}

/// A frame for the tunnel: its header and what follows, perhaps.
pub(crate) fn tunnel_frame(random: &mut Random, shape: Shape, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = samples[random.below(samples.len())].clone();
    let Shape { header, ip } = shape;
    match random.below(10) {
        0 => return garbage(random),
        // Network identifiers and keys.
        1 => set(&mut frame, 4 + random.below(3), random.byte()),
        2 => reserved_bits(random, &mut frame),
        3 => frame = nested(random, samples, frame),
        4 if header < ip => set(
            &mut frame,
            header + random.below(ip - header),
            random.byte(),
        ),
        5 => lie_about_length(random, &mut frame, ip),
        _ => generic(random, &mut frame, ip),
    }
    frame
}

/// A packet for the TUN device.
pub(crate) fn tun_packet(random: &mut Random, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = samples[random.below(samples.len())].clone();
    match random.below(8) {
        0 => return garbage(random),
        1 => lie_about_length(random, &mut packet, 0),
        _ => generic(random, &mut packet, 0),
    }
    packet
}

/// Changes that fit any protocol, to the IP packet at `ip` and what is before it.
fn generic(random: &mut Random, frame: &mut Vec<u8>, ip: usize) {
    match random.below(8) {
        0 => frame.truncate(random.below(frame.len() + 1)),
        1 => {
            let length = 1 + random.below(64);
            frame.extend(random.bytes(length));
        }
        2 => set(frame, ip, random.byte()),
        // Time to live, hop limit.
        3 => set(frame, ip + 7 + random.below(2), random.below(3) as u8),
        // Addresses.
        4 => set(frame, ip + 12 + random.below(28), random.byte()),
        5 => fragment_field(random, frame, ip),
        6 => {} // as it was
        _ => (0..=random.below(8)).for_each(|_| flip(random, frame)),
    }
    // Half of them with a good checksum again, or few would come past that check.
    if random.below(2) == 0 {
        mend_ipv4_checksum(frame, ip);
    }
}

fn garbage(random: &mut Random) -> Vec<u8> {
    let length = match random.below(4) {
        0 => random.below(64),
        1 => random.below(LENGTH_MAX),
        _ => random.below(1500),
    };
    let mut bytes = random.bytes(length);
    // Half of it looks like a VXLAN header, or like an IP packet, at first sight.
    if random.below(2) == 0 {
        set(&mut bytes, 0, [0x08, 0x45, 0x60][random.below(3)]);
    }
    bytes
}

fn reserved_bits(random: &mut Random, frame: &mut [u8]) {
    set(frame, [0, 1, 2, 3, 7][random.below(5)], random.byte());
}

/// A tunnel frame inside a tunnel frame: what a loop would make, up to eight times.
fn nested(random: &mut Random, samples: &[Vec<u8>], mut frame: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(8) {
        let outer = &samples[random.below(samples.len())];
        let keep = random.below(outer.len().min(60) + 1);
        frame = [&outer[..keep], &frame].concat();
    }
    frame.truncate(LENGTH_MAX);
    frame
}

/// Header length, total length, UDP length, or IPv6 payload length, to anything or to an edge.
fn lie_about_length(random: &mut Random, frame: &mut [u8], ip: usize) {
    let edges = [0, 1, 19, 20, 39, 40, 0x7fff, 0xffff];
    let lie = match random.below(2) {
        0 => edges[random.below(edges.len())],
        _ => random.next() as u16,
    };
    let at = ip + [2, 4, 24, 44][random.below(4)];
    if random.below(4) == 0 {
        set(frame, ip, 0x40 | random.byte() & 0x0f);
    }
    if at + 2 <= frame.len() {
        frame[at..at + 2].copy_from_slice(&lie.to_be_bytes());
    }
    mend_ipv4_checksum(frame, ip);
}

fn fragment_field(random: &mut Random, frame: &mut [u8], ip: usize) {
    set(frame, ip + 6, random.byte());
    set(frame, ip + 7, random.byte());
}

fn flip(random: &mut Random, frame: &mut [u8]) {
    if !frame.is_empty() {
        let at = random.below(frame.len());
        frame[at] ^= 1 << random.below(8);
    }
}

fn set(frame: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = frame.get_mut(at) {
        *byte = value;
    }
}

/// Makes the checksum of the IPv4 header at `ip` right, if there is such a header.
fn mend_ipv4_checksum(frame: &mut [u8], ip: usize) {
    let Some(first) = frame.get(ip).copied() else {
        return;
    };
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return;
    }
    let Some(header) = frame.get_mut(ip..ip + length) else {
        return;
    };
    header[10..12].fill(0);
    let words = header
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}
