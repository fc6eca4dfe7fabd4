//! Takes Geneve headers off (RFC 8926). No option is known to us: those that need not be
//! understood are skipped.

use ringlay_encap::{DecapError, geneve};

use super::decap::{self, Reasons};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;

pub(super) const REASONS: Reasons = Reasons {
    malformed: DropReason::GeneveMalformed,
    unknown: DropReason::GeneveUnknownVni,
};

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    decap::each(input, edges, context, &REASONS, |datagram| {
        geneve::decap(datagram, &[]).map_err(|error| match error {
            DecapError::CriticalOption => DropReason::GeneveCriticalOption,
            DecapError::Control => DropReason::GeneveControl,
            DecapError::InnerProtocol => DropReason::InnerProtocolUnknown,
            _ => DropReason::GeneveMalformed,
        })
    });
}
