//! Bulk through the overlay, of which every byte is compared.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use ringlay_dataplane::sys::netns::run_in;

use super::hosts::Hosts;

/// Bytes of a connection, in each direction.
const BYTES: usize = 4 << 20;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a pattern in both directions at once, from the first host to `address` of the second,
/// and compares every byte.
pub(crate) fn exchange(hosts: &Hosts, address: &str) {
    exchange_between(&hosts.netns_path(0), &hosts.netns_path(1), address);
}

/// The same from one namespace to `address` of another.
pub(crate) fn exchange_between(from: &Path, to: &Path, address: &str) {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 5001);
    let listener = run_in(to, || TcpListener::bind(address)).unwrap().unwrap();
    let near = run_in(from, || TcpStream::connect(address))
        .unwrap()
        .unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    let send = |mut stream: &TcpStream, seed| {
        stream.write_all(&pattern(seed)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    };
    let receive = |mut stream: &TcpStream, seed| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == pattern(seed), "{} bytes differ", received.len());
    };
    let (near, far) = (&near, &far);
    thread::scope(|scope| {
        scope.spawn(move || send(near, 1));
        scope.spawn(move || send(far, 2));
        scope.spawn(move || receive(near, 2));
        scope.spawn(move || receive(far, 1));
    });
}

/// Pings and such bulk between the nodes in both IP versions.
pub(crate) fn talk(hosts: &Hosts) {
    for address in ["10.42.2.1", "fd42:2::1"] {
        assert!(hosts.pings(address), "{address}");
        exchange(hosts, address);
    }
}

fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..BYTES).map(step).collect()
}
