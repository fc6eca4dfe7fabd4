//! Raw IP sockets of a local tunnel endpoint, for encapsulations right above IP.
//!
//! Each worker has one socket for each IP protocol, to receive and to send, and another one for
//! what has to be fragmented if that does not. Over IPv6 there is a third one then, for packets
//! with an encapsulation limit: of a socket that must not fragment the kernel counts the extension
//! header twice, and refuses the longest that fit (`ip6_append_data` in `net/ipv6/ip6_output.c`).
//! The kernel gives each of them a copy of every packet; a filter leaves it to one (see
//! [`spread`]). Fragments are put together before. While there is such a socket the kernel answers
//! nothing to the protocol's packets itself, unless it has a tunnel driver of its own for it.
//!
//! The kernel makes the outer header (no IP_HDRINCL): it can fragment such packets and not
//! those that come with a header, and nothing is gained, as all that is ours to choose (traffic
//! class, flow label) can be told with each packet.
//!
//! Packets without encapsulation have no outer header: their sockets, of the protocol 255, take
//! them as they are and only send. The kernel leads them to the neighbour that is named with
//! each, whatever their destination, and neither fragments nor cuts them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};

use ringlay_encap::IpProtocol;
use ringlay_encap::ip::IpVersion;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    BindUnderlayError, RECEIVE_BUFFER, SEND_BUFFER, UnderlayConfig, UnderlayQueue, bind_error,
    failed, spread,
};
use crate::driver::RawSocket;
use crate::sys::{filter, sockopt};

/// Keeps other daemons from the IP protocols of an address. Raw sockets share them with
/// anybody, and two daemons would each take all packets.
///
/// These are names of the network namespace that go with the process.
#[derive(Debug)]
pub struct Claim(Vec<UnixDatagram>);

impl Claim {
    fn of(address: IpAddr, protocols: &[IpProtocol]) -> Result<Self, (IpProtocol, io::Error)> {
        let one = |&protocol: &IpProtocol| {
            let name = format!("ringlay/ip/{}/{address}", protocol.0);
            let name = net::SocketAddr::from_abstract_name(name);
            name.and_then(|name| UnixDatagram::bind_addr(&name))
                .map_err(|error| (protocol, error))
        };
        let held = protocols.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self(held))
    }

    /// How many protocols it is for.
    pub fn protocols(&self) -> usize {
        self.0.len()
    }
}

/// Makes the sockets, for each worker.
pub(super) fn bind(
    config: &UnderlayConfig,
) -> Result<(Vec<UnderlayQueue>, Claim), BindUnderlayError> {
    let protocols = config.endpoint.protocols();
    let address = config.endpoint.local.ip();
    let claim = Claim::of(address, protocols).map_err(|(protocol, error)| {
        if error.kind() == io::ErrorKind::AddrInUse {
            BindUnderlayError::Claimed { address, protocol }
        } else {
            failed(config, "claim the protocol")(error)
        }
    })?;
    let queues = (0..config.workers).map(|worker| {
        let sockets = protocols.iter().map(|&protocol| {
            let (version, whole) = (version(config), config.dont_fragment);
            let fragmenting = whole.then(|| open_deaf(config, protocol, Fragments::AsNeeded));
            let limits = whole && version == IpVersion::V6 && protocol != IpProtocol::RAW;
            let limited = limits.then(|| open_deaf(config, protocol, Fragments::ForDevice));
            Ok(RawSocket {
                fd: open(config, protocol, worker)?.into(),
                fragmenting: fragmenting.transpose()?.map(OwnedFd::from),
                limited: limited.transpose()?.map(OwnedFd::from),
                version,
                protocol,
            })
        });
        let sockets = sockets.collect::<Result<_, _>>()?;
        Ok(UnderlayQueue::Raw { sockets })
    });
    Ok((queues.collect::<Result<_, _>>()?, claim))
}

/// What a socket fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragments {
    /// Nothing: what is too long for the device is refused.
    Never,
    /// What is too long for the device, over IPv6.
    ForDevice,
    /// What is too long for the path, as far as the kernel knows it.
    AsNeeded,
}

fn version(config: &UnderlayConfig) -> IpVersion {
    match config.endpoint.local {
        SocketAddr::V4(_) => IpVersion::V4,
        SocketAddr::V6(_) => IpVersion::V6,
    }
}

/// A worker's socket, to receive and send.
fn open(
    config: &UnderlayConfig,
    protocol: IpProtocol,
    worker: usize,
) -> Result<Socket, BindUnderlayError> {
    let socket = open_bound(config, protocol)?;
    let fragments = match config.dont_fragment {
        true => Fragments::Never,
        false => Fragments::AsNeeded,
    };
    set_options(&socket, version(config), fragments)
        .map_err(failed(config, "set the options of a socket"))?;
    // What is sent with its own header comes back to nobody.
    if protocol == IpProtocol::RAW {
        return Ok(socket);
    }
    let program = spread::program(version(config), protocol, worker, config.workers);
    attach(&socket, &program).map_err(failed(config, "spread packets over the workers"))?;
    Ok(socket)
}

/// A socket that only sends. It is connected to this host itself, so that the kernel
/// does not go as far as to copy packets for it to be filtered; where each packet goes is told
/// with it all the same.
fn open_deaf(
    config: &UnderlayConfig,
    protocol: IpProtocol,
    fragments: Fragments,
) -> Result<Socket, BindUnderlayError> {
    let socket = open_bound(config, protocol)?;
    set_options(&socket, version(config), fragments)
        .map_err(failed(config, "set the options of a socket"))?;
    let own = SocketAddr::new(config.endpoint.local.ip(), 0);
    socket
        .connect(&own.into())
        .map_err(failed(config, "connect a socket"))?;
    Ok(socket)
}

/// A socket that takes nothing.
fn open_bound(config: &UnderlayConfig, protocol: IpProtocol) -> Result<Socket, BindUnderlayError> {
    let domain = Domain::for_address(config.endpoint.local);
    let number = Protocol::from(i32::from(protocol.0));
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(number)).map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            let endpoint = config.endpoint;
            BindUnderlayError::NotPermitted { endpoint }
        } else {
            failed(config, "open a raw socket")(error)
        }
    })?;
    // It receives for all addresses from its creation on: nothing more, and what came is not
    // for us to take.
    attach(&socket, &spread::NOTHING).map_err(failed(config, "filter packets"))?;
    let mut byte = [0; 1];
    while io::Read::read(&mut &socket, &mut byte).is_ok() {}
    let address = SocketAddr::new(config.endpoint.local.ip(), 0);
    socket
        .bind(&address.into())
        .map_err(|error| bind_error(config, error))?;
    Ok(socket)
}

fn attach(socket: &Socket, program: &[filter::Instruction]) -> io::Result<()> {
    filter::attach(socket.as_fd(), program)
}

fn set_options(socket: &Socket, version: IpVersion, fragments: Fragments) -> io::Result<()> {
    let fd = socket.as_fd();
    sockopt::set_receive_buffer(fd, RECEIVE_BUFFER)?;
    sockopt::set_send_buffer(fd, SEND_BUFFER)?;
    match (version, fragments) {
        (IpVersion::V4, Fragments::Never) => sockopt::forbid_fragments_v4(fd)?,
        (IpVersion::V4, _) => sockopt::allow_fragments_v4(fd)?,
        (IpVersion::V6, Fragments::Never) => sockopt::forbid_fragments_v6(fd)?,
        (IpVersion::V6, Fragments::ForDevice) => sockopt::fragment_for_device_v6(fd)?,
        (IpVersion::V6, Fragments::AsNeeded) => sockopt::allow_fragments_v6(fd)?,
    }
    match version {
        // The traffic class is in the header, which such sockets deliver.
        IpVersion::V4 => Ok(()),
        IpVersion::V6 => {
            sockopt::report_traffic_class_v6(fd)?;
            sockopt::send_flow_labels(fd)
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlay_encap::{Encapsulation, UdpChecksum};

    use super::super::bind;
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::sys::netns;

    fn config(address: &str, encapsulation: Encapsulation) -> UnderlayConfig {
        UnderlayConfig {
            endpoint: Endpoint {
                local: SocketAddr::new(address.parse().unwrap(), 0),
                encapsulation,
                checksum: UdpChecksum::On,
            },
            workers: 2,
            senders: 1,
            dont_fragment: false,
            gro: true,
        }
    }

    #[test]
    fn each_worker_has_a_socket_for_each_protocol() {
        for (encapsulation, count) in [
            (Encapsulation::Gre, 1),
            (Encapsulation::Ipip, 2),
            (Encapsulation::Plain, 1),
        ] {
            let sockets = netns::run_in_new(|| bind(&config("0.0.0.0", encapsulation)));
            let sockets = sockets.expect("these tests need root").unwrap();
            assert_eq!(sockets.claim.map(|claim| claim.protocols()), Some(count));
            assert_eq!(sockets.queues.len(), 2);
            for queue in sockets.queues {
                let UnderlayQueue::Raw { sockets } = queue else {
                    panic!()
                };
                assert_eq!(sockets.len(), count);
            }
        }
    }

    #[test]
    fn a_second_daemon_is_refused_while_the_first_lives() {
        netns::run_in_new(|| {
            let gre = config("0.0.0.0", Encapsulation::Gre);
            let first = bind(&gre).unwrap();
            let error = bind(&gre).unwrap_err();
            assert!(matches!(error, BindUnderlayError::Claimed { .. }));
            assert!(error.to_string().contains("gre on 0.0.0.0"), "{error}");
            bind(&config("0.0.0.0", Encapsulation::Ipip)).unwrap();
            drop(first);
            bind(&gre).unwrap();
        })
        .expect("these tests need root");
    }

    #[test]
    fn a_foreign_address_is_an_error() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let error = bind(&config(address, Encapsulation::Gre)).unwrap_err();
            assert!(
                matches!(error, BindUnderlayError::NoSuchAddress { .. }),
                "{error}"
            );
        }
    }
}
