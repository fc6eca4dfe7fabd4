//! Hostile packets of the other encapsulations, into UDP and raw sockets. Briefer than the flood of
//! VXLAN: what is behind the tunnel header is the same.

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringlay_encap::{EtherType, GreKey, TunnelKey, Vni};
use socket2::{Domain, Protocol, Socket, Type};

use crate::books::{Books, Kernel, Sockets};
use crate::flood::wait_while;
use crate::mutate::{self, Shape};
use crate::samples::Samples;
use crate::support::kernel_peer::{self, Style};
use crate::support::node::{Node, NodeConfig};
use crate::support::pair::{Pair, Underlay};
use crate::support::random::Random;
use crate::support::traffic::ping;

const FRAMES: u64 = 60_000;
const BURST: u64 = 32;
const QUEUED_MAX: u64 = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

struct Kind {
    /// Lines of the configuration file.
    network: &'static str,
    key: TunnelKey,
    /// Whether frames are inside.
    ethernet: bool,
    sockets: Sockets,
    /// Reasons that packets must have been dropped for.
    drops: &'static [&'static str],
}

fn geneve() -> Kind {
    Kind {
        network: "encap = \"geneve\"\nvni = 42",
        key: TunnelKey::Geneve(Vni::new(42).unwrap()),
        ethernet: true,
        sockets: Sockets::Udp(6081),
        drops: &[
            "geneve_malformed",
            "geneve_control",
            "geneve_critical_option",
            "geneve_unknown_vni",
            "inner_mac_foreign",
            "inner_protocol_unknown",
        ],
    }
}

fn gre() -> Kind {
    Kind {
        network: "encap = \"gre\"",
        key: TunnelKey::Gre(None),
        ethernet: false,
        sockets: Sockets::Raw(&[47]),
        drops: &[
            "gre_malformed",
            "gre_bad_checksum",
            "inner_protocol_unknown",
        ],
    }
}

fn gre_with_key() -> Kind {
    Kind {
        network: "encap = \"gre\"\nkey = 42\ninner = \"ethernet\"",
        key: TunnelKey::Gre(Some(GreKey(42))),
        ethernet: true,
        sockets: Sockets::Raw(&[47]),
        drops: &["gre_malformed", "gre_unknown_key", "inner_mac_foreign"],
    }
}

fn ipip() -> Kind {
    Kind {
        network: "encap = \"ipip\"",
        key: TunnelKey::Ipip,
        ethernet: false,
        sockets: Sockets::Raw(&[4, 41]),
        drops: &["ipip_malformed"],
    }
}

/// Dropped whatever is around it.
const DROPS: &[&str] = &[
    "ip_malformed",
    "ip_bad_checksum",
    "ip_not_forwardable",
    "ip_ttl_expired",
    "ip_no_route",
    "vtep_unknown",
];

#[test]
fn each_encapsulation_survives_hostile_packets() {
    let pair = Pair::create();
    kernel_peer::start(&pair, Underlay::V4, Style::OnLink);
    let config = |driver, ethernet: bool| NodeConfig {
        mac: ethernet.then_some(kernel_peer::NODE_MAC),
        peer_mac: ethernet.then_some(kernel_peer::MAC),
        ..NodeConfig::new(driver, Underlay::V4)
    };
    let node = Node::start(&pair, &config("epoll", true));
    ping(&pair.node, "10.42.2.1".parse().unwrap(), 3);
    let samples = Samples::record(&pair);
    node.stop();
    let kinds = [geneve(), gre(), gre_with_key(), ipip()];
    for (seed, kind) in (1_usize..).zip(kinds) {
        let driver = ["io_uring", "epoll"][seed % 2];
        let config = config(driver, kind.ethernet);
        let node = Node::start_network(&pair, &config, "udp", kind.network);
        kind.flood(&pair, &node, &samples, seed as u64);
        node.stop();
    }
}

impl Kind {
    fn flood(&self, pair: &Pair, node: &Node, samples: &Samples, seed: u64) {
        let kernel = Kernel { pid: node.pid() };
        let mut random = Random::new(seed);
        let packets: Vec<_> = samples
            .tunnel
            .iter()
            .filter_map(|it| self.around(it))
            .collect();
        assert!(packets.len() > 50);
        let files = kernel.open_files();
        let before = Books::closed(node);
        self.send(pair, kernel, &mut random, &packets);
        node.assert_alive();
        let after = Books::closed(node);
        assert!(
            after.from_underlay - before.from_underlay >= FRAMES,
            "{}: {after:?}",
            self.key
        );
        for reason in self.drops.iter().chain(DROPS) {
            let count = after.drops.get(*reason);
            assert!(
                count.is_some_and(|frames| *frames > 0),
                "{}: {reason}: {after:?}",
                self.key
            );
        }
        kernel.assert_files_closed(files);
        self.assert_answers(pair, &packets);
    }

    fn shape(&self) -> Shape {
        let header = self.key.header_len();
        let ethernet = if self.ethernet { 14 } else { 0 };
        Shape {
            header,
            ip: header + ethernet,
        }
    }

    /// The same inner packet in this encapsulation, if it has a place there.
    fn around(&self, vxlan: &[u8]) -> Option<Vec<u8>> {
        let frame = &vxlan[Shape::VXLAN.header..];
        let ethertype = EtherType(u16::from_be_bytes([frame[12], frame[13]]));
        let is_ip = [EtherType::IPV4, EtherType::IPV6].contains(&ethertype);
        let mut packet = vec![0; self.key.header_len()];
        if self.ethernet {
            self.key.emit(EtherType::BRIDGED, &mut packet);
            packet.extend(frame);
        } else {
            self.key.emit(ethertype, &mut packet);
            packet.extend(&frame[14..]);
        }
        (self.ethernet || is_ip).then_some(packet)
    }

    /// Sockets of the peer to send from, and where packets go.
    fn open(&self, pair: &Pair, stranger: bool) -> Vec<(Socket, SocketAddr)> {
        let local = match stranger {
            true => Underlay::V4.stranger(),
            false => Underlay::V4.peer(),
        };
        let to = Underlay::V4.node();
        let open = |kind, protocol: u8, to: SocketAddr| {
            let socket = Socket::new(
                Domain::IPV4,
                kind,
                Some(Protocol::from(i32::from(protocol))),
            );
            let socket = socket.unwrap();
            socket.bind(&SocketAddr::new(local, 0).into()).unwrap();
            (socket, to)
        };
        let open = || match self.sockets {
            Sockets::Udp(port) => (0..4)
                .map(|_| open(Type::DGRAM, 17, (to, port).into()))
                .collect(),
            Sockets::Raw(protocols) => {
                let socket = |protocol: &u8| open(Type::RAW, *protocol, (to, 0).into());
                protocols.iter().map(socket).collect()
            }
        };
        pair.peer.run(open).unwrap()
    }

    fn send(&self, pair: &Pair, kernel: Kernel, random: &mut Random, samples: &[Vec<u8>]) {
        let known = self.open(pair, false);
        let strange = self.open(pair, true);
        let state = || kernel.tunnel_sockets(self.sockets);
        let before = state().dropped;
        let mut sent = 0;
        while sent < FRAMES + state().dropped - before {
            for _ in 0..BURST {
                let packet = mutate::tunnel_frame(random, self.shape(), samples);
                let sockets = if random.below(8) == 0 {
                    &strange
                } else {
                    &known
                };
                let (socket, to) = &sockets[random.below(sockets.len())];
                socket.send_to(&packet, &(*to).into()).unwrap();
            }
            sent += BURST;
            wait_while("the socket", || state().queued > QUEUED_MAX);
        }
        wait_while("the socket", || state().queued > 0);
    }

    /// A socket of the peer that hears what the node sends.
    fn listen(&self, pair: &Pair) -> Socket {
        let (kind, protocol, port) = match self.sockets {
            Sockets::Udp(port) => (Type::DGRAM, 17, port),
            Sockets::Raw(protocols) => (Type::RAW, protocols[0].into(), 0),
        };
        let listen = || Socket::new(Domain::IPV4, kind, Some(Protocol::from(protocol))).unwrap();
        let socket = pair.peer.run(listen).unwrap();
        let local = SocketAddr::new(Underlay::V4.peer(), port);
        socket.bind(&local.into()).unwrap();
        let patience = Some(Duration::from_millis(200));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    /// The host behind the node still answers the peer's echo request.
    fn assert_answers(&self, pair: &Pair, packets: &[Vec<u8>]) {
        let ip = self.shape().ip;
        let is_request = |packet: &&Vec<u8>| {
            let inner = &packet[ip..];
            inner[0] == 0x45 && inner[9] == 1 && inner[20] == 8
        };
        let request = packets.iter().find(is_request).expect("the peer pinged");
        let answered = |bytes: &[u8]| bytes.ends_with(&request[ip + 24..]);
        let mut listener = self.listen(pair);
        let (socket, to) = &self.open(pair, false)[0];
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = [0; 2048];
        loop {
            socket.send_to(request, &(*to).into()).unwrap();
            while let Ok(len) = listener.read(&mut bytes) {
                if answered(&bytes[..len]) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "{}: no answer", self.key);
        }
    }
}
