//! A worker's whole forwarding graph without IO, by encapsulation: a batch of packets from a port
//! out through a tunnel, and a batch from a tunnel in to a port. What a worker does between two
//! system calls.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel::{Sender, bounded};
use crossbeam::utils::CachePadded;
use ringlay_benches::packets::udp;
use ringlay_dataplane::batch::{BATCH_SIZE, Batch};
use ringlay_dataplane::counters::WorkerCounters;
use ringlay_dataplane::endpoint::Endpoint;
use ringlay_dataplane::event::Event;
use ringlay_dataplane::frame::{Frame, Ingress};
use ringlay_dataplane::id::{NetworkId, PortId, TunnelId, UnderlayId};
use ringlay_dataplane::mempool::Mempool;
use ringlay_dataplane::node::{Context, Graph, Output};
use ringlay_dataplane::tables::{Fib, Network, NextHop, Port, Tables, Tunnel};
use ringlay_encap::template::{Inner, Template};
use ringlay_encap::{EtherType, GreKey, MacAddr, TunnelKey, UdpChecksum, Vni};

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const NETWORK: NetworkId = NetworkId(0);
/// An IP packet in the smallest Ethernet frame, and one in a full frame of a tunnel.
const LENGTHS: [usize; 2] = [46, 1_400];
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 1, 1));
const BEYOND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 2, 1));

fn kinds() -> [(&'static str, TunnelKey, Inner); 6] {
    let vni = Vni::new(42).expect("42 is a VNI");
    let key = Some(GreKey(42));
    let ethernet = Inner::Ethernet {
        dst: PEER_MAC,
        src: OUR_MAC,
    };
    [
        ("vxlan", TunnelKey::Vxlan(vni), ethernet),
        ("geneve", TunnelKey::Geneve(vni), ethernet),
        ("geneve without ethernet", TunnelKey::Geneve(vni), Inner::Ip),
        ("gre with key", TunnelKey::Gre(key), Inner::Ip),
        ("gre with ethernet", TunnelKey::Gre(key), ethernet),
        ("ipip", TunnelKey::Ipip, Inner::Ip),
    ]
}

fn template(key: TunnelKey, inner: Inner) -> Template {
    let template = Template::builder(OURS, THEIRS).tunnel(key, inner);
    template.expect("both ends have one version")
}

fn tables(key: TunnelKey, inner: Inner) -> Tables {
    let mut tables = Tables::default();
    let udp_port = key.encapsulation().udp_port().unwrap_or(0);
    let mut fib = Fib::default();
    for (prefix, next_hop) in [
        ("10.42.1.0/24", NextHop::Port(PortId(0))),
        ("10.42.2.0/24", NextHop::Tunnel(TunnelId(0))),
    ] {
        let next_hop = tables.insert_next_hop(next_hop);
        fib.v4.insert(prefix.parse().expect("a prefix"), next_hop);
    }
    let local = SocketAddr::new(OURS, udp_port);
    let encapsulation = key.encapsulation();
    let endpoint = Endpoint {
        checksum: UdpChecksum::On,
        local,
        encapsulation,
    };
    tables.insert_underlay(UnderlayId(0), endpoint);
    let network = Network {
        mac: OUR_MAC,
        vteps: vec![THEIRS],
        mtu: 1450,
        addresses: vec![INSIDE],
        fib,
        ..Network::new(UnderlayId(0), key)
    };
    tables.insert_network(NETWORK, network);
    tables.insert_port(PortId(0), Port { network: NETWORK });
    let tunnel = Tunnel {
        network: NETWORK,
        underlay: UnderlayId(0),
        local: OURS,
        remote: SocketAddr::new(THEIRS, udp_port),
        mtu: 1_450,
        template: Some(template(key, inner)),
    };
    tables.insert_tunnel(TunnelId(0), tunnel);
    tables
}

/// Lets go of what comes out, and counts it.
#[derive(Default)]
struct Sink(usize);

impl Output for Sink {
    fn port(&mut self, _frame: Frame) {
        self.0 += 1;
    }

    fn underlay(&mut self, _frame: Frame) {
        self.0 += 1;
    }

    fn uplink(&mut self, _frame: Frame) {
        self.0 += 1;
    }
}

/// What a batch is made of: packets of different flows, so that none is merged with another.
fn batch_of(packet: impl Fn(u16) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..BATCH_SIZE as u16)
        .map(|flow| packet(1_024 + flow))
        .collect()
}

fn bench_graph(criterion: &mut Criterion) {
    for (direction, ingress) in [
        ("out", Ingress::Port(PortId(0))),
        ("in", Ingress::Underlay(UnderlayId(0))),
    ] {
        let mut group = criterion.benchmark_group(format!("graph/{direction}"));
        group.throughput(Throughput::Elements(BATCH_SIZE as u64));
        for (name, key, inner) in kinds() {
            for len in LENGTHS {
                let packets = batch_of(|flow| match ingress {
                    Ingress::Port(_) => udp(BEYOND, flow, len),
                    _ => tunnelled(key, inner, &udp(INSIDE, flow, len)),
                });
                group.bench_function(BenchmarkId::new(name, len), |bencher| {
                    let mut worker = Worker::new(key, inner);
                    assert_eq!(worker.run(&packets, ingress), BATCH_SIZE, "all go through");
                    bencher.iter(|| worker.run(&packets, ingress));
                });
            }
        }
        group.finish();
    }
}

/// A packet as the peer sends it to us.
fn tunnelled(key: TunnelKey, inner: Inner, packet: &[u8]) -> Vec<u8> {
    let inner = match inner {
        Inner::Ethernet { .. } => Inner::Ethernet {
            dst: OUR_MAC,
            src: PEER_MAC,
        },
        other => other,
    };
    let template = template(key, inner);
    let mut bytes = vec![0; template.tunnel_len()];
    template.write_tunnel(EtherType::IPV4, &mut bytes);
    bytes.extend(packet);
    bytes
}

/// One worker's state.
struct Worker {
    tables: Tables,
    pool: Mempool,
    graph: Graph,
    batch: Batch,
    counters: CachePadded<WorkerCounters>,
    events: Sender<Event>,
    start: Instant,
}

impl Worker {
    fn new(key: TunnelKey, inner: Inner) -> Self {
        let pool = Mempool::new(256).expect("memory for 256 slots");
        let start = Instant::now();
        Self {
            tables: tables(key, inner),
            graph: Graph::new(pool.clone(), 1, start),
            pool,
            batch: Batch::new(),
            counters: WorkerCounters::new(),
            events: bounded(1).0,
            start,
        }
    }

    /// Copies the packets into frames, as a driver's reads do, and forwards them; returns how many
    /// came out.
    fn run(&mut self, packets: &[Vec<u8>], ingress: Ingress) -> usize {
        for packet in packets {
            let mut frame = self.pool.copy_of(packet).expect("a slot for each");
            frame.meta.ingress = ingress;
            frame.meta.remote = SocketAddr::new(THEIRS, 50_000);
            self.batch
                .push(frame)
                .expect("a batch has room for a batch");
        }
        let context = Context {
            tables: &self.tables,
            counters: &self.counters,
            events: &self.events,
            now: self.start,
        };
        let mut sink = Sink::default();
        self.graph.run(&mut self.batch, &context, &mut sink);
        sink.0
    }
}

criterion_group!(benches, bench_graph);
criterion_main!(benches);
