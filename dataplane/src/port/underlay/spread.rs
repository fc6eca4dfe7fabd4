//! Which worker takes a packet from raw sockets: the filter that says so to the kernel.
//!
//! Outer headers have nothing that tells flows apart, so the inner packet decides: its
//! addresses and, unless it is a fragment, its ports. What has no inner packet that could be
//! told goes to the first worker. Every packet is taken by exactly one.

use ringlay_encap::ip::IpVersion;
use ringlay_encap::{EtherType, IpProtocol, gre};

use crate::sys::filter::Instruction;

/// A filter that takes nothing.
pub(super) const NOTHING: [Instruction; 1] = [Instruction {
    code: RETURN,
    yes: 0,
    no: 0,
    constant: 0,
}];

// Operations on accumulator, index register and scratch memory (`linux/bpf_common.h`).
const LOAD_LEN: u16 = 0x80;
const LOAD_WORD: u16 = 0x40; // at the index
const LOAD_HALF: u16 = 0x48;
const LOAD_BYTE: u16 = 0x50;
const LOAD_MEMORY: u16 = 0x60;
const INDEX_CONSTANT: u16 = 0x01;
const INDEX_HEADER_LEN: u16 = 0xb1; // of the IPv4 header there
const INDEX_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const STORE_INDEX: u16 = 0x03;
const ADD: u16 = 0x04;
const ADD_INDEX: u16 = 0x0c;
const SUBTRACT_INDEX: u16 = 0x1c;
const MULTIPLY: u16 = 0x24;
const REMAINDER: u16 = 0x94;
const AND: u16 = 0x54;
const XOR_INDEX: u16 = 0xac;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_AT_LEAST_INDEX: u16 = 0x3d;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Where an outer IPv4 header ends, or that of an IPv6 packet, which is not delivered.
const PAYLOAD: u32 = 0;
/// Where the inner header begins.
const INNER: u32 = 1;
/// The hash so far.
const HASH: u32 = 2;
/// Something to compute with.
const SCRATCH: u32 = 3;

/// Odd numbers without a pattern, one for each part of the hash.
const MULTIPLIERS: [u32; 5] = [
    0x9e37_79b1,
    0x85eb_ca77,
    0xc2b2_ae3d,
    0x27d4_eb2f,
    0x1656_67b1,
];

/// Places that are jumped to, all further down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// The next instruction.
    Next,
    /// The inner packet is no bridged frame.
    Unbridged,
    InnerV4,
    InnerV6,
    /// The accumulator has the protocol, the index is where the next header begins.
    Protocol,
    /// There are ports where the index says.
    Ports,
    /// The hash decides.
    Hashed,
    /// There is nothing to hash.
    Fallback,
}

/// The filter of the socket of `worker`, one of `workers`, for packets that an IP header of
/// `version` announces as `protocol`.
pub(super) fn program(
    version: IpVersion,
    protocol: IpProtocol,
    worker: usize,
    workers: usize,
) -> Vec<Instruction> {
    let mut program = Program::default();
    match version {
        IpVersion::V4 => program.push(INDEX_HEADER_LEN, 0),
        IpVersion::V6 => program.push(INDEX_CONSTANT, 0),
    }
    program.push(STORE_INDEX, PAYLOAD);
    if protocol == IpProtocol::GRE {
        program.find_in_gre();
    } else {
        program.push(STORE_INDEX, INNER);
        program.jump(if protocol == IpProtocol::IPV6 {
            Label::InnerV6
        } else {
            Label::InnerV4
        });
    }
    program.hash_v4();
    program.hash_v6();
    program.hash_ports();
    program.decide(worker, workers);
    program.finish()
}

/// Instructions with jumps to labels.
#[derive(Default)]
struct Program {
    code: Vec<Instruction>,
    /// Instruction, and where it jumps to if its condition holds and if not.
    jumps: Vec<(usize, Label, Label)>,
    labels: Vec<(Label, usize)>,
}

impl Program {
    fn push(&mut self, code: u16, constant: u32) {
        self.code.push(Instruction {
            code,
            yes: 0,
            no: 0,
            constant,
        });
    }

    fn branch(&mut self, code: u16, constant: u32, yes: Label, no: Label) {
        self.jumps.push((self.code.len(), yes, no));
        self.push(code, constant);
    }

    fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to, to));
        self.push(JUMP, 0);
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.code.len()));
    }

    /// Goes on only if there are `count` bytes from the index on.
    fn require(&mut self, count: u32, otherwise: Label) {
        self.push(LOAD_LEN, 0);
        self.branch(IF_AT_LEAST_INDEX, 0, Label::Next, otherwise);
        self.push(SUBTRACT_INDEX, 0);
        self.branch(IF_AT_LEAST, count, Label::Next, otherwise);
    }

    /// Leaves the place of the inner header in memory, past a GRE header (RFC 2890) and that of
    /// a bridged frame.
    fn find_in_gre(&mut self) {
        const ROUTING_OR_VERSION: u32 = 0x4007;
        self.require(gre::HEADER_LEN as u32, Label::Fallback);
        self.push(LOAD_HALF, 0);
        self.branch(IF_ANY_BIT, ROUTING_OR_VERSION, Label::Fallback, Label::Next);
        self.push(STORE, SCRATCH);
        self.push(INDEX_MEMORY, PAYLOAD);
        self.push(STORE_INDEX, INNER);
        // Four bytes each for checksum, key and sequence number, where the flag is set.
        for shift in [13, 11, 10] {
            self.push(LOAD_MEMORY, SCRATCH);
            self.push(SHIFT_RIGHT, shift);
            self.push(AND, 4);
            self.push(INDEX_MEMORY, INNER);
            self.push(ADD_INDEX, 0);
            self.push(STORE, INNER);
        }
        self.push(ADD, gre::HEADER_LEN as u32);
        self.push(STORE, INNER);
        self.push(INDEX_MEMORY, PAYLOAD);
        self.push(LOAD_HALF, 2);
        let bridged = EtherType::BRIDGED.0.into();
        self.branch(IF_EQUAL, bridged, Label::Next, Label::Unbridged);
        self.push(INDEX_MEMORY, INNER);
        self.require(14, Label::Fallback);
        self.push(LOAD_MEMORY, INNER);
        self.push(ADD, 14);
        self.push(STORE, INNER);
        self.push(LOAD_HALF, 12);
        self.label(Label::Unbridged);
        let [v4, v6] = [EtherType::IPV4.0.into(), EtherType::IPV6.0.into()];
        self.branch(IF_EQUAL, v4, Label::InnerV4, Label::Next);
        self.branch(IF_EQUAL, v6, Label::InnerV6, Label::Fallback);
    }

    fn hash_v4(&mut self) {
        const FRAGMENT: u32 = 0x3fff; // more fragments, or an offset
        self.label(Label::InnerV4);
        self.push(INDEX_MEMORY, INNER);
        self.require(20, Label::Fallback);
        self.hash_words(&[12, 16]);
        self.push(LOAD_HALF, 6);
        self.branch(IF_ANY_BIT, FRAGMENT, Label::Hashed, Label::Next);
        self.push(LOAD_BYTE, 0);
        self.push(AND, 15);
        self.push(SHIFT_LEFT, 2);
        self.push(ADD_INDEX, 0);
        self.push(STORE, SCRATCH);
        self.push(LOAD_BYTE, 9);
        self.push(INDEX_MEMORY, SCRATCH);
        self.jump(Label::Protocol);
    }

    fn hash_v6(&mut self) {
        self.label(Label::InnerV6);
        self.push(INDEX_MEMORY, INNER);
        self.require(40, Label::Fallback);
        // The ends of the addresses: networks differ less than hosts.
        self.hash_words(&[16, 20, 32, 36]);
        self.push(LOAD_MEMORY, INNER);
        self.push(ADD, 40);
        self.push(STORE, SCRATCH);
        self.push(LOAD_BYTE, 6);
        self.push(INDEX_MEMORY, SCRATCH);
    }

    /// Makes the hash of words of the inner header, which the index is at.
    fn hash_words(&mut self, offsets: &[u32]) {
        for (n, (&offset, multiplier)) in offsets.iter().zip(MULTIPLIERS).enumerate() {
            self.push(LOAD_WORD, offset);
            self.push(MULTIPLY, multiplier);
            if n > 0 {
                self.push(INDEX_MEMORY, HASH);
                self.push(XOR_INDEX, 0);
                self.push(INDEX_MEMORY, INNER);
            }
            self.push(STORE, HASH);
        }
    }

    /// Adds the ports that the index is at, if the protocol in the accumulator has any.
    fn hash_ports(&mut self) {
        self.label(Label::Protocol);
        for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
            let number = protocol.0.into();
            self.branch(IF_EQUAL, number, Label::Ports, Label::Next);
        }
        self.branch(
            IF_EQUAL,
            IpProtocol::SCTP.0.into(),
            Label::Next,
            Label::Hashed,
        );
        self.label(Label::Ports);
        self.require(4, Label::Hashed);
        self.push(LOAD_WORD, 0);
        self.push(MULTIPLY, MULTIPLIERS[4]);
        self.push(INDEX_MEMORY, HASH);
        self.push(XOR_INDEX, 0);
        self.push(STORE, HASH);
    }

    fn decide(&mut self, worker: usize, workers: usize) {
        const ALL: u32 = u32::MAX;
        let (worker, workers) = (worker as u32, workers as u32);
        self.label(Label::Hashed);
        self.push(LOAD_MEMORY, HASH);
        // A product's high bits depend on all bits of the factors.
        self.push(SHIFT_RIGHT, 16);
        self.push(REMAINDER, workers);
        self.push(IF_EQUAL, worker);
        let decision = self.code.len() - 1;
        self.code[decision].no = 1;
        self.push(RETURN, ALL);
        self.push(RETURN, 0);
        self.label(Label::Fallback);
        self.push(RETURN, if worker == 0 { ALL } else { 0 });
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (at, yes, no) in self.jumps {
            let skip = |label| match label {
                Label::Next => 0,
                _ => {
                    let place = self.labels.iter().find(|place| place.0 == label);
                    place.expect("what is jumped to is there").1 - at - 1
                }
            };
            let instruction = &mut self.code[at];
            if instruction.code == JUMP {
                instruction.constant = skip(yes) as u32;
            } else {
                // The whole program is shorter than 256 instructions.
                (instruction.yes, instruction.no) = (skip(yes) as u8, skip(no) as u8);
            }
        }
        self.code
    }
}

#[cfg(test)]
mod tests;
