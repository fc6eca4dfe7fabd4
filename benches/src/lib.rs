//! Deterministic routes, addresses and packets for Ringlay's micro-benchmarks.
//!
//! The benchmarks themselves are in `benches/`, one file for each crate or stage they measure.
//! Nothing here measures anything.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod addresses;
pub mod dir24;
pub mod packets;
pub mod rng;
pub mod routes;

pub use rng::Rng;

/// A size to measure with or, in a build for tests, which measures nothing, one to try the code with.
pub const fn sized(measured: usize, tried: usize) -> usize {
    if cfg!(debug_assertions) {
        tried
    } else {
        measured
    }
}
