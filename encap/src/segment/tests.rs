use std::{vec, vec::Vec};

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};

use super::*;
use crate::{checksum::pseudo_header_v6, coalesce::Coalescer};

/// A TCP packet with options, over IPv4 or IPv6, with valid checksums.
pub(crate) fn tcp(six: bool, seq: u32, flags: u8, ident: u16, payload: &[u8]) -> Vec<u8> {
    let builder = if six {
        PacketBuilder::ipv6([1; 16], [2; 16], 64)
    } else {
        PacketBuilder::ip(etherparse::IpHeaders::Ipv4(
            etherparse::Ipv4Header {
                identification: ident,
                dont_fragment: false,
                time_to_live: 64,
                source: [10, 0, 0, 1],
                destination: [10, 0, 0, 2],
                ..Default::default()
            },
            Default::default(),
        ))
    };
    let mut header = etherparse::TcpHeader::new(1000, 2000, seq, 512);
    header.acknowledgment_number = 77;
    header.ack = flags & 0x10 != 0;
    header.psh = flags & 0x08 != 0;
    header.fin = flags & 0x01 != 0;
    header.cwr = flags & 0x80 != 0;
    header
        .set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        .unwrap();
    let mut packet = Vec::new();
    builder
        .tcp_header(header)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

/// A UDP packet, as above.
pub(crate) fn udp(six: bool, payload: &[u8]) -> Vec<u8> {
    let builder = if six {
        PacketBuilder::ipv6([1; 16], [2; 16], 64)
    } else {
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let mut packet = Vec::new();
    builder.udp(1000, 2000).write(&mut packet, payload).unwrap();
    packet
}

pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// Every segment as a packet of its own.
pub(crate) fn cut(packet: &[u8], segment_len: u16) -> Vec<Vec<u8>> {
    let segmenter = Segmenter::new(packet, segment_len).unwrap();
    (0..segmenter.count())
        .map(|index| {
            let mut segment = vec![0; segmenter.header_len()];
            let payload = segmenter.write_header(index, &mut segment);
            segment.extend(&packet[payload]);
            let mut copied = vec![0; segment.len()];
            let (header, body) = copied.split_at_mut(segmenter.header_len());
            segmenter.write_segment(index, header, body);
            assert_eq!(copied, segment);
            segment
        })
        .collect()
}

/// Checks with etherparse that lengths and checksums hold; returns its reading.
fn verify(packet: &[u8]) -> (NetHeaders, TransportHeader, Vec<u8>) {
    let parsed = PacketHeaders::from_ip_slice(packet).unwrap();
    let (net, transport) = (parsed.net.unwrap(), parsed.transport.unwrap());
    let payload = parsed.payload.slice();
    match (&net, &transport) {
        (NetHeaders::Ipv4(ip, _), transport) => {
            assert_eq!(usize::from(ip.total_len), packet.len());
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            match transport {
                TransportHeader::Tcp(tcp) => {
                    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap());
                }
                TransportHeader::Udp(udp) => {
                    assert_eq!(usize::from(udp.length), payload.len() + 8);
                    assert_eq!(udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        (NetHeaders::Ipv6(ip, _), transport) => {
            assert_eq!(usize::from(ip.payload_length) + 40, packet.len());
            match transport {
                TransportHeader::Tcp(tcp) => {
                    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap());
                }
                TransportHeader::Udp(udp) => {
                    assert_eq!(udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
    (net, transport, payload.to_vec())
}

#[test]
fn tcp_is_cut_as_the_kernel_cuts_it() {
    for six in [false, true] {
        let payload = bytes(3500);
        // ACK, PSH, FIN, CWR.
        let packet = tcp(six, u32::MAX - 1000, 0x99, 0xfffe, &payload);
        let segments = cut(&packet, 1001);
        assert_eq!(segments.len(), 4);
        let mut whole = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let (net, transport, part) = verify(segment);
            let TransportHeader::Tcp(tcp) = transport else {
                panic!()
            };
            let offset = (index * 1001) as u32;
            assert_eq!(tcp.sequence_number, (u32::MAX - 1000).wrapping_add(offset));
            assert_eq!((tcp.psh, tcp.fin), (index == 3, index == 3));
            assert_eq!(tcp.cwr, index == 0);
            assert!(tcp.ack && tcp.acknowledgment_number == 77);
            assert_eq!(tcp.options.as_slice().len(), 12);
            if let NetHeaders::Ipv4(ip, _) = net {
                assert_eq!(ip.identification, 0xfffe_u16.wrapping_add(index as u16));
            }
            whole.extend(part);
        }
        assert_eq!(whole, payload);
    }
}

#[test]
fn udp_is_cut_into_datagrams() {
    for six in [false, true] {
        let payload = bytes(2500);
        let segments = cut(&udp(six, &payload), 1000);
        let lens: Vec<_> = segments
            .iter()
            .map(|segment| verify(segment).2.len())
            .collect();
        assert_eq!(lens, [1000, 1000, 500]);
        let whole: Vec<_> = segments
            .iter()
            .flat_map(|segment| verify(segment).2)
            .collect();
        assert_eq!(whole, payload);
    }
}

#[test]
fn the_largest_super_frame_is_cut() {
    let payload = bytes(65_535 - 52);
    let packet = tcp(false, 1, 0x10, 0, &payload);
    let segments = cut(&packet, 1398);
    assert_eq!(segments.len(), payload.len().div_ceil(1398));
    segments.iter().for_each(|segment| drop(verify(segment)));
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let good = tcp(false, 1, 0x10, 0, &bytes(100));
    let refused = |packet: &[u8], len| Segmenter::new(packet, len).unwrap_err();
    assert_eq!(refused(&good, 0), SegmentError::Empty);
    assert_eq!(
        refused(&tcp(false, 1, 0x10, 0, &[]), 100),
        SegmentError::Empty
    );
    assert_eq!(refused(&[], 100), SegmentError::Transport);
    assert_eq!(refused(&good[..30], 100), SegmentError::Transport);
    let mut fragment = good.clone();
    fragment[6] |= 0x20;
    assert_eq!(refused(&fragment, 100), SegmentError::Transport);
    let mut icmp = good;
    icmp[9] = 1;
    assert_eq!(refused(&icmp, 100), SegmentError::Transport);
}

#[test]
fn checksums_left_to_the_device_are_finished() {
    for six in [false, true] {
        for packet in [tcp(six, 1, 0x10, 0, &bytes(101)), udp(six, &bytes(101))] {
            let start = if six { 40 } else { 20 };
            let offset = if packet[if six { 6 } else { 9 }] == 6 {
                16
            } else {
                6
            };
            let at = start + offset;
            let mut partial = packet.clone();
            let len = (packet.len() - start) as u16;
            let pseudo = if six {
                let view = Ipv6Packet::new_unchecked(&packet[..]);
                let next = view.next_header();
                pseudo_header_v6(view.src_addr(), view.dst_addr(), next, u32::from(len))
            } else {
                Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(len)
            };
            partial[at..at + 2].copy_from_slice(&pseudo.fold().to_be_bytes());
            assert_eq!(unfinished_checksum(&partial), Some((start, offset)));
            assert!(complete_checksum(&mut partial, start, offset));
            assert_eq!(partial, packet);
            assert_eq!(unfinished_checksum(&packet), None);
        }
    }
    let mut short = [0; 10];
    assert!(!complete_checksum(&mut short, 9, 0));
    assert!(!complete_checksum(&mut short, 11, 0));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_cut_or_refused(
        packet in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        protocol in proptest::sample::select(vec![6u8, 17]),
        segment_len in 0u16..50,
    ) {
        let mut packet = packet;
        if packet.len() > 20 {
            packet[0] = 0x45;
            let len = packet.len() as u16;
            packet[2..4].copy_from_slice(&len.to_be_bytes());
            packet[9] = protocol;
        }
        if let Some((start, offset)) = unfinished_checksum(&packet) {
            proptest::prop_assert!(complete_checksum(&mut packet.clone(), start, offset));
        }
        if let Ok(segmenter) = Segmenter::new(&packet, segment_len) {
            let mut header = vec![0; segmenter.header_len()];
            let mut end = segmenter.header_len();
            for index in 0..segmenter.count() {
                let payload = segmenter.write_header(index, &mut header);
                proptest::prop_assert_eq!(payload.start, end);
                end = payload.end;
            }
            proptest::prop_assert_eq!(end, packet.len());
        }
    }

    #[test]
    fn what_was_cut_merges_to_the_same(
        six in proptest::bool::ANY,
        is_tcp in proptest::bool::ANY,
        len in 1usize..20_000,
        segment_len in 100u16..3000,
        push in proptest::bool::ANY,
    ) {
        let payload = bytes(len);
        let flags = if push { 0x18 } else { 0x10 };
        let packet = if is_tcp { tcp(six, 9, flags, 5, &payload) } else { udp(six, &payload) };
        let segments = cut(&packet, segment_len);
        let mut merged = Coalescer::begin(&segments[0]).unwrap();
        for segment in &segments[1..] {
            proptest::prop_assert!(merged.push(&segments[0], segment));
        }
        proptest::prop_assert_eq!(merged.count(), segments.len());
        let mut whole = segments[0][..merged.header_len()].to_vec();
        let super_frame = merged.finish(&mut whole);
        for segment in &segments {
            whole.extend(&segment[merged.header_len()..]);
        }
        let (start, offset) = (super_frame.checksum_start, super_frame.checksum_offset);
        proptest::prop_assert!(complete_checksum(&mut whole, start.into(), offset.into()));
        proptest::prop_assert_eq!(whole, packet);
    }
}
