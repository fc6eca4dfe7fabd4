//! Listens to what routers of the underlay say about packets that are too big for them. It comes to
//! nobody else: the tunnels' sockets take no errors, and what an uplink sends belongs to no socket.

use std::{io, net::IpAddr};

use ringlay_dataplane::sys::sockopt;

use super::{engine::Engine, icmp::IcmpSocket};
use crate::mtu::icmp::TooBig;

/// Begins to receive such messages to `local`.
///
/// # Errors
///
/// `EPERM` without CAP_NET_RAW.
pub(super) fn listen(local: IpAddr) -> io::Result<IcmpSocket> {
    IcmpSocket::listen(local, |socket| match local {
        IpAddr::V4(_) => sockopt::only_unreachable_v4(socket),
        IpAddr::V6(_) => sockopt::only_too_big_v6(socket),
    })
}

/// A router said something.
pub(super) fn hear(engine: &mut Engine, router: IpAddr, message: &[u8]) {
    let said = match (engine.rib().local(), router) {
        (IpAddr::V6(local), IpAddr::V6(router)) => TooBig::parse_v6(message, router, local),
        _ => TooBig::parse_v4(message),
    };
    let Some(said) = said else { return };
    if let Err(reason) = engine.too_big(router, &said) {
        let (mtu, destination) = (said.mtu, said.quote.destination);
        tracing::debug!(%router, mtu, %destination, %reason, "path MTU not believed");
    }
}
