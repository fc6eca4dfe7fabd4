//! Traffic between the namespace and the machine, which sends back what comes for its echo service.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::guest::{DEVICE, Guest, INSIDE, MACHINE};
use super::support::pair::output;
use super::support::random::Random;
use super::support::traffic::{ping, wait_for_ping};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const ECHO: u16 = 7;

/// Bytes of a connection, in each direction.
const BULK: usize = 1 << 20;
/// More echo requests than a worker has small frames, all of which come by one queue.
pub(crate) const FLOOD: u32 = 10_000;
/// How long datagrams come faster than they can be taken.
const STORM: Duration = Duration::from_secs(1);

/// The overlay and the host beside it work: pings, and a stream both ways, every byte compared.
pub(crate) fn talk(guest: &Guest) {
    for address in [INSIDE, MACHINE] {
        let address = address.parse().unwrap();
        wait_for_ping(&guest.namespace, address);
        ping(&guest.namespace, address, 10);
        echo(guest, address, BULK);
    }
}

/// The machine's own stack answers who asks for its MAC address.
pub(crate) fn resolve(guest: &Guest) {
    let mut flush = Command::new("ip");
    flush.args(["neighbour", "flush", "dev", DEVICE]);
    assert!(output(&guest.namespace, &mut flush).status.success());
    ping(&guest.namespace, MACHINE.parse().unwrap(), 1);
}

/// The machine's own stack answers while the node does nothing and packets for it pile up.
pub(crate) fn neglect(guest: &Guest) {
    guest.run("killall -STOP ringlay");
    storm(guest);
    ping(&guest.namespace, MACHINE.parse().unwrap(), 50);
    guest.run("killall -CONT ringlay");
}

fn connect(guest: &Guest, address: IpAddr) -> TcpStream {
    let address = SocketAddr::new(address, ECHO);
    let connect = || TcpStream::connect_timeout(&address, PATIENCE);
    let stream = guest.namespace.run(connect).unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn echo(guest: &Guest, address: IpAddr, bytes: usize) {
    let stream = connect(guest, address);
    let sent = Random::new(7).bytes(bytes);
    let mut received = Vec::with_capacity(bytes);
    let done = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            { &stream }.write_all(&sent)?;
            stream.shutdown(Shutdown::Write)
        });
        let read = { &stream }.read_to_end(&mut received);
        writer.join().unwrap().and(read)
    });
    if let Err(error) = done {
        let len = received.len();
        panic!("{address}: {error}, {len} bytes came\n{}", guest.report());
    }
    assert!(received == sent, "{address}: {} bytes", received.len());
}

/// Keeps up a connection with the machine's own stack, as of somebody who is logged in there, while
/// something else is done; each message comes back in time.
pub(crate) fn logged_in(guest: &Guest, action: impl FnOnce()) {
    let stream = connect(guest, MACHINE.parse().unwrap());
    let over = AtomicBool::new(false);
    let talk = || {
        let mut random = Random::new(11);
        let mut rounds = 0_u32;
        while !over.load(Ordering::Relaxed) {
            let sent = random.bytes(1000);
            { &stream }.write_all(&sent).unwrap();
            let mut received = [0; 1000];
            { &stream }.read_exact(&mut received).unwrap();
            assert!(received[..] == sent);
            rounds += 1;
            thread::sleep(Duration::from_millis(1));
        }
        rounds
    };
    thread::scope(|scope| {
        let talk = scope.spawn(talk);
        // What fails here must not leave the connection going on.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
        over.store(true, Ordering::Relaxed);
        let rounds = talk.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(rounds > 100, "{rounds}");
    });
}

/// More small packets than there are frames, both ways, then more than the machine can take. All frames
/// come back: the node works as before, and its books close.
pub(crate) fn flood(guest: &Guest) {
    let mut flood = Command::new("ping");
    flood.args(["-q", "-f", "-l", "64", "-s", "18", "-c", &FLOOD.to_string()]);
    let flooded = output(&guest.namespace, flood.arg(INSIDE));
    let text = String::from_utf8_lossy(&flooded.stdout);
    assert!(text.contains(" received"), "{text}");
    storm(guest);
    close_books(guest);
    talk(guest);
}

fn storm(guest: &Guest) {
    let discard = SocketAddr::new(INSIDE.parse().unwrap(), 9);
    let socket = guest.namespace.run(|| UdpSocket::bind("0.0.0.0:0"));
    let socket = socket.unwrap().unwrap();
    let deadline = Instant::now() + STORM;
    while Instant::now() < deadline {
        // A full queue is no reason to end.
        let _ = socket.send_to(&[0; 18], discard);
    }
}

/// Waits until the node is at rest; then each of its frames went by exactly one way, and the kernel took
/// none for invalid.
pub(crate) fn close_books(guest: &Guest) {
    let deadline = Instant::now() + PATIENCE;
    let mut before = 0;
    let stats = loop {
        let stats = guest.stats();
        let [came, went] = totals(&stats);
        if came == before && came == went {
            break stats;
        }
        assert!(Instant::now() < deadline, "{came}, but {went}: {stats:#}");
        before = came;
        thread::sleep(Duration::from_millis(200));
    };
    let wire = underlay(&stats, "af_xdp");
    for missed in ["invalid", "too_long"] {
        assert_eq!(wire["missed"][missed], 0, "{stats:#}");
    }
    for reason in ["underlay_bad_checksum", "vxlan_malformed", "pool_exhausted"] {
        assert_eq!(stats["drops"][reason], 0, "{reason}: {stats:#}");
    }
}

/// The counters of a tunnel endpoint, or of `af_xdp`.
pub(crate) fn underlay<'a>(stats: &'a Value, name: &str) -> &'a Value {
    let underlays = stats["underlays"].as_array().unwrap();
    let found = underlays.iter().find(|it| it["local"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {stats:#}"))
}

/// How many frames came to be, and how many went by some way.
fn totals(stats: &Value) -> [u64; 2] {
    let workers = stats["workers"].as_array().unwrap();
    let sum = |keys: [&str; 4]| -> u64 {
        let of_worker = |worker: &Value| keys.map(|key| worker[key].as_u64().unwrap());
        workers.iter().flat_map(of_worker).sum()
    };
    let drops = stats["drops"].as_object().unwrap().values();
    let dropped: u64 = drops.map(|count| count.as_u64().unwrap()).sum();
    let came = ["received", "originated", "segmented", "flooded"];
    let went = ["sent", "consumed", "coalesced", "held"];
    [sum(came), sum(went) + dropped]
}
