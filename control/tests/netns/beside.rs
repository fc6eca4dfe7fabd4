//! Connections of the host itself, as that of somebody who is logged in, on devices that are wires or
//! stations: they go on, byte for byte, whatever becomes of the node.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use ringlay_dataplane::sys::netns::run_in;

use super::{
    hosts::Hosts,
    link::{add_port, answers, route_there, with_guest},
    wire::{NETWORKS, add_networks},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes in each direction that show that a connection goes on.
const SOME: u64 = 1 << 20;

/// Has what runs until then come to its end, also when a test fails.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes without end, of which none is where it was not sent.
struct Pattern(u32);

impl Pattern {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.0 >> 24) as u8;
        }
    }
}

/// Sends until it is over, as fast as leaves the nodes some time.
fn send(mut stream: &TcpStream, seed: u32, over: &AtomicBool) -> io::Result<()> {
    let mut pattern = Pattern(seed);
    let mut bytes = vec![0; 1 << 16];
    while !over.load(Ordering::Relaxed) {
        pattern.fill(&mut bytes);
        stream.write_all(&bytes)?;
        thread::sleep(Duration::from_millis(1));
    }
    stream.shutdown(Shutdown::Write)
}

/// Receives all, and compares every byte.
fn receive(mut stream: &TcpStream, seed: u32, received: &AtomicU64) -> io::Result<()> {
    let mut pattern = Pattern(seed);
    let (mut bytes, mut expected) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        pattern.fill(&mut expected[..count]);
        assert!(bytes[..count] == expected[..count], "other bytes");
        received.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// A connection from one namespace to `address` of another, both at the ends that this returns.
fn connect(from: &Path, to: &Path, address: &str) -> [TcpStream; 2] {
    let address: SocketAddr = address.parse().unwrap();
    let listener = run_in(to, || TcpListener::bind(address)).unwrap().unwrap();
    let near = run_in(from, || TcpStream::connect(address)).unwrap();
    let ends = [near.unwrap(), listener.accept().unwrap().0];
    for stream in &ends {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    ends
}

/// Lets things happen beside a connection over which both ends send all the time. What happens can
/// wait until it has gone on for a while.
fn beside_a_connection(
    (from, to, address): (&Path, &Path, &str),
    happen: impl FnOnce(&dyn Fn(&str)),
) {
    let [near, far] = connect(from, to, address);
    let over = AtomicBool::new(false);
    let received = [AtomicU64::new(0), AtomicU64::new(0)];
    let goes_on = |after: &str| {
        let count = || received.each_ref().map(|it| it.load(Ordering::Relaxed));
        let (before, deadline) = (count(), Instant::now() + PATIENCE);
        while (0..2).any(|end| count()[end] < before[end] + SOME) {
            assert!(Instant::now() < deadline, "it has stopped: {after}");
            thread::sleep(Duration::from_millis(5));
        }
    };
    thread::scope(|scope| {
        let _ends = Ends(&over);
        scope.spawn(|| send(&near, 1, &over).unwrap());
        scope.spawn(|| send(&far, 2, &over).unwrap());
        scope.spawn(|| receive(&far, 1, &received[0]).unwrap());
        scope.spawn(|| receive(&near, 2, &received[1]).unwrap());
        goes_on("at the beginning");
        happen(&goes_on);
    });
}

/// A life of the first host's node, which is in service when `serves` returns.
fn live(hosts: &mut Hosts, serves: impl Fn(&Hosts), goes_on: &dyn Fn(&str)) {
    let start = |hosts: &mut Hosts| {
        hosts.start(0);
        serves(hosts);
        goes_on("started");
    };
    start(hosts);
    add_networks(hosts, &NETWORKS[2..3]);
    hosts.signal(0, "HUP");
    hosts.wait_for(0, "reloaded", || {
        hosts.log(0).contains("configuration reloaded")
    });
    serves(hosts);
    goes_on("reloaded");
    hosts.signal(0, "KILL");
    assert_eq!(hosts.wait(0), None);
    goes_on("killed");
    start(hosts);
    hosts.signal(0, "TERM");
    assert_eq!(hosts.wait(0), Some(0));
    goes_on("stopped");
}

/// How devices hand packets over that have these MTUs: with longer packets a veth refuses programs of
/// its own.
const MODES: [(&str, u32); 2] = [("native XDP", 1500), ("generic XDP", 3800)];

#[test]
fn a_connection_beside_a_wire_goes_on() {
    for (mode, mtu) in MODES {
        let mut hosts = Hosts::new();
        for host in 0..2 {
            hosts.set(host, "underlay", "driver = \"af_xdp\"");
            hosts.ip(host, &format!("link set eth0 mtu {mtu}"));
        }
        hosts.start(1);
        let (from, to) = (hosts.netns_path(1), hosts.netns_path(0));
        beside_a_connection((&from, &to, "192.168.77.1:2222"), |goes_on| {
            let serves = |hosts: &Hosts| {
                hosts.wait_for(0, "it is up", || hosts.answers("10.42.2.1"));
                hosts.wait_for_wire(0, "10.42.2.1");
                assert!(hosts.ringlay(0, "show node").contains(mode));
            };
            live(&mut hosts, serves, goes_on);
        });
        assert!(!hosts.ip(0, "link show eth0").contains("xdp"));
    }
}

/// The guest's connection is to the host, past the station on the same device, and with the
/// super-frames that it has of its own.
fn beside_a_station(kind: &str, (mode, mtu): (&str, u32)) {
    let (mut hosts, guest) = with_guest();
    hosts.ip(0, &format!("link set xp0 mtu {mtu}"));
    guest.ip(&format!("link set eth9 mtu {mtu}"));
    hosts.ip(0, "address add 10.99.0.1/24 dev xp0");
    guest.ip("address add 10.99.0.2/24 dev eth9");
    add_port(&hosts, &format!("kind = \"{kind}\"\ndevice = \"xp0\""));
    route_there(&hosts);
    hosts.start(1);
    let (from, to) = (guest.path(), hosts.netns_path(0));
    beside_a_connection((&from, &to, "10.99.0.1:2222"), |goes_on| {
        let serves = |hosts: &Hosts| {
            hosts.wait_for(0, "it is up", || answers(&guest, "10.42.2.1"));
            let shown = hosts.ringlay(0, "port show xp0");
            assert!(shown.contains(mode), "{shown}");
        };
        live(&mut hosts, serves, goes_on);
    });
    assert!(!hosts.ip(0, "link show xp0").contains("xdp"));
}

#[test]
fn a_connection_beside_a_station_goes_on() {
    for mode in MODES {
        beside_a_station("af_xdp", mode);
    }
}

#[test]
fn a_connection_beside_a_station_by_packet_sockets_goes_on() {
    beside_a_station("packet", ("packet sockets", 1500));
}
