//! The frames that are sent: a plain Ethernet frame with a UDP datagram in it, or that in VXLAN.
//!
//! Bytes are written here rather than by the code that is to be measured. One template is made for a
//! measurement; what differs from frame to frame is stamped into it.

use std::net::Ipv4Addr;

use ringlay_control::lab::ringlay_node::{PORT, VNI};

use super::hosts::{GATEWAY_UNDERLAY, INSIDE, INSIDE_MAC, Mac, OUTSIDE, OUTSIDE_MAC, UNDERLAY_MAC};

/// Bytes that VXLAN puts in front of a frame: Ethernet, IPv4, UDP and VXLAN headers.
pub(super) const OVERHEAD: usize = ETHERNET + IPV4 + UDP + 8;
/// Where the mark of a plain frame is: at the start of its UDP payload.
pub(super) const MARK_AT: usize = ETHERNET + IPV4 + UDP;
/// The shortest plain frame that has room for mark and number.
pub(super) const SHORTEST: usize = MARK_AT + 16;

/// The first half of each mark: the rest says which measurement a frame is of.
pub(super) const MAGIC: u32 = 0x524c_6777;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
/// The discard port (RFC 863).
const DISCARD: u16 = 9;

/// What all frames of a measurement have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where the plain frame begins.
    inner: usize,
    /// Where in the plain frame the address is that differs: the far host's.
    address: usize,
    /// Sum of the inner IPv4 header without that address.
    sum: u32,
}

impl Template {
    /// Plain frames of `len` bytes, to `destination`, from the inside to hosts that are far.
    pub(super) fn plain(len: usize, destination: Mac) -> Self {
        let inner = frame(
            len,
            [destination, INSIDE_MAC],
            [INSIDE, Ipv4Addr::UNSPECIFIED],
        );
        Self::new(inner, 0, ETHERNET + 16)
    }

    /// The like in VXLAN, from far hosts to the inside; `destination` is that of the plain frame,
    /// whose length is `len`.
    pub(super) fn tunnelled(len: usize, destination: Mac, source: Mac) -> Self {
        let inner = frame(len, [destination, source], [Ipv4Addr::UNSPECIFIED, INSIDE]);
        let macs = [UNDERLAY_MAC, OUTSIDE_MAC];
        let mut bytes = frame(len + OVERHEAD, macs, [OUTSIDE, GATEWAY_UNDERLAY]);
        bytes[ETHERNET + IPV4 + 2..][..2].copy_from_slice(&PORT.to_be_bytes());
        // RFC 7348 section 5: the flag that says that there is a VNI, and the VNI.
        bytes[OVERHEAD - 8] = 0x08;
        bytes[OVERHEAD - 4..OVERHEAD].copy_from_slice(&(VNI << 8).to_be_bytes());
        let sum = sum(&bytes[ETHERNET..ETHERNET + IPV4]);
        put(&mut bytes, ETHERNET + 10, &checksum(sum));
        bytes[OVERHEAD..].copy_from_slice(&inner);
        Self::new(bytes, OVERHEAD, ETHERNET + 12)
    }

    fn new(bytes: Vec<u8>, inner: usize, address: usize) -> Self {
        let sum = sum(&bytes[inner + ETHERNET..inner + ETHERNET + IPV4]);
        Self {
            bytes,
            inner,
            address,
            sum,
        }
    }

    /// Bytes of each frame.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes all that does not differ.
    pub(super) fn write(&self, frame: &mut [u8]) {
        frame.copy_from_slice(&self.bytes);
    }

    /// Writes what differs into a frame that [`Self::write`] wrote: the far host's address, the
    /// flow's source ports, the mark, and the frame's number.
    #[inline]
    pub(super) fn stamp(&self, frame: &mut [u8], far: Ipv4Addr, mark: [u8; 8], number: u64) {
        let [high, low] = (number as u16 & SPREAD | FIRST_PORT).to_be_bytes();
        let inner = &mut frame[self.inner..];
        let octets = far.octets();
        put(inner, self.address, &octets);
        let far = octets.as_chunks().0.iter();
        let sum: u32 = far.map(|half| u32::from(u16::from_be_bytes(*half))).sum();
        put(inner, ETHERNET + 10, &checksum(self.sum + sum));
        put(inner, ETHERNET + IPV4, &[high, low]);
        put(inner, MARK_AT, &mark);
        put(inner, MARK_AT + 8, &number.to_be_bytes());
        if self.inner > 0 {
            put(frame, ETHERNET + IPV4, &[high, low]);
        }
    }
}

/// The mark of a measurement.
pub(super) fn mark(measurement: u32) -> [u8; 8] {
    let mut mark = [0; 8];
    mark[..4].copy_from_slice(&MAGIC.to_be_bytes());
    mark[4..].copy_from_slice(&measurement.to_be_bytes());
    mark
}

/// An Ethernet frame with an IPv4 packet with a UDP datagram, without checksums.
fn frame(len: usize, macs: [Mac; 2], addresses: [Ipv4Addr; 2]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    put(&mut bytes, 0, &macs.concat());
    put(&mut bytes, 12, &[0x08, 0x00]);
    let packet = (len - ETHERNET) as u16;
    // RFC 791: no options, DF, TTL 64, UDP.
    put(&mut bytes, ETHERNET, &[0x45, 0]);
    put(&mut bytes, ETHERNET + 2, &packet.to_be_bytes());
    put(&mut bytes, ETHERNET + 6, &[0x40, 0, 64, 17]);
    for (address, at) in addresses.iter().zip([12, 16]) {
        put(&mut bytes, ETHERNET + at, &address.octets());
    }
    let udp = ETHERNET + IPV4;
    put(&mut bytes, udp, &FIRST_PORT.to_be_bytes());
    put(&mut bytes, udp + 2, &DISCARD.to_be_bytes());
    put(&mut bytes, udp + 4, &(packet - IPV4 as u16).to_be_bytes());
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Sum of the 16-bit words (RFC 1071), not folded.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.as_chunks().0.iter();
    words.map(|word| u32::from(u16::from_be_bytes(*word))).sum()
}

/// The checksum that a sum makes.
fn checksum(sum: u32) -> [u8; 2] {
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!(folded as u16)).to_be_bytes()
}

/// Source ports, as many as there are flows a far host: those of RFC 6335 for such.
const FIRST_PORT: u16 = 0xc000;
const SPREAD: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 250);
    const MAC: Mac = [2, 0, 0, 0, 0, 9];

    fn stamped(template: &Template, number: u64) -> Vec<u8> {
        let mut frame = vec![0xee; template.len()];
        template.write(&mut frame);
        template.stamp(&mut frame, FAR, mark(7), number);
        frame
    }

    /// Source and destination of a good packet, its UDP ports, and what the datagram contains.
    fn parse(frame: &[u8]) -> ([Ipv4Addr; 2], [u16; 2], Vec<u8>) {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = packet.net else {
            panic!("not IPv4: {frame:x?}");
        };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), frame.len() - ETHERNET);
        let Some(TransportSlice::Udp(udp)) = packet.transport else {
            panic!("not UDP: {frame:x?}");
        };
        let addresses = [header.source.into(), header.destination.into()];
        let ports = [udp.source_port(), udp.destination_port()];
        (addresses, ports, udp.payload().to_vec())
    }

    #[test]
    fn plain_frames_are_good_datagrams_with_a_mark() {
        for len in [SHORTEST, 64, 1500] {
            let frame = stamped(&Template::plain(len, MAC), 5);
            assert_eq!((frame.len(), &frame[..6]), (len, &MAC[..]));
            assert_eq!(frame[MARK_AT..MARK_AT + 8], mark(7));
            let (addresses, ports, payload) = parse(&frame);
            assert_eq!(addresses, [INSIDE, FAR]);
            assert_eq!(ports, [FIRST_PORT + 5, DISCARD]);
            assert_eq!(payload[8..16], 5u64.to_be_bytes());
        }
    }

    #[test]
    fn tunnelled_frames_are_good_vxlan() {
        let frame = stamped(&Template::tunnelled(64, MAC, [2; 6]), 0x1_0003);
        let (addresses, ports, payload) = parse(&frame);
        assert_eq!(addresses, [OUTSIDE, GATEWAY_UNDERLAY]);
        assert_eq!(ports, [FIRST_PORT + 3, PORT]);
        assert_eq!(payload[..8], [8, 0, 0, 0, 0, 0, VNI as u8, 0]);
        assert_eq!(payload[8..], frame[OVERHEAD..]);
        let inner = &frame[OVERHEAD..];
        assert_eq!((inner.len(), &inner[..6]), (64, &MAC[..]));
        assert_eq!(inner[MARK_AT..MARK_AT + 8], mark(7));
        assert_eq!(parse(inner).0, [FAR, INSIDE]);
    }

    #[test]
    fn numbers_make_flows() {
        let template = Template::plain(64, MAC);
        let ports = |number| parse(&stamped(&template, number)).1[0];
        assert_ne!(ports(1), ports(2));
        assert_eq!(ports(1), ports(1 + u64::from(SPREAD) + 1));
        assert!(ports(u64::MAX) >= FIRST_PORT);
    }
}
