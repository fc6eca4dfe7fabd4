//! Proof that the forwarding graph allocates nothing per packet.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod counting;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use crossbeam::utils::CachePadded;
use etherparse::{PacketBuilder, TcpOptionElement};
use ringlay_dataplane::batch::{BATCH_SIZE, Batch};
use ringlay_dataplane::counters::WorkerCounters;
use ringlay_dataplane::endpoint::Endpoint;
use ringlay_dataplane::frame::{Frame, Gso, Ingress, Meta, Offload};
use ringlay_dataplane::id::{NetworkId, PortId, TunnelId, UnderlayId};
use ringlay_dataplane::mempool::Mempool;
use ringlay_dataplane::node::{Context, Graph, Output};
use ringlay_dataplane::port::uplink;
use ringlay_dataplane::stage::Stage;
use ringlay_dataplane::tables::{
    Bridge, FdbEntry, Fib, Link, Network, NextHop, Place, Port, Tables, Tunnel,
};
use ringlay_encap::template::{Inner, Template};
use ringlay_encap::{Encapsulation, Ipv4Packet, MacAddr, TunnelKey, UdpChecksum, Vni};

use self::counting::allocations;

const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn tables() -> Tables {
    let vni = Vni::new(42).unwrap();
    let vtep: IpAddr = "192.168.77.2".parse().unwrap();
    let mut tables = Tables::default();
    let port = tables.insert_next_hop(NextHop::Port(PortId(0)));
    let peer = tables.insert_next_hop(NextHop::Tunnel(TunnelId(0)));
    let unresolved = tables.insert_next_hop(NextHop::Tunnel(TunnelId(1)));
    let direct = tables.insert_next_hop(NextHop::Tunnel(TunnelId(3)));
    let off_link = tables.insert_next_hop(NextHop::OffLink);
    let by_uplink = tables.insert_next_hop(NextHop::Tunnel(TunnelId(2)));
    let mut fib = Fib::default();
    fib.v4.insert("10.42.1.0/24".parse().unwrap(), port);
    fib.v4.insert("10.42.2.0/24".parse().unwrap(), peer);
    fib.v4.insert("10.42.3.0/24".parse().unwrap(), unresolved);
    fib.v4.insert("10.42.4.0/24".parse().unwrap(), by_uplink);
    fib.v4.insert("10.42.5.0/24".parse().unwrap(), direct);
    fib.v4.insert("10.42.6.0/24".parse().unwrap(), off_link);
    let network = Network {
        mac: OUR_MAC,
        mtu: 1450,
        mss_clamp: true,
        fragment: true,
        vteps: vec![vtep],
        addresses: vec!["10.42.1.1".parse().unwrap()],
        fib,
        ..Network::new(UnderlayId(0), TunnelKey::Vxlan(vni))
    };
    let builder = Template::builder("192.168.77.1".parse().unwrap(), vtep);
    let template = builder.vxlan(vni, PEER_MAC, OUR_MAC).unwrap();
    let whole = builder
        .ethernet(uplink::MAC, uplink::PEER_MAC)
        .vxlan(vni, PEER_MAC, OUR_MAC)
        .unwrap();
    let endpoint = Endpoint {
        checksum: UdpChecksum::On,
        local: "192.168.77.1:4789".parse().unwrap(),
        encapsulation: Encapsulation::Vxlan,
    };
    tables.insert_underlay(UnderlayId(0), endpoint);
    let remote = SocketAddr::new(vtep, 4789);
    let network_id = NetworkId(0);
    tables.insert_network(network_id, network);
    tables.insert_port(
        PortId(0),
        Port {
            network: network_id,
        },
    );
    let as_it_is = builder.plain().unwrap();
    for (id, template) in [
        (0, Some(template)),
        (1, None),
        (2, Some(whole)),
        (3, Some(as_it_is)),
    ] {
        tables.insert_tunnel(
            TunnelId(id),
            Tunnel {
                network: network_id,
                underlay: UnderlayId(0),
                local: "192.168.77.1".parse().unwrap(),
                remote,
                mtu: 1450,
                template,
            },
        );
    }
    tables
}

fn udp(src: [u8; 4], dst: [u8; 4], ttl: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(src, dst, ttl)
        .udp(1, 2)
        .write(&mut packet, &[7; 600])
        .unwrap();
    packet
}

fn datagram(vni: u8, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 0, 0, 0, 0, vni, 0];
    bytes.extend(OUR_MAC.0);
    bytes.extend(PEER_MAC.0);
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// How to change a frame's `meta`.
type Change = fn(&mut Meta);

/// A frame, where it comes from, and what is told of it.
type Packet = (Ingress, Vec<u8>, Change);

/// One packet for every kind of treatment: forwarded both ways, cut, merged,
/// refused with an ICMP error, answered, held, dropped.
fn traffic() -> Vec<Packet> {
    let (here, there) = ([10, 42, 1, 1], [10, 42, 2, 1]);
    let port = Ingress::Port(PortId(0));
    let underlay = Ingress::Underlay(UnderlayId(0));
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(PEER_MAC.0);
    arp.extend(there);
    arp.extend([0; 6]);
    arp.extend(here);
    let single = datagram(42, 0x0800, &udp(there, here, 64));
    let mut outer = Vec::new();
    PacketBuilder::ethernet2(PEER_MAC.0, OUR_MAC.0)
        .ipv4([192, 168, 77, 2], [192, 168, 77, 1], 64)
        .udp(50_000, 4789)
        .write(&mut outer, &single)
        .unwrap();
    let train = [&single[..], &single[..], &single[..]].concat();
    let plain: Change = |_| ();
    let mut syn = Vec::new();
    PacketBuilder::ipv4(here, there, 64)
        .tcp(1, 2, 3, 4)
        .syn()
        .options(&[TcpOptionElement::MaximumSegmentSize(8960)])
        .unwrap()
        .write(&mut syn, &[])
        .unwrap();
    let mut long = Vec::new();
    PacketBuilder::ipv4(here, there, 64)
        .udp(1, 2)
        .write(&mut long, &[7; 8000])
        .unwrap();
    let mut view = Ipv4Packet::new_unchecked(&mut long[..]);
    view.set_dont_fragment(false);
    vec![
        (port, syn, plain),
        (port, long.clone(), plain),
        (port, long, |meta| {
            meta.offload = Offload {
                gso: Gso::UdpL4,
                gso_size: 3000,
                ..Offload::default()
            };
        }),
        (port, udp(here, there, 64), plain),
        (port, udp(here, there, 64), |meta| {
            meta.offload = Offload {
                gso: Gso::UdpL4,
                gso_size: 100,
                ..Offload::default()
            };
        }),
        (port, udp(here, [10, 42, 5, 1], 64), plain),
        (port, udp(here, [10, 42, 6, 1], 64), plain),
        (port, udp(here, [10, 42, 4, 1], 64), plain),
        (port, udp(here, [10, 42, 4, 1], 64), |meta| {
            meta.offload = Offload {
                needs_checksum: true,
                gso: Gso::UdpL4,
                gso_size: 100,
                csum_start: 20,
                csum_offset: 6,
                ..Offload::default()
            };
        }),
        (Ingress::Uplink(UnderlayId(0)), outer.clone(), plain),
        (Ingress::Wire, outer, plain),
        (port, udp(here, there, 1), plain),
        (port, udp(here, [10, 99, 0, 1], 64), plain),
        (port, udp(here, [10, 42, 3, 1], 64), plain),
        (port, vec![0xff; 90], plain),
        (underlay, single, plain),
        (underlay, train, |meta| {
            meta.segment_size = 8 + 14 + 28 + 600;
        }),
        (underlay, datagram(42, 0x0800, &udp(there, here, 1)), plain),
        (underlay, datagram(43, 0x0800, &udp(there, here, 64)), plain),
        (underlay, datagram(42, 0x0806, &arp), plain),
        (underlay, vec![0; 3], plain),
    ]
}

/// Counts what comes out, and lets it go.
#[derive(Default)]
struct Count {
    packets: usize,
    super_frames: usize,
    datagrams: usize,
    by_uplink: usize,
}

impl Output for Count {
    fn port(&mut self, frame: Frame) {
        self.packets += 1;
        self.super_frames += usize::from(frame.meta.offload.gso != Gso::None);
    }

    fn underlay(&mut self, frame: Frame) {
        self.datagrams += frame.datagrams();
    }

    fn uplink(&mut self, _frame: Frame) {
        self.by_uplink += 1;
    }
}

#[test]
fn forwarding_allocates_nothing() {
    // Two packets by the uplink, one of them a super-frame.
    forward(tables(), 2);
}

#[test]
fn forwarding_by_a_wire_allocates_nothing() {
    let mut tables = tables();
    tables.insert_wire(UnderlayId(0), 1500);
    // One packet, and the six of a super-frame.
    forward(tables, 7);
}

/// Rounds that are counted.
const ROUNDS: u64 = 5_000;

/// Forwards all of the traffic, of which so many frames leave by the uplink each time.
fn forward(tables: Tables, by_uplink: usize) {
    let (count, counters) = run(&tables, &traffic(), false);
    let (measured, clocked) = run(&tables, &traffic(), true);
    assert_eq!(measured.by_uplink, count.by_uplink);
    let sent = clocked.stages.read(Stage::Send).frames;
    assert!(sent > 0 && counters.stages.read(Stage::Send).frames == 0);
    let rounds = ROUNDS as usize;
    let repeats = repeats(&traffic());
    // Of each repetition of the list: one datagram as it is, six of the super-frame, one ARP reply,
    // the beginning of a connection, six fragments and as many again; and the four received ones are
    // merged.
    assert!(
        count.datagrams >= rounds * repeats * 21,
        "{} datagrams",
        count.datagrams
    );
    assert_eq!(count.by_uplink, rounds * repeats * by_uplink);
    assert!(
        count.super_frames >= rounds,
        "{} super-frames",
        count.super_frames
    );
    assert!(count.packets > count.super_frames, "and ICMP errors");
    assert!(counters.fragmented.value() >= (rounds * repeats * 4) as u64);
    assert!(counters.icmp_limited.value() > 0 && counters.originated.value() > 0);
}

/// How often a batch has room for all of the traffic.
fn repeats(traffic: &[Packet]) -> usize {
    BATCH_SIZE / traffic.len()
}

/// Forwards rounds of a batch of the traffic, which must allocate nothing, also while the stages are
/// measured.
fn run(
    tables: &Tables,
    traffic: &[Packet],
    measured: bool,
) -> (Count, CachePadded<WorkerCounters>) {
    let pool = Mempool::new(256).unwrap();
    let counters = WorkerCounters::new();
    if measured {
        counters.stages.start();
    }
    let (events, _receiver) = bounded(16);
    let start = Instant::now();
    let mut graph = Graph::new(pool.clone(), 1, start);
    let mut batch = Batch::new();
    let mut round = |n: u64, count: &mut Count| {
        let now = start + Duration::from_millis(n);
        let context = Context {
            tables,
            counters: &counters,
            events: &events,
            now,
        };
        for (number, (ingress, data, change)) in traffic
            .iter()
            .cycle()
            .take(repeats(traffic) * traffic.len())
            .enumerate()
        {
            // Both sizes of frames, now this way round, now that.
            let small = (number as u64 + n).is_multiple_of(2);
            let small = small.then(|| pool.small_copy_of(data)).flatten();
            let mut frame = small.unwrap_or_else(|| pool.copy_of(data).unwrap());
            frame.meta.ingress = *ingress;
            frame.meta.remote = "192.168.77.2:5000".parse().unwrap();
            change(&mut frame.meta);
            batch.push(frame).unwrap();
        }
        graph.run(&mut batch, &context, count);
        graph.expire_held(&context, count);
        graph.release_held(&context, count);
    };
    // The channel allocates its first block lazily.
    let mut count = Count::default();
    (0..100).for_each(|n| round(n, &mut count));
    let mut count = Count::default();
    let before = allocations();
    (100..100 + ROUNDS).for_each(|n| round(n, &mut count));
    assert_eq!(allocations() - before, 0);
    (count, counters)
}

#[test]
fn routing_for_hosts_on_a_link_allocates_nothing() {
    for offloads in [true, false] {
        let (mut tables, link) = (tables(), PortId(1));
        let [on_link, own] = [NextHop::Link(link), NextHop::Local];
        let [on_link, own] = [on_link, own].map(|it| tables.insert_next_hop(it));
        let mut network = tables.network(NetworkId(0)).unwrap().clone();
        let v4 = &mut network.fib.v4;
        v4.insert("10.42.5.0/24".parse().unwrap(), on_link);
        v4.insert("10.42.5.1/32".parse().unwrap(), own);
        tables.insert_network(NetworkId(0), network);
        let network = NetworkId(0);
        tables.insert_port(link, Port { network });
        let host: IpAddr = "10.42.5.9".parse().unwrap();
        let table = Link {
            mac: OUR_MAC,
            addresses: vec!["10.42.5.1".parse().unwrap()],
            proxy: true,
            mtu: 1450,
            offloads,
            neighbours: [(host, PEER_MAC)].into_iter().collect(),
        };
        tables.insert_link(link, table);
        let (count, counters) = run(&tables, &traffic_of_hosts(link), offloads);
        let rounds = ROUNDS as usize;
        assert!(count.packets > rounds * 3 && count.datagrams >= rounds);
        assert_eq!(count.super_frames > 0, offloads);
        assert!(counters.held.value() > 0 && counters.consumed.value() > 0);
    }
}

/// From hosts and to them: forwarded, cut, answered, held, dropped.
fn traffic_of_hosts(link: PortId) -> Vec<Packet> {
    let (pod, host, router) = ([10, 42, 1, 1], [10, 42, 5, 9], [10, 42, 5, 1]);
    let [link, port] = [Ingress::Ethernet(link), Ingress::Port(PortId(0))];
    let ethernet = |ethertype, packet: &[u8]| datagram(42, ethertype, packet).split_off(8);
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(PEER_MAC.0);
    arp.extend(host);
    arp.extend([0; 6]);
    arp.extend(router);
    let mut echo = Vec::new();
    PacketBuilder::ipv4(host, router, 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut echo, b"echo")
        .unwrap();
    let plain: Change = |_| ();
    vec![
        (link, ethernet(0x0800, &udp(host, pod, 64)), plain),
        (
            link,
            ethernet(0x0800, &udp(host, [10, 42, 2, 1], 64)),
            plain,
        ),
        (
            link,
            ethernet(0x0800, &udp(host, [10, 42, 5, 7], 64)),
            plain,
        ),
        (link, ethernet(0x0806, &arp), plain),
        (link, ethernet(0x0800, &echo), plain),
        (link, ethernet(0x88cc, &echo), plain),
        (port, udp(pod, host, 64), plain),
        (port, udp(pod, host, 64), |meta| {
            meta.offload = Offload {
                needs_checksum: true,
                gso: Gso::UdpL4,
                gso_size: 100,
                csum_start: 20,
                csum_offset: 6,
                ..Offload::default()
            };
        }),
    ]
}

#[test]
fn bridging_allocates_nothing() {
    let (mut tables, blue) = (tables(), NetworkId(1));
    let (here, beside) = (PortId(1), PortId(2));
    let (vni, vtep) = (Vni::new(43).unwrap(), "192.168.77.2".parse().unwrap());
    let network = Network {
        key: TunnelKey::Vxlan(vni),
        addresses: Vec::new(),
        fib: Fib::default(),
        ..tables.network(NetworkId(0)).unwrap().clone()
    };
    tables.insert_network(blue, network);
    for port in [here, beside] {
        tables.insert_port(port, Port { network: blue });
    }
    let builder = Template::builder("192.168.77.1".parse().unwrap(), vtep);
    let frames = builder.tunnel(TunnelKey::Vxlan(vni), Inner::Frames);
    let tunnel = Tunnel {
        network: blue,
        template: Some(frames.unwrap()),
        ..tables.tunnel(TunnelId(0)).unwrap().clone()
    };
    tables.insert_tunnel(TunnelId(9), tunnel);
    let entry = |mac, place| FdbEntry::new(mac, place, false);
    let fdb = [
        entry(OUR_MAC, Place::Port(here)),
        entry(PEER_MAC, Place::Tunnel(TunnelId(9))),
    ];
    let bridge = Bridge {
        ports: vec![here, beside],
        tunnels: vec![(vtep, TunnelId(9))],
        learns: true,
        fdb: fdb.into_iter().collect(),
    };
    tables.insert_bridge(blue, bridge);
    let (count, counters) = run(&tables, &traffic_of_a_bridge(here), true);
    let rounds = ROUNDS as usize;
    assert!(count.packets > rounds * 3 && count.datagrams > rounds * 9);
    assert!(count.super_frames > rounds && counters.flooded.value() > ROUNDS);
    // News was told, and the queue for it was full.
    assert!(counters.events_lost.value() > 0);
}

/// Forwarded, flooded, cut, merged, learned from, dropped.
fn traffic_of_a_bridge(port: PortId) -> Vec<Packet> {
    const NEW: MacAddr = MacAddr([2, 0, 0, 0, 7, 7]);
    let (here, there) = ([10, 43, 0, 1], [10, 43, 0, 2]);
    let (port, underlay) = (Ingress::Ethernet(port), Ingress::Underlay(UnderlayId(0)));
    let frame = |dst: MacAddr, src: MacAddr, packet: &[u8]| {
        [&dst.0[..], &src.0[..], &[8, 0], packet].concat()
    };
    let out = udp(here, there, 64);
    let back = frame(OUR_MAC, PEER_MAC, &udp(there, here, 64));
    let back = [&[8, 0, 0, 0, 0, 0, 43, 0][..], &back].concat();
    let plain: Change = |_| ();
    let to_be_cut: Change = |meta| {
        meta.offload = Offload {
            gso: Gso::UdpL4,
            gso_size: 100,
            ..Offload::default()
        };
    };
    vec![
        (port, frame(PEER_MAC, OUR_MAC, &out), plain),
        (port, frame(PEER_MAC, OUR_MAC, &out), to_be_cut),
        (port, frame(MacAddr::BROADCAST, OUR_MAC, &out), plain),
        (port, frame(MacAddr::BROADCAST, OUR_MAC, &out), to_be_cut),
        (port, frame(PEER_MAC, NEW, &out), plain),
        (port, frame(OUR_MAC, PEER_MAC, &out), plain),
        (port, vec![0xff; 90], plain),
        (underlay, back.clone(), plain),
        (underlay, [&back[..], &back, &back].concat(), |meta| {
            meta.segment_size = 8 + 14 + 28 + 600;
        }),
    ]
}

#[test]
fn the_count_counts() {
    let before = allocations();
    drop(std::hint::black_box(vec![1u8]));
    assert!(allocations() > before);
}
