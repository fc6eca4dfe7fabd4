//! Lowers the maximum segment size with which a TCP connection begins to what fits the tunnels on
//! its way, there and back (RFC 9293 section 3.7.1). The checksum is adjusted (RFC 1624).
//!
//! It sees nothing but segments with SYN, of networks that ask for it.

use std::net::IpAddr;

use ringlay_encap::checksum;
use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::{self, Ipv6Packet};
use ringlay_encap::tcp::{self, TcpFlags};
use ringlay_encap::{IpProtocol, ipv4};

use super::{Context, Edges, put};
use crate::batch::Batch;
use crate::frame::Frame;
use crate::tables::{Network, NextHop};

/// Where a TCP header has its length, its flags and its checksum.
const DATA_OFFSET: usize = 12;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;

/// Kinds of TCP options (RFC 9293 section 3.2).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for mut frame in input.drain() {
        let network = context.tables.network(frame.meta.network);
        if let Some(most) = network.and_then(|network| segment_max(&frame, network, context)) {
            clamp(&mut frame, most);
        }
        put(&mut edges.ip_lookup, frame);
    }
}

/// Whether a packet of this network, which was found to be whole, is for this node.
#[inline]
pub(super) fn is_for(network: &Network, packet: &[u8]) -> bool {
    network.mss_clamp && has_syn(packet)
}

fn has_syn(packet: &[u8]) -> bool {
    let flags = tcp_offset(packet).and_then(|tcp| packet.get(tcp + FLAGS));
    flags.is_some_and(|flags| TcpFlags(*flags).contains(TcpFlags::SYN))
}

/// Where the TCP header begins, if there is one right behind the IP header.
#[inline]
fn tcp_offset(packet: &[u8]) -> Option<usize> {
    if packet[0] >> 4 == 4 {
        let view = Ipv4Packet::new_unchecked(packet);
        let first = view.fragment_offset() == 0;
        (view.protocol() == IpProtocol::TCP && first).then(|| view.header_len())
    } else {
        let view = Ipv6Packet::new_unchecked(packet);
        (view.next_header() == IpProtocol::TCP).then_some(ipv6::HEADER_LEN)
    }
}

/// The largest segment that fits the tunnels by which the packet goes and its answer comes.
fn segment_max(frame: &Frame, network: &Network, context: &Context<'_>) -> Option<u16> {
    let packet = frame.data();
    let (version, headers, ends): (_, _, [IpAddr; 2]) = if packet[0] >> 4 == 4 {
        let view = Ipv4Packet::new_unchecked(packet);
        let ends = [view.src_addr().into(), view.dst_addr().into()];
        (IpVersion::V4, ipv4::HEADER_LEN, ends)
    } else {
        let view = Ipv6Packet::new_unchecked(packet);
        let ends = [view.src_addr().into(), view.dst_addr().into()];
        (IpVersion::V6, ipv6::HEADER_LEN, ends)
    };
    let tunnel_mtu = |end| {
        let route = match end {
            IpAddr::V4(end) => network.fib.v4.lookup(end),
            IpAddr::V6(end) => network.fib.v6.lookup(end),
        };
        match context.tables.next_hop(*route?, frame.meta.flow_hash) {
            NextHop::Tunnel(tunnel) => Some(context.tables.tunnel(*tunnel)?.mtu_of(version)),
            _ => None,
        }
    };
    let narrowest = ends.into_iter().filter_map(tunnel_mtu).min()?;
    let most = narrowest.checked_sub(headers + tcp::HEADER_LEN)?;
    u16::try_from(most).ok()
}

/// Lowers the maximum segment size to `most`, if the packet announces a larger one.
fn clamp(frame: &mut Frame, most: u16) {
    // An unfinished checksum is not yet of what it covers.
    let finished = !frame.meta.offload.needs_checksum;
    let packet = frame.data_mut();
    let Some(segment) = tcp_offset(packet).and_then(|tcp| packet.get_mut(tcp..)) else {
        return;
    };
    let Some(at) = find_option(segment) else {
        return;
    };
    let old = u16::from_be_bytes([segment[at], segment[at + 1]]);
    if old <= most {
        return;
    }
    segment[at..at + 2].copy_from_slice(&most.to_be_bytes());
    if finished {
        // At an odd offset the bytes count the other way round.
        let aligned = |value: u16| {
            if at.is_multiple_of(2) {
                value
            } else {
                value.swap_bytes()
            }
        };
        let sum = u16::from_be_bytes([segment[CHECKSUM], segment[CHECKSUM + 1]]);
        let sum = checksum::update_u16(sum, aligned(old), aligned(most));
        segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Where the value of the maximum segment size is in a TCP segment.
fn find_option(segment: &[u8]) -> Option<usize> {
    let end = usize::from(segment.get(DATA_OFFSET)? >> 4) * 4;
    let header = segment.get(..end)?;
    let mut at = tcp::HEADER_LEN;
    loop {
        match *header.get(at)? {
            END => return None,
            NO_OPERATION => at += 1,
            kind => {
                let len = usize::from(*header.get(at + 1)?);
                if kind == MAXIMUM_SEGMENT_SIZE {
                    return (len == 4 && at + 4 <= end).then_some(at + 2);
                }
                // Anything shorter than its own header is none.
                at += Some(len).filter(|len| *len >= 2)?;
            }
        }
    }
}
