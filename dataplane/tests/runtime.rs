//! The whole dataplane in one process: a TUN device, workers, a tunnel endpoint
//! on loopback, and a peer that is a plain socket. Needs root and iproute2.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod ip;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use ringlay_dataplane::driver::DriverKind;
use ringlay_dataplane::driver::probe::DriverChoice;
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::endpoint::Endpoint;
use ringlay_dataplane::event::Event;
use ringlay_dataplane::id::{NetworkId, PortId, TunnelId, UnderlayId};
use ringlay_dataplane::port::tun::{self, Life, TunConfig, TunOffloads};
use ringlay_dataplane::port::underlay::{self, UnderlayConfig};
use ringlay_dataplane::runtime::{PollMode, Runtime, RuntimeConfig};
use ringlay_dataplane::stage::{Stage, StageStats};
use ringlay_dataplane::stats::{Stats, WorkerStats};
use ringlay_dataplane::sys::netns;
use ringlay_dataplane::tables::{Fib, Network, NextHop, Port, Tables, Tunnel};
use ringlay_encap::template::Template;
use ringlay_encap::{Encapsulation, MacAddr, TunnelKey, UdpChecksum, Vni};

use crate::ip::ip;

const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OUR_VTEP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PEER_VTEP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const VXLAN_PORT: u16 = 4789;
const WORKERS: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Tables with or without the peer's MAC address and its route.
fn tables(resolved: bool, routed: bool) -> Tables {
    let vni = Vni::new(42).unwrap();
    let mut tables = Tables::default();
    let port = tables.insert_next_hop(NextHop::Port(PortId(0)));
    let peer = tables.insert_next_hop(NextHop::Tunnel(TunnelId(0)));
    let mut fib = Fib::default();
    fib.v4.insert("10.42.1.0/24".parse().unwrap(), port);
    if routed {
        fib.v4.insert("10.42.2.0/24".parse().unwrap(), peer);
    }
    let network = Network {
        mac: OUR_MAC,
        mtu: 1450,
        vteps: vec![IpAddr::V4(PEER_VTEP)],
        addresses: vec!["10.42.1.1".parse().unwrap()],
        fib,
        ..Network::new(UnderlayId(0), TunnelKey::Vxlan(vni))
    };
    let endpoint = Endpoint {
        checksum: UdpChecksum::On,
        local: SocketAddr::new(OUR_VTEP.into(), VXLAN_PORT),
        encapsulation: Encapsulation::Vxlan,
    };
    tables.insert_underlay(UnderlayId(0), endpoint);
    tables.insert_network(NetworkId(0), network);
    tables.insert_port(
        PortId(0),
        Port {
            network: NetworkId(0),
        },
    );
    let template = resolved.then(|| {
        Template::builder(OUR_VTEP.into(), PEER_VTEP.into())
            .vxlan(vni, PEER_MAC, OUR_MAC)
            .unwrap()
    });
    let remote = SocketAddr::new(PEER_VTEP.into(), VXLAN_PORT);
    tables.insert_tunnel(
        TunnelId(0),
        Tunnel {
            network: NetworkId(0),
            underlay: UnderlayId(0),
            local: OUR_VTEP.into(),
            remote,
            mtu: 1450,
            template,
        },
    );
    tables
}

/// Receives within the socket's timeout. The kernel interrupts a timed receive
/// for reasons of its own, and does not resume it.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}

/// A running dataplane between an application's socket and a peer's.
struct Rig {
    runtime: Runtime,
    /// On the overlay, behind the TUN device.
    application: UdpSocket,
    /// On the underlay.
    peer: UdpSocket,
}

impl Rig {
    fn new(driver: DriverChoice, resolved: bool) -> Self {
        ip("link set lo up");
        let config = RuntimeConfig {
            workers: vec![None; WORKERS],
            driver,
            poll: PollMode::default(),
            ..RuntimeConfig::default()
        };
        let runtime = Runtime::start(config).unwrap();
        let device = tun::open(&TunConfig {
            name: "rl0".into(),
            netns: None,
            queues: WORKERS,
            mtu: 1450,
            offloads: TunOffloads::NONE,
            life: Life::Queues,
        })
        .unwrap();
        let sockets = underlay::bind(&UnderlayConfig {
            endpoint: Endpoint {
                checksum: UdpChecksum::On,
                local: SocketAddr::new(OUR_VTEP.into(), VXLAN_PORT),
                encapsulation: Encapsulation::Vxlan,
            },
            workers: WORKERS,
            senders: 4,
            dont_fragment: true,
            gro: false,
        })
        .unwrap();
        runtime.add_port(PortId(0), device).unwrap();
        runtime.add_underlay(UnderlayId(0), sockets).unwrap();
        let generation = runtime.publish(tables(resolved, true));
        assert!(runtime.wait_confirmed(generation, SECOND));
        ip("addr add 10.42.1.1/24 dev rl0");
        ip("route add 10.42.2.0/24 dev rl0");
        let application = UdpSocket::bind("10.42.1.1:7000").unwrap();
        let peer = UdpSocket::bind((PEER_VTEP, VXLAN_PORT)).unwrap();
        application.set_read_timeout(Some(SECOND)).unwrap();
        peer.set_read_timeout(Some(SECOND)).unwrap();
        Self {
            runtime,
            application,
            peer,
        }
    }

    fn send(&self, payload: &[u8]) {
        self.application.send_to(payload, "10.42.2.1:8000").unwrap();
    }

    /// The next datagram that the peer receives, with its source port.
    fn arrived(&self) -> (Vec<u8>, u16) {
        let mut buffer = vec![0; 65_536];
        let (len, from) = receive(&self.peer, &mut buffer);
        assert_eq!(from.ip(), OUR_VTEP);
        buffer.truncate(len);
        (buffer, from.port())
    }

    /// Sends a datagram back as the peer would, from a tunnel frame of ours.
    fn answer(&self, frame: &[u8]) {
        let mut answer = frame.to_vec();
        answer[8..14].copy_from_slice(&OUR_MAC.0);
        answer[14..20].copy_from_slice(&PEER_MAC.0);
        // Addresses and ports trade places; the checksums stay right.
        answer[34..38].copy_from_slice(&frame[38..42]);
        answer[38..42].copy_from_slice(&frame[34..38]);
        answer[42..44].copy_from_slice(&frame[44..46]);
        answer[44..46].copy_from_slice(&frame[42..44]);
        self.peer.send_to(&answer, (OUR_VTEP, VXLAN_PORT)).unwrap();
    }

    /// Counters, once all frames are accounted for.
    fn settled(&self) -> Stats {
        let deadline = Instant::now() + 5 * SECOND;
        loop {
            let stats = self.runtime.stats();
            let balance: i64 = stats
                .workers
                .iter()
                .map(|w| {
                    let drops: u64 = w.drops.iter().map(|&(_, count)| count).sum();
                    let came = w.received + w.originated;
                    came as i64 - (w.sent + w.consumed + drops + w.held) as i64
                })
                .sum();
            if balance == 0 {
                return stats;
            }
            assert!(
                Instant::now() < deadline,
                "{balance} frames unaccounted for: {stats:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn drops(stats: &Stats, reason: DropReason) -> u64 {
    let all = stats.workers.iter().flat_map(|w| &w.drops);
    all.filter(|&&(found, _)| found == reason)
        .map(|&(_, count)| count)
        .sum()
}

/// A stage of all workers together.
fn stage(stats: &Stats, stage: Stage) -> StageStats {
    let all = stats.workers.iter().flat_map(|worker| &worker.stages);
    let of = all.filter(|(found, _)| *found == stage);
    of.fold(StageStats::default(), |sum, (_, it)| StageStats {
        calls: sum.calls + it.calls,
        frames: sum.frames + it.frames,
        cycles: sum.cycles + it.cycles,
    })
}

fn with_each_driver(scenario: fn(DriverChoice)) {
    for driver in [DriverChoice::IoUring, DriverChoice::Epoll] {
        netns::run_in_new(|| scenario(driver)).unwrap();
    }
}

#[test]
fn packets_cross_both_ways() {
    with_each_driver(|driver| {
        let rig = Rig::new(driver, true);
        let expected = match driver {
            DriverChoice::Epoll => DriverKind::Epoll,
            _ => DriverKind::IoUring,
        };
        assert_eq!(rig.runtime.driver().kind, expected);
        let mut ports = std::collections::HashSet::new();
        for size in [0, 1, 100, 1400] {
            let payload: Vec<_> = (0..size).map(|i| i as u8).collect();
            rig.send(&payload);
            let (frame, port) = rig.arrived();
            assert_eq!(frame[..8], [8, 0, 0, 0, 0, 0, 42, 0]);
            assert_eq!(frame[8..14], PEER_MAC.0);
            assert!(frame.ends_with(&payload));
            ports.insert(port);
            rig.answer(&frame);
            let mut buffer = [0; 2000];
            let (len, from) = receive(&rig.application, &mut buffer);
            assert_eq!(from, "10.42.2.1:8000".parse().unwrap());
            assert_eq!(buffer[..len], payload);
        }
        assert_eq!(ports.len(), 1, "one flow keeps its outer source port");
        assert!(ports.iter().all(|port| (49_152..=65_535).contains(port)));
        let stats = rig.settled();
        let (_, port) = stats.ports[0];
        assert!(port.rx_frames >= 4 && port.tx_frames >= 4, "{port:?}");
        rig.runtime.stop();
    });
}

#[test]
fn tables_change_under_traffic_without_loss() {
    with_each_driver(|driver| {
        let rig = Rig::new(driver, true);
        for n in 0..500u16 {
            if n % 5 == 0 {
                rig.runtime.publish(tables(true, true));
            }
            rig.send(&n.to_be_bytes());
            let (frame, _) = rig.arrived();
            assert!(frame.ends_with(&n.to_be_bytes()));
        }
        let generation = rig.runtime.publish(tables(true, false));
        assert!(rig.runtime.wait_confirmed(generation, SECOND));
        rig.send(b"nowhere");
        let deadline = Instant::now() + SECOND;
        while drops(&rig.runtime.stats(), DropReason::NoRoute) == 0 {
            assert!(Instant::now() < deadline, "the route is gone");
        }
        rig.settled();
    });
}

#[test]
fn the_first_packet_waits_for_the_mac_address() {
    with_each_driver(|driver| {
        let rig = Rig::new(driver, false);
        rig.send(b"first");
        let event = rig.runtime.events().recv_timeout(SECOND).unwrap();
        let destination = "10.42.2.1".parse().unwrap();
        assert_eq!(
            event,
            Event::Unresolved {
                tunnel: TunnelId(0),
                destination
            }
        );
        rig.runtime.inject(TunnelId(0), b"who has it?".to_vec());
        let (frame, _) = rig.arrived();
        assert!(frame.ends_with(b"who has it?"));
        rig.runtime.publish(tables(true, true));
        let (frame, _) = rig.arrived();
        assert!(frame.ends_with(b"first"));
        rig.settled();
    });
}

#[test]
fn a_removed_port_takes_its_device_along() {
    with_each_driver(|driver| {
        let rig = Rig::new(driver, true);
        rig.runtime.remove_port(PortId(0));
        rig.runtime.remove_port(PortId(0));
        let gone = !Command::new("ip")
            .args(["link", "show", "rl0"])
            .status()
            .unwrap()
            .success();
        assert!(gone);
        rig.runtime.remove_underlay(UnderlayId(0));
        UdpSocket::bind((OUR_VTEP, VXLAN_PORT)).unwrap();
        rig.settled();
    });
}

#[test]
fn an_idle_worker_sleeps() {
    with_each_driver(|driver| {
        let rig = Rig::new(driver, true);
        rig.send(b"x");
        rig.arrived();
        let waits = |rig: &Rig| {
            rig.runtime
                .stats()
                .workers
                .iter()
                .map(|w| w.waits)
                .sum::<u64>()
        };
        std::thread::sleep(Duration::from_millis(200));
        let before = waits(&rig);
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            waits(&rig) - before < 30,
            "{} wake-ups",
            waits(&rig) - before
        );
    });
}

#[test]
fn stages_are_measured_while_packets_flow() {
    with_each_driver(|driver| {
        let rig = Rig::new(driver, true);
        let there_and_back = |count| {
            for _ in 0..count {
                rig.send(b"measured");
                let (frame, _) = rig.arrived();
                rig.answer(&frame);
                receive(&rig.application, &mut [0; 100]);
            }
        };
        there_and_back(10);
        let before = rig.settled();
        assert!(before.measured.is_none() && stage(&before, Stage::Receive).calls == 0);
        rig.runtime.measure_stages(true);
        there_and_back(100);
        // Already on: nothing begins anew.
        rig.runtime.measure_stages(true);
        let stats = rig.settled();
        let sum = |stats: &Stats, pick: fn(&WorkerStats) -> u64| -> u64 {
            stats.workers.iter().map(pick).sum()
        };
        let received = sum(&stats, |it| it.received) - sum(&before, |it| it.received);
        assert_eq!(stage(&stats, Stage::Receive).frames, received);
        let [encap, decap] = [Stage::TunnelEncap, Stage::VxlanDecap].map(|it| stage(&stats, it));
        assert!(encap.frames >= 100 && decap.frames >= 100);
        let [sent, flushed] = [Stage::Send, Stage::Flush].map(|it| stage(&stats, it).frames);
        assert!(sent >= 200 && flushed == sent);
        the_whole_time_is_told(&rig);
        rig.runtime.measure_stages(false);
        let measured = rig.runtime.stats();
        there_and_back(10);
        let stopped = rig.settled();
        assert_eq!(
            stage(&stopped, Stage::Receive),
            stage(&measured, Stage::Receive)
        );
        assert!(!stopped.measured.unwrap().running);
        rig.runtime.measure_stages(true);
        let anew = rig.runtime.stats();
        assert_eq!(stage(&anew, Stage::TunnelEncap), StageStats::default());
    });
}

/// The stages of each worker add up to the time since they are measured, which begins a little
/// before the worker hears of it.
fn the_whole_time_is_told(rig: &Rig) {
    let deadline = Instant::now() + 5 * SECOND;
    loop {
        let stats = rig.runtime.stats();
        let measured = stats.measured.unwrap();
        assert!(measured.running && measured.hertz > 1e6, "{measured:?}");
        let cycles = measured.duration.as_secs_f64() * measured.hertz;
        let told = |worker: &WorkerStats| -> u64 {
            worker.stages.iter().map(|(_, stage)| stage.cycles).sum()
        };
        let parts: Vec<_> = stats
            .workers
            .iter()
            .map(|it| told(it) as f64 / cycles)
            .collect();
        assert!(parts.iter().all(|part| *part <= 1.0), "{parts:?}");
        if parts.iter().all(|part| *part > 0.98) {
            return;
        }
        assert!(Instant::now() < deadline, "{parts:?}");
    }
}
