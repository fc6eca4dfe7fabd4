//! The Internet checksum: RFC 1071 sums and RFC 1624 incremental updates.
//!
//! Does not know where in a header the checksum stands: the views do.

use core::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::{Add, AddAssign},
};

use crate::{
    EthernetFrame, IpProtocol, Ipv4Packet, Ipv6Packet, UdpPacket, bytes::u32_at, icmpv4, icmpv6,
    ip::IpVersion,
};

#[cfg(test)]
mod tests;

/// A one's complement sum of 16-bit words that is not complemented yet.
///
/// Sums of parts add up to the sum of the whole if every part but the last has an even length;
/// else see [`combine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(u16);

impl Sum {
    /// The sum of no bytes.
    pub const ZERO: Self = Self(0);

    /// The sum of one 16-bit word.
    #[inline]
    pub const fn of_u16(word: u16) -> Self {
        Self(word)
    }

    /// The sum of one 32-bit word.
    #[inline]
    pub const fn of_u32(word: u32) -> Self {
        Self(fold_u32(word))
    }

    /// The sum of 32-bit words that were added up to this.
    #[inline]
    pub const fn of_u64(total: u64) -> Self {
        fold_u64(total)
    }

    /// The uncomplemented 16-bit sum.
    #[inline]
    pub const fn fold(self) -> u16 {
        self.0
    }

    /// The checksum: the complement of the sum.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.0
    }

    /// Whether bytes that include their own checksum, and have this sum, are intact.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 == 0xffff
    }

    /// The sum of the same bytes shifted by one byte, that is, each word's bytes swapped.
    #[inline]
    pub const fn swapped(self) -> Self {
        Self(self.0.swap_bytes())
    }
}

impl Add for Sum {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        // Cannot overflow again: two words sum to at most 0x1fffe.
        Self(sum + u16::from(carry))
    }
}

impl AddAssign for Sum {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Bytes summed at once: two 16-byte vectors, which SSE2 and NEON have without being asked.
const BLOCK_LEN: usize = 32;

/// The sixteen 16-bit words of a block are added to a 32-bit lane each, which compiles to two
/// widening vector additions. Wider words need more instructions to keep their carries.
type Lanes = [u32; BLOCK_LEN / 2];

/// Bytes after which a lane could overflow: 2^16 words of at most 2^16 - 1.
const LANE_LIMIT: usize = BLOCK_LEN << 16;

/// Sums `data`, an odd last byte being padded with zero on the right (RFC 1071, section 1).
#[inline]
pub fn sum(data: &[u8]) -> Sum {
    if data.len() < BLOCK_LEN {
        return from_native(sum_tail(data));
    }
    from_native(data.chunks(LANE_LIMIT).map(sum_lanes).sum())
}

// Inlined into a caller, the compiler may miss the vector additions: 10 times slower.
#[inline(never)]
fn sum_lanes(data: &[u8]) -> u64 {
    let (blocks, tail) = data.as_chunks::<BLOCK_LEN>();
    let mut lanes = Lanes::default();
    for block in blocks {
        add_block(&mut lanes, block);
    }
    total(&lanes) + sum_tail(tail)
}

/// Copies `from` to `to` and sums it on the way.
///
/// # Panics
/// If the lengths differ.
pub fn copy_and_sum(to: &mut [u8], from: &[u8]) -> Sum {
    assert_eq!(to.len(), from.len(), "copy_and_sum of different lengths");
    let parts = to.chunks_mut(LANE_LIMIT).zip(from.chunks(LANE_LIMIT));
    from_native(parts.map(|(to, from)| copy_and_sum_lanes(to, from)).sum())
}

#[inline]
fn copy_and_sum_lanes(to: &mut [u8], from: &[u8]) -> u64 {
    let (to_blocks, to_tail) = to.as_chunks_mut::<BLOCK_LEN>();
    let (blocks, tail) = from.as_chunks::<BLOCK_LEN>();
    let mut lanes = Lanes::default();
    for (to_block, block) in to_blocks.iter_mut().zip(blocks) {
        *to_block = *block;
        add_block(&mut lanes, block);
    }
    to_tail.copy_from_slice(tail);
    total(&lanes) + sum_tail(tail)
}

/// One's complement addition commutes with byte order (RFC 1071, section 2), so the words are added
/// as they lie in memory and swapped once, at the end.
#[inline(always)]
fn add_block(lanes: &mut Lanes, block: &[u8; BLOCK_LEN]) {
    #[allow(
        clippy::needless_range_loop,
        reason = "with iterators the compiler does not see sixteen equal additions: 8 times slower"
    )]
    for i in 0..lanes.len() {
        lanes[i] += u32::from(u16::from_ne_bytes([block[2 * i], block[2 * i + 1]]));
    }
}

#[inline]
fn total(lanes: &Lanes) -> u64 {
    lanes.iter().map(|&lane| u64::from(lane)).sum()
}

#[inline]
fn sum_tail(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<4>();
    let mut sum = 0;
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let last = match *rest {
        [] => [0; 4],
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c, ..] => [a, b, c, 0],
    };
    sum + u64::from(u32::from_ne_bytes(last))
}

#[inline]
const fn from_native(sum: u64) -> Sum {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    Sum(u16::from_be(fold_u32(sum as u32)))
}

/// Added to itself with its halves swapped, the upper half is the sum of both, with the carry that
/// comes out of the lower one: an end-around carry in one addition.
#[inline]
const fn fold_u32(sum: u32) -> u16 {
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The sum of `first` and `second`, where `first` is the sum of `first_len` bytes, maybe an odd
/// number of them.
#[inline]
pub const fn combine(first: Sum, first_len: usize, second: Sum) -> Sum {
    let second = if first_len % 2 == 1 {
        second.swapped()
    } else {
        second
    };
    Sum(fold_u32(first.0 as u32 + second.0 as u32))
}

/// The checksum after the 16-bit word `old` under it became `new` (RFC 1624, equation 3).
#[inline]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    !fold_u32(!checksum as u32 + !old as u32 + new as u32)
}

/// The checksum after the bytes `old` under it, at an even offset, became `new` (RFC 1624,
/// equation 3).
#[inline]
pub fn update(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    (Sum(!checksum) + Sum(!sum(old).0) + sum(new)).checksum()
}

/// The sum of the IPv4 pseudo-header (RFC 768, RFC 9293): `len` is that of the transport header
/// and its payload.
#[inline]
pub fn pseudo_header_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpProtocol, len: u16) -> Sum {
    let sum = u64::from(src.to_bits())
        + u64::from(dst.to_bits())
        + u64::from(protocol.0)
        + u64::from(len);
    fold_u64(sum)
}

/// The sum of the IPv6 pseudo-header (RFC 8200, section 8.1): `len` is that of the transport
/// header and its payload, `protocol` that of the transport, whatever headers are before it.
#[inline]
pub fn pseudo_header_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: IpProtocol, len: u32) -> Sum {
    sum(&src.octets()) + sum(&dst.octets()) + fold_u64(u64::from(len) + u64::from(protocol.0))
}

#[inline]
const fn fold_u64(sum: u64) -> Sum {
    Sum(fold_u32(
        (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32,
    ))
}

/// The sum of a whole IP packet without a look at its payload, given that its transport checksum
/// is right: then header and payload of the transport sum to the complement of the pseudo-header
/// (Linux calls this local checksum offload).
///
/// Only for packets whose checksum was verified or just computed: around a wrong inner checksum
/// the outer one would be wrong too. None if the sum is not known this way: fragments, UDP without
/// a checksum, protocols other than TCP, UDP and ICMP, padding behind the packet.
#[inline]
pub fn sum_of_valid_packet(packet: &[u8]) -> Option<Sum> {
    match IpVersion::of(packet).ok()? {
        IpVersion::V4 => sum_of_valid_v4(packet),
        IpVersion::V6 => sum_of_valid_v6(packet),
    }
}

/// As [`sum_of_valid_packet`], for an Ethernet frame with such a packet in it.
#[inline]
pub fn sum_of_valid_frame(frame: &[u8]) -> Option<Sum> {
    let offset = EthernetFrame::new_checked(frame).ok()?.payload_offset();
    let (header, packet) = frame.split_at(offset);
    // The header has an even length, with tags or without.
    Some(sum(header) + sum_of_valid_packet(packet)?)
}

#[inline]
fn sum_of_valid_v4(packet: &[u8]) -> Option<Sum> {
    let view = Ipv4Packet::new_checked(packet).ok()?;
    if view.is_fragment() || view.total_len() != packet.len() {
        return None;
    }
    let options = &packet[crate::ipv4::HEADER_LEN..view.header_len()];
    let (payload, protocol) = (view.payload(), view.protocol());
    let words = [0, 4, 8].map(|at| u64::from(u32_at(packet, at)));
    let mut head = fold_u64(words.iter().sum());
    if !options.is_empty() {
        head += sum(options);
    }
    if protocol == IpProtocol::ICMP && payload.len() >= icmpv4::HEADER_LEN {
        // There is no pseudo-header.
        return Some(head + sum(&packet[12..20]) + Sum(0xffff));
    }
    has_checksum(protocol, payload).then(|| head + without_addresses(protocol, payload.len()))
}

#[inline]
fn sum_of_valid_v6(packet: &[u8]) -> Option<Sum> {
    let view = Ipv6Packet::new_checked(packet).ok()?;
    // Of what has extension headers nothing is known: a routing header may make the destination of
    // the pseudo-header another one.
    if view.total_len() != packet.len() {
        return None;
    }
    let (payload, protocol) = (view.payload(), view.next_header());
    let is_icmp = protocol == IpProtocol::ICMPV6 && payload.len() >= icmpv6::HEADER_LEN;
    if !(is_icmp || has_checksum(protocol, payload)) {
        return None;
    }
    let words = [0, 4].map(|at| u64::from(u32_at(packet, at)));
    Some(fold_u64(words.iter().sum()) + without_addresses(protocol, payload.len()))
}

/// The sum of the addresses in an IP header and of a valid transport behind it: the addresses are in
/// the pseudo-header too, to whose complement the transport sums, and so cancel out.
#[inline]
const fn without_addresses(protocol: IpProtocol, len: usize) -> Sum {
    Sum(!fold_u64(protocol.0 as u64 + len as u64).0)
}

/// Whether `payload` is a TCP segment, or a UDP datagram with a checksum, that ends where the
/// packet ends.
#[inline]
fn has_checksum(protocol: IpProtocol, payload: &[u8]) -> bool {
    match protocol {
        IpProtocol::TCP => payload.len() >= crate::tcp::HEADER_LEN,
        IpProtocol::UDP => UdpPacket::new_checked(payload)
            .is_ok_and(|udp| udp.checksum() != 0 && usize::from(udp.length()) == payload.len()),
        _ => false,
    }
}
