//! Outer UDP checksums that are not there.

use std::net::Ipv6Addr;

use super::super_frames::{bytes, super_frame, tcp};
use super::*;
use crate::frame::{Gso, Offload};
use crate::port::uplink;

/// Bytes from the outer Ethernet header to the checksum, over IPv4.
const CHECKSUM: usize = 14 + 20 + 6;
const HERE_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// The peer is reached by an uplink, without checksums.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.reach_peer(|it| {
        it.udp_checksum(false)
            .ethernet(uplink::MAC, uplink::PEER_MAC)
    });
    rig
}

#[test]
fn nobody_is_asked_to_compute_them() {
    let mut rig = rig();
    rig.send_from_port(&udp4("10.42.1.1", "10.42.2.1", 64, b"hello"));
    let frame = rig.uplinks().pop().unwrap();
    assert_eq!(frame.meta.offload, Offload::default());
    assert_eq!(frame.data()[CHECKSUM..CHECKSUM + 2], [0, 0]);
    let packet = tcp(true, 1, true, &bytes(60_000));
    let frame = super_frame(&rig, &packet, 1400);
    rig.run([frame]);
    let frame = rig.uplinks().pop().unwrap();
    let tunnel = frame.meta.offload.tunnel.unwrap();
    assert!(!tunnel.checksum && frame.meta.offload.needs_checksum);
    assert_eq!(frame.data()[CHECKSUM..CHECKSUM + 2], [0, 0]);
}

#[test]
fn a_wire_computes_none() {
    let mut rig = rig();
    rig.tables.insert_wire(UNDERLAY, 1500);
    let packet = udp4("10.42.1.1", "10.42.2.1", 64, b"hello");
    rig.send_from_port(&packet);
    let cut = super_frame(&rig, &tcp(true, 1, true, &bytes(4000)), 1400);
    rig.run([cut]);
    let frames = rig.uplinks();
    assert_eq!(frames.len(), 4);
    for frame in &frames {
        assert_eq!(frame.data()[CHECKSUM..CHECKSUM + 2], [0, 0]);
        assert_eq!(frame.meta.offload, Offload::default());
    }
    // The inner ones are there.
    let inner = CHECKSUM + 2 + 8 + 14;
    assert_eq!(frames[0].data()[inner + 20..], packet[20..]);
}

/// A VXLAN datagram over IPv6 without a checksum, from the peer by the uplink.
fn from_peer(rig: &Rig, packet: &[u8], offload: Offload) -> Frame {
    let mut data = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8])
        .ipv6(PEER_V6.octets(), HERE_V6.octets(), 64)
        .udp(50_000, 4789)
        .write(&mut data, &vxlan_ip4(packet))
        .unwrap();
    data[14 + 40 + 6..][..2].fill(0);
    let mut frame = rig.frame(Ingress::Uplink(UNDERLAY), &data);
    frame.meta.offload = offload;
    frame
}

#[test]
fn over_ipv6_zero_is_taken_where_the_port_is_configured_so_and_from_peers() {
    let packet = tcp(false, 1, true, b"hello");
    // A checksum of the inner packet that is left open says nothing of the outer one.
    let open = Offload {
        needs_checksum: true,
        gso: Gso::None,
        csum_start: 14 + 40 + 8 + 8 + 14 + 20,
        csum_offset: 16,
        ..Offload::default()
    };
    let verified = Offload {
        checksum_valid: true,
        ..Offload::default()
    };
    for offload in [Offload::default(), open, verified] {
        for (checksum, known, reason) in [
            (UdpChecksum::On, true, Some(DropReason::UnderlayBadChecksum)),
            (UdpChecksum::Sent, true, None),
            (UdpChecksum::Off, true, None),
            (UdpChecksum::Off, false, Some(DropReason::VtepUnknown)),
        ] {
            let mut rig = Rig::new();
            let endpoint = Endpoint {
                checksum,
                local: SocketAddr::new(HERE_V6.into(), 4789),
                encapsulation: Encapsulation::Vxlan,
            };
            rig.tables.insert_underlay(UNDERLAY, endpoint);
            let mut network = rig.tables.network(NET).unwrap().clone();
            network.vteps = known.then_some(PEER_V6.into()).into_iter().collect();
            rig.tables.insert_network(NET, network);
            let frame = from_peer(&rig, &packet, offload);
            let (ports, _) = rig.run([frame]);
            assert_eq!(ports.len(), usize::from(reason.is_none()));
            assert!(ports.iter().all(|port| port.meta.ttl == 64), "as outside");
            if let Some(reason) = reason {
                rig.assert_only_drop(reason);
            }
        }
    }
}
