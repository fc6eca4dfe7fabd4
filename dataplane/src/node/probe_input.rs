//! Answers probes that tunnels without inner Ethernet bring from their far ends, and tells the
//! control plane of answers to its own (see [`crate::probe`]). What is for somebody else is routed.

use std::net::{IpAddr, SocketAddr};

use super::{Context, Edges, frame_output, put};
use crate::batch::Batch;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::probe::{self, Kind, Probe};
use crate::tables::Network;

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    for mut frame in input.drain() {
        let network = context.tables.network(frame.meta.network);
        let Some((network, (local, probe))) = network.zip(for_us(&frame, context)) else {
            put(&mut edges.ip_input, frame);
            continue;
        };
        context.counters.consumed.add(1);
        match probe.kind {
            Kind::Answer => context.report(Event::ProbeAnswered {
                vtep: frame.meta.remote.ip(),
                token: probe.token,
                number: probe.number,
            }),
            Kind::Request => {
                answer(&mut frame, network, local);
                context.counters.originated.add(1);
                edges.leave_by_underlay(frame, context);
            }
        }
    }
}

/// Our end of the tunnel, and the probe, if it is one from the far end to ours.
fn for_us(frame: &Frame, context: &Context<'_>) -> Option<(IpAddr, Probe)> {
    let Ingress::Underlay(id) = frame.meta.ingress else {
        return None;
    };
    let local = context.tables.underlay(id)?.local.ip();
    let (from, to, probe) = probe::parse_packet(frame.data())?;
    (from == frame.meta.remote.ip() && to == local).then_some((local, probe))
}

/// Makes of a request the encapsulated answer.
fn answer(frame: &mut Frame, network: &Network, local: IpAddr) {
    let remote = frame.meta.remote.ip();
    let len = probe::answer(frame.data_mut(), local, remote);
    frame.truncate(len);
    frame.meta.ingress = Ingress::Node;
    let inner = super::tunnel_encap::ethertype(frame);
    let remote = SocketAddr::new(remote, network.port);
    frame_output::encapsulate(frame, network, remote, inner);
}
