//! The daemon ends and starts again, and containers go on.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Netns, PATIENCE, two_hosts};
use crate::runtime::{Runtime, addresses, container};

/// How often the conversation goes back and forth.
const PACE: Duration = Duration::from_millis(2);

#[test]
fn connections_survive_restarts_and_kills() {
    let [mut one, two] = two_hosts();
    let (a, a_addresses) = container(&Runtime::new(&one), "a");
    let (b, b_addresses) = container(&Runtime::new(&two), "b");
    let (near, near_addresses) = container(&Runtime::new(&one), "near");
    for signal in ["TERM", "KILL"] {
        for (peer, address) in [(&b, &b_addresses[0]), (&near, &near_addresses[1])] {
            let gap = converse(&a, peer, address, || {
                one.end(signal);
                one.start();
            });
            println!(
                "SIG{signal}, to {address}: silent for {} ms",
                gap.as_millis()
            );
        }
    }
    assert_eq!(one.attachments().len(), 2);
    let (id, netns) = ("a", &a);
    let runtime = Runtime::new(&one);
    let expected = serde_json::json!({
        "interfaces": [{ "name": "eth0", "sandbox": netns.path() }],
        "ips": a_addresses
            .iter()
            .map(|address| serde_json::json!({ "address": address, "interface": 0 }))
            .collect::<Vec<_>>(),
    });
    runtime.check(id, netns, &expected).unwrap();
    for (id, netns) in [("a", &a), ("near", &near)] {
        runtime.del(id, Some(netns)).unwrap();
        assert!(netns.devices().is_empty());
    }
    one.assert_clean();
}

/// Talks over one connection until `interrupt` is over and a while longer; returns the longest
/// silence.
fn converse(from: &Netns, to: &Netns, address: &str, interrupt: impl FnOnce() + Send) -> Duration {
    let address: std::net::IpAddr = address.split('/').next().unwrap().parse().unwrap();
    let listener = to.run(|| TcpListener::bind((address, 0)).unwrap());
    let server = listener.local_addr().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte) {
                stream.write_all(&byte).unwrap();
            }
        });
        let mut stream = from.run(|| TcpStream::connect_timeout(&server, PATIENCE).unwrap());
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        scope.spawn(|| {
            interrupt();
            over.store(true, Ordering::Relaxed);
        });
        let (mut longest, mut after) = (Duration::ZERO, 0);
        while after < 50 {
            let asked = Instant::now();
            stream.write_all(&[after]).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the connection lives");
            assert_eq!(byte, [after]);
            longest = longest.max(asked.elapsed());
            after += u8::from(over.load(Ordering::Relaxed));
            thread::sleep(PACE);
        }
        longest
    })
}

#[test]
fn what_is_deleted_while_the_daemon_is_away_goes_when_it_is_back() {
    let [mut host, _far] = two_hosts();
    let (stays, _) = container(&Runtime::new(&host), "stays");
    let (goes, _) = container(&Runtime::new(&host), "goes");
    let (vanishes, _) = container(&Runtime::new(&host), "vanishes");
    host.end("KILL");
    Runtime::new(&host).del("goes", Some(&goes)).unwrap();
    let refused = Runtime::new(&host).add("new", &goes).unwrap_err();
    assert_eq!(refused.code(), 11, "try again: {refused:?}");
    drop(vanishes);
    assert_eq!(goes.devices(), ["eth0"], "nobody could take it away");
    host.start();
    // As soon as the kernel has closed the queues of the daemon that was killed.
    let deadline = Instant::now() + PATIENCE;
    while !goes.devices().is_empty() {
        assert!(Instant::now() < deadline, "the device stays");
        thread::sleep(PACE);
    }
    assert!(stays.pings("10.42.2.1"));
    let problems: Vec<_> = host
        .attachments()
        .iter()
        .map(|it| it["problem"].clone())
        .collect();
    assert_eq!(problems[0], "", "{problems:?}");
    assert_ne!(
        problems[1], "",
        "its namespace is gone, and its address is kept"
    );
    Runtime::new(&host).del("vanishes", None).unwrap();
    Runtime::new(&host).del("stays", Some(&stays)).unwrap();
    host.assert_clean();
}

#[test]
fn a_device_that_is_lost_while_the_daemon_is_away_is_made_anew() {
    let [mut host, _far] = two_hosts();
    let netns = Netns::new("c");
    let result: Value = Runtime::new(&host).add("c1", &netns).unwrap();
    host.end("TERM");
    netns.ip("link del eth0");
    host.start();
    Runtime::new(&host).check("c1", &netns, &result).unwrap();
    assert_eq!(addresses(&result).len(), 2);
    assert!(netns.pings("10.42.2.1"));
    Runtime::new(&host).del("c1", Some(&netns)).unwrap();
}

#[test]
fn a_damaged_record_keeps_nobody_from_starting() {
    let [mut host, _far] = two_hosts();
    let (stays, _) = container(&Runtime::new(&host), "stays");
    let (torn, _) = container(&Runtime::new(&host), "torn");
    host.end("KILL");
    // As after a loss of power, which takes the container along.
    drop(torn);
    let folder = host.folder().join("state/attachments");
    let names = || {
        let entries = fs::read_dir(&folder).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let record = names().into_iter().find(|name| name.starts_with("torn"));
    let record = record.expect("each container has one");
    let text = fs::read(folder.join(&record)).unwrap();
    fs::write(folder.join(&record), &text[..text.len() / 2]).unwrap();
    fs::write(folder.join("empty.json"), "").unwrap();
    fs::write(folder.join("half.new"), "{").unwrap();
    host.start();
    for damaged in [record.as_str(), "empty.json"] {
        assert!(host.log().contains(damaged), "{}", host.log());
    }
    assert!(stays.pings("10.42.2.1"));
    Runtime::new(&host).del("torn", None).unwrap();
    Runtime::new(&host).del("stays", Some(&stays)).unwrap();
    assert_eq!(host.attachments(), [Value::Null; 0]);
    let left = names();
    let kept = |name: &&String| *name == "lock" || name.ends_with(".damaged");
    assert!(left.iter().all(|name| kept(&name)), "{left:?}");
    assert_eq!(left.len(), 3, "{left:?}");
}
