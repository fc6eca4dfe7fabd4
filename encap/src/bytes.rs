//! Big-endian fields at constant offsets of a byte slice.
//!
//! Every multi-byte read and write of this crate goes through here. Nothing here checks lengths:
//! the views do so once, and an offset outside the slice panics.

use core::net::{Ipv4Addr, Ipv6Addr};

/// The `N` bytes at `at`.
#[inline]
pub(crate) fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&data[at..at + N]);
    out
}

#[inline]
pub(crate) fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(data, at))
}

#[inline]
pub(crate) fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(data, at))
}

#[inline]
pub(crate) fn ipv4_at(data: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(data, at))
}

#[inline]
pub(crate) fn ipv6_at(data: &[u8], at: usize) -> Ipv6Addr {
    Ipv6Addr::from(array::<16>(data, at))
}

/// Writes `value` at `at`.
#[inline]
pub(crate) fn put<const N: usize>(data: &mut [u8], at: usize, value: [u8; N]) {
    data[at..at + N].copy_from_slice(&value);
}

#[inline]
pub(crate) fn put_u16(data: &mut [u8], at: usize, value: u16) {
    put(data, at, value.to_be_bytes());
}

#[inline]
pub(crate) fn put_u32(data: &mut [u8], at: usize, value: u32) {
    put(data, at, value.to_be_bytes());
}
