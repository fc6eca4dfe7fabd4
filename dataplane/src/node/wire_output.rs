//! Whole frames for a wire: each packet with all its outer headers and checksums, since nobody
//! finishes or cuts it after us.

use ringlay_encap::checksum;
use ringlay_encap::segment::Segmenter;
use ringlay_encap::template::{OuterChecksum, Stamp, Template};
use ringlay_encap::{EtherType, EthernetFrame, IpProtocol, Ipv4Packet, Ipv6Packet, Sum, udp};

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

/// Takes off what a socket puts in front: the outer headers down to UDP, or to IP if it is not over
/// UDP. False, with the frame as it was, if they are not ours.
pub(crate) fn strip_outer(frame: &mut Frame) -> bool {
    let Some(outer) = outer_len(frame.data()) else {
        return false;
    };
    frame.trim_front(outer);
    true
}

fn outer_len(data: &[u8]) -> Option<usize> {
    let frame = EthernetFrame::new_checked(data).ok()?;
    let (header, protocol) = match frame.ethertype() {
        EtherType::IPV4 => {
            let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
            (ip.header_len(), ip.protocol())
        }
        EtherType::IPV6 => {
            let ip = Ipv6Packet::new_checked(frame.payload()).ok()?;
            (ip.total_len() - ip.payload_len(), ip.next_header())
        }
        _ => return None,
    };
    let ip_end = frame.payload_offset() + header;
    Some(match protocol {
        IpProtocol::UDP => ip_end + udp::HEADER_LEN,
        _ => ip_end,
    })
}
