//! A raw ICMP socket, and how what it receives gets to the engine. Which messages it receives is
//! for its owner to say.

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::engine::Engine;

/// Of longer messages the rest is of no use: routers quote no more (RFC 1812 section 4.3.2.3,
/// RFC 4443 section 2.4 (c)).
const MESSAGE_LEN_MAX: usize = 1500;

/// What a message is to the engine: told with who sent it.
pub(super) type Hear = fn(&mut Engine, IpAddr, &[u8]);

/// The socket.
#[derive(Debug)]
pub(super) struct IcmpSocket(UdpSocket);

impl IcmpSocket {
    /// Begins to receive ICMP or ICMPv6 messages to `local` that pass `filter`.
    ///
    /// # Errors
    ///
    /// `EPERM` without CAP_NET_RAW.
    pub(super) fn listen(
        local: IpAddr,
        filter: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (domain, protocol) = match local {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
        filter(socket.as_fd())?;
        socket.bind(&SocketAddr::new(local, 0).into())?;
        // The same calls serve it, though it is none.
        Ok(Self(UdpSocket::from(socket)))
    }

    /// Tells the engine what it receives. Over IPv4 the IP header comes along. Never ends.
    pub(super) async fn tell(self, engine: Arc<Mutex<Engine>>, hear: Hear) {
        let socket = match tokio::net::UdpSocket::from_std(self.0) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "cannot listen to ICMP");
                return pending().await;
            }
        };
        let mut message = [0; MESSAGE_LEN_MAX];
        loop {
            match socket.recv_from(&mut message).await {
                Ok((len, from)) => {
                    let (message, engine) = (message[..len].to_vec(), Arc::clone(&engine));
                    let tell = move || {
                        let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
                        hear(&mut engine, from.ip(), &message);
                    };
                    // A panic in there has been reported, and changes nothing here.
                    let _ = tokio::task::spawn_blocking(tell).await;
                }
                Err(error) => tracing::debug!(%error, "cannot receive ICMP"),
            }
        }
    }
}
