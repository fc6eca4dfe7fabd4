//! Everything that talks to the kernel through raw pointers or descriptors.
//!
//! The only module of the crate that may contain `unsafe`; what it exports is
//! safe to call. One kernel facility a file.

#![allow(unsafe_code, reason = "system calls and memory shared with the kernel")]

pub mod affinity;
pub mod arena;
pub mod bpf;
pub mod cells;
pub mod cmsg;
pub mod counting;
pub mod datagram;
pub mod epoll;
pub mod ethtool;
pub mod eventfd;
pub mod filter;
pub mod link;
mod mapping;
pub mod mmsg;
pub mod netns;
pub mod packet;
pub mod rtnetlink;
pub mod seccomp;
pub mod sockaddr;
pub mod sockopt;
pub mod tsc;
pub mod tun;
pub mod uring;
pub mod virtio;
pub mod xdp;
