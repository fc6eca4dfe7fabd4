//! Takes in what came as IP in IP (RFC 2003, RFC 2473, RFC 4213): there is no header to take
//! off, and the inner packet itself says which version it is.

use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipip;

use super::decap::{self, Reasons};
use super::{Context, Edges};
use crate::batch::Batch;
use crate::drop_reason::DropReason;

pub(super) const REASONS: Reasons = Reasons {
    malformed: DropReason::IpipMalformed,
    unknown: DropReason::VtepUnknown,
};

pub(super) fn process(input: &mut Batch, edges: &mut Edges, context: &Context<'_>) {
    decap::each(input, edges, context, &REASONS, |packet| {
        let version = IpVersion::of(packet).map_err(|_| DropReason::IpipMalformed)?;
        ipip::decap(version, packet).map_err(|_| DropReason::IpipMalformed)
    });
}
