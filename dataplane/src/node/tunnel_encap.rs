//! Puts the tunnel's ready-made headers in front of an IP packet.

use ringlay_encap::EtherType;
use ringlay_encap::ipv4::Ipv4Packet;

use super::{Context, Edges, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Gso};
use crate::tables::Network;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for mut frame in input.drain() {
        let tables = context.tables;
        let known = tables.tunnel(frame.meta.tunnel);
        let Some((tunnel, network)) = known.and_then(|t| Some((t, tables.network(t.network)?)))
        else {
            context.discard(frame, DropReason::TunnelGone);
            continue;
        };
        let Some(template) = &tunnel.template else {
            put(&mut edges.hold, frame);
            continue;
        };
        if must_shrink(&frame, network) {
            edges.refuse(frame, DropReason::TooBig);
            continue;
        }
        let ethertype = if frame.data()[0] >> 4 == 4 {
            EtherType::IPV4
        } else {
            EtherType::IPV6
        };
        let header = frame.prepend(template.tunnel_bytes().len());
        template.write_tunnel(ethertype, header);
        frame.meta.underlay = network.underlay;
        frame.meta.remote = tunnel.remote;
        put(&mut edges.underlay_output, frame);
    }
}

/// Whether the sender must be told to send smaller packets. An IPv4 packet that
/// allows fragmentation is sent anyway: the underlay fragments the outer packet,
/// which is better than a black hole.
#[inline]
fn must_shrink(frame: &Frame, network: &Network) -> bool {
    if frame.len() <= network.mtu || frame.meta.offload.gso != Gso::None {
        return false;
    }
    let data = frame.data();
    data[0] >> 4 == 6 || Ipv4Packet::new_unchecked(data).dont_fragment()
}
