//! Longest-prefix match: IPv4 and IPv6 routing tables, generic over the value.
//!
//! A [`Table`] maps each [`Prefix`] to a value and answers, for an address, with the value of the
//! longest prefix that covers it. Cloning a table is O(1): a clone is a snapshot that shares all
//! nodes, and a later update of either copies only the nodes on its path. So one writer keeps a
//! table, updates it and publishes clones; readers look up in theirs without a lock.
//!
//! The crate is pure: it does no IO, reads no clock, keeps no global and starts no thread. How a
//! snapshot reaches its readers, and when an old one is freed, is the caller's business.
//!
//! ```
//! use ringlay_lpm::{Ipv4Table, Prefix};
//!
//! let mut table = Ipv4Table::new();
//! table.insert("10.0.0.0/8".parse()?, 1u32);
//! table.insert("10.42.0.0/16".parse()?, 2);
//! let snapshot = table.clone();
//! table.remove(&"10.42.0.0/16".parse()?);
//!
//! assert_eq!(table.lookup([10, 42, 0, 1].into()), Some(&1));
//! assert_eq!(snapshot.lookup([10, 42, 0, 1].into()), Some(&2));
//! # Ok::<(), ringlay_lpm::ParsePrefixError>(())
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod batch;
mod build;
mod compile;
mod convert;
mod edit;
mod eras;
mod iter;
mod kernel;
mod memory;
mod node;
mod position;
mod prefix;
mod rib;
mod runs;
mod space;
mod table;
mod values;
mod words;
mod writer;

pub use address::Address;
pub use iter::Iter;
pub use memory::Memory;
pub use prefix::{ParsePrefixError, Prefix, PrefixError};
pub use table::Table;

/// A longest-prefix match table of IPv4 prefixes.
pub type Ipv4Table<V> = Table<std::net::Ipv4Addr, V>;

/// A longest-prefix match table of IPv6 prefixes.
pub type Ipv6Table<V> = Table<std::net::Ipv6Addr, V>;
