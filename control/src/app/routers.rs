//! Listens to what routers of the underlay say about packets that are too big for them. It comes to
//! nobody else: the tunnels' sockets take no errors, and what an uplink sends belongs to no socket.

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

use ringlay_dataplane::sys::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::engine::Engine;
use crate::mtu::icmp::TooBig;

/// Routers quote no more (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c)).
const MESSAGE_LEN_MAX: usize = 1500;

/// The socket that such messages come by.
#[derive(Debug)]
pub(super) struct Routers {
    local: IpAddr,
    socket: UdpSocket,
}

impl Routers {
    /// Begins to receive messages to `local`.
    ///
    /// # Errors
    ///
    /// `EPERM` without CAP_NET_RAW.
    pub(super) fn listen(local: IpAddr) -> io::Result<Self> {
        let (domain, protocol) = match local {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
        match local {
            IpAddr::V4(_) => sockopt::only_unreachable_v4(socket.as_fd())?,
            IpAddr::V6(_) => sockopt::only_too_big_v6(socket.as_fd())?,
        }
        socket.bind(&SocketAddr::new(local, 0).into())?;
        // The same calls serve it, though it is none.
        let socket = UdpSocket::from(socket);
        Ok(Self { local, socket })
    }

    /// Tells the engine what it receives. Never ends.
    pub(super) async fn tell(self, engine: Arc<Mutex<Engine>>) {
        let socket = match tokio::net::UdpSocket::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "cannot listen to routers");
                return pending().await;
            }
        };
        let mut message = [0; MESSAGE_LEN_MAX];
        loop {
            match socket.recv_from(&mut message).await {
                Ok((len, router)) => {
                    let (message, engine) = (message[..len].to_vec(), Arc::clone(&engine));
                    let (local, router) = (self.local, router.ip());
                    let tell = move || heard(&engine, local, router, &message);
                    // A panic in there has been reported, and changes nothing here.
                    let _ = tokio::task::spawn_blocking(tell).await;
                }
                Err(error) => tracing::debug!(%error, "cannot receive from routers"),
            }
        }
    }
}

fn heard(engine: &Mutex<Engine>, local: IpAddr, router: IpAddr, message: &[u8]) {
    let said = match (local, router) {
        (IpAddr::V6(local), IpAddr::V6(router)) => TooBig::parse_v6(message, router, local),
        _ => TooBig::parse_v4(message),
    };
    let Some(said) = said else { return };
    let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(reason) = engine.too_big(router, &said) {
        let (mtu, destination) = (said.mtu, said.quote.destination);
        tracing::debug!(%router, mtu, %destination, %reason, "path MTU not believed");
    }
}
