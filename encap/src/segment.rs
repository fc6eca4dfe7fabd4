//! Cutting a super-frame into the packets it stands for, as the kernel's `tcp_gso_segment` and
//! `__udp_gso_segment` do, without moving the payload: only headers are written.
//!
//! Does not put outer headers in front, and does not send.

use core::ops::Range;

use thiserror::Error;

use crate::{
    IpProtocol, Ipv4Packet, Ipv6Packet, Sum, TcpFlags, TcpPacket,
    bytes::{put_u16, put_u32, u16_at, u32_at},
    checksum::{copy_and_sum, pseudo_header_v6, sum},
    ip::IpVersion,
    ipv6, udp,
};

#[cfg(test)]
pub(crate) mod tests;

/// Why a packet cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// No whole IP packet that carries TCP or UDP, or a fragment of one.
    #[error("neither TCP nor UDP")]
    Transport,
    /// There is nothing to cut, or pieces of no bytes were asked for.
    #[error("no payload or no segment size")]
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

/// Offsets within a TCP header.
mod tcp_field {
    pub(super) const SEQ: usize = 4;
    /// Data offset, reserved bits and flags.
    pub(super) const FLAGS: usize = 12;
    pub(super) const CHECKSUM: usize = 16;
}

/// Offsets within a UDP header.
mod udp_field {
    pub(super) const LENGTH: usize = 4;
    pub(super) const CHECKSUM: usize = 6;
}

/// Offsets within an IPv4 header.
mod v4_field {
    pub(super) const TOTAL_LEN: usize = 2;
    pub(super) const IDENT: usize = 4;
    pub(super) const CHECKSUM: usize = 10;
}

/// A super-frame, and how it is to be cut.
///
/// Segment `i` is the header that [`write_header`](Self::write_header) makes for it, followed by
/// the payload range that it returns.
#[derive(Debug, Clone, Copy)]
pub struct Segmenter<'a> {
    packet: &'a [u8],
    version: IpVersion,
    protocol: Protocol,
    transport: usize,
    header_len: usize,
    segment_len: usize,
    /// Sum of the IPv4 header without length, identification and checksum.
    ip_sum: Sum,
    /// Sum of the pseudo-header and the transport header without what differs between segments.
    transport_sum: Sum,
}

impl<'a> Segmenter<'a> {
    /// Prepares to cut the IP packet `packet` into pieces of `segment_len` payload bytes, the last
    /// one perhaps shorter. The packet's own checksums are not looked at: they are computed anew.
    ///
    /// # Errors
    /// [`SegmentError`]
    pub fn new(packet: &'a [u8], segment_len: u16) -> Result<Self, SegmentError> {
        let not_cuttable = |_| SegmentError::Transport;
        let version = IpVersion::of(packet).map_err(not_cuttable)?;
        let (protocol, transport, packet) = match version {
            IpVersion::V4 => {
                let view = Ipv4Packet::new_checked(packet).map_err(not_cuttable)?;
                if view.is_fragment() {
                    return Err(SegmentError::Transport);
                }
                (
                    view.protocol(),
                    view.header_len(),
                    &packet[..view.total_len()],
                )
            }
            IpVersion::V6 => {
                let view = Ipv6Packet::new_checked(packet).map_err(not_cuttable)?;
                let transport = view.transport().map_err(not_cuttable)?;
                if !transport.is_whole() {
                    return Err(SegmentError::Transport);
                }
                (
                    transport.protocol,
                    transport.offset,
                    &packet[..view.total_len()],
                )
            }
        };
        let (protocol, header_len) = match protocol {
            IpProtocol::TCP => {
                let view = TcpPacket::new_checked(&packet[transport..]).map_err(not_cuttable)?;
                (Protocol::Tcp, transport + view.header_len())
            }
            IpProtocol::UDP if packet.len() >= transport + udp::HEADER_LEN => {
                (Protocol::Udp, transport + udp::HEADER_LEN)
            }
            _ => return Err(SegmentError::Transport),
        };
        if packet.len() == header_len || segment_len == 0 {
            return Err(SegmentError::Empty);
        }
        let segment_len = usize::from(segment_len);
        let zero = Sum::ZERO;
        let mut this = Self {
            packet,
            version,
            protocol,
            transport,
            header_len,
            segment_len,
            ip_sum: zero,
            transport_sum: zero,
        };
        this.ip_sum = this.constant_ip_sum();
        this.transport_sum = this.constant_transport_sum();
        Ok(this)
    }

    /// How many segments there are.
    #[inline]
    pub fn count(&self) -> usize {
        (self.packet.len() - self.header_len).div_ceil(self.segment_len)
    }

    /// Length in bytes of every segment's headers: IP and TCP or UDP.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Where segment `index` has its payload in the packet.
    #[inline]
    pub fn payload(&self, index: usize) -> Range<usize> {
        let start = self.header_len + index * self.segment_len;
        start..(start + self.segment_len).min(self.packet.len())
    }

    /// Writes the headers of segment `index`, with their checksums, and returns the range of its
    /// payload in the packet.
    ///
    /// # Panics
    /// If `index` is not below [`count`](Self::count), or `header` is not exactly
    /// [`header_len`](Self::header_len) bytes.
    #[inline]
    pub fn write_header(&self, index: usize, header: &mut [u8]) -> Range<usize> {
        let payload = self.payload(index);
        self.write(
            index,
            payload.len(),
            sum(&self.packet[payload.clone()]),
            header,
        );
        payload
    }

    /// Writes the headers of segment `index` and copies its payload, in the one pass over it that
    /// its checksum needs.
    ///
    /// # Panics
    /// As [`write_header`](Self::write_header); or if `payload` is not exactly as long as
    /// [`payload`](Self::payload) says.
    #[inline]
    pub fn write_segment(&self, index: usize, header: &mut [u8], payload: &mut [u8]) {
        let payload_sum = copy_and_sum(payload, &self.packet[self.payload(index)]);
        self.write(index, payload.len(), payload_sum, header);
    }

    #[inline]
    fn write(&self, index: usize, payload_len: usize, payload_sum: Sum, out: &mut [u8]) {
        assert!(index < self.count(), "segment {index} of {}", self.count());
        out.copy_from_slice(&self.packet[..self.header_len]);
        let transport_len = self.header_len - self.transport + payload_len;
        self.write_ip(index, transport_len, out);
        let out = &mut out[self.transport..];
        let base = self.transport_sum + Sum::of_u16(transport_len as u16) + payload_sum;
        match self.protocol {
            Protocol::Tcp => self.write_tcp(index, base, out),
            Protocol::Udp => {
                put_u16(out, udp_field::LENGTH, transport_len as u16);
                let sum = base + Sum::of_u16(transport_len as u16);
                put_u16(out, udp_field::CHECKSUM, udp::nonzero(sum.checksum()));
            }
        }
    }

    /// Sets the length, and in IPv4 counts the identification up, as `inet_gso_segment` does.
    #[inline]
    fn write_ip(&self, index: usize, transport_len: usize, out: &mut [u8]) {
        match self.version {
            IpVersion::V4 => {
                let len = (self.transport + transport_len) as u16;
                let ident = u16_at(out, v4_field::IDENT).wrapping_add(index as u16);
                put_u16(out, v4_field::TOTAL_LEN, len);
                put_u16(out, v4_field::IDENT, ident);
                let sum = self.ip_sum + Sum::of_u16(len) + Sum::of_u16(ident);
                put_u16(out, v4_field::CHECKSUM, sum.checksum());
            }
            IpVersion::V6 => {
                let len = self.transport - ipv6::HEADER_LEN + transport_len;
                put_u16(out, 4, len as u16);
            }
        }
    }

    /// Sets sequence number, flags and checksum: CWR on the first segment only, FIN and PSH on the
    /// last only (RFC 3168, section 6.1.2; `tcp_gso_segment`).
    #[inline]
    fn write_tcp(&self, index: usize, base: Sum, out: &mut [u8]) {
        let seq = u32_at(out, tcp_field::SEQ).wrapping_add((index * self.segment_len) as u32);
        let mut flags = u16_at(out, tcp_field::FLAGS);
        if index != 0 {
            flags &= !u16::from(TcpFlags::CWR.0);
        }
        if index + 1 != self.count() {
            flags &= !u16::from(TcpFlags::FIN.union(TcpFlags::PSH).0);
        }
        put_u32(out, tcp_field::SEQ, seq);
        put_u16(out, tcp_field::FLAGS, flags);
        let sum = base + Sum::of_u32(seq) + Sum::of_u16(flags);
        put_u16(out, tcp_field::CHECKSUM, sum.checksum());
    }

    fn constant_ip_sum(&self) -> Sum {
        if self.version == IpVersion::V6 {
            return Sum::ZERO;
        }
        let header = &self.packet[..Ipv4Packet::new_unchecked(self.packet).header_len()];
        sum(&header[..v4_field::TOTAL_LEN])
            + sum(&header[v4_field::IDENT + 2..v4_field::CHECKSUM])
            + sum(&header[v4_field::CHECKSUM + 2..])
    }

    fn constant_transport_sum(&self) -> Sum {
        let (pseudo, header) = (
            self.pseudo_header(),
            &self.packet[self.transport..self.header_len],
        );
        match self.protocol {
            Protocol::Tcp => {
                pseudo
                    + sum(&header[..tcp_field::SEQ])
                    + sum(&header[tcp_field::SEQ + 4..tcp_field::FLAGS])
                    + sum(&header[tcp_field::FLAGS + 2..tcp_field::CHECKSUM])
                    + sum(&header[tcp_field::CHECKSUM + 2..])
            }
            Protocol::Udp => pseudo + sum(&header[..udp_field::LENGTH]),
        }
    }

    /// The sum of the pseudo-header, but for the length.
    fn pseudo_header(&self) -> Sum {
        let protocol = match self.protocol {
            Protocol::Tcp => IpProtocol::TCP,
            Protocol::Udp => IpProtocol::UDP,
        };
        let addresses = match self.version {
            IpVersion::V4 => &self.packet[12..20],
            IpVersion::V6 => &self.packet[8..40],
        };
        sum(addresses) + Sum::of_u16(u16::from(protocol.0))
    }
}

/// Where the checksum begins and stands, as [`complete_checksum`] wants it, if the sender of this
/// TCP or UDP packet left it to a device and none finished it: the pseudo-header's sum stands in its
/// place. None for every other packet, but for one finished packet in 2^16, whose checksum happens
/// to be that sum and comes out the same when it is finished again.
///
/// Linux hands such packets to the sockets of its own tunnels' peers where the underlay is a pair
/// of virtual devices, which never finish checksums.
#[inline]
pub fn unfinished_checksum(packet: &[u8]) -> Option<(usize, usize)> {
    let (protocol, start, pseudo) = match IpVersion::of(packet).ok()? {
        IpVersion::V4 => {
            let view = Ipv4Packet::new_checked(packet)
                .ok()
                .filter(|view| !view.is_fragment())?;
            let len = view.total_len() - view.header_len();
            (
                view.protocol(),
                view.header_len(),
                view.pseudo_header(len as u16),
            )
        }
        IpVersion::V6 => {
            let view = Ipv6Packet::new_checked(packet).ok()?;
            let (next, len) = (view.next_header(), view.payload_len());
            let pseudo = pseudo_header_v6(view.src_addr(), view.dst_addr(), next, len as u32);
            (next, ipv6::HEADER_LEN, pseudo)
        }
    };
    let offset = match protocol {
        IpProtocol::TCP => tcp_field::CHECKSUM,
        IpProtocol::UDP => udp_field::CHECKSUM,
        _ => return None,
    };
    let end = start + offset + 2;
    (packet.len() >= end && u16_at(packet, start + offset) == pseudo.fold())
        .then_some((start, offset))
}

/// Finishes a checksum that the sender left to its device: `packet[start..]` is summed, with the
/// pseudo-header's sum already standing at `start + offset`, and the checksum put there.
///
/// Returns false, with the packet as it was, if there is no room for a checksum there.
#[inline]
pub fn complete_checksum(packet: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(range) = packet.get_mut(start..) else {
        return false;
    };
    if offset + 2 > range.len() {
        return false;
    }
    let checksum = sum(range).checksum();
    // A transmitted zero means "no checksum" in UDP.
    let is_udp = offset == udp_field::CHECKSUM;
    put_u16(
        range,
        offset,
        if is_udp {
            udp::nonzero(checksum)
        } else {
            checksum
        },
    );
    true
}
