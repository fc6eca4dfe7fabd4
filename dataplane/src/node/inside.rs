//! What is in an Ethernet frame: where its IP packet begins, and what outer headers take from that.
//! Frames of bridged networks may hold anything, so nothing is taken for granted.

use ringlay_encap::eth::EthernetFrame;
use ringlay_encap::ipv4::Ipv4Packet;
use ringlay_encap::ipv6::Ipv6Packet;
use ringlay_encap::{EtherType, IpFields};

use super::tunnel_encap::ip_fields;

/// Outer headers around what is no IP packet.
const NOT_IP: IpFields = IpFields {
    traffic_class: 0,
    ttl: 64,
};

/// Where in a frame a whole IP packet begins, behind its header and VLAN tags.
#[inline]
pub(super) fn ip_packet(frame: &[u8]) -> Option<usize> {
    let view = EthernetFrame::new_checked(frame).ok()?;
    let payload = view.payload();
    let is_whole = match view.ethertype() {
        EtherType::IPV4 => Ipv4Packet::new_checked(payload).is_ok(),
        EtherType::IPV6 => Ipv6Packet::new_checked(payload).is_ok(),
        _ => false,
    };
    is_whole.then(|| view.payload_offset())
}

/// What outer headers take over from what is inside: a packet, or, if it is of the type
/// [`BRIDGED`](EtherType::BRIDGED), a frame.
#[inline]
pub(super) fn fields(data: &[u8], ethertype: EtherType) -> IpFields {
    match ethertype {
        EtherType::BRIDGED => ip_packet(data).map_or(NOT_IP, |at| ip_fields(&data[at..])),
        _ => ip_fields(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_packets_are_found() {
        let mut packet = vec![0x45, 0xb8, 0, 20, 0, 0, 0, 0, 7, 17, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        let frame = |tags: &[u8], ethertype: [u8; 2], payload: &[u8]| {
            [&[2; 12], tags, &ethertype, payload].concat()
        };
        let plain = frame(&[], [8, 0], &packet);
        assert_eq!(ip_packet(&plain), Some(14));
        let tagged = frame(&[0x81, 0, 0, 5], [8, 0], &packet);
        assert_eq!(ip_packet(&tagged), Some(18));
        let found = fields(&tagged, EtherType::BRIDGED);
        assert_eq!((found.traffic_class, found.ttl), (0xb8, 7));
        let broken = [
            frame(&[], [8, 0], &packet[..19]),
            frame(&[], [0x86, 0xdd], &packet),
            frame(&[], [8, 6], &packet),
            frame(&[0x81, 0, 0, 5], [8, 0], &[]),
            vec![2; 13],
        ];
        for frame in broken {
            assert_eq!(ip_packet(&frame), None);
            assert_eq!(fields(&frame, EtherType::BRIDGED), NOT_IP);
        }
    }
}
