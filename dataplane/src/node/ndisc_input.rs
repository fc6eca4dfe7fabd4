//! Answers neighbour solicitations, from the tunnel for what this node leads to and on Ethernet
//! ports for its own addresses, and tells the control plane what others say of themselves (RFC 4861).

use std::net::{IpAddr, Ipv6Addr};

use ringlay_encap::eth::{self, EthernetRepr};
use ringlay_encap::ipv6::{self, Ipv6Packet, Ipv6Repr};
use ringlay_encap::ndisc::{self, NeighbourAdvert, NeighbourSolicit};
use ringlay_encap::{EtherType, IpProtocol, MacAddr};

use super::hold::{Awaited, Hold};
use super::side::{Side, Told};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::Frame;

/// All nodes of a link (RFC 4291 section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A message, after the checks of RFC 4861 section 7.1.
enum Message {
    Solicit {
        source: Ipv6Addr,
        solicit: NeighbourSolicit,
    },
    Advert(NeighbourAdvert),
}

pub(super) fn process(
    input: &mut Batch,
    edges: &mut Edges,
    context: &Context<'_>,
    held: &mut Hold,
) {
    for mut frame in input.drain() {
        let Some(message) = parse(frame.data()) else {
            context.discard(frame, DropReason::NdiscMalformed);
            continue;
        };
        let side = match Side::of(&frame, context.tables) {
            Ok(side) => side,
            Err(reason) => {
                context.discard(frame, reason);
                continue;
            }
        };
        context.counters.consumed.add(1);
        match message {
            Message::Advert(advert) => {
                let heard = (advert.target, advert.target_mac);
                learn(&frame, &side, heard, (true, false), context);
            }
            Message::Solicit { source, solicit } => {
                let target = IpAddr::V6(solicit.target);
                let to_us = side.answers_for(context.tables, target, source.into());
                let heard = (source, solicit.source_mac);
                let awaited = learn(&frame, &side, heard, (false, to_us), context);
                if to_us && answer(&mut frame, &side, source, &solicit) {
                    side.reply(frame, awaited, held, edges, context);
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
    side: &Side<'_>,
    (address, mac): (Ipv6Addr, Option<MacAddr>),
    (answered, to_us): (bool, bool),
    context: &Context<'_>,
) -> Option<Awaited> {
    let told = Told {
        address: IpAddr::V6(address),
        mac: mac?,
        answered,
        to_us,
    };
    side.learn(frame, &told, context)
}

/// Turns a solicitation into the advertisement that answers it. A probe for a duplicate of an
/// address that is this node's own is answered to all (RFC 4861 section 7.2.4), another one not:
/// then it is false.
fn answer(
    frame: &mut Frame,
    side: &Side<'_>,
    source: Ipv6Addr,
    solicit: &NeighbourSolicit,
) -> bool {
    let target = solicit.target;
    let probe = source.is_unspecified();
    let (asker, to) = match solicit.source_mac {
        Some(mac) if !probe => (mac, source),
        _ if probe && side.owns(IpAddr::V6(target)) => (ndisc::multicast_mac(ALL_NODES), ALL_NODES),
        _ => return false,
    };
    let advert = NeighbourAdvert {
        target,
        target_mac: Some(side.mac()),
        router: true,
        solicited: !probe,
        override_: true,
    };
    let header = Ipv6Repr {
        src_addr: target,
        dst_addr: to,
        next_header: IpProtocol::ICMPV6,
        traffic_class: 0,
        flow_label: 0,
        hop_limit: ndisc::HOP_LIMIT,
        payload_len: advert.buffer_len() as u16,
    };
    frame.set_len(ipv6::HEADER_LEN + advert.buffer_len());
    header.emit(frame.data_mut());
    advert.emit(target, to, &mut frame.data_mut()[ipv6::HEADER_LEN..]);
    let ethernet = EthernetRepr {
        dst: asker,
        src: side.mac(),
        ethertype: EtherType::IPV6,
    };
    ethernet.emit(frame.prepend(eth::HEADER_LEN));
    true
}
