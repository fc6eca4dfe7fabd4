//! Takes the outer headers off what an uplink or the wire hands over, as a socket does for what
//! it receives: the packet must be whole, for a tunnel endpoint of ours, and its checksum right.
//!
//! Super-frames stay whole. What is still to be done to them is then told of the inner
//! packet, or, where the outer datagrams are what was put together, left to `coalesce`.

use std::net::{IpAddr, SocketAddr};

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
use crate::tables::Tables;

/// Makes of a frame from the uplink of an underlay one from that, and of one from the wire one from the
/// underlay that it is for; leaves others as they are.
///
/// # Errors
///
/// The drop reason; the frame still counts as one.
#[inline]
pub(super) fn strip(frame: &mut Frame, context: &Context<'_>) -> Result<(), DropReason> {
    let of = match frame.meta.ingress {
        Ingress::Uplink(id) => Some(id),
        Ingress::Wire => None,
        _ => return Ok(()),
    };
    if of.is_some_and(|id| context.tables.underlay(id).is_none()) {
        return Err(DropReason::TunnelGone);
    }
    let offload = &frame.meta.offload;
    let packet = Packet::parse(frame.data(), offload, of, context.tables)?;
    let offload = std::mem::take(&mut frame.meta.offload);
    frame.truncate(packet.end);
    frame.trim_front(packet.payload);
    frame.meta.ingress = Ingress::Underlay(packet.underlay);
    frame.meta.remote = packet.source;
    frame.meta.traffic_class = packet.traffic_class;
    frame.meta.ttl = packet.ttl;
    leave_the_rest(frame, &offload, packet.payload, packet.encapsulation)?;
    let datagrams = frame.datagrams() as u64;
    context.counters.segmented.add(datagrams - 1);
    Ok(())
}

/// An outer packet.
struct Packet {
    /// Whose it is.
    underlay: UnderlayId,
    encapsulation: Encapsulation,
    /// Without a port if it is right above IP.
    source: SocketAddr,
    traffic_class: u8,
    ttl: u8,
    /// Where its payload, behind a UDP header if there is one, begins and ends, in bytes from the
    /// outer Ethernet header.
    payload: usize,
    end: usize,
}

impl Packet {
    #[inline]
    fn parse(
        data: &[u8],
        offload: &Offload,
        of: Option<UnderlayId>,
        tables: &Tables,
    ) -> Result<Self, DropReason> {
        let foreign = |_: ParseError| DropReason::UplinkForeign;
        let frame = EthernetFrame::new_checked(data).map_err(foreign)?;
        let (source, destination, fields, protocol, payload, pseudo_header) =
            match frame.ethertype() {
                EtherType::IPV4 => {
                    let ip = Ipv4Packet::new_checked(frame.payload()).map_err(foreign)?;
                    if ip.is_fragment() || !ip.verify_checksum() {
                        return Err(DropReason::UplinkForeign);
                    }
                    let (from, to): (IpAddr, _) = (ip.src_addr().into(), ip.dst_addr().into());
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
        let start = frame.payload_offset() + payload.start;
        let found = |port| find(tables, of, destination, protocol, port);
        if protocol != IpProtocol::UDP {
            let (underlay, endpoint) = found(0)?;
            return Ok(Self {
                underlay,
                encapsulation: endpoint.encapsulation,
                source: SocketAddr::new(source, 0),
                traffic_class: fields.0,
                ttl: fields.1,
                payload: start,
                end: frame.payload_offset() + payload.end,
            });
        }
        let datagram = &frame.payload()[payload.clone()];
        let udp = UdpPacket::new_checked(datagram).map_err(foreign)?;
        let (underlay, endpoint) = found(udp.dst_port())?;
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
        Ok(Self {
            underlay,
            encapsulation: endpoint.encapsulation,
            source: SocketAddr::new(source, udp.src_port()),
            traffic_class: fields.0,
            ttl: fields.1,
            payload: start + udp::HEADER_LEN,
            end: start + usize::from(udp.length()),
        })
    }
}

/// The endpoint that a packet is for: this one, or any where packets of all come by the same wire.
#[inline]
fn find(
    tables: &Tables,
    of: Option<UnderlayId>,
    destination: IpAddr,
    protocol: IpProtocol,
    port: u16,
) -> Result<(UnderlayId, Endpoint), DropReason> {
    let is_for = |endpoint: &Endpoint| {
        let announced = match protocol {
            IpProtocol::UDP => endpoint.protocols().is_empty() && endpoint.local.port() == port,
            other => endpoint.protocols().contains(&other),
        };
        announced && endpoint.local.ip() == destination
    };
    match of {
        Some(id) => {
            let endpoint = tables.underlay(id).filter(is_for);
            endpoint.map(|it| (id, it)).ok_or(DropReason::UplinkForeign)
        }
        // What is led to the wire is for an endpoint that is to come, or was there just now.
        None => {
            let mut all = tables.underlays();
            let found = all.find(|(_, endpoint)| is_for(endpoint));
            found.ok_or(DropReason::TunnelGone)
        }
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
