//! A million hostile frames, into the tunnel socket and into the TUN device.

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::books::{Books, Kernel, Sockets};
use crate::mutate::{self, Shape};
use crate::samples::Samples;
use crate::stop::StopOnDrop;
use crate::support::kernel_peer::{self, Style};
use crate::support::node::{self, Node, NodeConfig};
use crate::support::pair::{Pair, Underlay};
use crate::support::random::Random;
use crate::support::traffic::{exchange_tcp, ping, wait_for_ping};

/// Frames that reach the node by each way.
const TUNNEL_FRAMES: u64 = 600_000;
const TUN_PACKETS: u64 = 400_000;
/// After so many, all that is allocated once has been.
const WARM_UP: u64 = 100_000;
/// What memory may grow by in KiB between then and the end: 4 bytes a frame would be too much.
const GROWTH_MAX: u64 = 4 << 10;
/// Frames sent between two looks at the queues.
const BURST: u64 = 32;
/// How much of the socket's buffer may be in use before more is sent, in bytes.
const QUEUED_MAX: u64 = 16 << 10;
/// Longer than the node may take for what is in its queues.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reasons that these frames must have been dropped for, or they are less hostile than they claim.
const EXPECTED_DROPS: &[&str] = &[
    "ip_malformed",
    "ip_bad_checksum",
    "ip_not_forwardable",
    "ip_ttl_expired",
    "ip_no_route",
    "vxlan_malformed",
    "vxlan_bad_flags",
    "vxlan_unknown_vni",
    "vtep_unknown",
    "inner_mac_foreign",
    "inner_protocol_unknown",
    "arp_malformed",
    "ndisc_malformed",
];

#[test]
fn io_uring() {
    survives_a_million_hostile_frames("io_uring", 1);
}

#[test]
fn epoll() {
    survives_a_million_hostile_frames("epoll", 2);
}

fn survives_a_million_hostile_frames(driver: &'static str, seed: u64) {
    let pair = Pair::create();
    let underlay = Underlay::V4;
    kernel_peer::start(&pair, underlay, Style::OnLink);
    // With a resolved MAC address a forged answer of the peer could take the peer itself away.
    let peer_mac = Some(kernel_peer::MAC);
    let config = NodeConfig {
        peer_mac,
        ..NodeConfig::new(driver, underlay)
    };
    let node = Node::start(&pair, &config);
    let [ours, theirs] = ["10.42.1.1", "10.42.2.1"].map(|text| text.parse().unwrap());
    ping(&pair.node, theirs, 3);
    let samples = Samples::record(&pair);

    let kernel = Kernel { pid: node.pid() };
    let mut random = Random::new(seed);
    let mut flood = |tunnel_frames, tun_packets| {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = StopOnDrop(&over);
            scope.spawn(|| talk_until(&over, &pair));
            flood_tunnel(&pair, kernel, &mut random, &samples, tunnel_frames);
            flood_tun(&pair, kernel, &mut random, &samples, tun_packets);
        });
    };
    flood(WARM_UP, WARM_UP);
    let (memory, files) = (kernel.memory(), kernel.open_files());
    let before = Books::closed(&node);
    flood(TUNNEL_FRAMES - WARM_UP, TUN_PACKETS - WARM_UP);

    node.assert_alive();
    let after = Books::closed(&node);
    assert!(
        after.from_underlay - before.from_underlay >= TUNNEL_FRAMES - WARM_UP,
        "{after:?}"
    );
    assert!(
        after.from_port - before.from_port >= TUN_PACKETS - WARM_UP,
        "{after:?}"
    );
    assert_eq!(
        after.from_port,
        kernel.tun_device().taken,
        "every packet taken was counted"
    );
    for reason in EXPECTED_DROPS {
        assert!(
            after.drops.get(*reason).is_some_and(|frames| *frames > 0),
            "{reason}: {after:?}"
        );
    }
    assert!(
        kernel.memory() <= memory + GROWTH_MAX,
        "{memory} KiB became {}",
        kernel.memory()
    );
    kernel.assert_files_closed(files);
    wait_for_ping(&pair.node, theirs);
    wait_for_ping(&pair.peer, ours);
    exchange_tcp(&pair.node, &pair.peer, theirs, 1 << 20);
}

/// Others' frames arrive whole, whatever is beside them in a batch.
fn talk_until(over: &AtomicBool, pair: &Pair) {
    while !over.load(Ordering::Relaxed) {
        exchange_tcp(
            &pair.node,
            &pair.peer,
            "10.42.2.1".parse().unwrap(),
            1 << 18,
        );
        exchange_tcp(
            &pair.peer,
            &pair.node,
            "fd42:1::1".parse().unwrap(),
            1 << 18,
        );
    }
}

/// Sends frames to the tunnel socket until `count` of them have got past its buffer.
fn flood_tunnel(pair: &Pair, kernel: Kernel, random: &mut Random, samples: &Samples, count: u64) {
    let (peer, stranger) = (Underlay::V4.peer(), Underlay::V4.stranger());
    // Known and unknown senders, with several source ports to reach every worker.
    let sockets = [peer, peer, peer, peer, peer, peer, peer, stranger].map(|address| {
        let bind = || UdpSocket::bind((address, 0));
        pair.peer.run(bind).unwrap().unwrap()
    });
    let before = kernel.tunnel_sockets(Sockets::VXLAN).dropped;
    let mut sent = 0;
    while sent < count + kernel.tunnel_sockets(Sockets::VXLAN).dropped - before {
        for _ in 0..BURST {
            let frame = mutate::tunnel_frame(random, Shape::VXLAN, &samples.tunnel);
            let socket = &sockets[random.below(sockets.len())];
            socket.send_to(&frame, (Underlay::V4.node(), 4789)).unwrap();
        }
        sent += BURST;
        wait_while("the socket", || {
            kernel.tunnel_sockets(Sockets::VXLAN).queued > QUEUED_MAX
        });
    }
    wait_while("the socket", || {
        kernel.tunnel_sockets(Sockets::VXLAN).queued > 0
    });
}

/// Hands packets to the TUN device until the node has taken `count`.
fn flood_tun(pair: &Pair, kernel: Kernel, random: &mut Random, samples: &Samples, count: u64) {
    let (socket, device) = pair.node.run(open_packet_socket).unwrap();
    let before = kernel.tun_device();
    while kernel.tun_device().taken - before.taken < count {
        let state = kernel.tun_device();
        let mut handed = 0;
        while handed < BURST {
            let packet = mutate::tun_packet(random, &samples.tun);
            match sendto(socket.as_raw_fd(), &packet, &device, MsgFlags::empty()) {
                Ok(_) => handed += 1,
                // Longer than the MTU, or empty: the kernel keeps such from the device.
                Err(Errno::EMSGSIZE | Errno::EINVAL) => {}
                Err(error) => panic!("packet socket: {error}"),
            }
        }
        let done = |now: crate::books::DeviceState| now.taken + now.dropped;
        wait_while("the device", || {
            done(kernel.tun_device()) < done(state) + handed
        });
    }
}

/// A socket that hands whole packets to the TUN device as they are, and the device's address.
fn open_packet_socket() -> (OwnedFd, LinkAddr) {
    let open = |protocol: Option<SockProtocol>| {
        socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )
        .unwrap()
    };
    // A device without a link-layer address is told of only as the source of a packet.
    let listener = open(Some(SockProtocol::EthAll));
    let index = if_nametoindex(node::DEVICE).unwrap();
    setsockopt(
        &listener,
        ReceiveTimeout,
        &TimeVal::seconds(PATIENCE.as_secs() as i64),
    )
    .unwrap();
    let prod = UdpSocket::bind("0.0.0.0:0").unwrap();
    loop {
        prod.send_to(&[0], "10.42.2.1:9").unwrap();
        let (_, from) = recvfrom::<LinkAddr>(listener.as_raw_fd(), &mut [0; 2048]).unwrap();
        if let Some(device) = from.filter(|from| from.ifindex() == index as usize) {
            return (open(None), device);
        }
    }
}

pub(crate) fn wait_while(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while condition() {
        assert!(
            Instant::now() < deadline,
            "the node takes nothing more from {what}"
        );
        thread::sleep(Duration::from_micros(50));
    }
}
