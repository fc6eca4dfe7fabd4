//! Takes GRE headers off (RFC 2784, RFC 2890). Sequence numbers are not looked at.

use ringlay_encap::{DecapError, gre};

use super::decap::{self, Reasons};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;

pub(super) const REASONS: Reasons = Reasons {
    malformed: DropReason::GreMalformed,
    unknown: DropReason::GreUnknownKey,
};

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    decap::each(input, edges, context, &REASONS, |packet| {
        gre::decap(packet).map_err(|error| match error {
            DecapError::Checksum => DropReason::GreBadChecksum,
            DecapError::InnerProtocol => DropReason::InnerProtocolUnknown,
            _ => DropReason::GreMalformed,
        })
    });
}
