//! Answers ARP requests, from the tunnel for what this node leads to and on Ethernet ports for its
//! own addresses, and tells the control plane what others say of themselves (RFC 826).

use std::net::IpAddr;

use ringlay_encap::EtherType;
use ringlay_encap::arp::{self, ArpOperation, ArpRepr};
use ringlay_encap::eth::{self, EthernetRepr};

use super::hold::Hold;
use super::side::{Side, Told};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::Frame;

pub(super) fn process(
    input: &mut Batch,
    edges: &mut Edges,
    context: &Context<'_>,
    held: &mut Hold,
) {
    for mut frame in input.drain() {
        let Ok(request) = ArpRepr::parse(frame.data()) else {
            context.discard(frame, DropReason::ArpMalformed);
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
        let (asker, target) = (IpAddr::V4(request.sender_ip), IpAddr::V4(request.target_ip));
        let asks = request.operation == ArpOperation::Request && asker != target;
        let to_us = asks && side.answers_for(context.tables, target, asker);
        let told = Told {
            address: asker,
            mac: request.sender_mac,
            answered: request.operation == ArpOperation::Reply,
            to_us,
        };
        let awaited = side.learn(&frame, &told, context);
        if to_us {
            write_reply(&mut frame, &side, &request);
            side.reply(frame, awaited, held, edges, context);
        }
    }
}

/// Turns the frame into the reply to `request`.
fn write_reply(frame: &mut Frame, side: &Side<'_>, request: &ArpRepr) {
    let ethernet = EthernetRepr {
        dst: request.sender_mac,
        src: side.mac(),
        ethertype: EtherType::ARP,
    };
    frame.truncate(arp::PACKET_LEN);
    request.reply(side.mac()).emit(frame.data_mut());
    ethernet.emit(frame.prepend(eth::HEADER_LEN));
}
