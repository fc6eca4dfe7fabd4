//! Everything that talks to the kernel through raw pointers or descriptors.
//!
//! The only module of the crate that may contain `unsafe`; what it exports is
//! safe to call. One kernel facility a file.

#![allow(unsafe_code, reason = "system calls and memory shared with the kernel")]

pub mod arena;
pub mod ethtool;
