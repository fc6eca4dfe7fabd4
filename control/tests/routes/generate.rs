//! Routes in any number, always the same ones: distinct prefixes of /21 to /24 and of /40 to /48,
//! out of order. Not shaped like the internet's, as those of the benchmarks are.

use std::fmt::Write;

/// The IPv4 prefix with this number, below 2^20. None is in 10.0.0.0/8.
pub(crate) fn ipv4(number: u32) -> String {
    // A slot of a /21 each, from 64.0.0.0 on, in the order of reversed bits.
    let slot = number.reverse_bits() >> 12;
    let length = 21 + number % 4;
    let address = std::net::Ipv4Addr::from((64 << 24) + (slot << 11));
    format!("{address}/{length}")
}

/// The IPv6 prefix with this number, below 2^20.
pub(crate) fn ipv6(number: u32) -> String {
    let slot = u128::from(number.reverse_bits() >> 12);
    let length = 40 + number % 9;
    let address = std::net::Ipv6Addr::from((0x2000 << 112) | (slot << 88));
    format!("{address}/{length}")
}

/// Lines for `ringlay route import`: the next hops take turns.
pub(crate) fn lines(v4: u32, v6: u32, next_hops: &[&str]) -> String {
    let mut text = String::new();
    let prefixes = (0..v4).map(ipv4).chain((0..v6).map(ipv6));
    for (prefix, next_hop) in prefixes.zip(next_hops.iter().cycle()) {
        writeln!(text, "{prefix} {next_hop}").unwrap();
    }
    text
}
