//! Ethernet ports: what this node is on them, and which hosts are known there.

use std::net::IpAddr;
use std::sync::Arc;

use ringlay_encap::MacAddr;

/// What makes a port an Ethernet port: this node is a router on a segment with other hosts.
#[derive(Clone, Debug)]
pub struct Link {
    /// Our MAC address.
    pub mac: MacAddr,
    /// Our own addresses, which hosts may ask for, those to say something from first.
    pub addresses: Vec<IpAddr>,
    /// Whether hosts may also ask for whatever is routed elsewhere than back to them (RFC 1027,
    /// RFC 4389).
    pub proxy: bool,
    /// The largest IP packet that goes out, in bytes.
    pub mtu: usize,
    /// Whether the device takes super-frames and finishes checksums. Otherwise frames leave as
    /// they are to be on the wire, and what comes in may lack checksums without saying so.
    pub offloads: bool,
    /// The hosts whose MAC address is known.
    pub neighbours: Neighbours,
}

impl Link {
    /// The address that this node speaks from to a host.
    pub fn source(&self, is_v4: bool) -> Option<IpAddr> {
        let fits = |address: &&IpAddr| address.is_ipv4() == is_v4;
        self.addresses.iter().find(fits).copied()
    }
}

/// The MAC addresses of hosts. A copy costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours(Arc<[(u128, MacAddr)]>);

impl Neighbours {
    /// The MAC address of a host, if it is known.
    #[inline]
    pub fn mac(&self, address: IpAddr) -> Option<MacAddr> {
        let wanted = key(address);
        let found = self.0.binary_search_by_key(&wanted, |&(key, _)| key);
        found.ok().map(|at| self.0[at].1)
    }
}

impl FromIterator<(IpAddr, MacAddr)> for Neighbours {
    /// Of hosts that are named once each.
    fn from_iter<T: IntoIterator<Item = (IpAddr, MacAddr)>>(hosts: T) -> Self {
        let hosts = hosts.into_iter();
        let mut sorted: Vec<_> = hosts.map(|(address, mac)| (key(address), mac)).collect();
        sorted.sort_unstable_by_key(|&(key, _)| key);
        Self(sorted.into())
    }
}

/// A number for each address, of which no two have the same: those of IPv4 are mapped ones.
#[inline]
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_their_address() {
        let hosts = ["10.0.0.9", "fd00::1", "10.0.0.1", "fe80::1"];
        let hosts = hosts.map(|host| host.parse::<IpAddr>().unwrap());
        let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
        let known: Neighbours = hosts.into_iter().zip((1..).map(mac)).collect();
        for (host, last) in hosts.into_iter().zip(1..) {
            assert_eq!(known.mac(host), Some(mac(last)), "{host}");
        }
        assert_eq!(known.mac("10.0.0.2".parse().unwrap()), None);
        assert_eq!(Neighbours::default().mac(hosts[0]), None);
    }
}
