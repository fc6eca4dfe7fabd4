//! Tells the kernel that super-frames written to an uplink are inside a GRE or IP tunnel.
//!
//! The virtio-net header has no word for it: it knows tunnels in UDP only, and takes such a
//! super-frame for TCP right behind the outer header, which cannot be cut. A classifier on what
//! the uplink receives mends that: it takes the outer headers off and puts them back by the
//! helper that declares what they are (`bpf_skb_adjust_room`, Linux 5.5). Then the kernel cuts
//! late, or lets the NIC, as it does for tunnels of its own; no driver of such is needed.

use std::io;
use std::os::fd::AsFd;

use ringlay_encap::ip::IpVersion;
use ringlay_encap::{Encapsulation, EtherType, eth, gre};

use super::classifier::{
    ADD_CONSTANT, Assembler, CALL, CONTEXT, DROP, Hook, JUMP_IF_EQUAL, JUMP_IF_OTHER, LOAD_BYTE,
    LOAD_HALF, LOAD_WORD, MOVE, MOVE_CONSTANT, OR_CONSTANT, PACKET, RESULT, SEGMENT_SIZE,
    SHIFT_CONSTANT, SUBTRACT, VALUE, wire,
};
use crate::sys::bpf::{self, Instruction, ProgramKind};

/// Marks the super-frames of `encapsulation` over IP of `version` that are written to the
/// device with the index `uplink`.
///
/// # Errors
///
/// `EPERM` without `CAP_BPF`, `EINVAL` on kernels before 6.6.
pub(super) fn attach(
    version: IpVersion,
    encapsulation: Encapsulation,
    uplink: u32,
) -> io::Result<Hook> {
    let program = bpf::load(ProgramKind::Classifier, &program(version, encapsulation))?;
    let link = bpf::attach_ingress(program.as_fd(), uplink)?;
    Ok(Hook::holding(link))
}

// Helpers (`linux/bpf.h`).
const STORE_BYTES: i32 = 9;
const LOAD_BYTES: i32 = 26;
const ADJUST_ROOM: i32 = 50;

/// `BPF_ADJ_ROOM_MAC`: right behind the Ethernet header.
const BEHIND_ETHERNET: i32 = 1;

// Flags of the helper.
const KEEP_SEGMENT_SIZE: i32 = 1;
const INTO_IPV4: i32 = 1 << 1;
const INTO_IPV6: i32 = 1 << 2;
const INTO_GRE: i32 = 1 << 3;
const INTO_FRAME: i32 = 1 << 6;
/// Where the length of the inner Ethernet header stands among them.
const FRAME_LEN: i32 = 56;
const OUT_TO_IPV4: i32 = 1 << 7;
const OUT_TO_IPV6: i32 = 1 << 8;

// Registers that outlast calls.
const SELF: u8 = 6;
/// Bytes of headers to take off and put back.
const LEN: u8 = 7;
/// Flags for taking them off, and for putting them back.
const OFF: u8 = 8;
const ON: u8 = 9;
const STACK_END: u8 = 10;

/// Where on the stack the headers are.
const HEADERS: i16 = -72;

/// The instructions.
fn program(version: IpVersion, encapsulation: Encapsulation) -> Vec<Instruction> {
    let outer = version.header_len() as i16;
    let mut program = Assembler::new();
    program.push(MOVE, SELF, CONTEXT, 0, 0);
    program.push(LOAD_WORD, VALUE, CONTEXT, SEGMENT_SIZE, 0);
    program.push(JUMP_IF_EQUAL, VALUE, 0, 0, 0);
    // A super-frame has as many bytes; as many as there may be of headers are copied.
    let most = outer + 8 + eth::HEADER_LEN as i16;
    program.push(MOVE_CONSTANT, LEN, 0, 0, most.into());
    copy(&mut program, LOAD_BYTES);
    program.push(JUMP_IF_OTHER, RESULT, 0, 0, 0);
    program.push(MOVE_CONSTANT, LEN, 0, 0, outer.into());
    if encapsulation == Encapsulation::Gre {
        find_in_gre(&mut program, version, outer);
    } else {
        find_in_ip(&mut program, version);
    }
    for (flags, off) in [(OFF, true), (ON, false)] {
        program.push(MOVE, CONTEXT, SELF, 0, 0);
        if off {
            program.push(MOVE_CONSTANT, PACKET, 0, 0, 0);
            program.push(SUBTRACT, PACKET, LEN, 0, 0);
        } else {
            program.push(MOVE, PACKET, LEN, 0, 0);
        }
        program.push(MOVE_CONSTANT, 3, 0, 0, BEHIND_ETHERNET);
        program.push(MOVE, 4, flags, 0, 0);
        program.push(CALL, 0, 0, 0, ADJUST_ROOM);
        refuse_unless_done(&mut program);
    }
    copy(&mut program, STORE_BYTES);
    refuse_unless_done(&mut program);
    program.finish()
}

/// Copies as many bytes behind the Ethernet header as are in the register, to the stack or back.
fn copy(program: &mut Assembler, helper: i32) {
    program.push(MOVE, CONTEXT, SELF, 0, 0);
    program.push(MOVE_CONSTANT, PACKET, 0, 0, eth::HEADER_LEN as i32);
    program.push(MOVE, 3, STACK_END, 0, 0);
    program.push(ADD_CONSTANT, 3, 0, 0, HEADERS.into());
    program.push(MOVE, 4, LEN, 0, 0);
    program.push(MOVE_CONSTANT, 5, 0, 0, 0);
    program.push(CALL, 0, 0, 0, helper);
}

/// A packet that is in pieces goes nowhere.
fn refuse_unless_done(program: &mut Assembler) {
    program.push(JUMP_IF_EQUAL, RESULT, 0, 2, 0);
    program.push(MOVE_CONSTANT, RESULT, 0, 0, DROP);
    program.exit();
}

/// Sets length and flags by the GRE header, which has a key at most (RFC 2890).
fn find_in_gre(program: &mut Assembler, version: IpVersion, outer: i16) {
    const KEY: i32 = 0x20;
    let header = HEADERS + outer;
    program.push(ADD_CONSTANT, LEN, 0, 0, gre::HEADER_LEN as i32);
    program.push(LOAD_BYTE, VALUE, STACK_END, header, 0);
    program.push(JUMP_IF_EQUAL, VALUE, 0, 2, 0);
    program.push(JUMP_IF_OTHER, VALUE, 0, 0, KEY);
    program.push(ADD_CONSTANT, LEN, 0, 0, 4);
    program.push(LOAD_HALF, VALUE, STACK_END, header + 2, 0);
    program.push(MOVE_CONSTANT, ON, 0, 0, 0);
    for inner in [IpVersion::V4, IpVersion::V6] {
        program.push(JUMP_IF_OTHER, VALUE, 0, 2, wire(inner.ethertype().0));
        program.push(MOVE_CONSTANT, OFF, 0, 0, flags_off(version, inner));
        program.push(MOVE_CONSTANT, ON, 0, 0, flags_on(version) | INTO_GRE);
    }
    program.push(JUMP_IF_OTHER, VALUE, 0, 5, wire(EtherType::BRIDGED.0));
    program.push(ADD_CONSTANT, LEN, 0, 0, eth::HEADER_LEN as i32);
    program.push(MOVE_CONSTANT, OFF, 0, 0, KEEP_SEGMENT_SIZE);
    program.push(MOVE_CONSTANT, ON, 0, 0, eth::HEADER_LEN as i32);
    program.push(SHIFT_CONSTANT, ON, 0, 0, FRAME_LEN);
    let flags = flags_on(version) | INTO_GRE | INTO_FRAME;
    program.push(OR_CONSTANT, ON, 0, 0, flags);
    program.push(JUMP_IF_EQUAL, ON, 0, 0, 0);
}

/// Sets the flags by the inner header.
fn find_in_ip(program: &mut Assembler, version: IpVersion) {
    let protocol = match version {
        IpVersion::V4 => 9,
        IpVersion::V6 => 6,
    };
    program.push(LOAD_BYTE, VALUE, STACK_END, HEADERS + protocol, 0);
    program.push(MOVE_CONSTANT, ON, 0, 0, 0);
    for inner in [IpVersion::V4, IpVersion::V6] {
        let protocol = inner.protocol().0.into();
        program.push(JUMP_IF_OTHER, VALUE, 0, 2, protocol);
        program.push(MOVE_CONSTANT, OFF, 0, 0, flags_off(version, inner));
        program.push(MOVE_CONSTANT, ON, 0, 0, flags_on(version));
    }
    program.push(JUMP_IF_EQUAL, ON, 0, 0, 0);
}

/// What comes to light must be told, if it is of the other version.
fn flags_off(outer: IpVersion, inner: IpVersion) -> i32 {
    KEEP_SEGMENT_SIZE
        | match inner {
            _ if inner == outer => 0,
            IpVersion::V4 => OUT_TO_IPV4,
            IpVersion::V6 => OUT_TO_IPV6,
        }
}

fn flags_on(outer: IpVersion) -> i32 {
    KEEP_SEGMENT_SIZE
        | match outer {
            IpVersion::V4 => INTO_IPV4,
            IpVersion::V6 => INTO_IPV6,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_classifier_for_all_tunnels() {
        for version in [IpVersion::V4, IpVersion::V6] {
            for encapsulation in [Encapsulation::Gre, Encapsulation::Ipip] {
                let program = program(version, encapsulation);
                bpf::load(ProgramKind::Classifier, &program).expect("these tests need root");
            }
        }
    }
}
