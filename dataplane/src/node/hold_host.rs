//! Keeps packets for hosts on Ethernet ports whose MAC address is being resolved.

use super::hold::{Awaited, Hold};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::event::Event;

pub(super) fn process(
    input: &mut Batch,
    _edges: &mut Edges,
    context: &Context<'_>,
    held: &mut Hold,
) {
    for frame in input.drain() {
        let (port, address) = (frame.meta.egress, frame.meta.remote.ip());
        context.report(Event::HostUnresolved { port, address });
        held.keep(frame, Awaited::Host(port, address), context);
    }
}
