//! Whole frames for a wire: each packet with all its outer headers and checksums, since nobody
//! finishes or cuts it after us.

use ringlay_encap::checksum;
use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::{OuterChecksum, Stamp, Template};
use ringlay_encap::{EtherType, Sum};

use super::tunnel_encap::ethertype;
use super::uplink_output::{self, Idents};
use super::{Context, Edges, segment};
use crate::drop_reason::DropReason;
use crate::frame::Frame;
use crate::mempool::Mempool;

/// Whether an inner packet of `len` bytes fits outer IP packets of at most `limit` bytes.
#[inline]
pub(super) fn fits(template: &Template, len: usize, limit: usize) -> bool {
    template.len() - template.ip_offset() + len <= limit
}

/// Encapsulates a finished packet. False, with the frame as it was, if it is too long.
#[inline]
pub(super) fn encapsulate(
    frame: &mut Frame,
    template: &Template,
    ethertype: EtherType,
    limit: usize,
    idents: &mut Idents,
) -> bool {
    fits(template, frame.len(), limit) && {
        let sum = template
            .sends_checksum()
            .then(|| checksum::sum(frame.data()));
        stamp(frame, template, ethertype, sum, idents)
    }
}

/// Puts the packets of a super-frame on `uplink_output`, each a frame. The longest must
/// [fit](fits), and the `meta` of `frame` be that of the encapsulated frame already.
pub(super) fn cut(
    frame: &Frame,
    segmenter: &Segmenter<'_>,
    template: &Template,
    edges: &mut Edges,
    pool: &Mempool,
    context: &Context<'_>,
    idents: &mut Idents,
) {
    let link = segment::link_len(frame, template);
    let ethertype = match template.is_bridged() {
        true => EtherType::BRIDGED,
        false => ethertype(frame),
    };
    context.counters.segmented.add(segmenter.count() as u64 - 1);
    segment::into_frames(frame, segmenter, link, pool, context, |mut packet| {
        let sum = template.sends_checksum().then(|| {
            // Its checksums were computed just now.
            let known = match ethertype {
                EtherType::BRIDGED => checksum::sum_of_valid_frame(packet.data()),
                _ => checksum::sum_of_valid_packet(packet.data()),
            };
            known.unwrap_or_else(|| checksum::sum(packet.data()))
        });
        if !stamp(&mut packet, template, ethertype, sum, idents) {
            context.discard(packet, DropReason::IpMalformed);
        } else if let Err(packet) = edges.uplink_output.push(packet) {
            context.discard(packet, DropReason::UnderlayTxFull);
        }
    });
}

/// Puts the headers in front of a packet whose bytes have this sum; without, no outer checksum.
#[inline]
fn stamp(
    frame: &mut Frame,
    template: &Template,
    ethertype: EtherType,
    sum: Option<Sum>,
    idents: &mut Idents,
) -> bool {
    let stamp = Stamp {
        ident: idents.take(1),
        // What the path does not take whole goes by the sockets.
        dont_fragment: true,
        checksum: sum.map_or(OuterChecksum::Zero, OuterChecksum::Inner),
        ..uplink_output::stamp(frame, ethertype)
    };
    uplink_output::put_headers(frame, template, &stamp)
}
