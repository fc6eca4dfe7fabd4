//! Super-frames cut by the kernel and by us, byte for byte.
//!
//! A super-frame is written to one TUN device of a namespace; the kernel routes it
//! out of another that takes single packets only, and so has to cut it. Needs root
//! and iproute2.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod ip;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use etherparse::{IpFragOffset, IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder, TcpHeader};
use ringlay_dataplane::frame::{Gso, Offload};
use ringlay_dataplane::port::tun::{self, Life, TunConfig, TunOffloads, VNET_HEADER_LEN};
use ringlay_dataplane::sys::{netns, virtio};
use ringlay_encap::checksum;
use ringlay_encap::segment::Segmenter;
use ringlay_encap::{IpProtocol, Ipv4Packet, Ipv6Packet};

use crate::ip::ip;

const MTU: u32 = 1500;

fn open(name: &str, offloads: TunOffloads) -> File {
    let config = TunConfig {
        name: name.into(),
        netns: None,
        queues: 1,
        mtu: MTU,
        offloads,
        life: Life::Queues,
    };
    let queue: OwnedFd = tun::open(&config).unwrap().queues.remove(0);
    File::from(queue)
}

/// The devices: super-frames go into the first, packets come out of the second.
fn devices() -> (File, File) {
    let inside = open("in0", TunOffloads::SUPER_FRAMES);
    let outside = open("out0", TunOffloads::NONE);
    for (device, v4, v6) in [
        ("in0", "10.1.0.1/24", "fd01::1/64"),
        ("out0", "10.2.0.1/24", "fd02::1/64"),
    ] {
        ip(&format!("addr add {v4} dev {device}"));
        ip(&format!("addr add {v6} dev {device} nodad"));
    }
    // The files of this thread's namespace.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    (inside, outside)
}

fn headers(six: bool) -> IpHeaders {
    if six {
        let header = Ipv6Header {
            source: [0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            destination: [0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            hop_limit: 64,
            traffic_class: 0x02,
            flow_label: 0x12345.try_into().unwrap(),
            ..Ipv6Header::default()
        };
        return IpHeaders::Ipv6(header, Default::default());
    }
    let header = Ipv4Header {
        source: [10, 1, 0, 2],
        destination: [10, 2, 0, 2],
        time_to_live: 64,
        identification: 0xfffe,
        dont_fragment: false,
        fragment_offset: IpFragOffset::ZERO,
        ..Ipv4Header::default()
    };
    IpHeaders::Ipv4(header, Default::default())
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 256) as u8).collect()
}

/// ACK, PSH, FIN and CWR, with options, and a sequence number that wraps.
fn tcp(six: bool, payload: usize) -> Vec<u8> {
    let mut header = TcpHeader::new(1000, 2000, u32::MAX - 2000, 512);
    (header.ack, header.psh, header.fin, header.cwr) = (true, true, true, true);
    header.acknowledgment_number = 77;
    header
        .set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        .unwrap();
    let mut packet = Vec::new();
    PacketBuilder::ip(headers(six))
        .tcp_header(header)
        .write(&mut packet, &bytes(payload))
        .unwrap();
    packet
}

fn udp(six: bool, payload: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ip(headers(six))
        .udp(1000, 2000)
        .write(&mut packet, &bytes(payload))
        .unwrap();
    packet
}

/// The packet as a sender hands it to its device: with the pseudo-header's sum in
/// place of the transport checksum.
fn partial(mut packet: Vec<u8>, six: bool, is_tcp: bool, gso_size: u16) -> (Vec<u8>, Offload) {
    let start = if six { 40 } else { 20 };
    let offset = if is_tcp { 16 } else { 6 };
    let len = (packet.len() - start) as u32;
    let protocol = if is_tcp {
        IpProtocol::TCP
    } else {
        IpProtocol::UDP
    };
    let sum = if six {
        let view = Ipv6Packet::new_unchecked(&packet[..]);
        checksum::pseudo_header_v6(view.src_addr(), view.dst_addr(), protocol, len)
    } else {
        Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(len as u16)
    };
    packet[start + offset..start + offset + 2].copy_from_slice(&sum.fold().to_be_bytes());
    let offload = Offload {
        needs_checksum: true,
        ecn: is_tcp,
        gso: match (is_tcp, six) {
            (false, _) => Gso::UdpL4,
            (true, false) => Gso::TcpV4,
            (true, true) => Gso::TcpV6,
        },
        header_len: (start + if is_tcp { 32 } else { 8 }) as u16,
        gso_size,
        csum_start: start as u16,
        csum_offset: offset as u16,
        ..Offload::default()
    };
    (packet, offload)
}

/// What the kernel makes of a super-frame.
fn cut_by_kernel(
    devices: &mut (File, File),
    packet: &[u8],
    offload: &Offload,
    count: usize,
) -> Vec<Vec<u8>> {
    let mut frame = vec![0; VNET_HEADER_LEN];
    virtio::encode(offload, frame.first_chunk_mut().unwrap());
    frame.extend(packet);
    assert_eq!(devices.0.write(&frame).unwrap(), frame.len());
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut segments = Vec::new();
    while segments.len() < count && Instant::now() < deadline {
        let mut buffer = vec![0; 70_000];
        // Neither a packet yet, nor one of ours (the kernel's own multicast): look again.
        let Ok(len) = devices.1.read(&mut buffer) else {
            continue;
        };
        let received = buffer[VNET_HEADER_LEN..len].to_vec();
        let protocol = received[if received[0] >> 4 == 6 { 6 } else { 9 }];
        if matches!(protocol, 6 | 17) {
            assert_eq!(buffer[..VNET_HEADER_LEN], [0; VNET_HEADER_LEN]);
            segments.push(received);
        }
    }
    segments
}

/// What we make of the super-frame, forwarded as the kernel did.
fn cut_by_us(packet: &[u8], gso_size: u16) -> Vec<Vec<u8>> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 6 {
        Ipv6Packet::new_unchecked(&mut packet[..]).decrement_hop_limit();
    } else {
        Ipv4Packet::new_unchecked(&mut packet[..]).decrement_ttl();
    }
    let segmenter = Segmenter::new(&packet, gso_size).unwrap();
    let one = |index| {
        let mut header = vec![0; segmenter.header_len()];
        let mut payload = vec![0; segmenter.payload(index).len()];
        segmenter.write_segment(index, &mut header, &mut payload);
        [header, payload].concat()
    };
    (0..segmenter.count()).map(one).collect()
}

#[test]
fn the_kernel_cuts_as_we_do() {
    netns::run_in_new(|| {
        let mut devices = devices();
        for six in [false, true] {
            for (is_tcp, payload, gso_size) in [
                (true, 5000, 1400),
                (true, 4200, 1400),
                (true, 3001, 999),
                (true, 60_000, 1400),
                (true, 1401, 1400),
                (false, 5000, 1400),
                (false, 4200, 1400),
                (false, 2999, 333),
            ] {
                let packet = if is_tcp {
                    tcp(six, payload)
                } else {
                    udp(six, payload)
                };
                let ours = cut_by_us(&packet, gso_size);
                let (packet, offload) = partial(packet, six, is_tcp, gso_size);
                let kernels = cut_by_kernel(&mut devices, &packet, &offload, ours.len());
                assert_eq!(
                    kernels.len(),
                    ours.len(),
                    "six {six} tcp {is_tcp} {payload}/{gso_size}"
                );
                for (index, (kernels, ours)) in kernels.iter().zip(&ours).enumerate() {
                    assert_eq!(
                        kernels, ours,
                        "six {six} tcp {is_tcp} {payload}/{gso_size} #{index}"
                    );
                }
            }
        }
    })
    .unwrap();
}
