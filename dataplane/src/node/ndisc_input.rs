//! Answers neighbour solicitations from the tunnel for what this node leads to,
//! and tells the control plane what other VTEPs say of themselves (RFC 4861).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ringlay_encap::eth::{self, EthernetRepr};
use ringlay_encap::ipv6::{self, Ipv6Packet, Ipv6Repr};
use ringlay_encap::ndisc::{self, NeighbourAdvert, NeighbourSolicit};
use ringlay_encap::{EtherType, IpProtocol, MacAddr};

use super::{Context, Edges, answers_for, decap, frame_output, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::tables::Network;

/// A message, after the checks of RFC 4861 section 7.1.
enum Message {
    Solicit {
        source: Ipv6Addr,
        solicit: NeighbourSolicit,
    },
    Advert(NeighbourAdvert),
}

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for mut frame in input.drain() {
        let Some(message) = parse(frame.data()) else {
            context.discard(frame, DropReason::NdiscMalformed);
            continue;
        };
        let Some(network) = context.tables.network(frame.meta.network) else {
            context.discard(frame, DropReason::TunnelGone);
            continue;
        };
        context.counters.consumed.add(1);
        match message {
            Message::Advert(advert) => {
                let heard = (advert.target, advert.target_mac);
                learn(&frame, network, heard, true, context);
            }
            Message::Solicit { source, solicit } => {
                learn(
                    &frame,
                    network,
                    (source, solicit.source_mac),
                    false,
                    context,
                );
                if answer(&mut frame, network, source, &solicit, context) {
                    context.counters.originated.add(1);
                    put(&mut edges.underlay_output, frame);
                }
            }
        }
    }
}

fn parse(data: &[u8]) -> Option<Message> {
    let packet = Ipv6Packet::new_checked(data).ok()?;
    let source = packet.src_addr();
    NeighbourSolicit::parse_packet(&packet)
        .map(|solicit| Message::Solicit { source, solicit })
        .or_else(|_| NeighbourAdvert::parse_packet(&packet).map(Message::Advert))
        .ok()
}

fn learn(
    frame: &Frame,
    network: &Network,
    (address, mac): (Ipv6Addr, Option<MacAddr>),
    answered: bool,
    context: &Context<'_>,
) {
    let address = IpAddr::V6(address);
    if let Some(mac) = mac
        && decap::credible(context.tables, network, address, mac)
    {
        context.report(Event::NeighbourHeard {
            network: frame.meta.network,
            vtep: frame.meta.remote.ip(),
            address,
            mac,
            answered,
        });
    }
}

/// Turns a solicitation into the advertisement that answers it, encapsulated;
/// false if it is not for us, or is a probe for a duplicate address.
fn answer(
    frame: &mut Frame,
    network: &Network,
    source: Ipv6Addr,
    solicit: &NeighbourSolicit,
    context: &Context<'_>,
) -> bool {
    let target = solicit.target;
    let Some(asker) = solicit.source_mac else {
        return false;
    };
    if source.is_unspecified() || !answers_for(context.tables, network, IpAddr::V6(target)) {
        return false;
    }
    let advert = NeighbourAdvert {
        target,
        target_mac: Some(network.mac),
        router: true,
        solicited: true,
        override_: true,
    };
    let header = Ipv6Repr {
        src_addr: target,
        dst_addr: source,
        next_header: IpProtocol::ICMPV6,
        traffic_class: 0,
        flow_label: 0,
        hop_limit: ndisc::HOP_LIMIT,
        payload_len: advert.buffer_len() as u16,
    };
    frame.set_len(ipv6::HEADER_LEN + advert.buffer_len());
    header.emit(frame.data_mut());
    advert.emit(target, source, &mut frame.data_mut()[ipv6::HEADER_LEN..]);
    let ethernet = EthernetRepr {
        dst: asker,
        src: network.mac,
        ethertype: EtherType::IPV6,
    };
    ethernet.emit(frame.prepend(eth::HEADER_LEN));
    frame.meta.ingress = Ingress::Node;
    let remote = SocketAddr::new(frame.meta.remote.ip(), network.port);
    frame_output::encapsulate(frame, network, remote, EtherType::BRIDGED);
    true
}
