//! A range of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use thiserror::Error;

/// Addresses from a first to a last one, of one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// A text names no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a range; write e.g. \"10.42.1.0/24\" or \"10.42.1.10-10.42.1.99\"")]
pub struct RangeError;

impl AddressRange {
    /// From `first` to `last`.
    ///
    /// # Errors
    ///
    /// If they are of two IP versions, or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        if first.is_ipv4() == last.is_ipv4() && first <= last {
            Ok(Self { first, last })
        } else {
            Err(RangeError)
        }
    }

    /// The addresses of a prefix that hosts can have: not those that mean the network itself, all
    /// its hosts (RFC 919) or all its routers (RFC 4291 section 2.6.1).
    pub fn hosts(prefix: IpNet) -> Self {
        let (network, last) = (prefix.network(), prefix.broadcast());
        let few = prefix.prefix_len() + 1 >= prefix.max_prefix_len();
        let (first, last) = match prefix {
            _ if few => (network, last),
            IpNet::V4(_) => (offset(network, 1), offset(network, size(network, last) - 2)),
            IpNet::V6(_) => (offset(network, 1), last),
        };
        Self { first, last }
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    /// How many addresses it has; at most `u128::MAX`.
    pub fn len(&self) -> u128 {
        size(self.first, self.last)
    }

    /// Whether it has none, which never is.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its first and last address.
    pub(crate) fn ends(&self) -> (IpAddr, IpAddr) {
        (self.first, self.last)
    }

    /// The address so many behind the first.
    pub(super) fn nth(&self, index: u128) -> IpAddr {
        offset(self.first, index)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn size(first: IpAddr, last: IpAddr) -> u128 {
    (number(last) - number(first)).saturating_add(1)
}

fn offset(address: IpAddr, by: u128) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().saturating_add(by as u32).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().saturating_add(by).into()),
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        if let Some((first, last)) = text.split_once('-') {
            let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| RangeError);
            return Self::new(address(first)?, address(last)?);
        }
        let prefix: IpNet = text.parse().map_err(|_| RangeError)?;
        if prefix.trunc() == prefix {
            Ok(Self::hosts(prefix))
        } else {
            Err(RangeError)
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_is_the_range_of_its_hosts() {
        for (text, hosts, len) in [
            ("10.1.0.0/24", "10.1.0.1-10.1.0.254", 254),
            ("10.1.0.0/30", "10.1.0.1-10.1.0.2", 2),
            ("10.1.0.0/31", "10.1.0.0-10.1.0.1", 2),
            ("10.1.0.7/32", "10.1.0.7-10.1.0.7", 1),
            ("fd00::/126", "fd00::1-fd00::3", 3),
            ("fd00::5/128", "fd00::5-fd00::5", 1),
            ("10.1.0.9-10.1.0.9", "10.1.0.9-10.1.0.9", 1),
        ] {
            assert_eq!(
                (range(text).to_string().as_str(), range(text).len()),
                (hosts, len)
            );
        }
        assert_eq!(range("::/0").len(), u128::MAX);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "10.1.0.1/24",
            "10.1.0.9-10.1.0.1",
            "10.1.0.1-fd00::1",
            "x",
            "10.1.0.1",
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(RangeError), "{text:?}");
        }
    }

    #[test]
    fn a_range_contains_its_ends_and_what_is_between() {
        let some = range("10.1.0.5-10.1.0.7");
        let inside = |text: &str| some.contains(text.parse().unwrap());
        assert_eq!(
            ["10.1.0.4", "10.1.0.5", "10.1.0.7", "10.1.0.8", "fd00::1"].map(inside),
            [false, true, true, false, false]
        );
    }
}
