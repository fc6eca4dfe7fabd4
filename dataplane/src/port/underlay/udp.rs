//! UDP sockets of a local tunnel endpoint.
//!
//! Each worker has one socket on the tunnel's port, among which the kernel
//! spreads the flows, and several to send from, each on a port of its own. The last of
//! them is for what the path does not take whole.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use ringlay_encap::ip::IpVersion;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    BindUnderlayError, RECEIVE_BUFFER, SEND_BUFFER, UnderlayConfig, UnderlayQueue, bind_error,
    failed,
};
use crate::sys::sockopt;

/// Ports that senders use: the dynamic range, as RFC 7348 section 5 recommends.
const SENDER_PORTS: RangeInclusive<u16> = 49_152..=65_535;

/// How long the port of a process that was killed may stay taken: the kernel closes
/// what an io_uring holds some time after the process is gone.
const RELEASE_TIME: Duration = Duration::from_secs(1);
const RELEASE_POLL: Duration = Duration::from_millis(2);

/// Makes the sockets, for each worker.
pub(super) fn bind(config: &UnderlayConfig) -> Result<Vec<UnderlayQueue>, BindUnderlayError> {
    let endpoint = config.endpoint;
    if config.senders == 0 || endpoint.local.port() == 0 {
        return Err(BindUnderlayError::InvalidConfig { endpoint });
    }
    check_port_is_free(config)?;
    let ports = free_sender_ports(config)?;
    let queues = (0..config.workers).map(|_| {
        let receiver = bind_receiver(config)?;
        let (&last, others) = ports.split_last().expect("one more than senders");
        let whole = others
            .iter()
            .map(|&port| bind_sender(config, port, config.dont_fragment));
        let senders = whole.chain([bind_sender(config, last, false)]);
        let senders = senders.collect::<Result<_, _>>()?;
        Ok(UnderlayQueue::Udp {
            receiver,
            senders,
            trains: config.endpoint.checksum.is_sent(),
        })
    });
    queues.collect()
}

/// With SO_REUSEPORT two daemons of one user would share the port, and each would
/// lose half of the tunnel's traffic: make sure to be the only one.
fn check_port_is_free(config: &UnderlayConfig) -> Result<(), BindUnderlayError> {
    let socket = socket(config)?;
    let deadline = Instant::now() + RELEASE_TIME;
    loop {
        match socket.bind(&config.endpoint.local.into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(RELEASE_POLL);
            }
            Err(error) => return Err(bind_error(config, error)),
        }
    }
}

fn bind_receiver(config: &UnderlayConfig) -> Result<OwnedFd, BindUnderlayError> {
    let socket = socket(config)?;
    socket
        .set_reuse_port(true)
        .map_err(failed(config, "share the port among workers"))?;
    socket
        .bind(&config.endpoint.local.into())
        .map_err(|error| bind_error(config, error))?;
    sockopt::set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER)
        .map_err(failed(config, "set the receive buffer"))?;
    let report = if config.endpoint.local.is_ipv6() {
        sockopt::report_traffic_class_v6
    } else {
        sockopt::report_traffic_class_v4
    };
    report(socket.as_fd()).map_err(failed(config, "learn the traffic class of packets"))?;
    let endpoint = &config.endpoint;
    if endpoint.local.is_ipv6() && endpoint.checksum.accepts_zero(IpVersion::V6) {
        sockopt::accept_zero_checksums_v6(socket.as_fd())
            .map_err(failed(config, "accept datagrams without a checksum"))?;
    }
    if config.gro {
        sockopt::set_udp_gro(socket.as_fd(), true).map_err(failed(config, "enable UDP_GRO"))?;
    }
    Ok(socket.into())
}

/// Every worker has a socket on each of the same ports: the kernel may move a
/// flow to another queue of a TUN device, and with it to another worker, and it is
/// to keep its outer source port.
fn bind_sender(
    config: &UnderlayConfig,
    port: u16,
    dont_fragment: bool,
) -> Result<OwnedFd, BindUnderlayError> {
    let socket = socket(config)?;
    if dont_fragment {
        let forbid = if config.endpoint.local.is_ipv6() {
            sockopt::forbid_fragments_v6
        } else {
            sockopt::forbid_fragments_v4
        };
        forbid(socket.as_fd()).map_err(failed(config, "forbid fragments"))?;
    }
    if !config.endpoint.checksum.is_sent() {
        let omit = if config.endpoint.local.is_ipv6() {
            sockopt::omit_checksums_v6
        } else {
            sockopt::omit_checksums_v4
        };
        omit(socket.as_fd()).map_err(failed(config, "omit checksums"))?;
    }
    socket
        .set_reuse_port(true)
        .map_err(failed(config, "share a sending port among workers"))?;
    sockopt::set_send_buffer(socket.as_fd(), SEND_BUFFER)
        .map_err(failed(config, "set the send buffer"))?;
    // Nobody answers to these ports; what strays here is not to be kept.
    socket
        .set_recv_buffer_size(0)
        .map_err(failed(config, "set the receive buffer"))?;
    socket
        .bind(&SocketAddr::new(config.endpoint.local.ip(), port).into())
        .map_err(|error| bind_error(config, error))?;
    Ok(socket.into())
}

/// Ports that nobody else has, one for each sender of a worker and one more.
fn free_sender_ports(config: &UnderlayConfig) -> Result<Vec<u16>, BindUnderlayError> {
    let count = config.senders + 1;
    let mut free = Vec::with_capacity(count);
    for port in sender_ports() {
        // Without SO_REUSEPORT, so that another process's port is refused.
        match socket(config)?.bind(&SocketAddr::new(config.endpoint.local.ip(), port).into()) {
            Ok(()) => free.push(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(bind_error(config, error)),
        }
        if free.len() == count {
            return Ok(free);
        }
    }
    Err(BindUnderlayError::NoSenderPort {
        address: config.endpoint.local.ip(),
    })
}

/// Every sender port once, from an arbitrary one on, so that endpoints on the
/// same host rarely try the same.
fn sender_ports() -> impl Iterator<Item = u16> {
    let count = SENDER_PORTS.len() as u64;
    let first = RandomState::new().hash_one(()) % count;
    (0..count).map(move |n| SENDER_PORTS.start() + ((first + n) % count) as u16)
}

fn socket(config: &UnderlayConfig) -> Result<Socket, BindUnderlayError> {
    let domain = Domain::for_address(config.endpoint.local);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
        .map_err(failed(config, "open a socket"))?;
    let fragments = if config.endpoint.local.is_ipv6() {
        socket
            .set_only_v6(true)
            .map_err(failed(config, "keep to IPv6"))?;
        sockopt::allow_fragments_v6(socket.as_fd())
    } else {
        sockopt::allow_fragments_v4(socket.as_fd())
    };
    fragments.map_err(failed(config, "allow fragments"))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::UdpSocket;

    use ringlay_encap::{Encapsulation, UdpChecksum};

    use super::super::bind;
    use super::*;
    use crate::endpoint::Endpoint;

    fn config(local: &str) -> UnderlayConfig {
        UnderlayConfig {
            endpoint: Endpoint {
                local: local.parse().unwrap(),
                encapsulation: Encapsulation::Vxlan,
                checksum: UdpChecksum::On,
            },
            workers: 2,
            senders: 3,
            dont_fragment: true,
            gro: false,
        }
    }

    fn free_port(address: &str) -> String {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.local_addr().unwrap().to_string()
    }

    #[test]
    fn workers_share_ports_and_senders_differ() {
        for address in ["127.0.0.1", "::1"] {
            let config = config(&free_port(address));
            let queues = bind(&config).unwrap().queues;
            assert_eq!(queues.len(), 2);
            let mut ports = HashSet::new();
            for queue in queues {
                let UnderlayQueue::Udp {
                    receiver, senders, ..
                } = queue
                else {
                    panic!()
                };
                let receiver = UdpSocket::from(receiver);
                assert_eq!(receiver.local_addr().unwrap(), config.endpoint.local);
                for sender in senders {
                    let local = UdpSocket::from(sender).local_addr().unwrap();
                    assert_eq!(local.ip(), config.endpoint.local.ip());
                    assert!(SENDER_PORTS.contains(&local.port()));
                    ports.insert(local.port());
                }
            }
            assert_eq!(ports.len(), 4, "each worker sends from the same ports");
        }
    }

    #[test]
    fn a_port_in_use_is_an_error_even_where_it_could_be_shared() {
        let config = config(&free_port("127.0.0.1"));
        let first = bind(&config).unwrap();
        let error = bind(&config).unwrap_err();
        assert!(matches!(error, BindUnderlayError::InUse { .. }));
        assert!(error.to_string().contains("ss -lunp"), "{error}");
        drop(first);
        bind(&config).unwrap();
    }

    #[test]
    fn a_foreign_address_is_an_error() {
        let error = bind(&config("192.0.2.1:4789")).unwrap_err();
        assert!(
            matches!(error, BindUnderlayError::NoSuchAddress { .. }),
            "{error}"
        );
    }

    #[test]
    fn nothing_to_bind_is_an_error() {
        assert!(matches!(
            bind(&config("127.0.0.1:0")),
            Err(BindUnderlayError::InvalidConfig { .. })
        ));
    }

    #[test]
    fn sender_ports_are_tried_once_each() {
        let ports: Vec<_> = sender_ports().collect();
        assert_eq!(
            ports.iter().collect::<HashSet<_>>().len(),
            SENDER_PORTS.len()
        );
        assert!(ports.iter().all(|port| SENDER_PORTS.contains(port)));
    }
}
