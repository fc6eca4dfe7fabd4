//! Tests of the tables through their public interface, most of them against slow obvious ones.

#![allow(clippy::unwrap_used, reason = "what a test builds on may fail it")]

mod cases;
mod fuzz;
mod operations;
mod oracle;
mod rng;
mod scale;
mod threads;
