//! Drops packets that failed and tells their senders, within a rate, by turning
//! the packet into the ICMP error about it (RFC 792, RFC 4443).

use std::net::IpAddr;
use std::time::Instant;

use ringlay_encap::encap_limit;
use ringlay_encap::flow::flow_hash;
use ringlay_encap::icmpv4::{self, Icmpv4Error};
use ringlay_encap::icmpv6::{self, Icmpv6Error};
use ringlay_encap::ip::IpVersion;

use super::{Context, Edges, put};
use crate::batch::Batch;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress, Offload};
use crate::tables::{Network, ROUTER_V4, ROUTER_V6, Tables};

/// Errors a second that one worker sends at most (RFC 1812 section 4.3.2.8,
/// RFC 4443 section 2.4 (f)).
const RATE: u32 = 100;

/// Errors that may be sent at once after a quiet time.
const BURST: u32 = 20;

/// Limits a rate: holds up to [`BURST`] tokens and gains [`RATE`] a second.
#[derive(Debug)]
pub(super) struct TokenBucket {
    tokens: f64,
    refilled: Instant,
}

impl TokenBucket {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: f64::from(BURST),
            refilled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * f64::from(RATE)).min(f64::from(BURST));
        self.refilled = now;
        let available = self.tokens >= 1.0;
        if available {
            self.tokens -= 1.0;
        }
        available
    }
}

pub(super) fn process(
    input: &mut Batch,
    edges: &mut Edges,
    context: &Context<'_>,
    budget: &mut TokenBucket,
    hash_seed: u64,
) {
    for mut frame in input.drain() {
        context.counters.dropped(frame.meta.fault, 1);
        let network = context.tables.network(frame.meta.network);
        if network.is_none_or(|network| !rewrite(&mut frame, network, context, budget)) {
            continue;
        }
        context.counters.originated.add(1);
        frame.meta.flow_hash = flow_hash(frame.data(), hash_seed);
        put(&mut edges.ip_lookup, frame);
    }
}

/// Turns a packet into the error about it; false if none may be sent.
fn rewrite(
    frame: &mut Frame,
    network: &Network,
    context: &Context<'_>,
    budget: &mut TokenBucket,
) -> bool {
    let is_v4 = frame.data().first().is_some_and(|byte| byte >> 4 == 4);
    let source = source(frame.meta.ingress, network, context.tables, is_v4);
    frame.truncate(if is_v4 {
        icmpv4::ORIGINAL_MAX
    } else {
        icmpv6::ORIGINAL_MAX
    });
    let fault = frame.meta.fault;
    // Only what a tunnel or an Ethernet port did not take is too big.
    let tunnel = context.tables.tunnel(frame.meta.tunnel);
    let link = context.tables.link(frame.meta.egress);
    let mtu = |version| match tunnel {
        Some(tunnel) => tunnel.mtu_of(version),
        None => link.map_or(0, |link| link.mtu),
    };
    let mut header = [0; 48];
    let len = match source {
        IpAddr::V4(source) => error_v4(fault, mtu(IpVersion::V4))
            .and_then(|error| icmpv4::error_header(error, source, frame.data()))
            .map(|bytes| copy(&mut header, &bytes)),
        IpAddr::V6(source) => error_v6(fault, mtu(IpVersion::V6), frame.data())
            .and_then(|error| icmpv6::error_header(error, source, frame.data()))
            .map(|bytes| copy(&mut header, &bytes)),
    };
    let Some(len) = len else { return false };
    if !budget.take(context.now) {
        context.counters.icmp_limited.add(1);
        return false;
    }
    frame.prepend(len).copy_from_slice(&header[..len]);
    frame.meta.ingress = Ingress::Node;
    frame.meta.offload = Offload::default();
    true
}

fn copy(to: &mut [u8; 48], from: &[u8]) -> usize {
    to[..from.len()].copy_from_slice(from);
    from.len()
}

/// The address that errors to the sender of a packet from `ingress` come from.
fn source(ingress: Ingress, network: &Network, tables: &Tables, is_v4: bool) -> IpAddr {
    if let Ingress::Port(port) = ingress
        && let Some(link) = tables.link(port)
        && let Some(own) = link.source(is_v4)
    {
        return own;
    }
    match (ingress, is_v4) {
        (Ingress::Underlay(_), true) => IpAddr::V4(network.icmp_source_v4()),
        (Ingress::Underlay(_), false) => IpAddr::V6(network.icmp_source_v6()),
        (_, true) => IpAddr::V4(ROUTER_V4),
        (_, false) => IpAddr::V6(ROUTER_V6),
    }
}

fn error_v4(fault: DropReason, mtu: usize) -> Option<Icmpv4Error> {
    match fault {
        DropReason::NoRoute => Some(Icmpv4Error::NetUnreachable),
        DropReason::Hairpin | DropReason::OffLink | DropReason::NeighbourUnresolved => {
            Some(Icmpv4Error::HostUnreachable)
        }
        DropReason::LocalUnserved => Some(Icmpv4Error::PortUnreachable),
        DropReason::TtlExpired => Some(Icmpv4Error::TimeExceeded),
        DropReason::TooBig => Some(Icmpv4Error::FragmentationNeeded {
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
        }),
        _ => None,
    }
}

fn error_v6(fault: DropReason, mtu: usize, packet: &[u8]) -> Option<Icmpv6Error> {
    match fault {
        DropReason::NoRoute => Some(Icmpv6Error::NoRoute),
        DropReason::Hairpin | DropReason::OffLink | DropReason::NeighbourUnresolved => {
            Some(Icmpv6Error::AddressUnreachable)
        }
        DropReason::LocalUnserved => Some(Icmpv6Error::PortUnreachable),
        DropReason::TtlExpired => Some(Icmpv6Error::TimeExceeded),
        DropReason::TooBig => Some(Icmpv6Error::PacketTooBig {
            mtu: u32::try_from(mtu).unwrap_or(u32::MAX),
        }),
        DropReason::EncapLimit => {
            let found = encap_limit::find(packet).ok().flatten()?;
            Some(Icmpv6Error::ParameterProblem {
                pointer: found.at as u32, // within the packet
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_bucket_allows_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start);
        let burst = (0..1000).filter(|_| bucket.take(start)).count();
        assert_eq!(burst, BURST as usize);
        let later = start + Duration::from_millis(50);
        let refilled = (0..1000).filter(|_| bucket.take(later)).count();
        assert_eq!(refilled, 5);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(
            (0..1000).filter(|_| bucket.take(much_later)).count(),
            BURST as usize
        );
    }
}
