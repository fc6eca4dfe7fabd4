//! The forwarding graph without IO: packets in, packets out, every one accounted for.

mod bridge;
mod checksums;
mod encapsulations;
mod forward;
mod fragment;
mod full;
mod headers;
mod link;
mod malformed;
mod mss_clamp;
mod nesting;
mod plain;
mod probe;
mod resolve;
mod stages;
mod super_frames;
mod tell;
mod uplink;
mod wire;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use crossbeam::utils::CachePadded;
use etherparse::PacketBuilder;
use ringlay_encap::template::{Template, TemplateBuilder};
use ringlay_encap::{Encapsulation, MacAddr, TunnelKey, UdpChecksum, Vni};
use ringlay_lpm::Prefix;

use super::{Context, Graph, Output};
use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::frame::{Frame, Ingress};
use crate::id::{NetworkId, PortId, TunnelId, UnderlayId};
use crate::mempool::{Mempool, SMALL_FRAMES};
use crate::tables::{Fib, Network, NextHop, Port, Tables, Tunnel};

const NET: NetworkId = NetworkId(0);
const PORT: PortId = PortId(0);
const UNDERLAY: UnderlayId = UnderlayId(0);
const PEER: TunnelId = TunnelId(0);
/// A tunnel whose far end has no known MAC address.
const STRANGER: TunnelId = TunnelId(1);

const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OUR_VTEP: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
const PEER_VTEP: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
const STRANGER_VTEP: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 3);
const VNI: u32 = 42;
const MTU: usize = 1450;

/// Here: 10.42.1.0/24 and fd42:1::/64 behind the port; 10.42.2.0/24 and fd42:2::/64
/// behind the peer; 10.42.3.0/24 behind the stranger; 10.42.9.0/24 dropped.
fn tables() -> Tables {
    let mut tables = Tables::default();
    let port = tables.insert_next_hop(NextHop::Port(PORT));
    let peer = tables.insert_next_hop(NextHop::Tunnel(PEER));
    let stranger = tables.insert_next_hop(NextHop::Tunnel(STRANGER));
    let nowhere = tables.insert_next_hop(NextHop::Drop);
    let mut fib = Fib::default();
    for (prefix, next_hop) in [
        ("10.42.1.0/24", port),
        ("10.42.2.0/24", peer),
        ("10.42.3.0/24", stranger),
        ("10.42.9.0/24", nowhere),
    ] {
        fib.v4
            .insert(prefix.parse::<Prefix<_>>().unwrap(), next_hop);
    }
    fib.v6.insert("fd42:1::/64".parse().unwrap(), port);
    fib.v6.insert("fd42:2::/64".parse().unwrap(), peer);
    let network = Network {
        mac: OUR_MAC,
        mtu: MTU,
        vteps: vec![IpAddr::V4(PEER_VTEP), IpAddr::V4(STRANGER_VTEP)],
        addresses: vec!["10.42.1.1".parse().unwrap(), "fd42:1::1".parse().unwrap()],
        fib,
        ..Network::new(UNDERLAY, TunnelKey::Vxlan(Vni::new(VNI).unwrap()))
    };
    tables.insert_underlay(UNDERLAY, endpoint(Encapsulation::Vxlan));
    tables.insert_network(NET, network);
    tables.insert_port(PORT, Port { network: NET });
    tables.insert_tunnel(PEER, tunnel(PEER_VTEP, Some(PEER_MAC)));
    tables.insert_tunnel(STRANGER, tunnel(STRANGER_VTEP, None));
    tables
}

fn endpoint(encapsulation: Encapsulation) -> Endpoint {
    let port = encapsulation.udp_port().unwrap_or(0);
    Endpoint {
        checksum: UdpChecksum::On,
        local: SocketAddr::new(IpAddr::V4(OUR_VTEP), port),
        encapsulation,
    }
}

fn tunnel(remote: Ipv4Addr, mac: Option<MacAddr>) -> Tunnel {
    let template = mac.map(|mac| {
        Template::builder(IpAddr::V4(OUR_VTEP), IpAddr::V4(remote))
            .vxlan(Vni::new(VNI).unwrap(), mac, OUR_MAC)
            .unwrap()
    });
    Tunnel {
        network: NET,
        underlay: UNDERLAY,
        local: IpAddr::V4(OUR_VTEP),
        remote: SocketAddr::new(IpAddr::V4(remote), 4789),
        mtu: MTU,
        template,
    }
}

/// What came out.
#[derive(Default)]
struct Sink {
    ports: Vec<Frame>,
    underlays: Vec<Frame>,
    uplinks: Vec<Frame>,
}

impl Output for Sink {
    fn port(&mut self, frame: Frame) {
        self.ports.push(frame);
    }

    fn underlay(&mut self, frame: Frame) {
        self.underlays.push(frame);
    }

    fn uplink(&mut self, frame: Frame) {
        self.uplinks.push(frame);
    }
}

/// A graph with its surroundings. Dropping it checks that no frame got lost.
struct Rig {
    tables: Tables,
    graph: Graph,
    sink: Sink,
    pool: Mempool,
    /// Whether the next frame is a small one.
    small: Cell<bool>,
    counters: CachePadded<WorkerCounters>,
    event_sender: Sender<Event>,
    events: Receiver<Event>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let (event_sender, events) = unbounded();
        let now = Instant::now();
        let pool = Mempool::new(256).unwrap();
        Self {
            tables: tables(),
            graph: Graph::new(pool.clone(), 1, now),
            sink: Sink::default(),
            pool,
            small: Cell::new(true),
            counters: WorkerCounters::new(),
            event_sender,
            events,
            now,
        }
    }

    /// Has the peer reached with headers of VXLAN to which `adjust` adds; returns their length.
    fn reach_peer(&mut self, adjust: impl FnOnce(TemplateBuilder) -> TemplateBuilder) -> usize {
        let builder = adjust(Template::builder(OUR_VTEP.into(), PEER_VTEP.into()));
        let template = builder.vxlan(Vni::new(VNI).unwrap(), PEER_MAC, OUR_MAC);
        let (template, unresolved) = (template.unwrap(), tunnel(PEER_VTEP, None));
        let len = template.len();
        let tunnel = Tunnel {
            template: Some(template),
            ..unresolved
        };
        self.tables.insert_tunnel(PEER, tunnel);
        len
    }

    fn with_graph(&mut self, act: impl FnOnce(&mut Graph, &Context<'_>, &mut Sink)) {
        let context = Context {
            tables: &self.tables,
            counters: &self.counters,
            events: &self.event_sender,
            now: self.now,
        };
        act(&mut self.graph, &context, &mut self.sink);
    }

    /// What came out: packets for the port, then datagrams for the underlay.
    fn collect(&mut self) -> (Vec<Frame>, Vec<Frame>) {
        let ports = std::mem::take(&mut self.sink.ports);
        let underlays = std::mem::take(&mut self.sink.underlays);
        let datagrams: usize = underlays.iter().map(Frame::datagrams).sum();
        self.counters.sent.add((ports.len() + datagrams) as u64);
        (ports, underlays)
    }

    /// What left by uplinks and wires.
    fn uplinks(&mut self) -> Vec<Frame> {
        let frames = std::mem::take(&mut self.sink.uplinks);
        self.counters.sent.add(frames.len() as u64);
        frames
    }

    fn run(&mut self, frames: impl IntoIterator<Item = Frame>) -> (Vec<Frame>, Vec<Frame>) {
        let mut batch = Batch::new();
        for frame in frames {
            self.counters.received.add(frame.datagrams() as u64);
            batch.push(frame).unwrap();
        }
        self.with_graph(|graph, context, sink| graph.run(&mut batch, context, sink));
        self.collect()
    }

    fn send_from_port(&mut self, packet: &[u8]) -> (Vec<Frame>, Vec<Frame>) {
        let frame = self.frame(Ingress::Port(PORT), packet);
        self.run([frame])
    }

    fn send_from_vtep(&mut self, vtep: Ipv4Addr, datagram: &[u8]) -> (Vec<Frame>, Vec<Frame>) {
        let mut frame = self.frame(Ingress::Underlay(UNDERLAY), datagram);
        frame.meta.remote = SocketAddr::new(IpAddr::V4(vtep), 55_555);
        self.run([frame])
    }

    /// Every other frame that it is long enough for is a small one, as drivers have both.
    fn frame(&self, ingress: Ingress, data: &[u8]) -> Frame {
        let small = self.small.replace(!self.small.get());
        let small = small.then(|| self.pool.small_copy_of(data)).flatten();
        let mut frame = small.unwrap_or_else(|| self.pool.copy_of(data).unwrap());
        frame.meta.ingress = ingress;
        frame
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.counters.drops(reason)
    }

    /// The only drop so far is one for `reason`.
    #[track_caller]
    fn assert_only_drop(&self, reason: DropReason) {
        assert_eq!(self.drops(reason), 1, "{}", reason.name());
        assert_eq!(self.counters.total_drops(), 1);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let c = &self.counters;
        let came =
            c.received.value() + c.originated.value() + c.segmented.value() + c.flooded.value();
        let went = c.sent.value()
            + c.consumed.value()
            + c.total_drops()
            + c.held.value()
            + c.coalesced.value();
        assert_eq!(came, went, "frames are conserved: {c:?}");
        self.with_graph(|graph, context, _| graph.shut_down(context));
        assert_eq!(
            (self.pool.available(), self.pool.available_small()),
            (256, SMALL_FRAMES as usize),
            "every frame went back to the pool"
        );
    }
}

/// A UDP packet over IPv4.
fn udp4(src: &str, dst: &str, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst): (Ipv4Addr, Ipv4Addr) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut packet = Vec::new();
    PacketBuilder::ipv4(src.octets(), dst.octets(), ttl)
        .udp(1000, 2000)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

/// A UDP packet over IPv6.
fn udp6(src: &str, dst: &str, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let parse = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut packet = Vec::new();
    PacketBuilder::ipv6(parse(src), parse(dst), hop_limit)
        .udp(1000, 2000)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

/// A VXLAN datagram's payload around `payload`.
fn vxlan(vni: u32, dst: MacAddr, src: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![8, 0, 0, 0];
    datagram.extend((vni << 8).to_be_bytes());
    datagram.extend(dst.0);
    datagram.extend(src.0);
    datagram.extend(ethertype.to_be_bytes());
    datagram.extend(payload);
    datagram
}

/// An IPv4 packet in VXLAN, as the peer sends it.
fn vxlan_ip4(packet: &[u8]) -> Vec<u8> {
    vxlan(VNI, OUR_MAC, PEER_MAC, 0x0800, packet)
}
