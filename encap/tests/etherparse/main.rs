//! The views and reprs against etherparse: each accepts what the other accepts, reads the same
//! fields, and reads what the other wrote.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use proptest::prelude::*;

mod emit;
mod parse;

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}
