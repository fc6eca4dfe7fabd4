//! The kernel runs the filters, on sockets that hand over whatever they are sent.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use etherparse::PacketBuilder;

use super::*;
use crate::sys::filter;

/// A socket for each worker, and the way to it.
struct Workers(Vec<(UnixDatagram, UnixDatagram)>);

impl Workers {
    fn new(version: IpVersion, protocol: IpProtocol, count: usize) -> Self {
        let one = |worker| {
            let (near, far) = UnixDatagram::pair().unwrap();
            let program = program(version, protocol, worker, count);
            filter::attach(far.as_fd(), &program).expect("the kernel takes the filter");
            far.set_nonblocking(true).unwrap();
            (near, far)
        };
        Self((0..count).map(one).collect())
    }

    /// The only worker that takes the packet, whole.
    fn taker(&self, packet: &[u8]) -> usize {
        let mut takers = Vec::new();
        for (worker, (near, far)) in self.0.iter().enumerate() {
            near.send(packet).unwrap();
            let mut buffer = [0; 4096];
            match far.recv(&mut buffer) {
                Ok(len) => {
                    assert_eq!(&buffer[..len], packet);
                    takers.push(worker);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(takers.len(), 1, "{packet:02x?}");
        takers[0]
    }
}

fn udp4(host: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 42, 1, host], [10, 42, 2, 1], 64)
        .udp(port, 53)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

fn tcp6(host: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let (mut source, mut destination) = ([0xfd; 16], [0xfd; 16]);
    (source[15], destination[15]) = (host, 1);
    let mut packet = Vec::new();
    PacketBuilder::ipv6(source, destination, 64)
        .tcp(port, 80, payload.len() as u32, 100)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

/// An outer IPv4 header with `options` words of no operation, as raw sockets hand it over; over
/// IPv6 there is none.
fn outer(version: IpVersion, options: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    if version == IpVersion::V4 {
        packet = vec![0; 20];
        packet[0] = 0x45 + options;
        packet.resize(20 + 4 * usize::from(options), 1);
    }
    packet.extend(payload);
    packet
}

/// A GRE header with optional fields as `flags` has it, which differ each time.
fn gre(flags: u16, protocol: u16, payload: &[u8], salt: u32) -> Vec<u8> {
    let mut packet = [flags.to_be_bytes(), protocol.to_be_bytes()].concat();
    for flag in [0x8000, 0x2000, 0x1000] {
        if flags & flag != 0 {
            packet.extend(salt.to_be_bytes());
        }
    }
    packet.extend(payload);
    packet
}

fn bridged(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

const VERSIONS: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// Sends flows that `packet` makes of a host, a port and a number of the packet in the flow.
fn check(workers: &Workers, packet: impl Fn(u8, u16, u32) -> Vec<u8>) {
    let count = workers.0.len();
    let mut shares = vec![0; count];
    for host in 0..8 {
        for port in 0..64 {
            let port = 1000 + 7 * port;
            let taker = workers.taker(&packet(host, port, 0));
            assert_eq!(workers.taker(&packet(host, port, 1)), taker);
            shares[taker] += 1;
        }
    }
    let fair = 8 * 64 / count;
    assert!(
        shares.iter().all(|&share| share > fair / 2),
        "{shares:?} of {fair}"
    );
}

#[test]
fn flows_in_gre_are_spread_and_kept() {
    for version in VERSIONS {
        let workers = Workers::new(version, IpProtocol::GRE, 3);
        for flags in [0, 0x2000, 0xb000] {
            check(&workers, |host, port, n| {
                let packet = udp4(host, port, &vec![7; n as usize * 100]);
                outer(version, n as u8, &gre(flags, 0x0800, &packet, n))
            });
            check(&workers, |host, port, n| {
                let frame = bridged(0x86dd, &tcp6(host, port, &vec![7; n as usize * 100]));
                outer(version, n as u8, &gre(flags, 0x6558, &frame, n))
            });
        }
    }
}

#[test]
fn flows_in_ip_are_spread_and_kept() {
    for version in VERSIONS {
        let workers = Workers::new(version, IpProtocol::IPIP, 4);
        check(&workers, |host, port, n| {
            outer(version, n as u8, &udp4(host, port, &vec![7; n as usize]))
        });
        let workers = Workers::new(version, IpProtocol::IPV6, 2);
        check(&workers, |host, port, n| {
            outer(version, n as u8, &tcp6(host, port, &vec![7; n as usize]))
        });
    }
}

#[test]
fn fragments_stay_together() {
    let workers = Workers::new(IpVersion::V4, IpProtocol::IPIP, 4);
    for host in 0..20 {
        let mut first = udp4(host, 1000, b"the beginning of a datagram");
        first[6] = 0x20;
        let mut last = udp4(host, 45_000, b"which are no ports");
        last[7] = 5;
        let [first, last] = [first, last].map(|packet| outer(IpVersion::V4, 0, &packet));
        assert_eq!(workers.taker(&first), workers.taker(&last));
    }
}

#[test]
fn whatever_comes_one_worker_takes_it() {
    for version in VERSIONS {
        for (protocol, packet) in [
            (IpProtocol::GRE, gre(0xb000, 0x0800, &udp4(1, 2, b""), 3)),
            (
                IpProtocol::GRE,
                gre(0, 0x6558, &bridged(0x0800, &udp4(1, 2, b"")), 3),
            ),
            (IpProtocol::GRE, gre(0, 0x86dd, &tcp6(1, 2, b""), 3)),
            (IpProtocol::GRE, gre(0x4000, 0x0800, &udp4(1, 2, b""), 3)),
            (IpProtocol::GRE, gre(1, 0x880b, b"point to point", 3)),
            (IpProtocol::GRE, gre(0, 0x0806, &[1; 28], 3)),
            (IpProtocol::IPIP, udp4(1, 2, b"")),
            (IpProtocol::IPV6, tcp6(1, 2, b"")),
        ] {
            let workers = Workers::new(version, protocol, 3);
            for cut in 0..=packet.len() {
                workers.taker(&outer(version, 0, &packet[..cut]));
            }
            let mut state = 1_u32;
            for _ in 0..500 {
                let mut damaged = packet.clone();
                for byte in &mut damaged {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if state >> 29 == 0 {
                        *byte = (state >> 16) as u8;
                    }
                }
                workers.taker(&outer(version, 0, &damaged));
            }
        }
    }
}

#[test]
fn a_sole_worker_takes_all() {
    let workers = Workers::new(IpVersion::V4, IpProtocol::GRE, 1);
    check(&workers, |host, port, n| {
        outer(IpVersion::V4, 0, &gre(0, 0x0800, &udp4(host, port, b""), n))
    });
}
