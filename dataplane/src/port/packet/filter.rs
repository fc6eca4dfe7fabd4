//! Recognises the frames that are for one station of an Ethernet segment, in classic BPF: those for its
//! MAC address, and what asks for its addresses. The same as `port/station.rs` does for XDP programs.

use std::net::{IpAddr, Ipv6Addr};

use ringlay_encap::icmpv6::kind;
use ringlay_encap::{EtherType, IpProtocol, MacAddr};

use crate::port::station::Station;
use crate::sys::filter::Instruction;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Something about a frame: how to load the number at an offset, and what that has to be. What is
/// beyond the frame's end refuses the frame.
type Condition = (u16, u32, u32);

const ARP_OPERATION: u32 = 20;
const ARP_TARGET: u32 = 38;
const NEXT_HEADER: u32 = 20;
const ICMPV6_TYPE: u32 = 54;
const ND_TARGET: u32 = 62;

/// Takes what is for the station among the frames of an EtherType.
pub(super) fn program(ethertype: EtherType, station: &Station) -> Vec<Instruction> {
    let mut program = Vec::new();
    accept(&mut program, &is_for(station.mac));
    let asking = match ethertype {
        EtherType::ARP => requests(station),
        EtherType::IPV6 => solicitations(station),
        _ => Vec::new(),
    };
    asking.iter().for_each(|rule| accept(&mut program, rule));
    program.push(instruction(RETURN, 0));
    program
}

/// Takes the frame if all conditions are met, and goes on otherwise.
fn accept(program: &mut Vec<Instruction>, rule: &[Condition]) {
    for (nth, &(load, offset, wanted)) in rule.iter().enumerate() {
        program.push(instruction(load, offset));
        let left = rule.len() - 1 - nth;
        program.push(Instruction {
            no: 2 * left as u8 + 1, // a rule has nine conditions at most
            ..instruction(IF_EQUAL, wanted)
        });
    }
    program.push(instruction(RETURN, u32::MAX));
}

fn is_for(MacAddr([a, b, c, d, e, f]): MacAddr) -> [Condition; 2] {
    [
        (LOAD_WORD, 0, u32::from_be_bytes([a, b, c, d])),
        (LOAD_HALF, 4, u16::from_be_bytes([e, f]).into()),
    ]
}

/// ARP requests (RFC 826): for its addresses, or for all that it answers for.
fn requests(station: &Station) -> Vec<Vec<Condition>> {
    const REQUEST: u32 = 1;
    let mut request = is_for(MacAddr([0xff; 6])).to_vec();
    request.push((LOAD_HALF, ARP_OPERATION, REQUEST));
    if station.proxy {
        return vec![request];
    }
    let target = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some((LOAD_WORD, ARP_TARGET, address.to_bits())),
        IpAddr::V6(_) => None,
    };
    let targets = station.addresses.iter().filter_map(target);
    targets
        .map(|target| [&request[..], &[target]].concat())
        .collect()
}

/// Neighbour solicitations (RFC 4861), which go to groups (RFC 2464 section 7).
fn solicitations(station: &Station) -> Vec<Vec<Condition>> {
    let solicitation = [
        (LOAD_HALF, 0, 0x3333),
        (LOAD_BYTE, NEXT_HEADER, IpProtocol::ICMPV6.0.into()),
        (LOAD_BYTE, ICMPV6_TYPE, kind::NEIGHBOUR_SOLICIT.into()),
    ];
    if station.proxy {
        return vec![solicitation.to_vec()];
    }
    let v6 = |address: &IpAddr| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    };
    let targets = station.addresses.iter().filter_map(v6);
    targets
        .map(|target| [&solicitation[..], &words(target)].concat())
        .collect()
}

fn words(target: Ipv6Addr) -> [Condition; 4] {
    let octets = target.octets();
    let [a, b, c, d] = [0, 4, 8, 12].map(|at| {
        let word = octets[at..at + 4].try_into().expect("four bytes");
        (LOAD_WORD, ND_TARGET + at as u32, u32::from_be_bytes(word))
    });
    [a, b, c, d]
}

fn instruction(code: u16, constant: u32) -> Instruction {
    Instruction {
        code,
        yes: 0,
        no: 0,
        constant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel makes of a program.
    fn run(program: &[Instruction], frame: &[u8]) -> bool {
        let (mut at, mut value) = (0, 0);
        loop {
            let Instruction {
                code,
                yes,
                no,
                constant,
            } = program[at];
            at += 1;
            let len = match code {
                LOAD_BYTE => 1,
                LOAD_HALF => 2,
                LOAD_WORD => 4,
                IF_EQUAL => {
                    at += usize::from(if value == constant { yes } else { no });
                    continue;
                }
                RETURN => return constant != 0,
                _ => panic!("{code:#x}"),
            };
            let Some(bytes) = frame.get(constant as usize..).and_then(|it| it.get(..len)) else {
                return false;
            };
            value = bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
        }
    }

    fn station(proxy: bool) -> Station {
        let addresses = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"];
        Station {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            addresses: addresses.map(|it| it.parse().unwrap()).to_vec(),
            proxy,
        }
    }

    fn frame(dst: [u8; 6], ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
        [
            &dst[..],
            &[2, 0, 0, 0, 0, 9],
            &ethertype.0.to_be_bytes(),
            payload,
        ]
        .concat()
    }

    fn request(target: [u8; 4], operation: u8) -> Vec<u8> {
        let mut payload = vec![0, 1, 8, 0, 6, 4, 0, operation];
        payload.extend([2, 0, 0, 0, 0, 9, 10, 0, 0, 9]);
        payload.extend([0; 6]);
        payload.extend(target);
        frame([0xff; 6], EtherType::ARP, &payload)
    }

    fn solicitation(target: &str, icmp: u8) -> Vec<u8> {
        let mut payload = vec![0x60, 0, 0, 0, 0, 24, IpProtocol::ICMPV6.0, 255];
        payload.extend([0; 32]);
        payload.extend([icmp, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend(target.parse::<Ipv6Addr>().unwrap().octets());
        frame([0x33, 0x33, 0xff, 0, 0, 1], EtherType::IPV6, &payload)
    }

    #[test]
    fn what_is_for_its_mac_address_is_taken() {
        for ethertype in [EtherType::IPV4, EtherType::IPV6, EtherType::ARP] {
            let program = program(ethertype, &station(true));
            let passes = |dst| run(&program, &frame(dst, ethertype, &[0; 46]));
            assert!(passes([2, 0, 0, 0, 0, 1]));
            for other in [
                [2, 0, 0, 0, 0, 2],
                [2, 0, 0, 1, 0, 1],
                [0xff; 6],
                [0x33, 0x33, 0, 0, 0, 1],
            ] {
                assert!(!passes(other), "{other:?}");
            }
        }
    }

    #[test]
    fn requests_are_taken_for_its_addresses_or_all() {
        for proxy in [false, true] {
            let program = program(EtherType::ARP, &station(proxy));
            for own in [1, 2] {
                assert!(run(&program, &request([10, 0, 0, own], 1)));
                assert!(!run(&program, &request([10, 0, 0, own], 2)), "a reply");
            }
            assert_eq!(run(&program, &request([10, 0, 0, 3], 1)), proxy);
            let whole = request([10, 0, 0, 1], 1);
            assert!(!run(&program, &whole[..20]));
        }
    }

    #[test]
    fn solicitations_are_taken_for_its_addresses_or_all() {
        for proxy in [false, true] {
            let program = program(EtherType::IPV6, &station(proxy));
            for own in ["fd00::1", "fd00::2"] {
                assert!(run(&program, &solicitation(own, kind::NEIGHBOUR_SOLICIT)));
                assert!(!run(&program, &solicitation(own, 128)), "an echo request");
            }
            let other = solicitation("fd00::1:2", kind::NEIGHBOUR_SOLICIT);
            assert_eq!(run(&program, &other), proxy);
        }
    }
}
