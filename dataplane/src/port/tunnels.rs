//! Recognises the packets that are for tunnel endpoints of one address, among all that a device
//! receives.
//!
//! Fragments, packets with IP options or a VLAN tag, and GRE of other versions (PPTP) are not
//! recognised: the host has them.

use std::net::IpAddr;

use ringlay_encap::{EtherType, IpProtocol};

use super::classifier::{
    AND_CONSTANT, Assembler, JUMP_IF_EQUAL, JUMP_IF_OTHER, LOAD_BYTE, LOAD_HALF, PACKET, VALUE,
    wire,
};
use crate::endpoint::Endpoint;

/// What announces tunnel packets at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnels {
    address: IpAddr,
    ports: Vec<u16>,
    protocols: Vec<IpProtocol>,
}

impl Tunnels {
    /// What announces the packets of these endpoints, as far as they have this address. All packets
    /// of their protocols are theirs, whoever sent them.
    pub fn new(address: IpAddr, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut all = Self {
            address,
            ports: Vec::new(),
            protocols: Vec::new(),
        };
        for endpoint in endpoints {
            if endpoint.local.ip() != address {
                continue;
            }
            let protocols = endpoint.protocols().iter();
            // Nothing comes in that is not encapsulated.
            let announced = protocols.filter(|it| **it != IpProtocol::RAW);
            all.protocols.extend(announced);
            if endpoint.protocols().is_empty() {
                all.ports.push(endpoint.local.port());
            }
        }
        all
    }

    /// Whether nothing comes in.
    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.protocols.is_empty()
    }
}

/// Where IP headers begin.
const IP: i16 = 14;

/// Adds what finds out whether a packet is for one of the tunnels. What is not is passed on; for what
/// is, one of the jumps is taken that are returned, to be landed.
pub(super) fn recognise(program: &mut Assembler, tunnels: &Tunnels) -> Vec<usize> {
    const ETHERTYPE: i16 = 12;
    let (protocol, payload) = match tunnels.address {
        IpAddr::V4(address) => {
            const NO_OPTIONS: i32 = 0x45;
            const FRAGMENT: u16 = 0x3fff; // more fragments, or an offset
            program.require_len(42);
            program.require_half(ETHERTYPE, EtherType::IPV4.0);
            program.require(LOAD_BYTE, PACKET, IP, NO_OPTIONS);
            program.push(LOAD_HALF, VALUE, PACKET, IP + 6, 0);
            program.push(AND_CONSTANT, VALUE, 0, 0, wire(FRAGMENT));
            program.push(JUMP_IF_OTHER, VALUE, 0, 0, 0);
            program.require_address(IP + 16, &address.octets());
            (IP + 9, IP + 20)
        }
        IpAddr::V6(address) => {
            program.require_len(62);
            program.require_half(ETHERTYPE, EtherType::IPV6.0);
            program.require_address(IP + 24, &address.octets());
            (IP + 6, IP + 40)
        }
    };
    program.push(LOAD_BYTE, VALUE, PACKET, protocol, 0);
    let mut ours = Vec::new();
    for &it in &tunnels.protocols {
        if it == IpProtocol::GRE {
            recognise_gre(program, payload, &mut ours);
        } else {
            ours.push(program.jump_if(JUMP_IF_EQUAL, VALUE, it.0.into()));
        }
    }
    if !tunnels.ports.is_empty() {
        program.push(JUMP_IF_OTHER, VALUE, 0, 0, IpProtocol::UDP.0.into());
        program.push(LOAD_HALF, VALUE, PACKET, payload + 2, 0);
    }
    for &port in &tunnels.ports {
        ours.push(program.jump_if(JUMP_IF_EQUAL, VALUE, wire(port)));
    }
    program.pass();
    ours
}

/// The same for GRE of version 0 (RFC 2784), behind an IP header.
fn recognise_gre(program: &mut Assembler, at: i16, ours: &mut Vec<usize>) {
    const VERSION: i32 = 7;
    let other = program.jump_if(JUMP_IF_OTHER, VALUE, IpProtocol::GRE.0.into());
    program.push(LOAD_BYTE, VALUE, PACKET, at + 1, 0);
    program.push(AND_CONSTANT, VALUE, 0, 0, VERSION);
    ours.push(program.jump_if(JUMP_IF_EQUAL, VALUE, 0));
    program.pass();
    program.land(other);
}
