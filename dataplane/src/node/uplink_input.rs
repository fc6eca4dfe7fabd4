//! Takes the outer headers off what the uplink hands over, as a UDP socket does for what
//! it receives: the packet must be whole, for our tunnel endpoint, and its checksum right.
//!
//! Super-frames stay whole. What is still to be done to them is then told of the inner
//! packet, or, where the outer datagrams are what was put together, left to `coalesce`.

use std::net::SocketAddr;

use ringlay_encap::eth::{self, EthernetFrame};
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::segment::complete_checksum;
use ringlay_encap::udp::{self, UdpPacket};
use ringlay_encap::{EtherType, IpProtocol, ParseError, checksum, vxlan};

use super::Context;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso, Ingress, Offload};
use crate::id::UnderlayId;

/// VXLAN and inner Ethernet header, without VLAN tags.
const TUNNEL_LEN: usize = vxlan::HEADER_LEN + eth::HEADER_LEN;

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
    let local = context.tables.underlay(id);
    let local = local.ok_or(DropReason::TunnelGone)?;
    let datagram = Datagram::parse(frame.data(), &frame.meta.offload)?;
    if datagram.destination != local {
        return Err(DropReason::UplinkForeign);
    }
    let offload = std::mem::take(&mut frame.meta.offload);
    frame.truncate(datagram.end);
    frame.trim_front(datagram.payload);
    frame.meta.ingress = Ingress::Underlay(id);
    frame.meta.remote = datagram.source;
    frame.meta.traffic_class = datagram.traffic_class;
    leave_the_rest(frame, &offload, datagram.payload)?;
    let datagrams = frame.datagrams() as u64;
    context.counters.segmented.add(datagrams - 1);
    Ok(())
}

/// An outer UDP packet.
struct Datagram {
    source: SocketAddr,
    destination: SocketAddr,
    traffic_class: u8,
    /// Where its payload begins and ends, in bytes from the outer Ethernet header.
    payload: usize,
    end: usize,
}

impl Datagram {
    #[inline]
    fn parse(data: &[u8], offload: &Offload) -> Result<Self, DropReason> {
        let foreign = |_: ParseError| DropReason::UplinkForeign;
        let frame = EthernetFrame::new_checked(data).map_err(foreign)?;
        let (source, destination, traffic_class, protocol, payload, pseudo_header) =
            match frame.ethertype() {
                EtherType::IPV4 => {
                    let ip = Ipv4Packet::new_checked(frame.payload()).map_err(foreign)?;
                    if ip.is_fragment() || !ip.verify_checksum() {
                        return Err(DropReason::UplinkForeign);
                    }
                    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
                    let payload = ip.header_len()..ip.total_len();
                    let pseudo_header = ip.pseudo_header(payload.len() as u16);
                    let class = ip.traffic_class();
                    (from, to, class, ip.protocol(), payload, pseudo_header)
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
                        ip.traffic_class(),
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
        let udp = UdpPacket::new_checked(&frame.payload()[payload.clone()]).map_err(foreign)?;
        let may_lack_checksum = frame.ethertype() == EtherType::IPV4;
        let verified = offload.checksum_valid || offload.needs_checksum;
        let lacking = udp.checksum() == 0 && may_lack_checksum;
        if !(verified || lacking || udp.verify_checksum(pseudo_header)) {
            return Err(DropReason::UnderlayBadChecksum);
        }
        let start = frame.payload_offset() + payload.start;
        Ok(Self {
            source: SocketAddr::new(source, udp.src_port()),
            destination: SocketAddr::new(destination, udp.dst_port()),
            traffic_class,
            payload: start + udp::HEADER_LEN,
            end: start + usize::from(udp.length()),
        })
    }
}

/// Tells of the inner packet what `offload` told of the outer one, whose first `outer`
/// bytes are off.
#[inline]
fn leave_the_rest(frame: &mut Frame, offload: &Offload, outer: usize) -> Result<(), DropReason> {
    let starts = usize::from(offload.csum_start);
    match (offload.gso, offload.tunnel) {
        (Gso::None, None) if !offload.needs_checksum || starts < outer => Ok(()),
        (Gso::None, None) if !is_plain_ip(frame.data()) => {
            let done =
                complete_checksum(frame.data_mut(), starts - outer, offload.csum_offset.into());
            done.then_some(()).ok_or(DropReason::VxlanMalformed)
        }
        (Gso::UdpL4, None) if starts < outer => {
            frame.meta.segment_size = offload.gso_size;
            Ok(())
        }
        (gso, tunnel) => {
            let inner = outer + TUNNEL_LEN;
            let as_told = tunnel.is_some() == (gso != Gso::None)
                && tunnel.is_none_or(|tunnel| usize::from(tunnel.inner) == inner);
            let csum_start = starts.checked_sub(inner).filter(|_| as_told);
            frame.meta.offload = Offload {
                csum_start: csum_start.ok_or(DropReason::VxlanMalformed)? as u16,
                header_len: offload.header_len.saturating_sub(inner as u16),
                tunnel: None,
                checksum_valid: false,
                ..*offload
            };
            Ok(())
        }
    }
}

/// Whether the inner frame has an IP packet right behind its addresses.
#[inline]
fn is_plain_ip(datagram: &[u8]) -> bool {
    let ethertype = datagram.get(TUNNEL_LEN - 2..TUNNEL_LEN);
    ethertype.is_some_and(|bytes| {
        let ethertype = EtherType(u16::from_be_bytes([bytes[0], bytes[1]]));
        matches!(ethertype, EtherType::IPV4 | EtherType::IPV6)
    })
}
