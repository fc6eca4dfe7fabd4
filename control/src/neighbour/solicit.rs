//! Frames that ask for the MAC address of an inner address. Does not say when to ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringlay_dataplane::tables::ROUTER_V6;
use ringlay_encap::{
    ArpRepr, EtherType, EthernetRepr, IpProtocol, Ipv6Repr, MacAddr, NeighbourSolicit, arp, eth,
    ipv6, ndisc,
};

/// An Ethernet frame from `mac` that asks for `target`: an ARP request (RFC 826) or a neighbour
/// solicitation (RFC 4861 section 4.3). It comes from the first of `addresses` that fits, so that
/// the other side may learn that one in turn.
pub(crate) fn solicit(mac: MacAddr, addresses: &[IpAddr], target: IpAddr) -> Vec<u8> {
    match target {
        IpAddr::V4(target) => {
            let own = addresses.iter().find_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            // Without an address of ours the request is a probe (RFC 5227), which is answered too.
            arp_request(mac, own.unwrap_or(Ipv4Addr::UNSPECIFIED), target)
        }
        IpAddr::V6(target) => {
            let own = addresses.iter().find_map(|address| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            });
            neighbour_solicitation(mac, own.unwrap_or(ROUTER_V6), target)
        }
    }
}

fn arp_request(mac: MacAddr, own: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0; eth::HEADER_LEN + arp::PACKET_LEN];
    let header = EthernetRepr {
        dst: MacAddr::BROADCAST,
        src: mac,
        ethertype: EtherType::ARP,
    };
    header.emit(&mut frame);
    ArpRepr::request(mac, own, target).emit(&mut frame[eth::HEADER_LEN..]);
    frame
}

fn neighbour_solicitation(mac: MacAddr, own: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let solicit = NeighbourSolicit {
        target,
        source_mac: Some(mac),
    };
    let group = solicited_node(target);
    let [.., a, b, c, d] = group.octets();
    let ip = eth::HEADER_LEN;
    let message = ip + ipv6::HEADER_LEN;
    let mut frame = vec![0; message + solicit.buffer_len()];
    // RFC 2464 section 7: the MAC address of an IPv6 group.
    let dst = MacAddr([0x33, 0x33, a, b, c, d]);
    EthernetRepr {
        dst,
        src: mac,
        ethertype: EtherType::IPV6,
    }
    .emit(&mut frame);
    let len = solicit.emit(own, group, &mut frame[message..]);
    let header = Ipv6Repr {
        src_addr: own,
        dst_addr: group,
        next_header: IpProtocol::ICMPV6,
        payload_len: u16::try_from(len).expect("a solicitation has 32 bytes"),
        hop_limit: ndisc::HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
    };
    header.emit(&mut frame[ip..]);
    frame
}

/// The group that a host with this address listens to (RFC 4291 section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}
