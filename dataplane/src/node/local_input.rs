//! Answers what is sent to this node's own addresses on Ethernet ports: echo requests (RFC 792,
//! RFC 4443), and UDP by an error. It has no service.

use ringlay_encap::checksum;
use ringlay_encap::flow::flow_hash;
use ringlay_encap::ipv4::{self, Ipv4Packet};
use ringlay_encap::ipv6::{self, Ipv6Packet};
use ringlay_encap::{IpProtocol, icmpv4, icmpv6};

use super::tunnel_encap::finish_checksum;
use super::{Context, Edges, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Ingress};

/// Time to live and hop limit of answers (RFC 1700, as for all that hosts send).
const TTL: u8 = 64;

/// Where an ICMP message has its checksum.
const CHECKSUM: usize = 2;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>, hash_seed: u64) {
    for mut frame in input.drain() {
        let fresh = frame.meta.ingress != Ingress::Node;
        if fresh && answer(&mut frame) {
            context.counters.consumed.add(1);
            context.counters.originated.add(1);
            frame.meta.ingress = Ingress::Node;
            frame.meta.flow_hash = flow_hash(frame.data(), hash_seed);
            put(&mut edges.ip_lookup, frame);
        } else if fresh && is_udp(frame.data()) {
            edges.refuse(frame, DropReason::LocalUnserved);
        } else {
            context.discard(frame, DropReason::LocalUnserved);
        }
    }
}

/// Turns an echo request into its reply; false, with the frame as it was, if it is none.
fn answer(frame: &mut Frame) -> bool {
    let whole = frame.meta.offload.gso == Gso::None;
    whole
        && match frame.data()[0] >> 4 {
            4 => answer_v4(frame),
            _ => answer_v6(frame),
        }
}

fn answer_v4(frame: &mut Frame) -> bool {
    let packet = Ipv4Packet::new_unchecked(frame.data());
    let at = packet.header_len();
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let echo = packet.protocol() == IpProtocol::ICMP && !packet.is_fragment();
    // Options, such as routes to record, are not worth an answer.
    if !echo
        || at != ipv4::HEADER_LEN
        || !is_request(&frame.data()[at..], icmpv4::kind::ECHO_REQUEST)
    {
        return false;
    }
    if !finish_checksum(frame) {
        return false;
    }
    reply(&mut frame.data_mut()[at..], icmpv4::kind::ECHO_REPLY);
    let mut packet = Ipv4Packet::new_unchecked(frame.data_mut());
    packet.set_src_addr(destination);
    packet.set_dst_addr(source);
    packet.set_ttl(TTL);
    packet.fill_checksum();
    true
}

fn answer_v6(frame: &mut Frame) -> bool {
    let packet = Ipv6Packet::new_unchecked(frame.data());
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let echo = packet.next_header() == IpProtocol::ICMPV6;
    if !echo
        || !is_request(
            &frame.data()[ipv6::HEADER_LEN..],
            icmpv6::kind::ECHO_REQUEST,
        )
    {
        return false;
    }
    if !finish_checksum(frame) {
        return false;
    }
    reply(
        &mut frame.data_mut()[ipv6::HEADER_LEN..],
        icmpv6::kind::ECHO_REPLY,
    );
    let mut packet = Ipv6Packet::new_unchecked(frame.data_mut());
    packet.set_src_addr(destination);
    packet.set_dst_addr(source);
    packet.set_hop_limit(TTL);
    true
}

fn is_request(message: &[u8], kind: u8) -> bool {
    message.len() >= icmpv4::HEADER_LEN && message[..2] == [kind, 0]
}

/// Changes the kind of a message, and its checksum accordingly (RFC 1624). Of the addresses that
/// the one of ICMPv6 covers, only the order changes.
fn reply(message: &mut [u8], kind: u8) {
    let before = u16::from_be_bytes([message[0], message[1]]);
    message[0] = kind;
    let after = u16::from_be_bytes([message[0], message[1]]);
    let sum = u16::from_be_bytes([message[CHECKSUM], message[CHECKSUM + 1]]);
    let sum = checksum::update_u16(sum, before, after);
    message[CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
}

fn is_udp(packet: &[u8]) -> bool {
    let protocol = if packet[0] >> 4 == 4 {
        packet[9]
    } else {
        packet[6]
    };
    protocol == IpProtocol::UDP.0
}
