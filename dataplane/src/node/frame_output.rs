//! The tunnel header in front of what this node made itself: Ethernet frames (ARP, neighbour
//! discovery), or IP packets (probes). Forwarded packets take `tunnel_encap`, which has a template.

use std::net::SocketAddr;

use ringlay_encap::EtherType;

use crate::frame::Frame;
use crate::tables::Network;

/// Prepends the tunnel header, which says that this is inside, and addresses the frame to `remote`.
pub(super) fn encapsulate(
    frame: &mut Frame,
    network: &Network,
    remote: SocketAddr,
    inside: EtherType,
) {
    let key = network.key;
    key.emit(inside, frame.prepend(key.header_len()));
    frame.meta.underlay = network.underlay;
    frame.meta.remote = remote;
    frame.meta.traffic_class = 0;
    frame.meta.ttl = 0;
    frame.meta.encap_limit = network.encap_limit;
}
