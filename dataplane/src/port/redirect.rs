//! Leads tunnel packets that a device receives to the uplink, past the host's own stack.
//!
//! A classifier on the device redirects UDP packets for the tunnel endpoint as they came:
//! super-frames stay whole. Fragments and whatever else it does not recognise go on to the
//! host, whose sockets of the endpoint get the packet put together. It holds as long as the
//! [`Redirect`] lives, so nothing stays behind when the process ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use crate::sys::bpf::{self, Instruction, ProgramKind};

/// A redirection in force.
#[derive(Debug)]
pub struct Redirect {
    _link: OwnedFd,
}

impl Redirect {
    /// Redirects what the device with the index `from` receives for `local` to the device with
    /// the index `to`.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_BPF`, `EINVAL` on kernels before 6.6.
    pub fn attach(local: SocketAddr, from: u32, to: u32) -> io::Result<Self> {
        let program = bpf::load(ProgramKind::Classifier, &program(local, to))?;
        let link = bpf::attach_ingress(program.as_fd(), from)?;
        Ok(Self { _link: link })
    }
}

/// How many classifiers of others run on what the device with the index `from` receives. They
/// come before a redirection and may keep packets from it; those go to the sockets then.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`, `EINVAL` on kernels before 6.6.
pub fn predecessors(from: u32) -> io::Result<u32> {
    bpf::ingress_programs(from)
}

// Operations (`linux/bpf_common.h`, `linux/bpf.h`).
const LOAD_BYTE: u8 = 0x71;
const LOAD_HALF: u8 = 0x69;
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const ADD_CONSTANT: u8 = 0x07;
const AND_CONSTANT: u8 = 0x57;
const JUMP_IF_GREATER: u8 = 0x2d;
const JUMP_IF_OTHER: u8 = 0x56;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// `BPF_FUNC_redirect`.
const REDIRECT: i32 = 23;
/// `TCX_NEXT`: as if the classifier were not there.
const PASS: i32 = -1;

// Fields of `struct __sk_buff`.
const PACKET_TYPE: i16 = 4;
const VLAN_PRESENT: i16 = 20;
const DATA: i16 = 76;
const DATA_END: i16 = 80;

// Registers: the context and first argument, the packet, its end, and two to compute with.
const CONTEXT: u8 = 1;
const PACKET: u8 = 2;
const END: u8 = 3;
const REACH: u8 = 4;
const VALUE: u8 = 5;

const ETHERTYPE: i16 = 12;
const IP: i16 = 14;

/// Instructions, with jumps to the end that are not yet known.
struct Assembler(Vec<Instruction>);

impl Assembler {
    fn push(&mut self, opcode: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        self.0.push(Instruction {
            opcode,
            registers: from << 4 | to,
            offset,
            immediate,
        });
    }

    /// Passes on what does not have this value there.
    fn require(&mut self, load: u8, from: u8, offset: i16, value: i32) {
        self.push(load, VALUE, from, offset, 0);
        self.push(JUMP_IF_OTHER, VALUE, 0, 0, value);
    }

    /// The same for two bytes as they are on the wire.
    fn require_half(&mut self, offset: i16, value: u16) {
        self.require(LOAD_HALF, PACKET, offset, wire(value));
    }

    /// Passes on what ends before `len` bytes.
    fn require_len(&mut self, len: i32) {
        self.push(LOAD_WORD, PACKET, CONTEXT, DATA, 0);
        self.push(LOAD_WORD, END, CONTEXT, DATA_END, 0);
        self.push(MOVE, REACH, PACKET, 0, 0);
        self.push(ADD_CONSTANT, REACH, 0, 0, len);
        self.push(JUMP_IF_GREATER, REACH, END, 0, 0);
    }

    fn require_address(&mut self, offset: i16, octets: &[u8]) {
        for (word, at) in octets.as_chunks().0.iter().zip((offset..).step_by(4)) {
            self.require(LOAD_WORD, PACKET, at, i32::from_ne_bytes(*word));
        }
    }

    /// Ends with the redirection of all that was not passed on.
    fn redirect(mut self, to: u32) -> Vec<Instruction> {
        self.push(MOVE_CONSTANT, CONTEXT, 0, 0, to.cast_signed());
        self.push(MOVE_CONSTANT, PACKET, 0, 0, 0);
        self.push(CALL, 0, 0, 0, REDIRECT);
        self.push(EXIT, 0, 0, 0, 0);
        let pass = self.0.len();
        for (at, instruction) in self.0.iter_mut().enumerate() {
            if matches!(instruction.opcode, JUMP_IF_OTHER | JUMP_IF_GREATER) {
                instruction.offset = (pass - at - 1) as i16; // a program of 40 instructions
            }
        }
        self.push(MOVE_CONSTANT, 0, 0, 0, PASS);
        self.push(EXIT, 0, 0, 0, 0);
        self.0
    }
}

/// Two bytes in the order of the wire, as a load sees them.
fn wire(value: u16) -> i32 {
    u16::from_ne_bytes(value.to_be_bytes()).into()
}

/// The classifier: UDP to `local`, whole, untagged and addressed to this host.
fn program(local: SocketAddr, to: u32) -> Vec<Instruction> {
    const UDP: i32 = 17;
    let mut program = Assembler(Vec::new());
    program.require(LOAD_WORD, CONTEXT, PACKET_TYPE, 0); // PACKET_HOST
    program.require(LOAD_WORD, CONTEXT, VLAN_PRESENT, 0);
    match local.ip() {
        IpAddr::V4(address) => {
            const NO_OPTIONS: i32 = 0x45;
            const FRAGMENT: u16 = 0x3fff; // more fragments, or an offset
            program.require_len(42);
            program.require_half(ETHERTYPE, 0x0800);
            program.require(LOAD_BYTE, PACKET, IP, NO_OPTIONS);
            program.push(LOAD_HALF, VALUE, PACKET, IP + 6, 0);
            program.push(AND_CONSTANT, VALUE, 0, 0, wire(FRAGMENT));
            program.push(JUMP_IF_OTHER, VALUE, 0, 0, 0);
            program.require(LOAD_BYTE, PACKET, IP + 9, UDP);
            program.require_address(IP + 16, &address.octets());
            program.require_half(IP + 22, local.port());
        }
        IpAddr::V6(address) => {
            program.require_len(62);
            program.require_half(ETHERTYPE, 0x86dd);
            program.require(LOAD_BYTE, PACKET, IP + 6, UDP);
            program.require_address(IP + 24, &address.octets());
            program.require_half(IP + 42, local.port());
        }
    }
    program.redirect(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netns;

    #[test]
    fn the_kernel_takes_the_classifier_for_both_ip_versions() {
        for local in ["192.168.77.1:4789", "[fd77::1]:4789"] {
            let program = program(local.parse().unwrap(), 1);
            bpf::load(ProgramKind::Classifier, &program).expect("these tests need root");
        }
    }

    #[test]
    fn every_jump_leads_to_the_end() {
        let program = program("192.168.77.1:4789".parse().unwrap(), 1);
        let pass = program.len() - 2;
        for (at, instruction) in program.iter().enumerate() {
            if matches!(instruction.opcode, JUMP_IF_OTHER | JUMP_IF_GREATER) {
                assert_eq!(at + 1 + instruction.offset as usize, pass);
            }
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        let local = "192.168.77.1:4789".parse().unwrap();
        assert!(Redirect::attach(local, u32::MAX >> 1, 1).is_err());
        assert!(predecessors(u32::MAX >> 1).is_err());
    }

    #[test]
    fn redirections_are_counted_as_long_as_they_live() {
        const LOOPBACK: u32 = 1;
        let local = "192.168.77.1:4789".parse().unwrap();
        let counts = netns::run_in_new(|| {
            let count = || predecessors(LOOPBACK).unwrap();
            let none = count();
            let redirects = [(); 2].map(|()| Redirect::attach(local, LOOPBACK, LOOPBACK).unwrap());
            let two = count();
            drop(redirects);
            [none, two, count()]
        });
        assert_eq!(counts.unwrap(), [0, 2, 0]);
    }
}
