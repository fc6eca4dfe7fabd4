//! Checks that a frame is one whole IP packet that a router may forward
//! (RFC 1812 section 5.2.2), and hashes its flow. It does not route.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringlay_encap::IpProtocol;
use ringlay_encap::flow::flow_hash;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::segment::unfinished_checksum;
use ringlay_encap::tcp::TcpPacket;

use super::{Context, Edges, inside, mss_clamp, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Ingress};

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>, hash_seed: u64) {
    for mut frame in input.drain() {
        match admit(&mut frame, context) {
            Ok(()) => {
                frame.meta.flow_hash = flow_hash(frame.data(), hash_seed);
                let network = context.tables.network(frame.meta.network);
                let clamp = network.is_some_and(|it| mss_clamp::is_for(it, frame.data()));
                put(
                    if clamp {
                        &mut edges.mss_clamp
                    } else {
                        &mut edges.ip_lookup
                    },
                    frame,
                );
            }
            Err(reason) => context.discard(frame, reason),
        }
    }
}

#[inline]
fn admit(frame: &mut Frame, context: &Context<'_>) -> Result<(), DropReason> {
    let mut may_lack_checksum = matches!(frame.meta.ingress, Ingress::Underlay(_));
    // Frames from the underlay were given their network by decapsulation.
    if let Ingress::Port(port) = frame.meta.ingress {
        let link = context.tables.link(port);
        may_lack_checksum = link.is_some_and(|link| !link.offloads);
        frame.meta.network = context
            .tables
            .port(port)
            .ok_or(DropReason::PortGone)?
            .network;
    }
    let len = match frame.data().first().map(|byte| byte >> 4) {
        Some(4) => admit_v4(frame.data())?,
        Some(6) => admit_v6(frame.data())?,
        _ => return Err(DropReason::IpMalformed),
    };
    // Ethernet pads short frames.
    frame.truncate(len);
    if may_lack_checksum {
        note_unfinished_at(frame, 0, context);
    }
    Ok(())
}

/// The same for an Ethernet frame from the underlay, whatever is in it.
#[inline]
pub(super) fn note_unfinished(frame: &mut Frame, context: &Context<'_>) {
    if let Some(at) = inside::ip_packet(frame.data()) {
        note_unfinished_at(frame, at, context);
    }
}

#[inline]
fn note_unfinished_at(frame: &mut Frame, at: usize, context: &Context<'_>) {
    note_unfinished_checksum(frame, at);
    if is_long_and_unfinished(frame) && over_ip(frame, context) {
        note_super_frame(frame, at, SEGMENT);
    }
}

/// Whether the frame came by an endpoint right above IP.
#[inline]
fn over_ip(frame: &Frame, context: &Context<'_>) -> bool {
    let Ingress::Underlay(id) = frame.meta.ingress else {
        return false;
    };
    let endpoint = context.tables.underlay(id);
    endpoint.is_some_and(|endpoint| !endpoint.protocols().is_empty())
}

/// A kernel VXLAN device on the same machine leaves inner checksums to the underlay
/// device, and virtual devices leave them to the receiver: here.
#[inline]
fn note_unfinished_checksum(frame: &mut Frame, at: usize) {
    let offload = &frame.meta.offload;
    if offload.needs_checksum || offload.checksum_valid || offload.gso != Gso::None {
        return;
    }
    if let Some((start, offset)) = unfinished_checksum(&frame.data()[at..]) {
        let offload = &mut frame.meta.offload;
        offload.needs_checksum = true;
        offload.csum_start = (at + start) as u16;
        offload.csum_offset = offset as u16;
    }
}

/// Whether a frame may be more than one packet: cheap to tell, and seldom so.
#[inline]
fn is_long_and_unfinished(frame: &Frame) -> bool {
    const LONGEST: usize = 1500;
    let offload = &frame.meta.offload;
    offload.needs_checksum && offload.gso == Gso::None && frame.len() > LONGEST
}

/// What any link has room for.
const SEGMENT: usize = 1280;

/// Takes TCP that came out of a tunnel, unfinished and longer than the link that it is to leave by,
/// for a super-frame. UDP sockets, too, are handed whole what a kernel, or a node with an uplink, has
/// left to a virtual device to be cut.
#[inline]
pub(super) fn note_too_long(frame: &mut Frame, mtu: usize) {
    let from_tunnel = matches!(frame.meta.ingress, Ingress::Underlay(_));
    let offload = &frame.meta.offload;
    if from_tunnel && offload.needs_checksum && offload.gso == Gso::None && frame.len() > mtu {
        note_super_frame(frame, 0, mtu);
    }
}

/// The kernel hands raw sockets super-frames, those of the sender and those that it put together
/// itself, as one packet, and does not say how long the parts were. What is unfinished and too
/// long for Ethernet is taken for one. TCP may be cut anew, into packets of `longest` bytes.
fn note_super_frame(frame: &mut Frame, at: usize, longest: usize) {
    let offload = frame.meta.offload;
    let data = &frame.data()[at..];
    let (gso, protocol) = match data[0] >> 4 {
        4 => (Gso::TcpV4, data[9]),
        _ => (Gso::TcpV6, data[6]),
    };
    let start = usize::from(offload.csum_start) - at;
    let segment = data.get(start..).unwrap_or_default();
    let tcp = TcpPacket::new_checked(segment).ok();
    if let Some(tcp) = tcp.filter(|_| protocol == IpProtocol::TCP.0) {
        let header_len = start + tcp.header_len();
        let offload = &mut frame.meta.offload;
        offload.gso = gso;
        // Headers are 120 bytes at most.
        offload.gso_size = longest.saturating_sub(header_len).max(1) as u16;
        offload.header_len = (at + header_len) as u16;
    }
}

/// Checks an IPv4 packet and returns its length.
#[inline]
fn admit_v4(data: &[u8]) -> Result<usize, DropReason> {
    let packet = Ipv4Packet::new_checked(data).map_err(|_| DropReason::IpMalformed)?;
    if !packet.verify_checksum() {
        return Err(DropReason::IpBadChecksum);
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    if !forwardable_v4(source) || !forwardable_v4(destination) {
        return Err(DropReason::IpNotForwardable);
    }
    Ok(packet.total_len())
}

/// Checks an IPv6 packet and returns its length.
#[inline]
fn admit_v6(data: &[u8]) -> Result<usize, DropReason> {
    let packet = Ipv6Packet::new_checked(data).map_err(|_| DropReason::IpMalformed)?;
    if !forwardable_v6(packet.src_addr()) || !forwardable_v6(packet.dst_addr()) {
        return Err(DropReason::IpNotForwardable);
    }
    Ok(packet.total_len())
}

/// Whether a packet may carry `address` beyond its link (RFC 1812 sections
/// 5.3.7 and 5.3.4, RFC 3927 section 7). Tested on the leading byte first, since
/// nearly every address passes there.
#[inline]
fn forwardable_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        [0 | 127 | 224.., ..] | [169, 254, ..] => false,
        [1..=126 | 128..=223, ..] => true,
    }
}

/// The same for IPv6 (RFC 4291 sections 2.5.2, 2.5.3 and 2.5.6; multicast is not routed).
#[inline]
fn forwardable_v6(address: Ipv6Addr) -> bool {
    !matches!(
        address.segments(),
        [0xff00..=0xffff | 0xfe80..=0xfebf, ..] | [0, 0, 0, 0, 0, 0, 0, 0 | 1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_unicast_is_forwarded() {
        for refused in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "169.254.1.1",
        ] {
            assert!(!forwardable_v4(refused.parse().unwrap()), "{refused}");
        }
        for passed in [
            "10.0.0.1",
            "192.168.0.1",
            "169.253.0.1",
            "223.255.255.255",
            "1.1.1.1",
        ] {
            assert!(forwardable_v4(passed.parse().unwrap()), "{passed}");
        }
        for refused in ["::", "::1", "ff02::1", "fe80::1", "febf::1"] {
            assert!(!forwardable_v6(refused.parse().unwrap()), "{refused}");
        }
        for passed in ["2001:db8::1", "fd00::1", "::2", "fec0::1"] {
            assert!(forwardable_v6(passed.parse().unwrap()), "{passed}");
        }
    }
}
