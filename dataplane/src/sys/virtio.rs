//! The virtio-net header in front of each packet of a TUN or TAP queue, to and from
//! [`Offload`].
//!
//! Fields are in host byte order, the default of `/dev/net/tun`
//! (`linux/virtio_net.h`, `TUNSETVNETLE`).

use ringlay_encap::ip::IpVersion;

use crate::frame::{Encapsulation, Gso, Offload};

/// Length of `struct virtio_net_hdr`, the form without a buffer count.
pub const HEADER_LEN: usize = 10;

/// Length of `struct virtio_net_hdr_v1_hash_tunnel` (Linux 6.17), the form that tells
/// where the inner headers of a tunnel are. Buffer count and hash are not used.
pub const TUNNEL_HEADER_LEN: usize = 24;

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;
// Of the tunnel form only.
const F_UDP_TUNNEL_CSUM: u8 = 8;
const GSO_UDP_TUNNEL_IPV4: u8 = 0x20;
const GSO_UDP_TUNNEL_IPV6: u8 = 0x40;
const OUTER_TRANSPORT: usize = 20;
const INNER_NETWORK: usize = 22;

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
        tunnel: None,
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

/// Reads a header of the tunnel form; `None` as for [`decode`].
#[inline]
pub fn decode_tunnel(header: &[u8; TUNNEL_HEADER_LEN]) -> Option<Offload> {
    let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let outer = match header[1] & (GSO_UDP_TUNNEL_IPV4 | GSO_UDP_TUNNEL_IPV6) {
        0 => None,
        GSO_UDP_TUNNEL_IPV4 => Some(IpVersion::V4),
        GSO_UDP_TUNNEL_IPV6 => Some(IpVersion::V6),
        _ => return None,
    };
    let mut short = *header.first_chunk()?;
    short[1] &= !(GSO_UDP_TUNNEL_IPV4 | GSO_UDP_TUNNEL_IPV6);
    Some(Offload {
        tunnel: outer.map(|outer| Encapsulation {
            outer,
            transport: word(OUTER_TRANSPORT),
            inner: word(INNER_NETWORK),
            checksum: header[0] & F_UDP_TUNNEL_CSUM != 0,
        }),
        ..decode(&short)?
    })
}

/// Writes a header of the tunnel form.
#[inline]
pub fn encode_tunnel(offload: &Offload, header: &mut [u8; TUNNEL_HEADER_LEN]) {
    header.fill(0);
    if let Some(short) = header.first_chunk_mut() {
        encode(offload, short);
    }
    let Some(tunnel) = offload.tunnel else {
        return;
    };
    if tunnel.checksum {
        header[0] |= F_UDP_TUNNEL_CSUM;
    }
    header[1] |= match tunnel.outer {
        IpVersion::V4 => GSO_UDP_TUNNEL_IPV4,
        IpVersion::V6 => GSO_UDP_TUNNEL_IPV6,
    };
    header[OUTER_TRANSPORT..][..2].copy_from_slice(&tunnel.transport.to_ne_bytes());
    header[INNER_NETWORK..][..2].copy_from_slice(&tunnel.inner.to_ne_bytes());
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
                    tunnel: None,
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
    fn a_super_frame_in_a_tunnel_survives_the_round_trip() {
        for (outer, checksum) in [(IpVersion::V4, true), (IpVersion::V6, false)] {
            let offload = Offload {
                needs_checksum: true,
                gso: Gso::TcpV6,
                header_len: 126,
                gso_size: 1390,
                csum_start: 106,
                csum_offset: 16,
                tunnel: Some(Encapsulation {
                    outer,
                    transport: 34,
                    inner: 66,
                    checksum,
                }),
                ..Offload::default()
            };
            let mut header = [0xff; TUNNEL_HEADER_LEN];
            encode_tunnel(&offload, &mut header);
            assert_eq!(decode_tunnel(&header), Some(offload));
            // Whoever knows nothing of tunnels must not take it for a plain one.
            assert_eq!(decode(header.first_chunk().unwrap()), None);
        }
    }

    #[test]
    fn a_super_frame_in_a_tunnel_looks_as_the_kernel_takes_it() {
        // Written to a TAP device of Linux 6.18, which routed it on whole: TCP over IPv4 in
        // VXLAN over IPv4, MSS 1000, 14 + 20 + 8 + 8 + 14 bytes up to the inner IP header.
        let mut expected = vec![1 | 8, 1 | 0x20];
        for word in [104u16, 1000, 84, 16, 0, 0, 0, 0, 0, 34, 64] {
            expected.extend(word.to_ne_bytes());
        }
        let offload = Offload {
            needs_checksum: true,
            gso: Gso::TcpV4,
            header_len: 104,
            gso_size: 1000,
            csum_start: 84,
            csum_offset: 16,
            tunnel: Some(Encapsulation {
                outer: IpVersion::V4,
                transport: 34,
                inner: 64,
                checksum: true,
            }),
            ..Offload::default()
        };
        let mut header = [0xff; TUNNEL_HEADER_LEN];
        encode_tunnel(&offload, &mut header);
        assert_eq!(header[..], expected);
    }

    #[test]
    fn an_outer_header_of_both_versions_is_refused() {
        let mut header = [0; TUNNEL_HEADER_LEN];
        header[1] = 1 | 0x20 | 0x40;
        assert_eq!(decode_tunnel(&header), None);
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
