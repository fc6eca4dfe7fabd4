//! Conversions between [`Prefix`] and the `ipnet` types of the interface's edges.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::Prefix;

/// Drops the host bits an [`Ipv4Net`] may carry.
impl From<Ipv4Net> for Prefix<Ipv4Addr> {
    fn from(net: Ipv4Net) -> Self {
        Self::from_masked(net.network(), net.prefix_len())
    }
}

/// Drops the host bits an [`Ipv6Net`] may carry.
impl From<Ipv6Net> for Prefix<Ipv6Addr> {
    fn from(net: Ipv6Net) -> Self {
        Self::from_masked(net.network(), net.prefix_len())
    }
}

impl From<Prefix<Ipv4Addr>> for Ipv4Net {
    fn from(prefix: Prefix<Ipv4Addr>) -> Self {
        Self::new_assert(prefix.addr(), prefix.len())
    }
}

impl From<Prefix<Ipv6Addr>> for Ipv6Net {
    fn from(prefix: Prefix<Ipv6Addr>) -> Self {
        Self::new_assert(prefix.addr(), prefix.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_dropped_on_the_way_in() {
        let net: Ipv4Net = "192.0.2.77/24".parse().unwrap();
        let prefix = Prefix::from(net);
        assert_eq!(prefix.to_string(), "192.0.2.0/24");
        assert_eq!(Ipv4Net::from(prefix), net.trunc());

        let net: Ipv6Net = "2001:db8::1/64".parse().unwrap();
        let prefix = Prefix::from(net);
        assert_eq!(prefix.to_string(), "2001:db8::/64");
        assert_eq!(Ipv6Net::from(prefix), net.trunc());
    }
}
