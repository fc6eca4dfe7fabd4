//! Whatever the underlay brings, by any encapsulation, and hosts on a port: no panic, and each
//! frame goes by exactly one way. The frames are those of real peers (`encap/tests/vectors/`),
//! damaged, the same ones each time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use crossbeam::utils::CachePadded;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ringlay_dataplane::batch::{BATCH_SIZE, Batch};
use ringlay_dataplane::counters::WorkerCounters;
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::endpoint::Endpoint;
use ringlay_dataplane::frame::{Frame, Gso, Ingress, Offload};
use ringlay_dataplane::id::{NetworkId, PortId, TunnelId, UnderlayId};
use ringlay_dataplane::mempool::Mempool;
use ringlay_dataplane::node::{Context, Graph, Output};
use ringlay_dataplane::tables::{
    Bridge, FdbEntry, Fib, Link, Network, NextHop, Place, Port, Tables, Tunnel,
};
use ringlay_encap::template::{Inner, Template};
use ringlay_encap::{Encapsulation, GreKey, MacAddr, TunnelKey, UdpChecksum, Vni};

/// Frames by each encapsulation.
const FRAMES: usize = 60_000;
/// The longest datagram, and so more than any device of the underlay carries.
const LENGTH_MAX: usize = 9_000;

/// Reasons that these frames must have been dropped for, or they are less hostile than they claim.
const EXPECTED: &[DropReason] = &[
    DropReason::IpMalformed,
    DropReason::IpBadChecksum,
    DropReason::VxlanMalformed,
    DropReason::VxlanBadFlags,
    DropReason::VxlanUnknownVni,
    DropReason::GeneveMalformed,
    DropReason::GeneveCriticalOption,
    DropReason::GeneveControl,
    DropReason::GeneveUnknownVni,
    DropReason::GreMalformed,
    DropReason::GreBadChecksum,
    DropReason::GreUnknownKey,
    DropReason::IpipMalformed,
    DropReason::InnerMacForeign,
    DropReason::InnerProtocolUnknown,
    DropReason::ArpMalformed,
    DropReason::NdiscMalformed,
    DropReason::UplinkForeign,
    DropReason::UnderlayBadChecksum,
    DropReason::EtherMalformed,
    DropReason::EtherMacForeign,
    DropReason::EtherProtocolUnknown,
];

/// A port with Ethernet, and the node's MAC address there.
const LINK: PortId = PortId(1);
const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);

/// A tunnel packet of a real peer.
struct Sample {
    remote: IpAddr,
    /// With its outer headers, from Ethernet on.
    frame: Vec<u8>,
    /// Without.
    payload: Vec<u8>,
}

/// What was captured, by encapsulation: the position in [`Encapsulation::ALL`].
fn samples() -> BTreeMap<usize, Vec<Sample>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../encap/tests/vectors");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|name| name == "pcap"))
        .collect();
    paths.sort();
    let mut samples = BTreeMap::<_, Vec<_>>::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = Encapsulation::ALL
            .iter()
            .position(|kind| name.contains(kind.name()));
        let kind = kind.unwrap_or_else(|| panic!("{name} names no encapsulation"));
        for frame in records(&fs::read(&path).unwrap()) {
            samples.entry(kind).or_default().push(Sample::of(&frame));
        }
    }
    samples
}

/// The packets of a little-endian capture file.
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    file = &file[24..];
    let mut records = Vec::new();
    while let Some((header, rest)) = file.split_at_checked(16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        records.push(rest[..len].to_vec());
        file = &rest[len..];
    }
    records
}

impl Sample {
    fn of(frame: &[u8]) -> Self {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let net = packet.net.as_ref().unwrap();
        let remote = match net {
            NetSlice::Ipv4(ip) => ip.header().source_addr().into(),
            NetSlice::Ipv6(ip) => ip.header().source_addr().into(),
            NetSlice::Arp(_) => panic!("only tunnel packets were captured"),
        };
        let payload = match &packet.transport {
            Some(TransportSlice::Udp(udp)) => udp.payload().to_vec(),
            _ => net.ip_payload_ref().unwrap().payload.to_vec(),
        };
        Self {
            remote,
            payload,
            frame: frame.to_vec(),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Does damage to `bytes`, mostly where headers are.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let head = bytes.len().min(64);
        match self.below(10) {
            _ if head == 0 => {}
            0 => bytes.truncate(self.below(head + 1)),
            1 => bytes.truncate(self.below(bytes.len() + 1)),
            2 => bytes.extend((0..self.below(64)).map(|at| at as u8)),
            3 => *bytes = (0..self.below(200)).map(|_| self.next() as u8).collect(),
            4 => {
                // What a loop would make: tunnel in tunnel.
                let again = bytes[..self.below(head)].to_vec();
                bytes.splice(0..0, again.repeat(1 + self.below(8)));
                bytes.truncate(LENGTH_MAX);
            }
            5 => bytes[self.below(head)] = [0, 0x7f, 0x80, 0xff][self.below(4)],
            6..8 => (0..=self.below(4)).for_each(|_| {
                let at = self.below(head);
                bytes[at] ^= 1 << self.below(8);
            }),
            _ => {}
        }
    }
}

/// A node with a network for every key in the captures, at one endpoint for each encapsulation.
/// Packets for 10.42.0.0/16 and fd42::/16 are for its port, others go back through a tunnel.
fn tables() -> Tables {
    let mut tables = Tables::default();
    let local: IpAddr = "192.168.77.2".parse().unwrap();
    for (id, encapsulation) in (0..).zip(Encapsulation::ALL) {
        let port = encapsulation.udp_port().unwrap_or(0);
        let endpoint = Endpoint {
            checksum: UdpChecksum::On,
            local: SocketAddr::new(local, port),
            encapsulation,
        };
        tables.insert_underlay(UnderlayId(id), endpoint);
    }
    let remote: IpAddr = "192.168.77.1".parse().unwrap();
    let port = tables.insert_next_hop(NextHop::Port(PortId(0)));
    let tunnel = tables.insert_next_hop(NextHop::Tunnel(TunnelId(0)));
    let link = tables.insert_next_hop(NextHop::Link(LINK));
    let own = tables.insert_next_hop(NextHop::Local);
    let vni = |vni| Vni::new(vni).unwrap();
    // By key, and the subnet whose number is in the MAC addresses.
    let networks = [
        (TunnelKey::Vxlan(vni(42)), 0x42),
        (TunnelKey::Vxlan(vni(44)), 0x44),
        (TunnelKey::Vxlan(vni(51)), 0x51),
        (TunnelKey::Vxlan(vni(0x00ff_ffff)), 0x43),
        (TunnelKey::Geneve(vni(55)), 0x55),
        (TunnelKey::Geneve(vni(0x00ff_ffff)), 0x56),
        (TunnelKey::Geneve(vni(0x00ab_cdef)), 0x42),
        (TunnelKey::Gre(None), 0x52),
        (TunnelKey::Gre(Some(GreKey(0xdead_beef))), 0x53),
        (TunnelKey::Gre(Some(GreKey(42))), 0x42),
        (TunnelKey::Gre(Some(GreKey(54))), 0x54),
        (TunnelKey::Gre(Some(GreKey(57))), 0x57),
        (TunnelKey::Ipip, 0x42),
    ];
    for (id, (key, subnet)) in (0..).zip(networks) {
        let mut fib = Fib::default();
        fib.v4.insert("0.0.0.0/0".parse().unwrap(), tunnel);
        fib.v6.insert("::/0".parse().unwrap(), tunnel);
        fib.v4.insert("10.42.0.0/16".parse().unwrap(), port);
        fib.v6.insert("fd42::/16".parse().unwrap(), port);
        fib.v4.insert("192.168.77.0/31".parse().unwrap(), link);
        fib.v4.insert("192.168.77.2/32".parse().unwrap(), own);
        let mut kinds = Encapsulation::ALL.iter();
        let kind = kinds.position(|kind| *kind == key.encapsulation());
        let network = Network {
            mac: MacAddr([2, 0, 0, 0, subnet, 0x0b]),
            mtu: 1450,
            mss_clamp: true,
            fragment: true,
            accept_unknown_vteps: true,
            vteps: vec![remote],
            addresses: vec!["10.42.0.1".parse().unwrap(), "fd42::1".parse().unwrap()],
            fib,
            ..Network::new(UnderlayId(kind.unwrap() as u16), key)
        };
        tables.insert_network(NetworkId(id), network);
    }
    let network = NetworkId(0);
    tables.insert_port(PortId(0), Port { network });
    tables.insert_port(LINK, Port { network });
    tables.insert_link(LINK, link_table(remote));
    let [dst, src] = [
        MacAddr([2, 0, 0, 0, 0x42, 0x0a]),
        MacAddr([2, 0, 0, 0, 0x42, 0x0b]),
    ];
    let template = Template::builder(local, remote).vxlan(vni(42), dst, src);
    let tunnel = Tunnel {
        network,
        underlay: UnderlayId(0),
        local,
        remote: SocketAddr::new(remote, 4789),
        mtu: 1450,
        template: Some(template.unwrap()),
    };
    tables.insert_tunnel(TunnelId(0), tunnel);
    tables
}

/// A port where one host is known.
fn link_table(host: IpAddr) -> Link {
    Link {
        mac: ROUTER,
        addresses: vec!["192.168.77.2".parse().unwrap()],
        proxy: true,
        mtu: 1450,
        offloads: false,
        neighbours: [(host, MacAddr([2, 0, 0, 0, 1, 2]))].into_iter().collect(),
    }
}

/// Counts what leaves.
#[derive(Default)]
struct Left {
    ports: usize,
    datagrams: usize,
}

impl Output for Left {
    fn port(&mut self, _frame: Frame) {
        self.ports += 1;
    }

    fn underlay(&mut self, frame: Frame) {
        self.datagrams += frame.datagrams();
    }

    fn uplink(&mut self, _frame: Frame) {
        panic!("this node has no uplink");
    }
}

impl Left {
    /// Fails unless each of `received` frames went by exactly one way.
    fn assert_conserved(&self, received: usize, counters: &WorkerCounters) {
        let came =
            counters.originated.value() + counters.segmented.value() + counters.flooded.value();
        let gone = counters.consumed.value()
            + counters.coalesced.value()
            + counters.held.value()
            + counters.total_drops();
        assert_eq!(
            received as u64 + came,
            (self.ports + self.datagrams) as u64 + gone
        );
    }
}

/// A frame from the underlay: a datagram, a train of them, or all of what an uplink brings.
fn hostile(random: &mut Random, pool: &Mempool, kind: usize, samples: &[Sample]) -> Frame {
    let sample = &samples[random.below(samples.len())];
    let underlay = UnderlayId(kind as u16);
    let by_uplink = random.below(8) == 0;
    let mut bytes = if by_uplink {
        sample.frame.clone()
    } else {
        sample.payload.clone()
    };
    random.damage(&mut bytes);
    let train = !by_uplink && random.below(16) == 0;
    if train {
        bytes = bytes.repeat(1 + random.below(4));
    }
    let mut frame = pool.copy_of(&bytes).unwrap();
    frame.meta.ingress = if by_uplink {
        [Ingress::Uplink(underlay), Ingress::Wire][random.below(2)]
    } else {
        Ingress::Underlay(underlay)
    };
    if train && !bytes.is_empty() {
        frame.meta.segment_size = (1 + random.below(bytes.len())) as u16;
    }
    frame.meta.remote = SocketAddr::new(sample.remote, 50_000);
    frame.meta.traffic_class = random.next() as u8;
    frame
}

/// A frame from a host, which may lie about what is to be done to it.
fn from_host(random: &mut Random, pool: &Mempool, samples: &[Sample]) -> Frame {
    let mut bytes = samples[random.below(samples.len())].frame.clone();
    bytes[..6].copy_from_slice(&ROUTER.0);
    random.damage(&mut bytes);
    let mut frame = pool.copy_of(&bytes).unwrap();
    frame.meta.ingress = Ingress::Ethernet(LINK);
    let gso = [Gso::None, Gso::TcpV4, Gso::TcpV6, Gso::UdpL4];
    frame.meta.offload = Offload {
        needs_checksum: random.below(2) == 0,
        gso: gso[random.below(16) % 7 % gso.len()],
        header_len: random.below(128) as u16,
        gso_size: random.below(2000) as u16,
        csum_start: random.below(64) as u16,
        csum_offset: [6, 16, 2, 60_000][random.below(4)],
        ..Offload::default()
    };
    frame
}

#[test]
fn whatever_comes_is_counted_once() {
    let counters = pour(&tables(), |kind, whole| {
        assert!(whole > FRAMES / 100, "{kind}: few are whole");
    });
    for reason in EXPECTED {
        assert!(counters.drops(*reason) > 0, "{}", reason.name());
    }
}

#[test]
fn whatever_comes_is_bridged_or_dropped_by_name() {
    let (mut tables, local) = (tables(), "192.168.77.2".parse().unwrap());
    let remote: IpAddr = "192.168.77.1".parse().unwrap();
    let tunnel = tables.tunnel(TunnelId(0)).unwrap().clone();
    let key = tables.network(NetworkId(0)).unwrap().key;
    let frames = Template::builder(local, remote).tunnel(key, Inner::Frames);
    let tunnel = Tunnel {
        template: Some(frames.unwrap()),
        ..tunnel
    };
    tables.insert_tunnel(TunnelId(0), tunnel);
    let stations = [
        (
            MacAddr([2, 0, 0, 0, 0x42, 0x0a]),
            Place::Tunnel(TunnelId(0)),
        ),
        (MacAddr([2, 0, 0, 0, 0x42, 0x0b]), Place::Port(PortId(0))),
        (ROUTER, Place::Tunnel(TunnelId(0))),
    ];
    let entry = |(mac, place)| FdbEntry::new(mac, place, false);
    let bridge = Bridge {
        ports: vec![PortId(0), LINK],
        tunnels: vec![(remote, TunnelId(0))],
        learns: true,
        fdb: stations.map(entry).into_iter().collect(),
    };
    let mut ids = (0..).map(NetworkId);
    while let Some(id) = ids.next().filter(|id| tables.network(*id).is_some()) {
        tables.insert_bridge(id, bridge.clone());
    }
    let mut whole = 0;
    let counters = pour(&tables, |_, more| whole += more);
    assert!(whole > FRAMES, "{whole} are whole");
    assert!(counters.flooded.value() > 0 && counters.segmented.value() > 0);
    for reason in [
        DropReason::EtherMalformed,
        DropReason::EtherMacForeign,
        DropReason::InnerProtocolUnknown,
        DropReason::IpMalformed,
        DropReason::FdbSplitHorizon,
    ] {
        assert!(counters.drops(reason) > 0, "{}", reason.name());
    }
}

/// Takes all that is hostile, and tells how many frames of each kind left by ports.
fn pour(
    tables: &Tables,
    mut told: impl FnMut(Encapsulation, usize),
) -> CachePadded<WorkerCounters> {
    let pool = Mempool::new(1024).unwrap();
    let counters = WorkerCounters::new();
    let (events, _receiver) = bounded(16);
    let start = Instant::now();
    let mut graph = Graph::new(pool.clone(), 1, start);
    let mut batch = Batch::new();
    let (mut left, mut received) = (Left::default(), 0);
    for (kind, samples) in samples() {
        let mut random = Random(kind as u64);
        let before = left.ports;
        for round in 0..FRAMES / BATCH_SIZE {
            for _ in 0..BATCH_SIZE {
                let frame = match random.below(8) {
                    0 => from_host(&mut random, &pool, &samples),
                    _ => hostile(&mut random, &pool, kind, &samples),
                };
                received += frame.datagrams();
                batch.push(frame).unwrap();
            }
            let context = Context {
                tables,
                counters: &counters,
                events: &events,
                now: start + Duration::from_millis(round as u64),
            };
            graph.run(&mut batch, &context, &mut left);
            left.assert_conserved(received, &counters);
        }
        told(Encapsulation::ALL[kind], left.ports - before);
    }
    assert_eq!(pool.available(), 1024, "frames come back");
    counters
}
