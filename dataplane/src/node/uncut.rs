//! Super-frames that a virtual link left uncut, and that a socket hands over as one packet.
//!
//! A kernel, or a node with an uplink, leaves what is inside a tunnel to the underlay's device to
//! be cut, and a virtual one leaves it to the receiver. Here it is told again how to cut it; by IP
//! protocols without UDP, `ip_input` does so.

use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::segment::unfinished_checksum;
use ringlay_encap::{Encapsulation, IpProtocol, udp};

use super::{Context, ip_input};
use crate::frame::{Frame, Gso, Offload};

/// Takes note of datagrams inside a tunnel that are one packet: the socket tells how long each is, as
/// if outer datagrams had been put together. False if it is that, a train.
#[inline]
pub(super) fn note_datagrams(
    frame: &mut Frame,
    size: usize,
    encapsulation: Option<Encapsulation>,
) -> bool {
    let Some(inner) = encapsulation.and_then(|it| it.inner_ip(frame.data())) else {
        return false;
    };
    let packet = &frame.data()[inner..];
    let Some((len, IpProtocol::UDP)) = len_and_protocol(packet) else {
        return false;
    };
    // The packet in the first datagram of a train ends with that.
    if inner + len <= size {
        return false;
    }
    let Some((start, offset)) = unfinished_checksum(packet) else {
        return false;
    };
    frame.meta.offload = Offload {
        needs_checksum: true,
        gso: Gso::UdpL4,
        header_len: (start + udp::HEADER_LEN) as u16, // at most 68
        gso_size: size as u16,                        // that is how it was told
        csum_start: start as u16,
        csum_offset: offset as u16,
        ..Offload::default()
    };
    true
}

/// Takes note of TCP that came out of a tunnel and is too long for a port without Ethernet, whose
/// device has the MTU of the network.
#[inline]
pub(super) fn note_too_long_for_port(frame: &mut Frame, context: &Context<'_>) {
    let offload = &frame.meta.offload;
    if offload.needs_checksum
        && offload.gso == Gso::None
        && let Some(network) = context.tables.network(frame.meta.network)
    {
        ip_input::note_too_long(frame, network.mtu);
    }
}

/// Of an IP packet that is all there.
#[inline]
fn len_and_protocol(packet: &[u8]) -> Option<(usize, IpProtocol)> {
    Some(match IpVersion::of(packet).ok()? {
        IpVersion::V4 => {
            let view = Ipv4Packet::new_checked(packet).ok()?;
            (view.total_len(), view.protocol())
        }
        IpVersion::V6 => {
            let view = Ipv6Packet::new_checked(packet).ok()?;
            (view.total_len(), view.next_header())
        }
    })
}
