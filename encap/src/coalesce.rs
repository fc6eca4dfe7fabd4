//! Merging consecutive packets of a flow into the super-frame that would be cut into them: the
//! reverse of [`segment`](crate::segment), by the rules of the kernel's generic receive offload.
//!
//! Only headers are read and written: the payloads stay where they are, and the caller gathers
//! them. Nothing is merged whose checksums do not hold, because the super-frame vouches for them.

use crate::{
    IpProtocol, Ipv4Packet, Ipv6Packet, Sum, TcpFlags, TcpPacket, UdpPacket,
    bytes::{put_u16, u16_at, u32_at},
    checksum::pseudo_header_v6,
    ip::IpVersion,
    ipv4, ipv6, udp,
};

#[cfg(test)]
mod tests;

/// The largest IP packet, and so the largest super-frame.
const LEN_MAX: usize = u16::MAX as usize;

/// Which transport protocol a super-frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP: segments of one stream.
    Tcp,
    /// UDP: datagrams of one flow.
    Udp,
}

/// A packet that may be merged with others: TCP data with nothing special about it, or a UDP
/// datagram, whole, without IP options, and with checksums that hold.
#[derive(Debug, Clone, Copy)]
struct Segment {
    version: IpVersion,
    protocol: Protocol,
    header_len: usize,
    payload_len: usize,
}

impl Segment {
    #[inline]
    fn parse(packet: &[u8]) -> Option<Self> {
        let version = IpVersion::of(packet).ok()?;
        let (next, payload, pseudo) = match version {
            IpVersion::V4 => {
                let view = Ipv4Packet::new_checked(packet).ok()?;
                let plain = view.header_len() == ipv4::HEADER_LEN
                    && !view.is_fragment()
                    && view.total_len() == packet.len()
                    && view.verify_checksum();
                if !plain {
                    return None;
                }
                let payload = &packet[ipv4::HEADER_LEN..];
                (
                    view.protocol(),
                    payload,
                    view.pseudo_header(payload.len() as u16),
                )
            }
            IpVersion::V6 => {
                let view = Ipv6Packet::new_checked(packet).ok()?;
                if view.total_len() != packet.len() {
                    return None;
                }
                let payload = &packet[ipv6::HEADER_LEN..];
                let (src, dst, next) = (view.src_addr(), view.dst_addr(), view.next_header());
                (
                    next,
                    payload,
                    pseudo_header_v6(src, dst, next, payload.len() as u32),
                )
            }
        };
        let (protocol, transport_len) = match next {
            IpProtocol::TCP => (Protocol::Tcp, plain_tcp(payload, pseudo)?),
            IpProtocol::UDP => (Protocol::Udp, plain_udp(payload, pseudo)?),
            _ => return None,
        };
        let header_len = version.header_len() + transport_len;
        let payload_len = packet.len() - header_len;
        (payload_len > 0).then_some(Self {
            version,
            protocol,
            header_len,
            payload_len,
        })
    }

    #[inline]
    fn transport(&self) -> usize {
        self.version.header_len()
    }
}

/// The header length of a TCP segment that is plain data.
#[inline]
fn plain_tcp(segment: &[u8], pseudo: Sum) -> Option<usize> {
    let view = TcpPacket::new_checked(segment).ok()?;
    let special = TcpFlags::FIN
        .union(TcpFlags::SYN)
        .union(TcpFlags::RST)
        .union(TcpFlags::URG)
        .union(TcpFlags::CWR);
    let plain = view.flags().contains(TcpFlags::ACK) && !view.flags().intersects(special);
    (plain && view.verify_checksum(pseudo)).then(|| view.header_len())
}

/// The header length of a UDP datagram that has a checksum.
#[inline]
fn plain_udp(datagram: &[u8], pseudo: Sum) -> Option<usize> {
    let view = UdpPacket::new_checked(datagram).ok()?;
    let plain = usize::from(view.length()) == datagram.len() && view.checksum() != 0;
    (plain && view.verify_checksum(pseudo)).then_some(udp::HEADER_LEN)
}

/// What a super-frame's virtio-net header has to say. Offsets are in bytes from the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuperFrame {
    /// IP version.
    pub version: IpVersion,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Length of the IP and transport headers.
    pub header_len: u16,
    /// Payload length of every segment but the last.
    pub segment_len: u16,
    /// Where the transport header begins.
    pub checksum_start: u16,
    /// Where in it the checksum stands.
    pub checksum_offset: u16,
}

/// A super-frame that grows by one packet after another.
#[derive(Debug, Clone, Copy)]
pub struct Coalescer {
    first: Segment,
    /// Packets merged.
    count: usize,
    /// Payload bytes merged.
    payload_len: usize,
    /// Flags of the last packet.
    flags: u8,
    /// A packet that is shorter than the first, or pushes, ends the super-frame.
    closed: bool,
}

impl Coalescer {
    /// Begins with `packet`; None if it may not be merged with anything.
    #[inline]
    pub fn begin(packet: &[u8]) -> Option<Self> {
        let first = Segment::parse(packet)?;
        let flags = flags(&first, packet);
        Some(Self {
            first,
            count: 1,
            payload_len: first.payload_len,
            flags,
            closed: flags & TcpFlags::PSH.0 != 0,
        })
    }

    /// Adds `packet` if it continues what `first`, the packet that it began with, and those after
    /// it are; false if it does not, and then nothing changed.
    #[inline]
    pub fn push(&mut self, first: &[u8], packet: &[u8]) -> bool {
        if self.closed || packet.len() < self.first.header_len {
            return false;
        }
        let longer = packet.len() - self.first.header_len > self.first.payload_len;
        let total = self.payload_len + packet.len();
        if longer || total > LEN_MAX || !self.same_headers(first, packet) {
            return false;
        }
        // The checksums come last: they cost the most.
        let Some(segment) = Segment::parse(packet) else {
            return false;
        };
        if segment.header_len != self.first.header_len {
            return false;
        }
        self.flags = flags(&segment, packet);
        self.count += 1;
        self.payload_len += segment.payload_len;
        self.closed =
            segment.payload_len < self.first.payload_len || self.flags & TcpFlags::PSH.0 != 0;
        true
    }

    /// How many packets were merged.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Length in bytes of the headers of each packet.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.first.header_len
    }

    /// Length in bytes of all payloads together.
    #[inline]
    pub fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// Turns the headers of the first packet into those of the super-frame: lengths of the whole,
    /// the last packet's PSH, a new IPv4 checksum, and in place of the transport checksum the
    /// pseudo-header's sum, for whoever cuts the super-frame to finish.
    ///
    /// # Panics
    /// If `headers` is shorter than [`header_len`](Self::header_len).
    pub fn finish(&self, headers: &mut [u8]) -> SuperFrame {
        let start = self.first.transport();
        let len = self.first.header_len - start + self.payload_len;
        let pseudo = match self.first.version {
            IpVersion::V4 => {
                let mut view = Ipv4Packet::new_unchecked(&mut *headers);
                view.set_total_len((start + len) as u16);
                view.fill_checksum();
                view.pseudo_header(len as u16)
            }
            IpVersion::V6 => {
                let mut view = Ipv6Packet::new_unchecked(&mut *headers);
                view.set_payload_len(len as u16);
                let (src, dst) = (view.src_addr(), view.dst_addr());
                pseudo_header_v6(src, dst, view.next_header(), len as u32)
            }
        };
        let transport = &mut headers[start..];
        let checksum_offset = match self.first.protocol {
            Protocol::Tcp => {
                transport[13] |= self.flags & TcpFlags::PSH.0;
                16
            }
            Protocol::Udp => {
                put_u16(transport, 4, len as u16);
                6
            }
        };
        put_u16(transport, checksum_offset, pseudo.fold());
        SuperFrame {
            version: self.first.version,
            protocol: self.first.protocol,
            header_len: self.first.header_len as u16,
            segment_len: self.first.payload_len as u16,
            checksum_start: start as u16,
            checksum_offset: checksum_offset as u16,
        }
    }

    /// Whether `packet` has the headers that the next segment after `first` and its followers has.
    #[inline]
    fn same_headers(&self, first: &[u8], packet: &[u8]) -> bool {
        let same = |range: core::ops::Range<usize>| first[range.clone()] == packet[range];
        let ip = match self.first.version {
            // Version to TOS; flags to protocol; addresses.
            IpVersion::V4 => {
                same(0..2) && same(6..10) && same(12..20) && self.counts_up(first, packet)
            }
            // Version to flow label; next header to addresses.
            IpVersion::V6 => same(0..4) && same(6..40),
        };
        let at = self.first.transport();
        ip && match self.first.protocol {
            Protocol::Tcp => {
                let expected = u32_at(first, at + 4).wrapping_add(self.payload_len as u32);
                let pushes = (first[at + 13] ^ packet[at + 13]) & !TcpFlags::PSH.0;
                // Ports; acknowledgement and data offset; window; urgent pointer and options.
                u32_at(packet, at + 4) == expected
                    && pushes == 0
                    && same(at..at + 4)
                    && same(at + 8..at + 13)
                    && same(at + 14..at + 16)
                    && same(at + 18..self.first.header_len)
            }
            Protocol::Udp => same(at..at + 4),
        }
    }

    /// Whether the IPv4 identification is what cutting will make of it. It means nothing where
    /// fragmentation is forbidden (RFC 6864, section 4.1).
    #[inline]
    fn counts_up(&self, first: &[u8], packet: &[u8]) -> bool {
        let expected = u16_at(first, 4).wrapping_add(self.count as u16);
        u16_at(packet, 4) == expected || Ipv4Packet::new_unchecked(first).dont_fragment()
    }
}

/// The TCP flags of a packet; none in UDP.
#[inline]
fn flags(segment: &Segment, packet: &[u8]) -> u8 {
    match segment.protocol {
        Protocol::Tcp => packet[segment.transport() + 13],
        Protocol::Udp => 0,
    }
}
