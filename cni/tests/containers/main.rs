//! The plugin with a real daemon and real namespaces: what containers can do, and that nothing is
//! left of them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]

mod bandwidth;
mod bridged;
mod chained;
mod containerd;
mod ethernet;
mod host;
mod installed;
mod life;
mod outside;
mod podman;
mod restart;
mod runtime;
mod traffic;
