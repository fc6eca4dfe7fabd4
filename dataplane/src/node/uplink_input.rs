//! Takes the outer headers off what the uplink hands over, as a UDP socket does for what
//! it receives: the packet must be whole, for our tunnel endpoint, and its checksum right.
//!
//! Super-frames stay whole. What is still to be done to them is then told of the inner
//! packet, or, where the outer datagrams are what was put together, left to `coalesce`.

use std::net::SocketAddr;

use ringlay_encap::eth::EthernetFrame;
use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::segment::{complete_checksum, unfinished_checksum};
use ringlay_encap::udp::{self, UdpPacket};
use ringlay_encap::zero_checksum::{self, ChecksumDecision};
use ringlay_encap::{Encapsulation, EtherType, IpProtocol, ParseError, Sum, checksum};

use super::{Context, decap};
use crate::drop_reason::DropReason;
use crate::endpoint::Endpoint;
use crate::frame::{Frame, Gso, Ingress, Offload};
use crate::id::UnderlayId;

/// Makes of a frame from an uplink one from its underlay.
///
/// # Errors
///
/// The drop reason; the frame still counts as one.
#[inline]
pub(super) fn strip(
    frame: &mut Frame,
    id: UnderlayId,
    context: &Context<'_>,
) -> Result<(), DropReason> {
    let endpoint = context.tables.underlay(id);
    let endpoint = endpoint.ok_or(DropReason::TunnelGone)?;
    let offload = &frame.meta.offload;
    let datagram = Datagram::parse(frame.data(), offload, endpoint)?;
    if datagram.destination != endpoint.local {
        return Err(DropReason::UplinkForeign);
    }
    let offload = std::mem::take(&mut frame.meta.offload);
    frame.truncate(datagram.end);
    frame.trim_front(datagram.payload);
    frame.meta.ingress = Ingress::Underlay(id);
    frame.meta.remote = datagram.source;
    frame.meta.traffic_class = datagram.traffic_class;
    frame.meta.ttl = datagram.ttl;
    leave_the_rest(frame, &offload, datagram.payload, endpoint.encapsulation)?;
    let datagrams = frame.datagrams() as u64;
    context.counters.segmented.add(datagrams - 1);
    Ok(())
}

/// An outer UDP packet.
struct Datagram {
    source: SocketAddr,
    destination: SocketAddr,
    traffic_class: u8,
    ttl: u8,
    /// Where its payload begins and ends, in bytes from the outer Ethernet header.
    payload: usize,
    end: usize,
}

impl Datagram {
    #[inline]
    fn parse(data: &[u8], offload: &Offload, endpoint: Endpoint) -> Result<Self, DropReason> {
        let foreign = |_: ParseError| DropReason::UplinkForeign;
        let frame = EthernetFrame::new_checked(data).map_err(foreign)?;
        let (source, destination, fields, protocol, payload, pseudo_header) =
            match frame.ethertype() {
                EtherType::IPV4 => {
                    let ip = Ipv4Packet::new_checked(frame.payload()).map_err(foreign)?;
                    if ip.is_fragment() || !ip.verify_checksum() {
                        return Err(DropReason::UplinkForeign);
                    }
                    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
                    let payload = ip.header_len()..ip.total_len();
                    let pseudo_header = ip.pseudo_header(payload.len() as u16);
                    let fields = (ip.traffic_class(), ip.ttl());
                    (from, to, fields, ip.protocol(), payload, pseudo_header)
                }
                EtherType::IPV6 => {
                    let ip = Ipv6Packet::new_checked(frame.payload()).map_err(foreign)?;
                    let (from, to) = (ip.src_addr(), ip.dst_addr());
                    let len = ip.payload_len();
                    let pseudo_header =
                        checksum::pseudo_header_v6(from, to, IpProtocol::UDP, len as u32);
                    let payload = ip.total_len() - len..ip.total_len();
                    (
                        from.into(),
                        to.into(),
                        (ip.traffic_class(), ip.hop_limit()),
                        ip.next_header(),
                        payload,
                        pseudo_header,
                    )
                }
                _ => return Err(DropReason::UplinkForeign),
            };
        if protocol != IpProtocol::UDP {
            return Err(DropReason::UplinkForeign);
        }
        let datagram = &frame.payload()[payload.clone()];
        let udp = UdpPacket::new_checked(datagram).map_err(foreign)?;
        let version = match frame.ethertype() {
            EtherType::IPV4 => IpVersion::V4,
            _ => IpVersion::V6,
        };
        // Decapsulation asks whether the peer is known.
        let decision = zero_checksum::received(version, udp.checksum(), endpoint.checksum, true);
        let right = || {
            offload.checksum_valid
                || offload.needs_checksum
                || udp.verify_checksum(pseudo_header)
                || udp.checksum() == pseudo_header.fold() // unfinished
                || is_unfinished_inside(datagram, pseudo_header, endpoint.encapsulation)
        };
        match decision {
            ChecksumDecision::Accept => {}
            ChecksumDecision::Verify if right() => {}
            ChecksumDecision::Verify | ChecksumDecision::Drop => {
                return Err(DropReason::UnderlayBadChecksum);
            }
        }
        let start = frame.payload_offset() + payload.start;
        Ok(Self {
            source: SocketAddr::new(source, udp.src_port()),
            destination: SocketAddr::new(destination, udp.dst_port()),
            traffic_class: fields.0,
            ttl: fields.1,
            payload: start + udp::HEADER_LEN,
            end: start + usize::from(udp.length()),
        })
    }
}

/// Whether this datagram's checksum is right once the inner one is finished.
///
/// A kernel leaves checksums to its devices, of which virtual ones finish none, and AF_XDP does not
/// tell. Either the outer one is open, with the sum of the pseudo-header in its place, or the inner
/// one is, and the outer one as if it were not.
fn is_unfinished_inside(datagram: &[u8], pseudo_header: Sum, encapsulation: Encapsulation) -> bool {
    let payload = datagram.get(udp::HEADER_LEN..);
    let inner = payload.and_then(|payload| {
        let at = encapsulation.inner_ip(payload)?;
        let (start, offset) = unfinished_checksum(payload.get(at..)?)?;
        Some((udp::HEADER_LEN + at + start, offset))
    });
    let Some((start, offset)) = inner else {
        return false;
    };
    // A finished inner transport sums to the complement of its pseudo-header.
    let (head, transport) = datagram.split_at(start);
    let inner_pseudo_header = u16::from_be_bytes([transport[offset], transport[offset + 1]]);
    let sum = checksum::sum(head) + Sum::of_u16(!inner_pseudo_header);
    (sum + pseudo_header).is_valid()
}

/// Tells of the inner packet what `offload` told of the outer one, whose first `outer`
/// bytes are off.
#[inline]
fn leave_the_rest(
    frame: &mut Frame,
    offload: &Offload,
    outer: usize,
    encapsulation: Encapsulation,
) -> Result<(), DropReason> {
    let starts = usize::from(offload.csum_start);
    let malformed = decap::reasons(encapsulation).malformed;
    match (offload.gso, offload.tunnel) {
        (Gso::None, None) if !offload.needs_checksum || starts < outer => Ok(()),
        (Gso::None, None) if encapsulation.inner_ip(frame.data()).is_none() => {
            let done =
                complete_checksum(frame.data_mut(), starts - outer, offload.csum_offset.into());
            done.then_some(()).ok_or(malformed)
        }
        (Gso::UdpL4, None) if starts < outer => {
            frame.meta.segment_size = offload.gso_size;
            Ok(())
        }
        (gso, tunnel) => {
            let inner = encapsulation.inner_ip(frame.data());
            let inner = outer + inner.ok_or(malformed)?;
            let as_told = tunnel.is_some() == (gso != Gso::None)
                && tunnel.is_none_or(|tunnel| usize::from(tunnel.inner) == inner);
            let csum_start = starts.checked_sub(inner).filter(|_| as_told);
            frame.meta.offload = Offload {
                csum_start: csum_start.ok_or(malformed)? as u16,
                header_len: offload.header_len.saturating_sub(inner as u16),
                tunnel: None,
                checksum_valid: false,
                ..*offload
            };
            Ok(())
        }
    }
}
