//! Real frames to mutate: what a kernel peer and the node's own host send.

use std::net::IpAddr;

use crate::pcap;
use crate::support::capture::Capture;
use crate::support::node;
use crate::support::pair::{Pair, UNDERLAY_DEVICE};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping};

/// Ethernet, IPv4 without options, UDP: what a tunnel frame has before its VXLAN header.
const OUTER_BYTES: usize = 14 + 20 + 8;

/// Frames as each side of the node takes them.
#[derive(Debug)]
pub(crate) struct Samples {
    /// UDP payloads of the peer: VXLAN header and Ethernet frame.
    pub(crate) tunnel: Vec<Vec<u8>>,
    /// IP packets that the node's host sends by the TUN device.
    pub(crate) tun: Vec<Vec<u8>>,
}

impl Samples {
    /// Captures some of every kind of traffic, both ways. The underlay is IPv4.
    pub(crate) fn record(pair: &Pair) -> Self {
        let underlay = Capture::start(pair, &pair.peer, UNDERLAY_DEVICE, "udp dst port 4789");
        let tun = Capture::start(pair, &pair.node, node::DEVICE, "");
        // The peer asks for the node's MAC address again: ARP and ND are to be among the samples.
        for (ours, theirs) in [("10.42.1.1", "10.42.2.1"), ("fd42:1::1", "fd42:2::1")] {
            let [ours, theirs]: [IpAddr; 2] = [ours, theirs].map(|text| text.parse().unwrap());
            ping(&pair.peer, ours, 3);
            ping(&pair.node, theirs, 3);
            exchange_tcp(&pair.node, &pair.peer, theirs, 30_000);
            let sizes = [1, 2, 64, 65, 700, 1400, 4000];
            exchange_udp(&pair.peer, &pair.node, ours, sizes.into_iter());
        }
        let mut tunnel = pcap::read(&underlay.finish());
        tunnel.retain_mut(|frame| {
            frame.drain(..OUTER_BYTES);
            !frame.is_empty()
        });
        let samples = Self {
            tunnel,
            tun: pcap::read(&tun.finish()),
        };
        assert!(
            samples.tunnel.len() > 50,
            "{} tunnel frames",
            samples.tunnel.len()
        );
        assert!(samples.tun.len() > 50, "{} packets", samples.tun.len());
        samples
    }
}
