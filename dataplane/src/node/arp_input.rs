//! Answers ARP requests from the tunnel for what this node leads to, and tells
//! the control plane what other VTEPs say of themselves (RFC 826).

use std::net::{IpAddr, SocketAddr};

use ringlay_encap::EtherType;
use ringlay_encap::arp::{self, ArpOperation, ArpRepr};
use ringlay_encap::eth::{self, EthernetRepr};

use super::{Context, Edges, answers_for, decap, frame_output, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::tables::Network;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for mut frame in input.drain() {
        let Ok(request) = ArpRepr::parse(frame.data()) else {
            context.discard(frame, DropReason::ArpMalformed);
            continue;
        };
        let Some(network) = context.tables.network(frame.meta.network) else {
            context.discard(frame, DropReason::TunnelGone);
            continue;
        };
        context.counters.consumed.add(1);
        learn(&frame, network, &request, context);
        let target = IpAddr::V4(request.target_ip);
        if request.operation == ArpOperation::Request
            && request.sender_ip != request.target_ip
            && answers_for(context.tables, network, target)
        {
            reply(&mut frame, network, &request);
            context.counters.originated.add(1);
            put(&mut edges.underlay_output, frame);
        }
    }
}

fn learn(frame: &Frame, network: &Network, heard: &ArpRepr, context: &Context<'_>) {
    let address = IpAddr::V4(heard.sender_ip);
    if decap::credible(context.tables, network, address, heard.sender_mac) {
        context.report(Event::NeighbourHeard {
            network: frame.meta.network,
            vtep: frame.meta.remote.ip(),
            address,
            mac: heard.sender_mac,
            answered: heard.operation == ArpOperation::Reply,
        });
    }
}

/// Turns the frame into the reply to `request`, encapsulated.
fn reply(frame: &mut Frame, network: &Network, request: &ArpRepr) {
    let ethernet = EthernetRepr {
        dst: request.sender_mac,
        src: network.mac,
        ethertype: EtherType::ARP,
    };
    frame.truncate(arp::PACKET_LEN);
    request.reply(network.mac).emit(frame.data_mut());
    ethernet.emit(frame.prepend(eth::HEADER_LEN));
    let remote = SocketAddr::new(frame.meta.remote.ip(), network.port);
    frame.meta.ingress = Ingress::Node;
    frame_output::encapsulate(frame, network, remote, EtherType::BRIDGED);
}
