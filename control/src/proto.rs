//! The generated messages, clients and servers of `ringlay.v1`, see `proto/ringlay/v1/`.

#![allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::all,
    clippy::pedantic,
    clippy::use_self,
    clippy::semicolon_if_nothing_returned,
    reason = "generated code; the .proto files hold its documentation"
)]

tonic::include_proto!("ringlay.v1");

/// The encoded file descriptor set, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ringlay.v1.bin"));
