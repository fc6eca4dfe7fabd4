//! What the tests with a kernel peer share: two hosts, the node under test, traffic, captures.
//!
//! The hosts are network namespaces with names of their own, so tests run beside each other. All
//! of it is taken back when the [`pair::Pair`] is dropped, also by a failing test.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod capture;
pub(crate) mod kernel_peer;
pub(crate) mod node;
pub(crate) mod ovs_peer;
pub(crate) mod pair;
pub(crate) mod ping;
pub(crate) mod random;
pub(crate) mod traffic;
