//! A node that is killed in traffic and started again is back as it was.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::stop::StopOnDrop;
use crate::support::kernel_peer::{self, Style};
use crate::support::node::{DEVICE, Node, NodeConfig};
use crate::support::pair::{Pair, Underlay, ip};
use crate::support::traffic::{exchange_tcp, wait_for_ping};

const KILLS: usize = 3;

#[test]
fn io_uring() {
    comes_back_after_kills("io_uring");
}

#[test]
fn epoll() {
    comes_back_after_kills("epoll");
}

fn comes_back_after_kills(driver: &'static str) {
    let pair = Pair::create();
    let underlay = Underlay::V4;
    kernel_peer::start(&pair, underlay, Style::OnLink);
    let config = NodeConfig::new(driver, underlay);
    let theirs: IpAddr = "10.42.2.1".parse().unwrap();
    let ours: IpAddr = "10.42.1.1".parse().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut node = Node::start(&pair, &config);
        wait_for_ping(&pair.node, theirs);
        for (from, to) in [(&pair.node, theirs), (&pair.peer, ours)] {
            let socket = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
            let over = &over;
            scope.spawn(move || send_until(over, &socket, to));
        }
        let _stop = StopOnDrop(&over);
        for _ in 0..KILLS {
            node.kill();
            node = Node::start(&pair, &config);
            wait_for_ping(&pair.node, theirs);
            wait_for_ping(&pair.peer, ours);
            exchange_tcp(&pair.peer, &pair.node, ours, 1 << 20);
            assert_eq!(routes(&pair), ["10.42.1.0/24", "10.42.2.0/24"]);
        }
        node.assert_alive();
    });
}

/// Sends datagrams that nobody waits for; while the node is down there is no way to send them.
fn send_until(over: &AtomicBool, socket: &UdpSocket, to: IpAddr) {
    while !over.load(Ordering::Relaxed) {
        for _ in 0..32 {
            let _ = socket.send_to(&[0; 512], (to, 9));
        }
        thread::yield_now();
    }
}

fn routes(pair: &Pair) -> Vec<String> {
    let shown = ip(&pair.node, &format!("-4 route show dev {DEVICE}"));
    let mut prefixes: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    prefixes.sort();
    prefixes
}
