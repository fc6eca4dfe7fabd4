//! Listens to hosts that answer probes past the tunnel, as those do that leave the tunnel to their
//! kernel. What Ringlay answers comes by the tunnel.

use std::{io, net::IpAddr};

use ringlay_dataplane::{
    probe::{self, Kind},
    sys::filter,
};
use ringlay_encap::{Ipv4Packet, ip::IpVersion};

use super::{engine::Engine, icmp::IcmpSocket};

/// Begins to receive answers to `local` for requests with this token.
///
/// # Errors
///
/// `EPERM` without CAP_NET_RAW.
pub(super) fn listen(local: IpAddr, token: u64) -> io::Result<IcmpSocket> {
    let version = match local {
        IpAddr::V4(_) => IpVersion::V4,
        IpAddr::V6(_) => IpVersion::V6,
    };
    IcmpSocket::listen(local, |socket| {
        filter::attach(socket, &probe::answers_to(token, version))
    })
}

/// A host answered.
pub(super) fn hear(engine: &mut Engine, host: IpAddr, message: &[u8]) {
    let answer = match host {
        IpAddr::V4(_) => Ipv4Packet::new_header_checked(message)
            .ok()
            .and_then(|packet| probe::parse(message.get(packet.header_len()..)?, IpVersion::V4)),
        IpAddr::V6(_) => probe::parse(message, IpVersion::V6),
    };
    if let Some(answer) = answer.filter(|it| it.kind == Kind::Answer) {
        engine.probe_answered(host, answer.token, answer.number);
        engine.poll();
    }
}
