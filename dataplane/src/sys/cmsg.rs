//! The two control messages of UDP segmentation: how large the datagrams of a
//! received train are, and into which size to cut a sent one.
//!
//! Messages are encoded and parsed as bytes, with every length checked.

use std::mem::offset_of;

/// Room for one control message with an integer in it.
pub const CONTROL_LEN: usize = align(HEADER_LEN + size_of::<libc::c_int>());

/// Storage for the control messages of one datagram.
pub type ControlBytes = [u8; CONTROL_LEN];

/// The kernel's `struct cmsghdr`: `size_t` length, level and type (`linux/socket.h`).
const HEADER_LEN: usize = align(size_of::<libc::cmsghdr>());
const LEVEL: usize = offset_of!(libc::cmsghdr, cmsg_level);
const TYPE: usize = offset_of!(libc::cmsghdr, cmsg_type);

const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// Encodes `UDP_SEGMENT` with the payload bytes of each datagram (`udp(7)`).
#[inline]
pub fn encode_udp_segment(size: u16, out: &mut ControlBytes) -> usize {
    const DATA_LEN: usize = size_of::<u16>();
    out[..size_of::<usize>()].copy_from_slice(&(HEADER_LEN + DATA_LEN).to_ne_bytes());
    out[LEVEL..LEVEL + 4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    out[TYPE..TYPE + 4].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    out[HEADER_LEN..HEADER_LEN + DATA_LEN].copy_from_slice(&size.to_ne_bytes());
    align(HEADER_LEN + DATA_LEN)
}

/// Finds `UDP_GRO` among received control messages: the payload bytes of each
/// datagram of a coalesced train. `None` for a single datagram, or when the
/// messages are damaged.
#[inline]
pub fn udp_gro_size(mut control: &[u8]) -> Option<u16> {
    while !control.is_empty() {
        let len = usize::from_ne_bytes(take(control, 0)?);
        let level = i32::from_ne_bytes(take(control, LEVEL)?);
        let kind = i32::from_ne_bytes(take(control, TYPE)?);
        let data = control.get(HEADER_LEN..len)?;
        if (level, kind) == (libc::SOL_UDP, libc::UDP_GRO) {
            return u16::try_from(i32::from_ne_bytes(take(data, 0)?))
                .ok()
                .filter(|&size| size > 0);
        }
        control = control.get(len.checked_next_multiple_of(size_of::<usize>())?..)?;
    }
    None
}

#[inline]
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_LEN + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(align(bytes.len()), 0);
        bytes
    }

    #[test]
    fn gro_size_is_found_behind_other_messages() {
        let mut control = message(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[9; 13]);
        control.extend(message(
            libc::SOL_UDP,
            libc::UDP_GRO,
            &1400i32.to_ne_bytes(),
        ));
        assert_eq!(udp_gro_size(&control), Some(1400));
        assert_eq!(udp_gro_size(&[]), None);
        for cut in 0..control.len() - 4 {
            assert_eq!(udp_gro_size(&control[..cut]), None, "cut to {cut}");
        }
    }

    #[test]
    fn lying_lengths_end_the_search() {
        for len in [
            0,
            1,
            HEADER_LEN - 1,
            HEADER_LEN,
            HEADER_LEN + 3,
            4096,
            usize::MAX,
        ] {
            let mut control = message(libc::SOL_UDP, libc::UDP_GRO, &1400i32.to_ne_bytes());
            control[..8].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(udp_gro_size(&control), None, "length {len}");
        }
    }

    #[test]
    fn impossible_sizes_are_no_train() {
        for size in [0, -1, 65_536] {
            let control = message(libc::SOL_UDP, libc::UDP_GRO, &i32::to_ne_bytes(size));
            assert_eq!(udp_gro_size(&control), None);
        }
    }

    #[test]
    fn udp_segment_fits_its_storage() {
        let mut bytes = [0xff; CONTROL_LEN];
        let len = encode_udp_segment(1400, &mut bytes);
        let expected = message(libc::SOL_UDP, libc::UDP_SEGMENT, &1400u16.to_ne_bytes());
        assert_eq!(len, expected.len());
        assert_eq!(bytes[..HEADER_LEN + 2], expected[..HEADER_LEN + 2]);
    }
}
