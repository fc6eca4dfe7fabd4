//! Takes VXLAN headers off (RFC 7348).

use ringlay_encap::{DecapError, vxlan};

use super::decap::{self, Reasons};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;

pub(super) const REASONS: Reasons = Reasons {
    malformed: DropReason::VxlanMalformed,
    unknown: DropReason::VxlanUnknownVni,
};

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    decap::each(input, edges, context, &REASONS, |datagram| {
        vxlan::decap(datagram).map_err(|error| match error {
            DecapError::Header => DropReason::VxlanBadFlags,
            _ => DropReason::VxlanMalformed,
        })
    });
}
