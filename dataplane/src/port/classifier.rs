//! Writes classifiers and XDP programs: a few BPF instructions that the kernel runs on what a device
//! receives. Hanging them there is for `sys/bpf.rs`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use crate::sys::bpf::Instruction;

// Operations (`linux/bpf_common.h`, `linux/bpf.h`).
pub(super) const LOAD_BYTE: u8 = 0x71;
pub(super) const LOAD_HALF: u8 = 0x69;
pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const LOAD_DOUBLE: u8 = 0x79;
/// Adds a register to 64 bits in memory, atomically.
pub(super) const ADD_TO_MEMORY: u8 = 0xdb;
pub(super) const MOVE: u8 = 0xbf;
pub(super) const MOVE_CONSTANT: u8 = 0xb7;
pub(super) const ADD_CONSTANT: u8 = 0x07;
pub(super) const SUBTRACT: u8 = 0x1f;
pub(super) const SHIFT_CONSTANT: u8 = 0x67;
pub(super) const OR_CONSTANT: u8 = 0x47;
pub(super) const AND_CONSTANT: u8 = 0x57;
pub(super) const JUMP_IF_GREATER: u8 = 0x2d;
pub(super) const JUMP_IF_OTHER: u8 = 0x56;
pub(super) const JUMP_IF_EQUAL: u8 = 0x16;
/// If two registers differ.
pub(super) const JUMP_IF_UNLIKE: u8 = 0x5d;
pub(super) const JUMP: u8 = 0x05;
pub(super) const CALL: u8 = 0x85;
/// 64 bits, in two instructions.
pub(super) const LOAD_CONSTANT: u8 = 0x18;
const EXIT: u8 = 0x95;

/// `TCX_NEXT`: as if the classifier were not there.
pub(super) const PASS: i32 = -1;
/// `TCX_DROP`.
pub(super) const DROP: i32 = 2;

// Fields of `struct __sk_buff`.
pub(super) const PACKET_TYPE: i16 = 4;
pub(super) const VLAN_PRESENT: i16 = 20;
pub(super) const SEGMENT_SIZE: i16 = 176;

// Registers: what a call returns, the context and first argument, the packet, its end, and two
// to compute with. Those from 6 on outlast calls; the last is the stack's end.
pub(super) const RESULT: u8 = 0;
pub(super) const CONTEXT: u8 = 1;
pub(super) const PACKET: u8 = 2;
pub(super) const END: u8 = 3;
const REACH: u8 = 4;
pub(super) const VALUE: u8 = 5;

/// A classifier in force, until it is dropped; so it goes with the process.
#[derive(Debug)]
pub struct Hook {
    _link: OwnedFd,
}

impl Hook {
    pub(super) fn holding(link: OwnedFd) -> Self {
        Self { _link: link }
    }
}

/// What a kind of program is run on.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    /// Where its context has the packet's two ends.
    data: i16,
    data_end: i16,
    /// What it returns to pass a packet on.
    pass: i32,
}

/// Of classifiers, whose context is a `struct __sk_buff`.
const TCX: Stage = Stage {
    data: 76,
    data_end: 80,
    pass: PASS,
};

/// Of XDP programs, whose context is a `struct xdp_md`.
pub(super) const XDP: Stage = Stage {
    data: 0,
    data_end: 4,
    pass: 2, // XDP_PASS
};

/// Instructions. Jumps with the offset 0 lead to the end, where a packet is passed on.
pub(super) struct Assembler(Vec<Instruction>, Stage);

impl Assembler {
    /// Of a classifier.
    pub(super) fn new() -> Self {
        Self::of(TCX)
    }

    pub(super) fn of(stage: Stage) -> Self {
        Self(Vec::new(), stage)
    }

    pub(super) fn push(&mut self, opcode: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        self.0.push(Instruction {
            opcode,
            registers: from << 4 | to,
            offset,
            immediate,
        });
    }

    /// Passes on what does not have this value there.
    pub(super) fn require(&mut self, load: u8, from: u8, offset: i16, value: i32) {
        self.push(load, VALUE, from, offset, 0);
        self.push(JUMP_IF_OTHER, VALUE, 0, 0, value);
    }

    /// The same for two bytes as they are on the wire.
    pub(super) fn require_half(&mut self, offset: i16, value: u16) {
        self.require(LOAD_HALF, PACKET, offset, wire(value));
    }

    /// Passes on what ends before `len` bytes.
    pub(super) fn require_len(&mut self, len: i32) {
        self.load_ends(len);
        self.push(JUMP_IF_GREATER, REACH, END, 0, 0);
    }

    /// Passes on what is longer than `len` bytes.
    pub(super) fn require_at_most(&mut self, len: i32) {
        self.load_ends(len);
        self.push(JUMP_IF_GREATER, END, REACH, 0, 0);
    }

    /// Loads the packet's ends, and where it would end if it were `len` bytes long.
    fn load_ends(&mut self, len: i32) {
        let Stage { data, data_end, .. } = self.1;
        self.push(LOAD_WORD, PACKET, CONTEXT, data, 0);
        self.push(LOAD_WORD, END, CONTEXT, data_end, 0);
        self.push(MOVE, REACH, PACKET, 0, 0);
        self.push(ADD_CONSTANT, REACH, 0, 0, len);
    }

    /// Passes on all but whole, untagged UDP packets without IP options to `local`.
    pub(super) fn require_datagram(&mut self, local: SocketAddr) {
        const ETHERTYPE: i16 = 12;
        const IP: i16 = 14;
        const UDP: i32 = 17;
        match local.ip() {
            IpAddr::V4(address) => {
                const NO_OPTIONS: i32 = 0x45;
                const FRAGMENT: u16 = 0x3fff; // more fragments, or an offset
                self.require_len(42);
                self.require_half(ETHERTYPE, 0x0800);
                self.require(LOAD_BYTE, PACKET, IP, NO_OPTIONS);
                self.push(LOAD_HALF, VALUE, PACKET, IP + 6, 0);
                self.push(AND_CONSTANT, VALUE, 0, 0, wire(FRAGMENT));
                self.push(JUMP_IF_OTHER, VALUE, 0, 0, 0);
                self.require(LOAD_BYTE, PACKET, IP + 9, UDP);
                self.require_address(IP + 16, &address.octets());
                self.require_half(IP + 22, local.port());
            }
            IpAddr::V6(address) => {
                self.require_len(62);
                self.require_half(ETHERTYPE, 0x86dd);
                self.require(LOAD_BYTE, PACKET, IP + 6, UDP);
                self.require_address(IP + 24, &address.octets());
                self.require_half(IP + 42, local.port());
            }
        }
    }

    pub(super) fn require_address(&mut self, offset: i16, octets: &[u8]) {
        for (word, at) in octets.as_chunks().0.iter().zip((offset..).step_by(4)) {
            self.require(LOAD_WORD, PACKET, at, i32::from_ne_bytes(*word));
        }
    }

    /// Jumps if `register` compares so with a constant; where to is for [`Self::land`] to say.
    pub(super) fn jump_if(&mut self, comparison: u8, register: u8, constant: i32) -> usize {
        self.push(comparison, register, 0, 0, constant);
        self.0.len() - 1
    }

    /// Jumps; where to is for [`Self::land`] to say.
    pub(super) fn jump(&mut self) -> usize {
        self.push(JUMP, 0, 0, 0, 0);
        self.0.len() - 1
    }

    /// Passes on.
    pub(super) fn pass(&mut self) {
        self.push(JUMP, 0, 0, 0, 0);
    }

    /// Makes a jump lead to what comes next, which must not be what follows it anyway.
    pub(super) fn land(&mut self, jump: usize) {
        self.0[jump].offset = (self.0.len() - jump - 1) as i16; // a program of some 100 instructions
    }

    /// Returns what is in [`RESULT`].
    pub(super) fn exit(&mut self) {
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// The program, with the end that passes packets on.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        let pass = self.0.len();
        let mut passes_on = false;
        for (at, instruction) in self.0.iter_mut().enumerate() {
            let jump = matches!(
                instruction.opcode,
                JUMP | JUMP_IF_OTHER | JUMP_IF_GREATER | JUMP_IF_EQUAL
            );
            if jump && instruction.offset == 0 {
                instruction.offset = (pass - at - 1) as i16; // a program of some 60 instructions
                passes_on = true;
            }
        }
        // The kernel refuses what nothing leads to.
        if passes_on {
            self.push(MOVE_CONSTANT, RESULT, 0, 0, self.1.pass);
            self.exit();
        }
        self.0
    }
}

/// Two bytes in the order of the wire, as a load sees them.
pub(super) fn wire(value: u16) -> i32 {
    u16::from_ne_bytes(value.to_be_bytes()).into()
}
