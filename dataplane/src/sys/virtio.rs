//! The virtio-net header in front of each packet of a TUN queue, to and from
//! [`Offload`].
//!
//! Fields are in host byte order, the default of `/dev/net/tun`
//! (`linux/virtio_net.h`, `TUNSETVNETLE`).

use crate::frame::{Gso, Offload};

/// Length of `struct virtio_net_hdr`, the form without a buffer count.
pub const HEADER_LEN: usize = 10;

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Reads a header; `None` for a kind of segmentation that was never asked for
/// (such as UDP fragmentation).
#[inline]
pub fn decode(header: &[u8; HEADER_LEN]) -> Option<Offload> {
    let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let gso = match header[1] & !GSO_ECN {
        GSO_NONE => Gso::None,
        GSO_TCPV4 => Gso::TcpV4,
        GSO_TCPV6 => Gso::TcpV6,
        GSO_UDP_L4 => Gso::UdpL4,
        _ => return None,
    };
    Some(Offload {
        needs_checksum: header[0] & F_NEEDS_CSUM != 0,
        checksum_valid: header[0] & F_DATA_VALID != 0,
        ecn: header[1] & GSO_ECN != 0,
        gso,
        header_len: word(2),
        gso_size: word(4),
        csum_start: word(6),
        csum_offset: word(8),
    })
}

/// Writes a header.
#[inline]
pub fn encode(offload: &Offload, header: &mut [u8; HEADER_LEN]) {
    header[0] = if offload.needs_checksum {
        F_NEEDS_CSUM
    } else {
        0
    } | if offload.checksum_valid {
        F_DATA_VALID
    } else {
        0
    };
    header[1] = if offload.ecn { GSO_ECN } else { 0 }
        | match offload.gso {
            Gso::None => GSO_NONE,
            Gso::TcpV4 => GSO_TCPV4,
            Gso::TcpV6 => GSO_TCPV6,
            Gso::UdpL4 => GSO_UDP_L4,
        };
    header[2..4].copy_from_slice(&offload.header_len.to_ne_bytes());
    header[4..6].copy_from_slice(&offload.gso_size.to_ne_bytes());
    header[6..8].copy_from_slice(&offload.csum_start.to_ne_bytes());
    header[8..10].copy_from_slice(&offload.csum_offset.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_the_round_trip() {
        for gso in [Gso::None, Gso::TcpV4, Gso::TcpV6, Gso::UdpL4] {
            for bits in 0..8 {
                let offload = Offload {
                    needs_checksum: bits & 1 != 0,
                    checksum_valid: bits & 2 != 0,
                    ecn: bits & 4 != 0,
                    gso,
                    header_len: 54,
                    gso_size: 1448,
                    csum_start: 34,
                    csum_offset: 16,
                };
                let mut header = [0xff; HEADER_LEN];
                encode(&offload, &mut header);
                assert_eq!(decode(&header), Some(offload));
            }
        }
    }

    #[test]
    fn a_tcp_super_frame_looks_as_the_kernel_writes_it() {
        // VIRTIO_NET_HDR_F_NEEDS_CSUM, GSO_TCPV4, 52 bytes of headers, MSS 1448,
        // checksum of the bytes from 20 on at 20 + 16.
        let mut header = vec![1, 1];
        for word in [52u16, 1448, 20, 16] {
            header.extend(word.to_ne_bytes());
        }
        let offload = decode(&header.try_into().unwrap()).unwrap();
        assert!(offload.needs_checksum && !offload.checksum_valid && !offload.ecn);
        assert_eq!(
            (offload.gso, offload.gso_size, offload.header_len),
            (Gso::TcpV4, 1448, 52)
        );
        assert_eq!((offload.csum_start, offload.csum_offset), (20, 16));
    }

    #[test]
    fn kinds_never_asked_for_are_refused() {
        for kind in [2, 3, 6, 0x20, 0x7f] {
            let mut header = [0; HEADER_LEN];
            header[1] = kind;
            assert_eq!(decode(&header), None);
        }
    }
}
