//! The tunnel header in front of an Ethernet frame that this node made itself (ARP, neighbour
//! discovery). Forwarded packets take `tunnel_encap`, which has a template.

use std::net::SocketAddr;

use ringlay_encap::EtherType;

use crate::frame::Frame;
use crate::tables::Network;

/// Prepends the tunnel header and addresses the frame to `remote`.
pub(super) fn encapsulate(frame: &mut Frame, network: &Network, remote: SocketAddr) {
    let key = network.key;
    key.emit(EtherType::BRIDGED, frame.prepend(key.header_len()));
    frame.meta.underlay = network.underlay;
    frame.meta.remote = remote;
    frame.meta.traffic_class = 0;
    frame.meta.ttl = 0;
}
