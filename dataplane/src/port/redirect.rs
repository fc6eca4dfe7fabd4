//! Leads tunnel packets that a device receives to the uplink, past the host's own stack; and what
//! an uplink without encapsulation gets from us to the device that it leaves by.
//!
//! A classifier on the device redirects UDP packets for the tunnel endpoint as they came:
//! super-frames stay whole. Fragments and whatever else it does not recognise go on to the
//! host, whose sockets of the endpoint get the packet put together. It holds as long as the
//! [`Hook`] lives, so nothing stays behind when the process ends.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::classifier::{
    Assembler, CALL, CONTEXT, Hook, LOAD_WORD, MOVE_CONSTANT, PACKET, PACKET_TYPE, VLAN_PRESENT,
};
use crate::sys::bpf::{self, Instruction, ProgramKind};

/// Redirects what the device with the index `from` receives for `local` to the device with
/// the index `to`.
///
/// # Errors
///
/// `EPERM` without `CAP_BPF`, `EINVAL` on kernels before 6.6.
pub(super) fn attach(local: SocketAddr, from: u32, to: u32) -> io::Result<Hook> {
    let program = bpf::load(ProgramKind::Classifier, &program(local, to))?;
    let link = bpf::attach_ingress(program.as_fd(), from)?;
    Ok(Hook::holding(link))
}

/// Sends all that the device with the index `from` receives on its way by the device with the
/// index `to`, with the Ethernet header that it has.
///
/// # Errors
///
/// As [`attach`].
pub(super) fn attach_all(from: u32, to: u32) -> io::Result<Hook> {
    let program = bpf::load(ProgramKind::Classifier, &whatever(to))?;
    let link = bpf::attach_ingress(program.as_fd(), from)?;
    Ok(Hook::holding(link))
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

/// `BPF_FUNC_redirect`.
const REDIRECT: i32 = 23;

/// The classifier: UDP to `local`, whole, untagged and addressed to this host.
fn program(local: SocketAddr, to: u32) -> Vec<Instruction> {
    let mut program = Assembler::new();
    program.require(LOAD_WORD, CONTEXT, PACKET_TYPE, 0); // PACKET_HOST
    program.require(LOAD_WORD, CONTEXT, VLAN_PRESENT, 0);
    program.require_datagram(local);
    redirect(&mut program, to);
    program.finish()
}

/// The classifier for all packets.
fn whatever(to: u32) -> Vec<Instruction> {
    let mut program = Assembler::new();
    redirect(&mut program, to);
    program.finish()
}

fn redirect(program: &mut Assembler, to: u32) {
    program.push(MOVE_CONSTANT, CONTEXT, 0, 0, to.cast_signed());
    program.push(MOVE_CONSTANT, PACKET, 0, 0, 0);
    program.push(CALL, 0, 0, 0, REDIRECT);
    program.exit();
}

#[cfg(test)]
mod tests {
    use super::super::classifier::{JUMP_IF_GREATER, JUMP_IF_OTHER};
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
    fn the_kernel_takes_the_classifier_for_whatever_comes() {
        bpf::load(ProgramKind::Classifier, &whatever(1)).expect("these tests need root");
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
        assert!(attach(local, u32::MAX >> 1, 1).is_err());
        assert!(predecessors(u32::MAX >> 1).is_err());
    }

    #[test]
    fn redirections_are_counted_as_long_as_they_live() {
        const LOOPBACK: u32 = 1;
        let local = "192.168.77.1:4789".parse().unwrap();
        let counts = netns::run_in_new(|| {
            let count = || predecessors(LOOPBACK).unwrap();
            let none = count();
            let redirects = [(); 2].map(|()| attach(local, LOOPBACK, LOOPBACK).unwrap());
            let two = count();
            drop(redirects);
            [none, two, count()]
        });
        assert_eq!(counts.unwrap(), [0, 2, 0]);
    }
}
