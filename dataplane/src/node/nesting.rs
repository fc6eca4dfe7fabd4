//! Tunnels in tunnels: legitimate where one network's packets cross another network, a loop where
//! they come back into their own, each time longer.
//!
//! Only packets from the node's own tunnel endpoints are looked at closer; others cost one
//! comparison.

use std::net::{IpAddr, Ipv6Addr};

use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::udp::UdpPacket;
use ringlay_encap::{IpProtocol, encap_limit};

use crate::drop_reason::DropReason;
use crate::id::NetworkId;
use crate::tables::{Network, Tables};

/// So many tunnels of this node may be around a packet: what RFC 2473 section 6.6 gives packets
/// that do not say.
const DEPTH_MAX: usize = 4;

/// Whether a packet may enter a tunnel of `network`, which ends here at `local`; and how many more
/// after it, for its outer header to say.
///
/// # Errors
///
/// The drop reason.
#[inline]
pub(super) fn admit(
    packet: &[u8],
    local: IpAddr,
    id: NetworkId,
    network: &Network,
    tables: &Tables,
) -> Result<Option<u8>, DropReason> {
    if is_from(packet, local) {
        look_inside(packet, id, tables)?;
    }
    match local {
        IpAddr::V6(_) if has_options(packet) => {
            let inner = encap_limit::of_packet(packet).ok().flatten();
            let outer = encap_limit::outer(inner, network.encap_limit);
            let outer = outer.map_err(|_| DropReason::EncapLimit)?;
            // UDP has no place for it.
            Ok(outer.filter(|_| network.port == 0))
        }
        IpAddr::V6(_) => Ok(network.encap_limit),
        IpAddr::V4(_) => Ok(None),
    }
}

/// Whether the source is `address`. The packet is a whole one.
#[inline]
fn is_from(packet: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => packet[0] >> 4 == 4 && packet[12..16] == address.octets(),
        IpAddr::V6(address) => packet[0] >> 4 == 6 && packet[8..24] == address.octets(),
    }
}

/// Whether the headers that may have the limit follow an IPv6 header: hop-by-hop options, which
/// come before all others, routing, and destination options.
#[inline]
fn has_options(packet: &[u8]) -> bool {
    const KINDS: [u8; 3] = [
        IpProtocol::HOP_BY_HOP.0,
        IpProtocol::ROUTING.0,
        IpProtocol::DESTINATION_OPTIONS.0,
    ];
    packet[0] >> 4 == 6 && KINDS.contains(&packet[6])
}

/// Goes through the tunnel headers of this node that a packet begins with.
fn look_inside(packet: &[u8], network: NetworkId, tables: &Tables) -> Result<(), DropReason> {
    let mut rest = packet;
    for _ in 0..DEPTH_MAX {
        match own_tunnel(rest, tables) {
            Some((id, _)) if id == network => return Err(DropReason::TunnelLoop),
            Some((_, Some(inner))) => rest = inner,
            Some((_, None)) | None => return Ok(()),
        }
    }
    Err(DropReason::TunnelTooDeep)
}

/// The network that a packet is a tunnel packet of, if this node sent it, and the IP packet in it.
fn own_tunnel<'a>(packet: &'a [u8], tables: &Tables) -> Option<(NetworkId, Option<&'a [u8]>)> {
    let (source, destination, protocol, payload) = split(packet)?;
    let (port, carried) = match protocol {
        IpProtocol::UDP => {
            let port = UdpPacket::new_checked(payload).ok()?.dst_port();
            (port, payload.get(ringlay_encap::udp::HEADER_LEN..)?)
        }
        _ => (0, payload),
    };
    tables.underlays().find_map(|(id, endpoint)| {
        let announced = match protocol {
            IpProtocol::UDP => endpoint.local.port() == port,
            other => endpoint.protocols().contains(&other),
        };
        if !announced || endpoint.local.ip() != source {
            return None;
        }
        let decap = endpoint.encapsulation.decap(carried).ok()?;
        let network = tables.network_by_key(id, decap.key, destination)?;
        let inner = endpoint.encapsulation.inner_ip(carried);
        Some((network, inner.and_then(|at| carried.get(at..))))
    })
}

/// Source, destination, protocol and payload of a packet that is no fragment.
fn split(packet: &[u8]) -> Option<(IpAddr, IpAddr, IpProtocol, &[u8])> {
    match IpVersion::of(packet).ok()? {
        IpVersion::V4 => {
            let view = Ipv4Packet::new_checked(packet).ok()?;
            let range = view.header_len()..view.total_len();
            let ends: (IpAddr, IpAddr) = (view.src_addr().into(), view.dst_addr().into());
            let (protocol, whole) = (view.protocol(), !view.is_fragment());
            whole.then(|| Some((ends.0, ends.1, protocol, packet.get(range)?)))?
        }
        IpVersion::V6 => {
            let view = Ipv6Packet::new_checked(packet).ok()?;
            let ends: (Ipv6Addr, Ipv6Addr) = (view.src_addr(), view.dst_addr());
            let range = view.total_len() - view.payload_len()..view.total_len();
            Some((
                ends.0.into(),
                ends.1.into(),
                view.next_header(),
                packet.get(range)?,
            ))
        }
    }
}
