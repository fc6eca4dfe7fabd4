//! VXLAN around an Ethernet frame that this node made itself (ARP, neighbour
//! discovery). Forwarded packets take `tunnel_encap`, which has a template.

use std::net::SocketAddr;

use ringlay_encap::vxlan::{self, VxlanHeader};

use crate::frame::Frame;
use crate::tables::Network;

/// Prepends the VXLAN header and addresses the frame to `remote`.
pub(super) fn encapsulate(frame: &mut Frame, network: &Network, remote: SocketAddr) {
    VxlanHeader { vni: network.vni }.emit(frame.prepend(vxlan::HEADER_LEN));
    frame.meta.underlay = network.underlay;
    frame.meta.remote = remote;
    frame.meta.traffic_class = 0;
}
