//! What containers say to each other, on one node and across two, over IPv4 and IPv6.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;

use crate::host::{Netns, PATIENCE, run_in, two_hosts};
use crate::runtime::{Runtime, container};

#[test]
fn containers_reach_each_other_and_the_hosts() {
    let [one, two] = two_hosts();
    let (a, a_addresses) = container(&Runtime::new(&one), "a");
    let (b, b_addresses) = container(&Runtime::new(&one), "b");
    let (c, c_addresses) = container(&Runtime::new(&two), "c");
    for (from, to, to_addresses) in [(&a, &b, &b_addresses), (&a, &c, &c_addresses)] {
        for address in to_addresses {
            let address: IpAddr = address.split('/').next().unwrap().parse().unwrap();
            assert!(from.pings(&address.to_string()), "{address}");
            stream(from, to, address);
            large_datagram(&from.path(), &to.path(), address);
            resolve(from, to, address);
        }
    }
    for address in ["10.42.1.1", "fd42:1::1", "10.42.2.1", "fd42:2::1"] {
        assert!(a.pings(address), "a host: {address}");
    }
    for address in a_addresses.iter().chain(&c_addresses) {
        assert!(one.netns.pings(address), "from the host: {address}");
    }
}

/// A megabyte each way over one TCP connection.
fn stream(from: &Netns, to: &Netns, address: IpAddr) {
    const BYTES: usize = 1 << 20;
    let listener = to.run(|| TcpListener::bind((address, 0)).unwrap());
    let server = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut data = vec![0; BYTES];
            stream.read_exact(&mut data).unwrap();
            stream.write_all(&data).unwrap();
        });
        let mut stream = from.run(|| TcpStream::connect_timeout(&server, PATIENCE).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let sent: Vec<u8> = (0..BYTES).map(|index| (index % 251) as u8).collect();
        stream.write_all(&sent).unwrap();
        let mut received = vec![0; BYTES];
        stream.read_exact(&mut received).unwrap();
        assert!(sent == received, "{address}: the data differ");
    });
}

/// The largest datagram that UDP over IPv4 has, which leaves in fragments.
pub(crate) fn large_datagram(from: &Path, to: &Path, address: IpAddr) {
    let server = run_in(to, || UdpSocket::bind((address, 0)).unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = server.local_addr().unwrap();
    let client = run_in(from, || UdpSocket::bind(unspecified(address)).unwrap());
    let sent: Vec<u8> = (0..65_507_u32).map(|index| (index % 253) as u8).collect();
    client.send_to(&sent, to).unwrap();
    let mut received = vec![0; 65_536];
    let (len, _) = server.recv_from(&mut received).unwrap();
    assert!(received[..len] == sent, "{address}: {len} bytes");
}

/// A name server in one container answers a resolver in the other.
fn resolve(from: &Netns, to: &Netns, address: IpAddr) {
    let said = name_server(&to.path(), address, || {
        let lookup = format!("busybox nslookup -type=a ringlay.test {address}");
        String::from_utf8(from.exec(&lookup).stdout).unwrap()
    });
    assert!(said.contains(NAMED), "{said}");
}

/// The address that every name has.
pub(crate) const NAMED: &str = "192.0.2.7";

/// Answers one question about a name in a namespace while `asks` runs.
pub(crate) fn name_server<T>(netns: &Path, address: IpAddr, asks: impl FnOnce() -> T) -> T {
    let server = run_in(netns, || UdpSocket::bind((address, 53)).unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let mut query = [0; 512];
            let (len, client) = server.recv_from(&mut query).unwrap();
            server.send_to(&dns_answer(&query[..len]), client).unwrap();
        });
        let said = asks();
        answering.join().unwrap();
        said
    })
}

/// An answer with one address to a query with one question (RFC 1035 section 4).
fn dns_answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2..4].copy_from_slice(&[0x85, 0x80]);
    answer[7] = 1;
    // The name of the question, type A, class IN, a minute, four bytes.
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    answer
}

fn unspecified(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        IpAddr::V6(_) => SocketAddr::from(([0_u8; 16], 0)),
    }
}
