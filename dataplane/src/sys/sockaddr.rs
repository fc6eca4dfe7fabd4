//! `sockaddr_in` and `sockaddr_in6` as bytes, without the detour over the
//! 128-byte `sockaddr_storage` that every datagram would otherwise pay for.

use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for either address family.
pub const SOCKADDR_LEN: usize = size_of::<libc::sockaddr_in6>();

/// An encoded address.
pub type SockaddrBytes = [u8; SOCKADDR_LEN];

const V4_LEN: usize = size_of::<libc::sockaddr_in>();
/// The same in both families.
const PORT: usize = offset_of!(libc::sockaddr_in6, sin6_port);
const FAMILY: usize = offset_of!(libc::sockaddr_in6, sin6_family);
const V4_ADDRESS: usize = offset_of!(libc::sockaddr_in, sin_addr);
const V6_FLOW: usize = offset_of!(libc::sockaddr_in6, sin6_flowinfo);
const V6_ADDRESS: usize = offset_of!(libc::sockaddr_in6, sin6_addr);
const V6_SCOPE: usize = offset_of!(libc::sockaddr_in6, sin6_scope_id);

/// Writes `address` the way the kernel reads it and returns how many bytes count.
#[inline]
pub fn encode(address: &SocketAddr, out: &mut SockaddrBytes) -> usize {
    put(out, PORT, address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            put(out, FAMILY, (libc::AF_INET as u16).to_ne_bytes());
            put(out, V4_ADDRESS, v4.ip().octets());
            put(out, V4_ADDRESS + 4, [0; 8]);
            V4_LEN
        }
        SocketAddr::V6(v6) => {
            put(out, FAMILY, (libc::AF_INET6 as u16).to_ne_bytes());
            put(out, V6_FLOW, v6.flowinfo().to_ne_bytes());
            put(out, V6_ADDRESS, v6.ip().octets());
            put(out, V6_SCOPE, v6.scope_id().to_ne_bytes());
            SOCKADDR_LEN
        }
    }
}

/// Reads an address that the kernel wrote; `None` if it is cut short or of another family.
#[inline]
pub fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(take(bytes, PORT)?);
    match i32::from(u16::from_ne_bytes(take(bytes, FAMILY)?)) {
        libc::AF_INET => {
            let address = Ipv4Addr::from(take::<4>(bytes, V4_ADDRESS)?);
            Some(SocketAddr::V4(SocketAddrV4::new(address, port)))
        }
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(take::<16>(bytes, V6_ADDRESS)?);
            let flow = u32::from_ne_bytes(take(bytes, V6_FLOW)?);
            let scope = u32::from_ne_bytes(take(bytes, V6_SCOPE)?);
            Some(SocketAddr::V6(SocketAddrV6::new(
                address, port, flow, scope,
            )))
        }
        _ => None,
    }
}

#[inline]
fn put<const N: usize>(out: &mut SockaddrBytes, at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}

#[inline]
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_socket2_both_ways() {
        for text in ["192.0.2.1:4789", "[2001:db8::1]:65535", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut bytes = [0xff; SOCKADDR_LEN];
            let len = encode(&address, &mut bytes);
            let reference = socket2::SockAddr::from(address);
            assert_eq!(len, reference.len() as usize);
            assert_eq!(decode(&bytes[..len]), Some(address));
            for cut in 0..len - 8 {
                assert_eq!(decode(&bytes[..cut]), None, "{text} cut to {cut}");
            }
        }
    }

    #[test]
    fn other_families_have_no_address() {
        let mut bytes = [0; SOCKADDR_LEN];
        bytes[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        assert_eq!(decode(&bytes), None);
        assert_eq!(decode(&[]), None);
    }
}
