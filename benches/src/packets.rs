//! IP packets with right checksums, as a TUN device would deliver them. No Ethernet, no fragments,
//! no extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringlay_encap::{
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Repr, UdpPacket, UdpRepr, checksum, ipv4, ipv6, udp,
};

use crate::Rng;

/// Lengths of IP packets worth measuring: in the smallest Ethernet frame, in a full VXLAN frame at
/// MTU 1500, in a jumbo frame, and a super-frame.
pub const LENGTHS: [usize; 4] = [46, 1_450, 8_950, 65_000];

/// A UDP packet of `len` bytes, headers included, to `dst` from an address of the same family.
///
/// # Panics
///
/// If `len` is too short for the headers or exceeds 65535.
pub fn udp(dst: IpAddr, src_port: u16, len: usize) -> Vec<u8> {
    match dst {
        IpAddr::V4(dst) => udp_v4(dst, src_port, len),
        IpAddr::V6(dst) => udp_v6(dst, src_port, len),
    }
}

/// UDP packets of `len` bytes, one to each of `dsts`, each from a random port.
pub fn udp_to<A: Into<IpAddr> + Copy>(dsts: &[A], len: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(0xf10);
    dsts.iter()
        .map(|dst| udp((*dst).into(), rng.bits() as u16 | 1024, len))
        .collect()
}

/// `len` random bytes.
pub fn noise(len: usize) -> Vec<u8> {
    let mut rng = Rng::new(0x201);
    (0..len).map(|_| rng.bits() as u8).collect()
}

fn udp_v4(dst_addr: Ipv4Addr, src_port: u16, len: usize) -> Vec<u8> {
    let mut packet = noise(len);
    let (header, datagram) = packet.split_at_mut(ipv4::HEADER_LEN);
    let payload_len = checked(datagram.len());
    let repr = Ipv4Repr {
        src_addr: Ipv4Addr::new(10, 42, 1, 1),
        dst_addr,
        protocol: IpProtocol::UDP,
        traffic_class: 0,
        ttl: 64,
        ident: 0,
        dont_fragment: true,
        payload_len,
    };
    repr.emit(header);
    emit_udp(datagram, src_port);
    let pseudo_header = Ipv4Packet::new_unchecked(header).pseudo_header(payload_len);
    UdpPacket::new_unchecked(datagram).fill_checksum(pseudo_header);
    packet
}

fn udp_v6(dst_addr: Ipv6Addr, src_port: u16, len: usize) -> Vec<u8> {
    let src_addr = Ipv6Addr::new(0xfd42, 0, 0, 1, 0, 0, 0, 1);
    let mut packet = noise(len);
    let (header, datagram) = packet.split_at_mut(ipv6::HEADER_LEN);
    let payload_len = checked(datagram.len());
    let repr = Ipv6Repr {
        src_addr,
        dst_addr,
        next_header: IpProtocol::UDP,
        traffic_class: 0,
        flow_label: 0,
        hop_limit: 64,
        payload_len,
    };
    repr.emit(header);
    emit_udp(datagram, src_port);
    let (protocol, len) = (IpProtocol::UDP, u32::from(payload_len));
    let pseudo_header = checksum::pseudo_header_v6(src_addr, dst_addr, protocol, len);
    UdpPacket::new_unchecked(datagram).fill_checksum(pseudo_header);
    packet
}

fn emit_udp(datagram: &mut [u8], src_port: u16) {
    let payload_len = checked(datagram.len() - udp::HEADER_LEN);
    UdpRepr {
        src_port,
        dst_port: 9,
        payload_len,
    }
    .emit(datagram);
}

fn checked(len: usize) -> u16 {
    u16::try_from(len).expect("a packet has at most 65535 bytes")
}

#[cfg(test)]
mod tests {
    use ringlay_encap::{Ipv6Packet, checksum::sum_of_valid_packet};

    use super::*;

    #[test]
    fn packets_have_their_length_and_right_checksums() {
        for len in LENGTHS {
            let packet = udp(Ipv4Addr::new(10, 42, 2, 1).into(), 4000, len);
            let view = Ipv4Packet::new_checked(&packet[..]).unwrap();
            assert_eq!((packet.len(), view.total_len()), (len, len));
            assert!(view.verify_checksum());
            // The whole packet sums to what a right transport checksum makes it sum to.
            assert_eq!(sum_of_valid_packet(&packet), Some(checksum::sum(&packet)));
        }
        let packet = udp(Ipv6Addr::LOCALHOST.into(), 4000, 1_450);
        assert_eq!(
            Ipv6Packet::new_checked(&packet[..]).unwrap().total_len(),
            1_450
        );
        assert_eq!(sum_of_valid_packet(&packet), Some(checksum::sum(&packet)));
    }
}
