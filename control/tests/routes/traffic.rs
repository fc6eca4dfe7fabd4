//! Traffic between two nodes while a million routes come in force on one of them.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use ringlay_dataplane::sys::netns::run_in;

use super::{generate, hosts::Hosts};

/// Routes besides those that the traffic goes by.
const ROUTES: u32 = 1_000_000;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the traffic goes: an address of the second host that only loaded routes lead to.
const FAR: &str = "10.77.0.1";

/// Two nodes; the first one leaves the kernel's routes to us.
fn overlay() -> Hosts {
    let mut hosts = Hosts::new();
    let config = fs::read_to_string(hosts.config(0)).unwrap();
    let config = config.replace("device = \"rl0\"\n", "device = \"rl0\"\nroutes = false\n");
    fs::write(hosts.config(0), config).unwrap();
    hosts.start(0);
    hosts.start(1);
    hosts.ip(0, "route add 10.42.2.0/24 dev rl0");
    hosts.ip(0, "route add 10.77.0.0/16 dev rl0");
    hosts.ip(1, &format!("address add {FAR}/32 dev lo"));
    hosts.ringlay(1, "route add 10.77.0.0/16 --network blue --port rl0");
    hosts
}

impl Hosts {
    fn import(&self, name: &str, text: &str) -> serde_json::Value {
        let file = self.config(0).with_file_name(name);
        fs::write(&file, text).unwrap();
        let args = format!(
            "route import {} --network blue --replace --json",
            file.display()
        );
        serde_json::from_str(&self.ringlay(0, &args)).unwrap()
    }

    /// Frames that a node dropped; those that the kernel says to everybody do not count.
    fn all_drops(&self, host: usize) -> u64 {
        let stats: serde_json::Value =
            serde_json::from_str(&self.ringlay(host, "stats --json --all")).unwrap();
        let drops = stats["drops"].as_object().unwrap();
        let counted = drops
            .iter()
            .filter(|(reason, _)| *reason != "ip_not_forwardable");
        counted.map(|(_, frames)| frames.as_u64().unwrap()).sum()
    }
}

/// Message `number` of a flow.
fn message(number: u64) -> [u8; 64] {
    let mut message = [0; 64];
    for (index, bytes) in message.as_chunks_mut().0.iter_mut().enumerate() {
        *bytes = (number * 8 + index as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes();
    }
    message
}

/// Requests and responses one by one until told to stop. Nothing is sent again: a single lost
/// datagram ends it.
fn udp(near: &UdpSocket, trips: &AtomicU64, stop: &AtomicBool) {
    let mut received = [0; 128];
    while !stop.load(Ordering::Relaxed) {
        let number = trips.load(Ordering::Relaxed);
        near.send(&message(number)).unwrap();
        let length = near.recv(&mut received).expect("a datagram was lost");
        assert_eq!(received[..length], message(number));
        trips.store(number + 1, Ordering::Relaxed);
    }
}

fn tcp(mut near: &TcpStream, trips: &AtomicU64, stop: &AtomicBool) {
    let mut received = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        let number = trips.load(Ordering::Relaxed);
        near.write_all(&message(number)).unwrap();
        near.read_exact(&mut received)
            .expect("the connection hangs");
        assert_eq!(received, message(number));
        trips.store(number + 1, Ordering::Relaxed);
    }
}

fn namespace(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Sends back whatever comes, until the test's process ends or the connection does.
fn echo(hosts: &Hosts) -> (UdpSocket, TcpStream) {
    let (datagrams, listener) = run_in(&namespace(&hosts.netns(1)), || {
        let datagrams = UdpSocket::bind((FAR, 7)).unwrap();
        (datagrams, TcpListener::bind((FAR, 7)).unwrap())
    })
    .unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 128];
        while let Ok((length, from)) = datagrams.recv_from(&mut bytes) {
            datagrams.send_to(&bytes[..length], from).unwrap();
        }
    });
    let (near, stream) = run_in(&namespace(&hosts.netns(0)), || {
        let near = UdpSocket::bind("10.42.1.1:0").unwrap();
        near.connect((FAR, 7)).unwrap();
        (near, TcpStream::connect((FAR, 7)).unwrap())
    })
    .unwrap();
    let (mut far, _) = listener.accept().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 128];
        while let Ok(length @ 1..) = far.read(&mut bytes) {
            far.write_all(&bytes[..length]).unwrap();
        }
    });
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    (near, stream)
}

#[test]
fn traffic_does_not_notice_a_million_routes_that_come_change_and_go() {
    let hosts = overlay();
    let first = hosts.import("first", "10.77.0.0/16 192.168.77.2\n");
    assert_eq!(first["added"], 1);
    assert!(hosts.pings(FAR));
    // The traffic's own route becomes another one in the same moment.
    let million = generate::lines(ROUTES, 0, &["192.168.77.2", "drop", "port rl0"]);
    let second = format!("{million}10.77.0.0/24 192.168.77.2\n");
    let third = format!(
        "{}10.77.0.0/28 192.168.77.2\n",
        million.replace("drop", "192.168.77.2")
    );
    let before = [hosts.all_drops(0), hosts.all_drops(1)];
    let (datagrams, stream) = echo(&hosts);
    let (udp_trips, tcp_trips, stop) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| udp(&datagrams, &udp_trips, &stop));
        scope.spawn(|| tcp(&stream, &tcp_trips, &stop));
        let stop_anyway = StopAtEnd(&stop);
        let trips = || {
            [
                udp_trips.load(Ordering::Relaxed),
                tcp_trips.load(Ordering::Relaxed),
            ]
        };
        let mut last = trips();
        let mut still_running = |what: &str| {
            let now = trips();
            assert!(
                now[0] > last[0] && now[1] > last[1],
                "no trip while {what}: {last:?}"
            );
            last = now;
        };
        let added = u64::from(ROUTES) + 1;
        let result = hosts.import("second", &second);
        assert_eq!(
            (&result["added"], &result["removed"]),
            (&added.into(), &1.into()),
            "{result}"
        );
        still_running("routes come");
        let result = hosts.import("third", &third);
        let changed = u64::from(ROUTES / 3);
        assert_eq!(result["changed"], changed, "{result}");
        assert_eq!(
            (&result["added"], &result["removed"]),
            (&1.into(), &1.into()),
            "{result}"
        );
        still_running("routes change");
        let result = hosts.import("last", "10.77.0.0/16 192.168.77.2\n");
        assert_eq!(
            (&result["added"], &result["removed"]),
            (&1.into(), &added.into()),
            "{result}"
        );
        still_running("routes go");
        drop(stop_anyway);
    });
    assert_eq!([hosts.all_drops(0), hosts.all_drops(1)], before);
}

/// Ends the traffic also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
