//! Puts the whole stack of outer headers in front of a packet or super-frame, and leaves
//! the cutting and the outer checksum to the kernel behind the uplink.

use ringlay_encap::template::{OuterChecksum, Stamp, Template};
use ringlay_encap::{EtherType, IpProtocol, eth, udp};

use super::inside;
use crate::frame::{Encapsulation, Frame, Gso, Offload};

/// Where a UDP header has its checksum.
const UDP_CHECKSUM: u16 = 6;

/// Numbers outer packets, for the case that they are fragmented on their way.
#[derive(Debug, Default)]
pub(super) struct Idents(u16);

impl Idents {
    /// The first of `count` numbers in a row.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> u16 {
        let first = self.0;
        self.0 = first.wrapping_add(count as u16);
        first
    }
}

/// What outer headers take from a frame and its flow.
#[inline]
pub(super) fn stamp(frame: &Frame, ethertype: EtherType) -> Stamp {
    let inner = inside::fields(frame.data(), ethertype);
    let stamp = Stamp {
        ecn: inner.ecn(),
        dscp: inner.dscp(),
        ttl: inner.ttl,
        ..Stamp::new(ethertype, frame.len())
    };
    stamp.with_flow(frame.meta.flow_hash)
}

/// Puts a template's headers in front of a frame. False, with the frame as it was, if the packet
/// would be too long.
#[inline]
pub(super) fn put_headers(frame: &mut Frame, template: &Template, stamp: &Stamp) -> bool {
    let outer = template.len();
    let written = template.stamp(frame.prepend(outer), stamp).is_ok();
    if written {
        frame.meta.outer = template.tunnel_offset() as u8; // as long as three headers at most
    } else {
        frame.trim_front(outer);
    }
    written
}

/// Whether the packets of this template leave by an uplink.
#[inline]
pub(super) fn is_for(template: &Template) -> bool {
    template.l2_offset().is_some()
}

/// The kernel completes it, if there is to be one.
#[inline]
fn outer_checksum(template: &Template) -> OuterChecksum {
    if template.sends_checksum() {
        OuterChecksum::Partial
    } else {
        OuterChecksum::Zero
    }
}

/// Encapsulates a packet, or untagged Ethernet frame, that stands for `count` of them, each with
/// `header_len` bytes of inner headers. False, with the frame as it was, if it is too long, or
/// if its checksum is not left to the kernel as that of a super-frame must be.
#[inline]
pub(super) fn encapsulate(
    frame: &mut Frame,
    template: &Template,
    ethertype: EtherType,
    header_len: usize,
    count: usize,
    idents: &mut Idents,
) -> bool {
    let inner = frame.meta.offload;
    let cut = inner.gso != Gso::None;
    if template.is_plain() {
        return put_ethernet(frame, template, ethertype, header_len);
    }
    let Some(transport) = template.udp_offset() else {
        return encapsulate_in_ip(frame, template, ethertype, header_len, count, idents);
    };
    if cut && !inner.needs_checksum {
        return false;
    }
    let inside = stamp(frame, ethertype);
    let stamp = Stamp {
        ident: idents.take(count),
        // The kernel that routes it on takes one.
        ttl: inside.ttl.saturating_add(1),
        // What the path does not take whole may be fragmented.
        dont_fragment: !frame.meta.oversized,
        checksum: outer_checksum(template),
        ..inside
    };
    if !put_headers(frame, template, &stamp) {
        return false;
    }
    let (outer, transport) = (template.len() as u16, transport as u16);
    let link = match ethertype {
        EtherType::BRIDGED => eth::HEADER_LEN as u16,
        _ => 0,
    };
    frame.meta.offload = if cut {
        Offload {
            header_len: outer + header_len as u16,
            csum_start: outer.saturating_add(inner.csum_start),
            tunnel: Some(Encapsulation {
                outer: template.version(),
                transport,
                inner: outer + link,
                checksum: template.sends_checksum(),
            }),
            ..inner
        }
    } else if !template.sends_checksum() {
        Offload::default()
    } else {
        Offload {
            needs_checksum: true,
            header_len: transport + udp::HEADER_LEN as u16,
            csum_start: transport,
            csum_offset: UDP_CHECKSUM,
            ..Offload::default()
        }
    };
    true
}

/// The same in a tunnel right above IP. The receiving kernel does not tell its sockets how long
/// the packets of a super-frame were; for TCP that can be chosen anew, for UDP it cannot: those
/// are left to the sockets, and all of UDP with them, for the sake of order.
fn encapsulate_in_ip(
    frame: &mut Frame,
    template: &Template,
    ethertype: EtherType,
    header_len: usize,
    count: usize,
    idents: &mut Idents,
) -> bool {
    let inner = frame.meta.offload;
    let markable = inner.gso == Gso::None || inner.needs_checksum;
    if !is_tcp(frame.data()) || !markable {
        return false;
    }
    let inside = stamp(frame, ethertype);
    let stamp = Stamp {
        ident: idents.take(count),
        ttl: inside.ttl.saturating_add(1),
        dont_fragment: !frame.meta.oversized,
        ..inside
    };
    if !put_headers(frame, template, &stamp) {
        return false;
    }
    let outer = template.len();
    frame.meta.offload = match inner.gso {
        Gso::None => Offload::default(),
        _ => Offload {
            header_len: (outer + header_len) as u16,
            csum_start: (outer as u16).saturating_add(inner.csum_start),
            ..inner
        },
    };
    true
}

/// The same without encapsulation: a super-frame like that of any host.
fn put_ethernet(
    frame: &mut Frame,
    template: &Template,
    ethertype: EtherType,
    header_len: usize,
) -> bool {
    let inner = frame.meta.offload;
    if inner.gso != Gso::None && !inner.needs_checksum {
        return false;
    }
    let stamp = Stamp::new(ethertype, frame.len());
    if !put_headers(frame, template, &stamp) {
        return false;
    }
    let outer = template.len();
    if inner.gso != Gso::None {
        frame.meta.offload = Offload {
            header_len: (outer + header_len) as u16,
            csum_start: (outer as u16).saturating_add(inner.csum_start),
            ..inner
        };
    }
    true
}

fn is_tcp(packet: &[u8]) -> bool {
    let protocol = match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(9),
        _ => packet.get(6),
    };
    protocol == Some(&IpProtocol::TCP.0)
}
