//! Traffic whose every byte is checked. A socket belongs to the host whose namespace made it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::namespace::Namespace;

use super::pair::output;
use super::ping;
use super::random::Random;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `count` echo requests from `host` to `destination`. None may be lost, the first included.
pub(crate) fn ping(host: &Namespace, destination: IpAddr, count: u32) {
    let mut command = Command::new("ping");
    command.args(ping::patiently(count).split(' '));
    let output = output(host, command.arg(destination.to_string()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        ping::each_answered(&text, count),
        "{}: ping {destination}: {text}{}",
        host.name(),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Pings until one comes back.
pub(crate) fn wait_for_ping(host: &Namespace, destination: IpAddr) {
    let deadline = Instant::now() + PATIENCE;
    let mut command = Command::new("ping");
    command
        .args(["-n", "-c", "1", "-W", "1"])
        .arg(destination.to_string());
    while !output(host, &mut command).status.success() {
        assert!(
            Instant::now() < deadline,
            "{}: no reply from {destination}",
            host.name()
        );
    }
}

/// A connection from `client` to `server`, both at the ends that this returns.
pub(crate) fn connect(client: &Namespace, server: &Namespace, address: IpAddr) -> [TcpStream; 2] {
    let listener = server
        .run(|| TcpListener::bind((address, 0)))
        .unwrap()
        .unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, PATIENCE);
    let near = client.run(connect).unwrap().unwrap();
    let far = listener.accept().unwrap().0;
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    [near, far]
}

/// Sends `bytes` random bytes in both directions at once, and compares every one.
pub(crate) fn exchange_tcp(client: &Namespace, server: &Namespace, address: IpAddr, bytes: usize) {
    let [near, far] = connect(client, server, address);
    thread::scope(|scope| {
        let (near, far) = (&near, &far);
        let workers = [
            scope.spawn(move || send(near, bytes, 1)),
            scope.spawn(move || send(far, bytes, 2)),
            scope.spawn(move || receive(near, bytes, 2)),
            scope.spawn(move || receive(far, bytes, 1)),
        ];
        for worker in workers {
            worker
                .join()
                .unwrap()
                .unwrap_or_else(|error| panic!("TCP with {address}: {error}"));
        }
    });
}

fn send(mut stream: &TcpStream, bytes: usize, seed: u64) -> io::Result<()> {
    stream.write_all(&Random::new(seed).bytes(bytes))?;
    stream.shutdown(Shutdown::Write)
}

fn receive(mut stream: &TcpStream, bytes: usize, seed: u64) -> io::Result<()> {
    let mut received = Vec::with_capacity(bytes);
    stream.read_to_end(&mut received)?;
    let expected = Random::new(seed).bytes(bytes);
    assert_eq!(received.len(), expected.len(), "bytes are missing");
    let wrong = received
        .iter()
        .zip(&expected)
        .position(|(found, wanted)| found != wanted);
    assert_eq!(wrong, None, "the stream differs from this byte on");
    Ok(())
}

/// Two UDP sockets that talk to each other alone: one in each host.
pub(crate) fn udp_flow(near: &Namespace, far: &Namespace, address: IpAddr) -> [UdpSocket; 2] {
    let far_end = far.run(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
    let any: SocketAddr = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    }
    .parse()
    .unwrap();
    let near_end = near.run(|| UdpSocket::bind(any)).unwrap().unwrap();
    near_end.connect(far_end.local_addr().unwrap()).unwrap();
    for socket in [&near_end, &far_end] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    [near_end, far_end]
}

/// Sends a datagram of each of `sizes` there and back, one at a time. None may be lost or changed.
pub(crate) fn exchange_udp(
    near: &Namespace,
    far: &Namespace,
    address: IpAddr,
    sizes: impl Iterator<Item = usize>,
) {
    let [near_end, far_end] = udp_flow(near, far, address);
    let mut random = Random::new(3);
    for size in sizes {
        let sent = random.bytes(size);
        let round_trip = || -> io::Result<[Vec<u8>; 2]> {
            let mut receive = vec![0; 1 << 16];
            near_end.send(&sent)?;
            let (length, from) = far_end.recv_from(&mut receive)?;
            let there = receive[..length].to_vec();
            far_end.send_to(&there, from)?;
            let length = near_end.recv(&mut receive)?;
            Ok([there, receive[..length].to_vec()])
        };
        match round_trip() {
            Ok(received) => assert!(
                received.iter().all(|bytes| *bytes == sent),
                "UDP with {address}, {size} bytes: they changed"
            ),
            Err(error) => panic!("UDP with {address}, {size} bytes: {error}"),
        }
    }
}
